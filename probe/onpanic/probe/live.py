"""Running guests, asked through their monitor or through libvirt.

Nothing is changed: the guest is never panicked, stopped or continued.
``qom-list-types`` is not asked either, since it loads modules, which can abort an emulator.
What only a panic can show stays unknown.
"""

import asyncio
from shlex import quote
from typing import Any

from onpanic.core.errors import SourceError
from onpanic.core.libvirt_api import (
    MUST_RUN,
    CallThread,
    find_domain,
    hint_about,
    libvirt_module,
    monitor_command,
    open_connection,
)
from onpanic.core.untrusted import printable
from onpanic.probe.asking.queries import ask_read_only
from onpanic.probe.asking.session import Monitor, open_monitor
from onpanic.probe.conversation import Conversation, Reply
from onpanic.probe.xen.ask_libvirt import DRIVER as XEN_DRIVER

__all__ = ("ask_domain", "ask_monitor")


async def ask_monitor(address: str, timeout: float) -> Conversation:  # noqa: ASYNC109
    """Ask the QMP monitor of a running emulator.  Parameters and errors are those of `open_monitor`."""
    async with open_monitor(address, timeout) as session:
        await ask_read_only(session)
    return session.conversation


async def ask_domain(name: str, uri: str | None, timeout: float) -> Conversation:  # noqa: ASYNC109
    """Ask a running libvirt domain's monitor.  libvirt marks the domain as tainted: custom-monitor.

    :param name: The domain's name, UUID or id.
    :param uri: libvirt's connection URI; None for its default.
    :param timeout: Seconds after which the domain is given up.
    :raise SourceError: When libvirt has no such running QEMU domain, or does not answer in time; on Xen,
        whose guests have no monitor that libvirt passes on.
    """
    domain = _DomainMonitor(name)
    try:
        async with asyncio.timeout(timeout):
            await domain.open(uri)
            await ask_read_only(domain)
            await domain.close()
    except TimeoutError as error:
        raise SourceError(
            f"domain {name}: libvirt did not answer in time", "is the guest's QEMU alive?"
        ) from error
    finally:
        domain.abandon()
    return domain.conversation


class _DomainMonitor(Monitor):
    """A libvirt domain's monitor.  libvirt may block forever, so it is called in a separate thread."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name
        self._thread = CallThread()
        self._one_at_a_time = asyncio.Lock()
        self._connection: Any = None

    async def open(self, uri: str | None) -> None:
        """Find the domain.  Raises `SourceError` when there is no such running domain."""
        version = await self._thread.call(lambda: self._open(uri))
        # libvirt has read the greeting; this is what it held
        self.record("qmp", "recv", {"QMP": {"version": version, "capabilities": []}})

    async def ask(self, command: str, **arguments: Any) -> Reply:
        """Send a command through libvirt and return its reply.  Raises `SourceError` when there is none."""
        message: dict[str, Any] = {"execute": command, **({"arguments": arguments} if arguments else {})}
        async with self._one_at_a_time:  # answers have libvirt's ids, so they are matched by their order
            sent = self.record("qmp", "send", message)
            answer = await self._thread.call(lambda: self._exchange(message))
            answer.pop("id", None)
            self.record("qmp", "recv", answer)
        return self.conversation.reply_at(sent)

    async def close(self) -> None:
        """Close the connection."""
        await self._thread.call(self._close)

    def abandon(self) -> None:
        """Close the connection, if it is open, as soon as libvirt allows it; do not wait for that."""
        self._thread.finish(self._close)

    # In the thread

    def _open(self, uri: str | None) -> Any:
        self._connection = open_connection(uri)
        self._domain = find_domain(self._connection, self._name)
        if self._connection.getType() == XEN_DRIVER:
            raise SourceError(
                f"domain {self._name}: libvirt's Xen driver has no QEMU monitor to ask",
                f"onpanic probe --connect {quote(str(self._connection.getURI()))} asks the Xen host",
            )
        return self._exchange({"execute": "query-version"}).get("return")

    def _exchange(self, message: dict[str, Any]) -> dict[str, Any]:
        try:
            return monitor_command(self._domain, message)
        except libvirt_module().libvirtError as error:
            hint = hint_about(error, MUST_RUN)
            raise SourceError(f"domain {self._name}: {printable(str(error))}", hint) from error

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
