"""Show what state a guest is in, since when, what its policy is, and what can be done."""

import argparse
from functools import partial
from typing import TYPE_CHECKING

from onpanic.cli.guests import add_guest, check_guest, with_guest
from onpanic.cli.output import print_json

if TYPE_CHECKING:
    from onpanic.shims.guests.guest_status import Status

_FROM = {"kept": "kept in its metadata", "amount-to": "what its <panic> and <on_crash> amount to"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_guest(parser)
    parser.add_argument("--format", choices=("text", "json"), default="text")


def run(arguments: argparse.Namespace) -> int:
    """Ask, print the status, and return 0."""
    check_guest(arguments)  # before lxml is imported: libvirt's extra has both
    from onpanic.shims.guests.guest_status import status_of_domain, status_of_monitor

    by_monitor = partial(status_of_monitor, address=arguments.qmp)
    status = with_guest(arguments, by_monitor, partial(status_of_domain, connect=arguments.connect))
    if arguments.format == "json":
        import msgspec

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
        from onpanic.shims.domain_xml.policy_xml import policy_elements

        elements = " ".join(policy_elements(status.policy).values())
        lines.append(f"  {'policy':10} {elements} ({_FROM[status.policy_from]})")
    lines += [f"  {'but':10} {note}" for note in status.policy_notes]
    if status.policy_problem:
        lines.append(f"  {'policy':10} cannot be read: {status.policy_problem}")
    width = max((len(what) for what, _ in status.remedies), default=0)
    for number, (what, how) in enumerate(status.remedies):
        lines.append(f"  {'you can' if number == 0 else '':10} {what:{width}}  {how}")
    return "\n".join(lines)
