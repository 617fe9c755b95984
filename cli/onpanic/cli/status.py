"""Show what state a guest is in, since when, why it panicked, what its policy is, and what can be done."""

import argparse
import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

from onpanic.cli.guests import add_guest, check_guest, with_guest
from onpanic.cli.output import print_json
from onpanic.core.errors import OnpanicError
from onpanic.core.untrusted import printable

if TYPE_CHECKING:
    from onpanic.probe.asking.session import Session
    from onpanic.shims.guests.guest_status import Status
    from onpanic.why.words.last_words import LastWords

_REASON = 5.0  # seconds for the reason of a panic, enough for a busy host

_FROM = {"kept": "kept in its metadata", "amount-to": "what its <panic> and <on_crash> amount to"}
_ON_XEN = "what its <on_crash> amounts to"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_guest(parser)
    parser.add_argument(
        "--format", choices=("text", "json"), default="text", help="form of the output (default: text)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Ask, print the status, and return 0."""
    check_guest(arguments)  # before lxml is imported: libvirt's extra has both
    from onpanic.shims.guests import guest_status  # noqa: F401  its lxml is needed before a guest is asked

    limit = min(_REASON, arguments.timeout / 2)  # the rest is for the state
    by_monitor = partial(_of_monitor, address=arguments.qmp, limit=limit)
    by_domain = partial(_of_domain, connect=arguments.connect, timeout=arguments.timeout, limit=limit)
    status = with_guest(arguments, by_monitor, by_domain)
    if arguments.format == "json":
        import msgspec

        print_json(msgspec.json.encode(status))
    else:
        print(_screen(status))
    return 0


async def _of_monitor(session: "Session", address: str, limit: float) -> "Status":
    from onpanic.shims.guests.guest_status import status_of_monitor

    status = await status_of_monitor(session, address)
    if not status.panicked:
        return status
    from onpanic.qmp.client import CommandError
    from onpanic.why.readers.from_monitor import words_of_session

    try:
        async with asyncio.timeout(limit):
            words = await words_of_session(session)
    except TimeoutError:
        return _unexplained(status, "QEMU did not answer in time")
    except (OnpanicError, CommandError) as error:
        return _unexplained(status, str(error))
    return _explained(status, words)


def _of_domain(domain: Any, connect: str | None, timeout: float, limit: float) -> "Status":
    from onpanic.core.libvirt_api import libvirt_module
    from onpanic.shims.guests.guest_status import status_of_domain

    status = status_of_domain(domain, connect, timeout)
    if not status.panicked:
        return status
    from onpanic.why.readers.from_domain import words_in_domain

    try:
        words = words_in_domain(domain, limit)
    except libvirt_module().libvirtError as error:
        return _unexplained(status, f"libvirt: {error}")
    return _explained(status, words)


def _explained(status: "Status", words: "LastWords") -> "Status":
    """Return a status with the reason for the panic, or why that is not known."""
    from msgspec.structs import replace

    if not words.panicked:
        return _unexplained(status, "; ".join(words.notes) or "the guest's log has no panic")
    return replace(status, reason=words.reason, cause=words.cause, kind=words.kind)


def _unexplained(status: "Status", why: str) -> "Status":
    from msgspec.structs import replace

    return replace(status, reason_note=printable(" ".join(why.split()), 300))


def _screen(status: "Status") -> str:
    name = f"{printable(status.guest)}: " if status.guest else ""
    lines = [f"{name}{status.state}: {status.meaning}"]
    lines += [f"  {who:10} {words}" for who, words in status.said.items()]
    if status.since:
        lines.append(f"  {'since':10} {status.since}{' or earlier' if status.since_is == 'latest' else ''}")
    if status.reason or status.reason_note:
        lines.append(f"  {'reason':10} {status.reason or f'not known: {status.reason_note}'}")
    if status.cause:
        lines.append(f"  {'cause':10} {status.cause}")
    if status.policy:
        from onpanic.shims.domain_xml.policy_xml import policy_elements

        elements = " ".join(policy_elements(status.policy).values())
        origin = _FROM[status.policy_from]
        if status.policy_from == "amount-to" and status.policy.on_panic == "crash":  # Xen has no <panic>
            origin = _ON_XEN
        lines.append(f"  {'policy':10} {elements} ({origin})")
    lines += [f"  {'but':10} {note}" for note in status.policy_notes]
    if status.policy_problem:
        lines.append(f"  {'policy':10} cannot be read: {status.policy_problem}")
    width = max((len(what) for what, _ in status.remedies), default=0)
    for number, (what, how) in enumerate(status.remedies):
        lines.append(f"  {'you can' if number == 0 else '':10} {what:{width}}  {how}")
    return "\n".join(lines)
