"""Guests that commands are about: by their monitor, or by their libvirt domain."""

import argparse
import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from onpanic.cli import seconds
from onpanic.probe.errors import OnpanicError

if TYPE_CHECKING:
    from onpanic.probe.session import Session

__all__ = ("add_guest", "with_guest")

Result = TypeVar("Result")


def add_guest(parser: argparse.ArgumentParser) -> None:
    """Add the options that name a guest."""
    parser.add_argument("--qmp", metavar="ADDRESS", help="its monitor, PATH or HOST:PORT")
    parser.add_argument("--domain", metavar="NAME", help="its libvirt domain: name, UUID or id")
    parser.add_argument("--connect", metavar="URI", help="libvirt connection for --domain")
    parser.add_argument(
        "--timeout", type=seconds, default=10.0, metavar="SECONDS", help="for all answers (default: 10)"
    )


def with_guest(
    arguments: argparse.Namespace,
    by_monitor: "Callable[[Session], Awaitable[Result]]",
    by_domain: Callable[[Any], Result],
) -> Result:
    """Return what one of two functions returns, given the guest that the options name.

    :raise OnpanicError: When there is no such guest, or it does not answer in time.
    """
    if (arguments.qmp is None) == (arguments.domain is None):
        raise OnpanicError("which guest?", "name it with --qmp ADDRESS, or with --domain NAME")
    if arguments.connect is not None and arguments.domain is None:
        raise OnpanicError("--connect goes with --domain", "name a domain")
    if arguments.domain is not None:
        from onpanic.probe.libvirt_access import connect, find, within

        def ask() -> Result:
            connection = connect(arguments.connect)  # kept until all is said
            return by_domain(find(connection, arguments.domain, "virsh list --all lists them"))

        return within(arguments.timeout, ask)

    async def converse() -> Result:
        from onpanic.probe.live import monitor

        async with monitor(arguments.qmp, arguments.timeout) as session:
            return await by_monitor(session)

    return asyncio.run(converse())
