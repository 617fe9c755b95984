"""A connection to libvirt that is used from asyncio, and its events.

libvirt's calls block for as long as libvirt likes, and a call that hangs holds up all
others of its connection.  So events have a connection to themselves, and each call has one
for as long as it takes, of a few that are kept; one that does not answer is left behind
with the guest that it was about.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

import msgspec

from onpanic.probe.errors import SourceError
from onpanic.probe.foreign import printable
from onpanic.probe.libvirt_access import (
    Aside,
    connect,
    deaf_monitor,
    hear_monitor,
    module,
    serve_events,
)

from .details import parsed
from .guest import BusyError, FailedError, GoneError, LostError

__all__ = ("Event", "Hypervisor", "server")

Result = TypeVar("Result")

_AT_ONCE = 4  # calls
_DEADLINE = 60.0  # seconds for a call; libvirt takes up to half a minute to end a guest
_CLOSING = 2.0  # seconds
_KEEPALIVE = (5, 3)  # seconds between messages, and how many may go unanswered

_KINDS = ("started", "suspended", "resumed", "stopped", "crashed", "defined")
# QEMU's, as a regular expression
_MONITOR_EVENTS = "^(GUEST_PANICKED|GUEST_CRASHLOADED|DUMP_COMPLETED)$"
_DUMP_ENDS = 60.0  # seconds; QEMU tells of it, and to ask libvirt more often only confuses it
_DUMPING = "There is a dump in process"  # QEMU's words, whatever libvirt says around them


class Event(msgspec.Struct, frozen=True):
    """Something that libvirt told of.

    :param kind: ``started suspended resumed stopped crashed defined metadata``, or a QEMU event's name.
    :param uuid: The domain's UUID.
    :param name: The domain's name.
    :param detail: The lifecycle event's detail.
    :param data: The QEMU event's members.
    """

    kind: str
    uuid: str
    name: str
    detail: int = 0
    data: dict[str, Any] = {}


class Hypervisor:
    """A libvirt, once it is `open`.

    :param uri: libvirt's connection URI; None for its default.
    :param heard: Called in the event loop with each event.
    :param lost: Called in the event loop when the connection is gone.
    """

    def __init__(self, uri: str | None, heard: Callable[[Event], None], lost: Callable[[str], None]) -> None:
        self._uri = uri
        self._heard = heard
        self._lost = lost
        self._ears: _Ears | None = None
        self._calls = asyncio.Semaphore(_AT_ONCE)
        self._idle: list[_Line] = []

    async def open(self) -> str:
        """Connect and listen, and return the connection's URI.

        :raise SourceError: When that cannot be done; it may be tried again.
        """
        serve_events()  # before a connection is opened
        loop = asyncio.get_running_loop()
        ears = _Ears(self._uri, lambda event: loop.call_soon_threadsafe(self._on_event, ears, event))
        ears.lost = lambda words: loop.call_soon_threadsafe(self._on_lost, ears, words)
        try:
            uri = await _soon(ears.aside, ears.listen)
        except BaseException:
            ears.aside.end(ears.close)
            raise
        self._ears = ears
        return str(uri)

    @property
    def deaf(self) -> str:
        """Why QEMU's own events are not heard; empty if they are."""
        return self._ears.deaf if self._ears else ""

    async def call(self, function: Callable[[Any], Result]) -> Result:
        """Return what a function returns, called with a connection in a thread.

        :raise LostError: When the connection is gone.
        :raise GoneError: When there is no such domain.
        :raise BusyError: When libvirt does not answer in time, or is at something else.
        :raise FailedError: When libvirt refuses.
        """
        if self._ears is None:
            raise LostError("there is no connection to libvirt")
        async with self._calls:
            line = self._idle.pop() if self._idle else _Line(self._uri)
            try:
                found: Result = await asyncio.wait_for(line.call(function), _DEADLINE)
            except TimeoutError as error:
                line.end()
                raise BusyError("libvirt did not answer in time") from error
            except LostError as error:
                line.end()
                self._on_lost(self._ears, error.message)
                raise
            except asyncio.CancelledError:
                line.end()
                raise
            except BaseException:
                self._idle.append(line)
                raise
            self._idle.append(line)
            return found

    async def apart(self, function: Callable[[Any], None]) -> None:
        """Call a function with a connection of its own, however long it takes.  Raises as `call` does.

        If this is cancelled, libvirt goes on with it.
        """
        line = _Line(self._uri)
        try:
            await line.call(function)
        except LostError as error:
            self._on_lost(self._ears, error.message)
            raise
        finally:
            line.end()

    async def close(self) -> None:
        """Let go of the connection."""
        ears, self._ears = self._ears, None
        lines, self._idle = self._idle, []
        for line in lines:
            line.end()
        if ears:
            with suppress(Exception):
                await asyncio.wait_for(ears.aside.call(ears.close), _CLOSING)
            ears.aside.end(lambda: None)

    def _on_event(self, ears: "_Ears", event: Event) -> None:
        if ears is self._ears:
            self._heard(event)

    def _on_lost(self, ears: "_Ears | None", words: str) -> None:
        if ears is not None and ears is self._ears:
            self._lost(words)


async def server(uri: str | None) -> str:
    """Return what tells one libvirt from all others, however its URI is spelt.

    :param uri: libvirt's connection URI; None for its default.
    :raise SourceError: When it cannot be reached, or is not QEMU's.
    """

    def ask() -> str:
        connection = connect(uri)
        try:
            if connection.getType() != "QEMU":
                raise SourceError(
                    f"libvirt's driver {connection.getType()} tells of no panics",
                    "only QEMU domains can be watched; name their connection with --connect URI",
                )
            parts = urlsplit(str(connection.getURI()))
            query = parse_qs(parts.query)
            place = query.get("socket") or query.get("root") or [""]
            return f"{connection.getHostname()}{parts.path} {place[0]}"
        finally:
            connection.close()

    serve_events()  # before a connection is opened
    aside = Aside()
    try:
        return str(await _soon(aside, ask))
    finally:
        aside.end(lambda: None)


async def _soon(aside: Aside, function: Callable[[], Any]) -> Any:
    libvirt = module()
    try:
        return await asyncio.wait_for(aside.call(function), _DEADLINE)
    except TimeoutError as error:
        raise SourceError("libvirt did not answer in time", "see what virsh says") from error
    except libvirt.libvirtError as error:
        raise SourceError(f"libvirt: {printable(str(error))}", "see what virsh says") from error


class _Line:
    """A connection for one call at a time, opened when it is needed."""

    def __init__(self, uri: str | None) -> None:
        self._uri = uri
        self._connection: Any = None
        self._aside = Aside()

    async def call(self, function: Callable[[Any], Result]) -> Result:
        found: Result = await self._aside.call(lambda: self._call(function))
        return found

    def end(self) -> None:
        """Close it, as soon as libvirt lets."""
        self._aside.end(self._close)

    def _call(self, function: Callable[[Any], Result]) -> Result:
        libvirt = module()
        try:
            if self._connection is None:
                self._connection = connect(self._uri)
                with suppress(libvirt.libvirtError):  # a driver in this process needs none
                    self._connection.setKeepAlive(*_KEEPALIVE)
            return function(self._connection)
        except SourceError as error:
            raise LostError(error.message) from error
        except libvirt.libvirtError as error:
            raise self._explained(error) from error

    def _explained(self, error: Any) -> LostError | GoneError | BusyError | FailedError:
        libvirt = module()
        words, code = printable(str(error)), error.get_error_code()
        if code == libvirt.VIR_ERR_NO_DOMAIN:
            return GoneError(words)
        try:
            alive = self._connection.isAlive()
        except libvirt.libvirtError:
            alive = False
        if not alive:
            return LostError(words)
        if _DUMPING in words:
            return BusyError(words, wait=_DUMP_ENDS)
        if code == libvirt.VIR_ERR_OPERATION_TIMEOUT:
            return BusyError(words)
        return FailedError(words)

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()


class _Ears:
    """A connection that is only listened to."""

    def __init__(self, uri: str | None, heard: Callable[[Event], Any]) -> None:
        self.aside = Aside()
        self.lost: Callable[[str], Any] = print
        self._uri = uri
        self._tell = heard
        self._connection: Any = None
        self._numbers: list[int] = []
        self._monitor = -1
        self.deaf = ""

    def listen(self) -> Any:
        """Connect, and return the connection's URI."""
        libvirt = module()
        connection = self._connection = connect(self._uri)
        with suppress(libvirt.libvirtError):
            connection.setKeepAlive(*_KEEPALIVE)
        kinds = {getattr(libvirt, f"VIR_DOMAIN_EVENT_{kind.upper()}"): kind for kind in _KINDS}

        def lifecycle(_connection: Any, domain: Any, kind: int, detail: int, _opaque: Any) -> None:
            if kind in kinds:
                self._heard(Event(kinds[kind], domain.UUIDString(), domain.name(), detail))

        def metadata(_connection: Any, domain: Any, *_more: Any) -> None:
            self._heard(Event("metadata", domain.UUIDString(), domain.name()))

        def monitor(domain: Any, event: str, data: str | None) -> None:
            self._heard(Event(event, domain.UUIDString(), domain.name(), data=parsed(data)))

        def closed(_connection: Any, _reason: int, _opaque: Any) -> None:
            with suppress(RuntimeError):  # the loop has ended
                self.lost("the connection was closed")

        with suppress(libvirt.libvirtError):
            connection.registerCloseCallback(closed, None)
        for number, hear in (
            (libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, lifecycle),
            (libvirt.VIR_DOMAIN_EVENT_ID_METADATA_CHANGE, metadata),
        ):
            self._numbers.append(connection.domainEventRegisterAny(None, number, hear, None))
        try:
            self._monitor = hear_monitor(connection, _MONITOR_EVENTS, monitor)
        except libvirt.libvirtError as error:  # that takes more rights than to know of domains
            self.deaf = printable(str(error))
        return connection.getURI()

    def close(self) -> None:
        """Hear no more: callbacks keep a connection open."""
        libvirt = module()
        connection = self._connection
        if connection is None:
            return
        for number in self._numbers:
            with suppress(libvirt.libvirtError):
                connection.domainEventDeregisterAny(number)
        with suppress(libvirt.libvirtError):
            deaf_monitor(connection, self._monitor)
        with suppress(libvirt.libvirtError):
            connection.unregisterCloseCallback()
        connection.close()

    def _heard(self, event: Event) -> None:
        with suppress(RuntimeError):  # the loop has ended
            self._tell(event)
