"""A connection to libvirt for asyncio, with its events.

A call to libvirt blocks for any time, and one that hangs holds up all later calls of its
connection.  Events therefore have a connection of their own, and so has each call while it lasts,
see `call_pool`.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

from onpanic.core.errors import SourceError
from onpanic.core.libvirt_api import (
    CallThread,
    deregister_monitor_events,
    libvirt_module,
    open_connection,
    register_monitor_events,
    run_event_loop,
    unblock_events,
)
from onpanic.core.untrusted import printable
from onpanic.probe.decision.policy import Hypervisor
from onpanic.shims.translation.local_uri import local_parts
from onpanic.watch.guests.call_pool import KEEPALIVE, CallLimits, CallPool, Opener
from onpanic.watch.guests.events import LibvirtEvent, event_data

__all__ = ("LibvirtConnection", "server_identity")

Result = TypeVar("Result")

_OPEN_TIMEOUT = 60.0  # seconds
_CLOSE_TIMEOUT = 2.0  # seconds

_LIFECYCLE_EVENTS = (
    "started",
    "suspended",
    "resumed",
    "shutdown",
    "stopped",
    "crashed",
    "defined",
    "undefined",
)
# By what the driver calls itself
_HYPERVISORS: dict[str, Hypervisor] = {"QEMU": "qemu", "Xen": "xen"}

# What tells the daemons of a host apart whose URIs have the same path
_SERVERS: dict[Hypervisor, str] = {"qemu": "", "xen": "/xen"}

_MONITOR_EVENTS = "^(GUEST_PANICKED|GUEST_CRASHLOADED|DUMP_COMPLETED)$"


class LibvirtConnection:
    """A connection to libvirt, once it is `open`.

    :param uri: libvirt's connection URI; None for its default.
    :param on_event: Called in the event loop with each event.
    :param on_lost: Called in the event loop with the reason when the connection is lost.
    :param opener: Opens connections.
    :param limits: Of calls.
    :param on_answer: Called in the event loop with the guest whose call returns after its deadline.
    :ivar generation: How often it has been opened; the daemon may be another one each time.
    :ivar hypervisor: What the daemon's driver is for, once it is open.
    :ivar here: Whether the daemon is one of Xen on this host.
    """

    def __init__(
        self,
        uri: str | None,
        on_event: Callable[[LibvirtEvent], object],
        on_lost: Callable[[str], object],
        opener: Opener = open_connection,
        *,
        limits: CallLimits | None = None,
        on_answer: Callable[[str], object] = lambda _: None,
    ) -> None:
        self._uri = uri
        self._on_event = on_event
        self._on_lost = on_lost
        self._opener = opener
        self.generation = 0
        self.hypervisor: Hypervisor = "qemu"
        self.here = False
        self._events: _EventConnection | None = None
        self._pool = CallPool(uri, opener, limits or CallLimits(), on_lost, on_answer)

    async def open(self) -> str:
        """Connect, register for events, and return the connection's URI.

        :raise SourceError: When that fails; it may be tried again.
        """
        run_event_loop()  # must precede the connection
        loop = asyncio.get_running_loop()
        events = _EventConnection(
            self._uri,
            self._opener,
            lambda event: loop.call_soon_threadsafe(self._dispatch, events, event),
            lambda reason: loop.call_soon_threadsafe(self._lose, events, reason),
        )
        try:
            uri = await _call_in_time(events.thread, events.open)
            if events.lost:
                raise SourceError(f"libvirt: {events.lost}", "try the same with virsh")
        except BaseException:
            events.thread.finish(events.close)
            raise
        self._events = events
        self.hypervisor, self.here = events.hypervisor, events.here
        self._pool.open()
        self.generation += 1
        return str(uri)

    @property
    def monitor_event_error(self) -> str:
        """Why QEMU's own events are not received; empty if they are."""
        return self._events.monitor_event_error if self._events else ""

    async def call(self, function: Callable[[Any], Result], *, guest: str = "") -> Result:
        """Call a function in a thread, with a `libvirt.virConnect`, and return what it returns.

        :param guest: The UUID of the guest that the call is for, with one call at a time; empty for none.
        :raise LostError: When the connection is gone.
        :raise GoneError: When there is no such domain.
        :raise BusyError: When libvirt does not answer in time, or another operation is in progress.
        :raise FailedError: When libvirt refuses.
        """
        return await self._pool.call(function, guest)

    async def call_unbounded(self, function: Callable[[Any], None], *, guest: str) -> None:
        """Call a function as `call` does, beside the guest's other calls and without a time limit.

        If this is cancelled, libvirt continues with it.

        :raise BusyError: Also when the guest's previous such call is in progress.
        """
        await self._pool.call_unbounded(function, guest)

    def occupied(self, seconds: float) -> set[str]:
        """Return the guests that libvirt has been called for all this time, or without a time limit."""
        return self._pool.occupied(seconds)

    async def close(self) -> None:
        """Close all connections, as soon as libvirt allows it."""
        events, self._events = self._events, None
        self._pool.close()
        if events:
            try:
                with suppress(Exception):
                    async with asyncio.timeout(_CLOSE_TIMEOUT):
                        await events.thread.call(events.close)
            finally:
                events.thread.finish(events.close)

    def _dispatch(self, source: "_EventConnection", event: LibvirtEvent) -> None:
        if source is self._events:
            self._on_event(event)

    def _lose(self, source: "_EventConnection", reason: str) -> None:
        source.lost = reason
        if source is self._events:
            self._on_lost(reason)


async def server_identity(uri: str | None, opener: Opener = open_connection) -> str:
    """Return what identifies a libvirt daemon, however its URI is spelt.

    :param uri: libvirt's connection URI; None for its default.
    :raise SourceError: When it cannot be reached, or is a driver that reports no panics.
    """

    def read_identity() -> str:
        connection = opener(uri)
        try:
            driver = connection.getType()
            if driver not in _HYPERVISORS:
                raise SourceError(
                    f"libvirt's driver {driver} reports no panics",
                    "only domains of QEMU and Xen can be watched; name their connection with --connect URI",
                )
            parts = urlsplit(str(connection.getURI()))
            query = parse_qs(parts.query)
            path = query.get("socket") or query.get("root") or [""]
            return f"{connection.getHostname()}{_SERVERS[_HYPERVISORS[driver]]}{parts.path} {path[0]}"
        finally:
            connection.close()

    run_event_loop()  # must precede the connection
    thread = CallThread()
    try:
        return str(await _call_in_time(thread, read_identity))
    finally:
        thread.finish(lambda: None)


async def _call_in_time(thread: CallThread, function: Callable[[], Any]) -> Any:
    libvirt = libvirt_module()
    try:
        async with asyncio.timeout(_OPEN_TIMEOUT):
            return await thread.call(function)
    except TimeoutError as error:
        raise SourceError("libvirt did not answer in time", "try the same with virsh") from error
    except libvirt.libvirtError as error:
        raise SourceError(f"libvirt: {printable(str(error))}", "try the same with virsh") from error


class _EventConnection:
    """A connection that only receives events.  Its methods are called in `thread`.

    :ivar hypervisor: See `LibvirtConnection`, as for `here`.
    :ivar monitor_event_error: Why QEMU's own events are not received; empty if they are.
    :ivar lost: Why it was lost; empty if it was not.
    """

    def __init__(
        self,
        uri: str | None,
        opener: Opener,
        on_event: Callable[[LibvirtEvent], object],
        on_lost: Callable[[str], object],
    ) -> None:
        self.thread = CallThread()
        self.hypervisor: Hypervisor = "qemu"
        self.here = False
        self.monitor_event_error = ""
        self.lost = ""
        self._uri = uri
        self._opener = opener
        self._on_event = on_event
        self._on_lost = on_lost
        self._connection: Any = None
        self._registrations: list[int] = []
        self._monitor_registration = -1

    def open(self) -> Any:
        """Connect, and return the connection's URI."""
        libvirt = libvirt_module()
        connection = self._connection = self._opener(self._uri)
        self.hypervisor = _HYPERVISORS.get(connection.getType(), "qemu")
        with suppress(libvirt.libvirtError):
            connection.setKeepAlive(*KEEPALIVE)
        with suppress(libvirt.libvirtError):
            connection.registerCloseCallback(self._on_close, None)
        unblock_events(connection)
        for number, callback in (
            (libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, self._on_lifecycle),
            (libvirt.VIR_DOMAIN_EVENT_ID_METADATA_CHANGE, self._on_metadata),
            (libvirt.VIR_DOMAIN_EVENT_ID_REBOOT, self._on_reboot),
        ):
            self._registrations.append(connection.domainEventRegisterAny(None, number, callback, None))
        if self.hypervisor != "qemu":
            self.here = local_parts(connection) is not None
            return connection.getURI()
        try:
            self._monitor_registration = register_monitor_events(
                connection, _MONITOR_EVENTS, self._on_monitor_event
            )
        except libvirt.libvirtError as error:  # it takes more rights than lifecycle events do
            self.monitor_event_error = printable(str(error))
        return connection.getURI()

    def close(self) -> None:
        """Deregister from all events, since each callback keeps the connection open, and close it."""
        libvirt = libvirt_module()
        connection, self._connection = self._connection, None
        if connection is None:
            return
        for number in self._registrations:
            with suppress(libvirt.libvirtError):
                connection.domainEventDeregisterAny(number)
        if self._monitor_registration >= 0:
            with suppress(libvirt.libvirtError):
                deregister_monitor_events(connection, self._monitor_registration)
        with suppress(libvirt.libvirtError):
            connection.unregisterCloseCallback()
        connection.close()

    # Called by libvirt's event loop

    def _on_lifecycle(self, _connection: Any, domain: Any, kind: int, detail: int, _opaque: Any) -> None:
        libvirt = libvirt_module()
        for name in _LIFECYCLE_EVENTS:
            if kind == getattr(libvirt, f"VIR_DOMAIN_EVENT_{name.upper()}"):
                instance = str(domain.ID())
                self._report(
                    LibvirtEvent(name, domain.UUIDString(), domain.name(), detail, instance=instance)
                )

    def _on_metadata(self, _connection: Any, domain: Any, *_more: Any) -> None:
        self._report(LibvirtEvent("metadata", domain.UUIDString(), domain.name()))

    def _on_reboot(self, _connection: Any, domain: Any, *_more: Any) -> None:
        self._report(LibvirtEvent("reboot", domain.UUIDString(), domain.name()))

    def _on_monitor_event(self, domain: Any, event: str, data: str | None) -> None:
        self._report(LibvirtEvent(event, domain.UUIDString(), domain.name(), data=event_data(data)))

    def _on_close(self, _connection: Any, _reason: int, _opaque: Any) -> None:
        with suppress(RuntimeError):  # the event loop has ended
            self._on_lost("the connection was closed")

    def _report(self, event: LibvirtEvent) -> None:
        with suppress(RuntimeError):  # the event loop has ended
            self._on_event(event)
