"""Explain what state a guest is in, since when, what its policy says, and what can be done."""

import argparse
from functools import partial
from typing import TYPE_CHECKING

from onpanic.cli.guests import add_guest, with_guest

if TYPE_CHECKING:
    from onpanic.shims.status import Status

HELP = "what state a guest is in, and what can be done"

_FROM = {"kept": "kept in its metadata", "amount-to": "what its <panic> and <on_crash> amount to"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_guest(parser)
    parser.add_argument("--format", choices=("text", "json"), default="text")


def run(arguments: argparse.Namespace) -> int:
    """Ask, print, and return 0."""
    from onpanic.shims.status import status_of_domain, status_of_monitor

    by_monitor = partial(status_of_monitor, address=arguments.qmp)
    status = with_guest(arguments, by_monitor, partial(status_of_domain, connect=arguments.connect))
    if arguments.format == "json":
        import msgspec

        from onpanic.cli import print_json

        print_json(msgspec.json.encode(status))
    else:
        print(_screen(status))
    return 0


def _screen(status: "Status") -> str:
    name = f"{status.guest}: " if status.guest else ""
    lines = [f"{name}{status.state}: {status.meaning}"]
    lines += [f"  {who:10} {words}" for who, words in status.said.items()]
    if status.since:
        lines.append(f"  {'since':10} {status.since}{' or earlier' if status.since_is == 'latest' else ''}")
    if status.policy:
        from onpanic.shims.policy import policy_elements

        elements = " ".join(policy_elements(status.policy).values())
        lines.append(f"  {'policy':10} {elements} ({_FROM[status.policy_from]})")
    lines += [f"  {'but':10} {note}" for note in status.policy_notes]
    if status.policy_problem:
        lines.append(f"  {'policy':10} cannot be read: {status.policy_problem}")
    width = max((len(what) for what, _ in status.remedies), default=0)
    for number, (what, how) in enumerate(status.remedies):
        lines.append(f"  {'you can' if number == 0 else '':10} {what:{width}}  {how}")
    return "\n".join(lines)
