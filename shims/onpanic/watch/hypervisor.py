"""A connection to libvirt that is used from asyncio, and its events.

libvirt's calls block, so they are made in threads: few, as a daemon serves a client no
more than five at a time (``max_client_requests`` of libvirtd.conf).  What takes minutes
has a connection of its own, or nobody would answer keep-alive messages on this one.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

import msgspec

from onpanic.probe.errors import SourceError
from onpanic.probe.foreign import printable
from onpanic.probe.libvirt_access import Aside, connect, hear_monitor, module, serve_events

from .details import parsed
from .guest import FailedError, GoneError, LostError

__all__ = ("Event", "Hypervisor")

Result = TypeVar("Result")

_AT_ONCE = 4  # calls
_DEADLINE = 120.0  # seconds for a call; libvirt takes up to half a minute to end a guest
_KEEPALIVE = (5, 3)  # seconds between messages, and how many may go unanswered

_KINDS = ("started", "suspended", "resumed", "stopped", "crashed", "defined", "undefined")
# QEMU's, as a regular expression
_MONITOR_EVENTS = "^(GUEST_PANICKED|GUEST_CRASHLOADED|DUMP_COMPLETED)$"


class Event(msgspec.Struct, frozen=True):
    """Something that libvirt told of.

    :param kind: ``started suspended resumed stopped crashed defined undefined metadata``, or a
        QEMU event's name.
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
    """A connection, once it is `open`.

    :param uri: libvirt's connection URI; None for its default.
    :param heard: Called in the event loop with each event.
    :param lost: Called in the event loop when the connection is gone.
    """

    def __init__(self, uri: str | None, heard: Callable[[Event], None], lost: Callable[[str], None]) -> None:
        self._uri = uri
        self._heard = heard
        self._lost = lost
        self._connection: Any = None
        self._pool: ThreadPoolExecutor | None = None

    async def open(self) -> str:
        """Connect and listen, and return the connection's URI.

        :raise SourceError: When that cannot be done; it may be tried again.
        """
        serve_events()  # before a connection is opened
        aside = Aside()
        loop = asyncio.get_running_loop()
        try:
            connection = await asyncio.wait_for(aside.call(lambda: self._connected(loop)), _DEADLINE)
        except TimeoutError as error:
            raise SourceError("libvirt did not answer in time", "see what virsh says") from error
        finally:
            aside.end(lambda: None)
        self._connection, self._pool = connection, ThreadPoolExecutor(_AT_ONCE, "libvirt")
        return str(connection.getURI())

    async def call(self, function: Callable[[Any], Result]) -> Result:
        """Return what a function returns, called with the connection in a thread.

        :raise LostError: When the connection is gone, or does not answer.
        :raise GoneError: When there is no such domain.
        :raise FailedError: When libvirt refuses.
        """
        connection, pool = self._connection, self._pool
        if connection is None or pool is None:
            raise LostError("there is no connection to libvirt")
        libvirt = module()
        try:
            done = asyncio.get_running_loop().run_in_executor(pool, function, connection)
            return await asyncio.wait_for(done, _DEADLINE)
        except TimeoutError as error:
            self._gone(connection, "libvirt did not answer in time")
            raise LostError("libvirt did not answer in time") from error
        except RuntimeError as error:  # the pool was shut down meanwhile
            raise LostError("there is no connection to libvirt") from error
        except libvirt.libvirtError as error:
            raise self._explained(connection, error) from error

    async def apart(self, function: Callable[[Any], None]) -> None:
        """Call a function with a connection of its own, however long it takes.  Raises as `call` does."""
        libvirt = module()
        aside = Aside()
        own: list[Any] = []

        def work() -> None:
            own.append(connect(self._uri))
            with suppress(libvirt.libvirtError):
                own[0].setKeepAlive(*_KEEPALIVE)
            function(own[0])

        try:
            await aside.call(work)
        except SourceError as error:
            raise LostError(error.message) from error
        except libvirt.libvirtError as error:
            raise self._explained(own[0], error) from error
        finally:
            aside.end(lambda: own[0].close() if own else None)

    async def close(self) -> None:
        """Let go of the connection."""
        connection, pool = self._connection, self._pool
        self._connection = self._pool = None
        if pool:
            pool.shutdown(wait=False, cancel_futures=True)
        if connection is not None:
            aside = Aside()
            closing = aside.begin(connection.close)
            aside.end(lambda: None)
            with suppress(Exception):
                await asyncio.wait_for(asyncio.wrap_future(closing), 2)

    # In threads

    def _connected(self, loop: asyncio.AbstractEventLoop) -> Any:
        libvirt = module()
        connection = connect(self._uri)
        try:
            if connection.getType() != "QEMU":
                raise SourceError(
                    f"libvirt's driver {connection.getType()} tells of no panics",
                    "only QEMU domains can be watched; name their connection with --connect URI",
                )
            with suppress(libvirt.libvirtError):  # a driver in this process needs none
                connection.setKeepAlive(*_KEEPALIVE)
            self._listen(connection, loop)
        except libvirt.libvirtError as error:
            connection.close()
            raise SourceError(f"libvirt: {printable(str(error))}", "see what virsh says") from error
        except SourceError:
            connection.close()
            raise
        return connection

    def _listen(self, connection: Any, loop: asyncio.AbstractEventLoop) -> None:
        libvirt = module()
        kinds = {getattr(libvirt, f"VIR_DOMAIN_EVENT_{kind.upper()}"): kind for kind in _KINDS}

        def heard(event: Event) -> None:
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(self._heard, event)

        def lifecycle(_connection: Any, domain: Any, kind: int, detail: int, _opaque: Any) -> None:
            if kind in kinds:
                heard(Event(kinds[kind], domain.UUIDString(), domain.name(), detail))

        def metadata(_connection: Any, domain: Any, *_more: Any) -> None:
            heard(Event("metadata", domain.UUIDString(), domain.name()))

        def monitor(domain: Any, event: str, data: str | None) -> None:
            heard(Event(event, domain.UUIDString(), domain.name(), data=parsed(data)))

        def closed(_connection: Any, _reason: int, _opaque: Any) -> None:
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(self._gone, connection, "the connection was closed")

        with suppress(libvirt.libvirtError):
            connection.registerCloseCallback(closed, None)
        connection.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, lifecycle, None)
        connection.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_METADATA_CHANGE, metadata, None)
        hear_monitor(connection, _MONITOR_EVENTS, monitor)

    def _explained(self, connection: Any, error: Any) -> LostError | GoneError | FailedError:
        libvirt = module()
        words = printable(str(error))
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
            return GoneError(words)
        try:
            alive = connection.isAlive()
        except libvirt.libvirtError:
            alive = False
        if not alive:
            self._gone(connection, words)
            return LostError(words)
        return FailedError(words)

    def _gone(self, connection: Any, words: str) -> None:
        if connection is self._connection:
            self._connection = None  # who asks now is told
            self._lost(words)
