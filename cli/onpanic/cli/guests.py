"""Options that name a guest, by its monitor or its libvirt domain, and asking it."""

import argparse
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from onpanic.cli.options import add_timeout, text
from onpanic.core.errors import UsageError

if TYPE_CHECKING:
    from onpanic.probe.asking.session import Session

__all__ = ("add_guest", "check_guest", "libvirt_connection", "with_guest")

Result = TypeVar("Result")


def add_guest(parser: argparse.ArgumentParser) -> None:
    """Add the options that name a guest."""
    parser.add_argument("--qmp", metavar="ADDRESS", help="the guest's QMP monitor, PATH or HOST:PORT")
    parser.add_argument(
        "--domain", type=text, metavar="NAME", help="the guest's libvirt domain: name, UUID or id"
    )
    parser.add_argument("--connect", type=text, metavar="URI", help="libvirt connection for --domain")
    add_timeout(parser, 10, "how long all answers may take")


def check_guest(arguments: argparse.Namespace) -> None:
    """Check the options of `add_guest`, and that what they need is installed.

    :raise UsageError: When they name no guest, or more than one.
    :raise MissingExtraError: When they name a domain, and libvirt's Python module is not installed.
    """
    if (arguments.qmp is None) == (arguments.domain is None):
        raise UsageError("which guest?", "name it with --qmp ADDRESS, or with --domain NAME")
    if arguments.domain is not None:
        from onpanic.core.libvirt_api import libvirt_module

        libvirt_module()
    elif arguments.connect is not None:
        raise UsageError("--connect goes with --domain", "name a domain")


def with_guest(
    arguments: argparse.Namespace,
    by_monitor: "Callable[[Session], Awaitable[Result]]",
    by_domain: Callable[[Any], Result],
) -> Result:
    """Call one of two functions with the guest that the options name, and return what it returns.

    :param arguments: The options of `add_guest`.
    :param by_monitor: Called with a session with the guest's monitor.
    :param by_domain: Called with the guest's `libvirt.virDomain`, in another thread.
    :raise UsageError: See `check_guest`.
    :raise EmulatorError: When the monitor does not answer in time, or not in QMP.
    :raise SourceError: When there is no such guest, or libvirt does not answer in time.
    """
    check_guest(arguments)
    if arguments.domain is None:
        import asyncio  # takes three times as long to load as a dump to read

        return asyncio.run(_ask_monitor(arguments, by_monitor))
    from onpanic.core.libvirt_api import call_with_timeout, find_domain, open_connection, silence_libvirt

    def ask() -> Result:
        connection = open_connection(arguments.connect)  # kept until the domain has answered
        return by_domain(find_domain(connection, arguments.domain, "virsh list --all lists the domains"))

    from onpanic.cli.signals import interruptible
    from onpanic.probe.xen.xl import end_xl

    silence_libvirt()
    try:
        with interruptible():
            return call_with_timeout(arguments.timeout, ask)
    finally:
        end_xl()


def libvirt_connection(uri: str | None, timeout: float) -> Any:
    """Open a connection to libvirt, a `libvirt.virConnect`, for a command: errors are only raised.

    :param uri: libvirt's connection URI; None for its default.
    :param timeout: Seconds that libvirt has.
    :raise MissingExtraError: When libvirt's Python module is not installed.
    :raise SourceError: When libvirt refuses, or does not answer in time.
    """
    from onpanic.core.libvirt_api import call_with_timeout, open_connection, silence_libvirt

    silence_libvirt()
    return call_with_timeout(timeout, partial(open_connection, uri))


async def _ask_monitor(
    arguments: argparse.Namespace, by_monitor: "Callable[[Session], Awaitable[Result]]"
) -> Result:
    from onpanic.probe.asking.session import open_monitor

    async with open_monitor(arguments.qmp, arguments.timeout) as session:
        return await by_monitor(session)
