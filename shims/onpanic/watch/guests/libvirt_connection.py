"""A connection to libvirt for asyncio, with its events.

A call to libvirt blocks for any time, and one that hangs holds up all later calls of its
connection.  Events therefore have a connection of their own, and each call takes a connection
from a small pool while it lasts.  A connection whose call does not return is abandoned.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

from onpanic.core.errors import BusyError, FailedError, GoneError, LostError, SourceError
from onpanic.core.libvirt_api import (
    CallThread,
    deregister_monitor_events,
    libvirt_module,
    open_connection,
    register_monitor_events,
    run_event_loop,
)
from onpanic.core.untrusted import printable
from onpanic.watch.guests.events import LibvirtEvent, event_data

__all__ = ("LibvirtConnection", "Opener", "server_identity")

Result = TypeVar("Result")

#: Opens a connection, a `libvirt.virConnect`, to a URI.  Raises as `open_connection` does.
Opener = Callable[[str | None], Any]

_POOL_SIZE = 4  # calls at the same time
_CALL_TIMEOUT = 60.0  # seconds; libvirt takes up to half a minute to end a guest
_CLOSE_TIMEOUT = 2.0  # seconds
_KEEPALIVE = (5, 3)  # seconds between messages, and how many may go unanswered

_LIFECYCLE_EVENTS = ("started", "suspended", "resumed", "shutdown", "stopped", "crashed", "defined")
_MONITOR_EVENTS = "^(GUEST_PANICKED|GUEST_CRASHLOADED|DUMP_COMPLETED)$"
_DUMP_WAIT = 60.0  # seconds; an event ends the wait earlier, and frequent attempts confuse libvirt
_DUMP_IN_PROGRESS = "There is a dump in process"  # QEMU's message, which libvirt quotes


class LibvirtConnection:
    """A connection to libvirt, once it is `open`.

    :param uri: libvirt's connection URI; None for its default.
    :param on_event: Called in the event loop with each event.
    :param on_lost: Called in the event loop with the reason when the connection is lost.
    :param opener: Opens connections.
    :ivar generation: How often it has been opened; the daemon may be another one each time.
    """

    def __init__(
        self,
        uri: str | None,
        on_event: Callable[[LibvirtEvent], object],
        on_lost: Callable[[str], object],
        opener: Opener = open_connection,
    ) -> None:
        self._uri = uri
        self._on_event = on_event
        self._on_lost = on_lost
        self._opener = opener
        self.generation = 0
        self._events: _EventConnection | None = None
        self._slots = asyncio.Semaphore(_POOL_SIZE)
        self._idle: list[_CallConnection] = []

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
        except BaseException:
            events.thread.finish(events.close)
            raise
        self._events = events
        self.generation += 1
        return str(uri)

    @property
    def monitor_event_error(self) -> str:
        """Why QEMU's own events are not received; empty if they are."""
        return self._events.monitor_event_error if self._events else ""

    async def call(self, function: Callable[[Any], Result]) -> Result:
        """Call a function in a thread, with a `libvirt.virConnect`, and return what it returns.

        :raise LostError: When the connection is gone.
        :raise GoneError: When there is no such domain.
        :raise BusyError: When libvirt does not answer in time, or another operation is in progress.
        :raise FailedError: When libvirt refuses.
        """
        events = self._events
        if events is None:
            raise LostError("there is no connection to libvirt")
        async with self._slots:
            connection = self._idle.pop() if self._idle else _CallConnection(self._uri, self._opener)
            reusable = False
            try:
                found: Result = await asyncio.wait_for(connection.call(function), _CALL_TIMEOUT)
                reusable = True
            except TimeoutError as error:
                raise BusyError("libvirt did not answer in time") from error
            except LostError as error:
                self._lose(events, error.message)
                raise
            except Exception:
                reusable = True
                raise
            finally:
                if reusable and self._events is events:
                    self._idle.append(connection)
                else:
                    connection.finish()
            return found

    async def call_unbounded(self, function: Callable[[Any], None]) -> None:
        """Call a function as `call` does, with a connection of its own and without a time limit.

        If this is cancelled, libvirt continues with it.
        """
        events, connection = self._events, _CallConnection(self._uri, self._opener)
        try:
            await connection.call(function)
        except LostError as error:
            self._lose(events, error.message)
            raise
        finally:
            connection.finish()

    async def close(self) -> None:
        """Close all connections, as soon as libvirt allows it."""
        events, self._events = self._events, None
        idle, self._idle = self._idle, []
        for connection in idle:
            connection.finish()
        if events:
            try:
                with suppress(Exception):
                    await asyncio.wait_for(events.thread.call(events.close), _CLOSE_TIMEOUT)
            finally:
                events.thread.finish(events.close)

    def _dispatch(self, source: "_EventConnection", event: LibvirtEvent) -> None:
        if source is self._events:
            self._on_event(event)

    def _lose(self, source: "_EventConnection | None", reason: str) -> None:
        if source is not None and source is self._events:
            self._on_lost(reason)


async def server_identity(uri: str | None, opener: Opener = open_connection) -> str:
    """Return what identifies a libvirt daemon, however its URI is spelt.

    :param uri: libvirt's connection URI; None for its default.
    :raise SourceError: When it cannot be reached, or is not the QEMU driver.
    """

    def read_identity() -> str:
        connection = opener(uri)
        try:
            if connection.getType() != "QEMU":
                raise SourceError(
                    f"libvirt's driver {connection.getType()} reports no panics",
                    "only QEMU domains can be watched; name their connection with --connect URI",
                )
            parts = urlsplit(str(connection.getURI()))
            query = parse_qs(parts.query)
            path = query.get("socket") or query.get("root") or [""]
            return f"{connection.getHostname()}{parts.path} {path[0]}"
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
        return await asyncio.wait_for(thread.call(function), _CALL_TIMEOUT)
    except TimeoutError as error:
        raise SourceError("libvirt did not answer in time", "try the same with virsh") from error
    except libvirt.libvirtError as error:
        raise SourceError(f"libvirt: {printable(str(error))}", "try the same with virsh") from error


class _CallConnection:
    """A connection for one call at a time, opened by its first call."""

    def __init__(self, uri: str | None, opener: Opener) -> None:
        self._uri = uri
        self._opener = opener
        self._connection: Any = None
        self._thread = CallThread()

    async def call(self, function: Callable[[Any], Result]) -> Result:
        found: Result = await self._thread.call(lambda: self._call(function))
        return found

    def finish(self) -> None:
        """Close it after the call in progress."""
        self._thread.finish(self._close)

    def _call(self, function: Callable[[Any], Result]) -> Result:
        libvirt = libvirt_module()
        try:
            if self._connection is None:
                self._connection = self._opener(self._uri)
                with suppress(libvirt.libvirtError):  # drivers in this process have no keepalive
                    self._connection.setKeepAlive(*_KEEPALIVE)
            return function(self._connection)
        except SourceError as error:
            raise LostError(error.message) from error
        except libvirt.libvirtError as error:
            raise self._classified(error) from error

    def _classified(self, error: Any) -> LostError | GoneError | BusyError | FailedError:
        libvirt = libvirt_module()
        message, code = printable(str(error)), error.get_error_code()
        if code == libvirt.VIR_ERR_NO_DOMAIN:
            return GoneError(message)
        try:
            alive = self._connection.isAlive()
        except libvirt.libvirtError:
            alive = False
        if not alive:
            return LostError(message)
        if _DUMP_IN_PROGRESS in message:
            return BusyError(message, wait=_DUMP_WAIT)
        if code == libvirt.VIR_ERR_OPERATION_TIMEOUT:
            return BusyError(message)
        return FailedError(message)

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()


class _EventConnection:
    """A connection that only receives events.  Its methods are called in `thread`."""

    def __init__(
        self,
        uri: str | None,
        opener: Opener,
        on_event: Callable[[LibvirtEvent], object],
        on_lost: Callable[[str], object],
    ) -> None:
        self.thread = CallThread()
        self.monitor_event_error = ""
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
        with suppress(libvirt.libvirtError):
            connection.setKeepAlive(*_KEEPALIVE)
        with suppress(libvirt.libvirtError):
            connection.registerCloseCallback(self._on_close, None)
        for number, callback in (
            (libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, self._on_lifecycle),
            (libvirt.VIR_DOMAIN_EVENT_ID_METADATA_CHANGE, self._on_metadata),
            (libvirt.VIR_DOMAIN_EVENT_ID_REBOOT, self._on_reboot),
        ):
            self._registrations.append(connection.domainEventRegisterAny(None, number, callback, None))
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
                self._report(LibvirtEvent(name, domain.UUIDString(), domain.name(), detail))

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
