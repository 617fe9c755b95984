"""Calls to libvirt that may never return, so that one guest's cost the others nothing.

Each call names its guest.  The bounds, with the numbers of `CallLimits`:

* A guest has at most one call in progress.  Its next one waits until that has returned, and fails at once
  when that has passed its deadline.
* ``slots`` calls are in progress at the same time.  One that takes longer than ``prompt`` seconds gives its
  slot to others, as long as fewer than ``hanging`` calls do so.
* So at most ``slots + hanging`` calls are in progress, whatever hangs.  libvirtd has 20 workers by default
  (``max_workers``); a call that hangs keeps one, and with none left libvirtd answers nobody.
* Each call has a thread and a connection, and at most ``slots`` idle ones are kept: these are at most
  ``2 * slots + hanging`` threads.  Calls without a time limit (dumps) come on top, one for a guest at most.
"""

import asyncio
import math
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

import msgspec

from onpanic.core.errors import BusyError, FailedError, GoneError, LostError, SourceError, StaleError
from onpanic.core.libvirt_api import CallThread, libvirt_module
from onpanic.core.untrusted import printable

__all__ = ("KEEPALIVE", "CallLimits", "CallPool", "Opener")

Result = TypeVar("Result")

#: Opens a connection, a `libvirt.virConnect`, to a URI.  Raises as `open_connection` does.
Opener = Callable[[str | None], Any]

#: Seconds between messages on a connection that is silent, and how many may go unanswered.
KEEPALIVE = (5, 3)

_BUSY_WAIT = (1.0, 60.0)  # seconds between calls for a guest that is busy: at first, and at most
_DUMP_WAIT = 60.0  # seconds; an event ends the wait earlier, and frequent attempts confuse libvirt
_DUMP_IN_PROGRESS = "There is a dump in process"  # QEMU's message, which libvirt quotes


class CallLimits(msgspec.Struct, frozen=True):
    """The limits of a `CallPool`.

    :param slots: How many calls are in progress that have just begun.
    :param prompt: Seconds after which a call gives its slot to others.
    :param hanging: How many calls may be in progress that have given away their slots.
    :param deadline: Seconds after which a call's caller does not wait any more; libvirt takes up to half a
        minute to end a guest.
    """

    slots: int = 4
    prompt: float = 0.25
    hanging: int = 12
    deadline: float = 60.0


class CallPool:
    """Calls in threads, with connections of their own.

    :param uri: libvirt's connection URI; None for its default.
    :param opener: Opens connections.
    :param limits: The limits.
    :param on_lost: Called in the event loop with the reason when a call finds the connection lost.
    :param on_answer: Called in the event loop with the guest whose call returns after its deadline.
    """

    def __init__(
        self,
        uri: str | None,
        opener: Opener,
        limits: CallLimits,
        on_lost: Callable[[str], object],
        on_answer: Callable[[str], object],
    ) -> None:
        self._uri = uri
        self._opener = opener
        self._limits = limits
        self._on_lost = on_lost
        self._on_answer = on_answer
        self._session: object | None = None  # another one whenever libvirt is connected to
        self._slots = asyncio.Semaphore(limits.slots)
        self._idle: list[_CallConnection] = []
        self._used: set[_CallConnection] = set()
        self._calls: dict[str, _GuestCall] = {}
        self._hanging = 0  # calls that have given away their slots
        self._held: deque[_GuestCall] = deque()  # that could not, since too many hang
        self._dumps: set[str] = set()  # guests with a call that has no time limit
        self._refusals: dict[str, int] = {}  # how often in a row libvirt could not serve a guest

    def open(self) -> None:
        """Allow calls, through connections that are opened from now on."""
        self._session = object()

    def close(self) -> None:
        """Allow no more calls, and close each connection once no call is in progress on it."""
        self._session = None
        connections = [*self._idle, *self._used]
        self._idle.clear()
        self._used.clear()
        for connection in connections:
            connection.finish()

    def occupied(self, seconds: float) -> set[str]:
        """Return the guests that libvirt has been called for all this time, or without a time limit."""
        began = asyncio.get_running_loop().time() - seconds
        return {guest for guest, call in self._calls.items() if call.began < began} | self._dumps

    async def call(self, function: Callable[[Any], Result], guest: str) -> Result:
        """Call a function in a thread, with a `libvirt.virConnect`, and return what it returns.

        :param guest: The UUID of the guest that the call is for.
        :raise LostError: When the connection is gone.
        :raise GoneError: When there is no such domain.
        :raise BusyError: When libvirt does not answer in time, or another operation is in progress.
        :raise FailedError: When libvirt refuses.
        """
        self._require_session()
        await self._until_free(guest)
        call = self._calls[guest] = _GuestCall(guest)
        try:
            async with asyncio.timeout(self._limits.deadline):
                await self._slots.acquire()
        except BaseException as error:
            del self._calls[guest]
            call.settled.set()
            if isinstance(error, TimeoutError):
                raise self._busy(guest, "libvirt does not answer: calls for too many guests hang") from error
            raise
        try:
            self._start(call, function)
        except LostError:
            self._release(call)
            raise
        await call.settled.wait()
        if not call.returned:
            raise self._busy(guest, f"libvirt did not answer within {self._limits.deadline:g} s")
        try:
            found: Result = call.future.result()
        except StaleError:
            raise
        except BusyError as error:
            raise self._busy(guest, error.message, error.wait) from error
        return found

    async def call_unbounded(self, function: Callable[[Any], None], guest: str) -> None:
        """Call a function as `call` does, beside the guest's other calls and without a time limit.

        If this is cancelled, libvirt continues with it.

        :raise BusyError: When the guest's previous such call is in progress.
        """
        session = self._require_session()
        if guest in self._dumps:
            raise BusyError("libvirt has not finished the previous dump", wait=_DUMP_WAIT)
        self._dumps.add(guest)
        connection = _CallConnection(self._uri, self._opener)
        self._used.add(connection)

        def on_returned(future: "asyncio.Future[Any]") -> None:
            self._dumps.discard(guest)
            self._check_lost(future, session)
            self._put_back(connection, keep=False)

        future = connection.start(function)
        future.add_done_callback(on_returned)
        await asyncio.wait([future])
        future.result()

    def _require_session(self) -> object:
        """Return the present session.

        :raise LostError: When there is none.
        """
        if self._session is None:
            raise LostError("there is no connection to libvirt")
        return self._session

    async def _until_free(self, guest: str) -> None:
        """Wait for the guest's call in progress.

        :raise BusyError: When it does not return in time.
        """
        while call := self._calls.get(guest):
            await call.settled.wait()
            if not call.returned and self._calls.get(guest) is call:
                raise self._busy(guest, "libvirt has not answered an earlier call")

    def _start(self, call: "_GuestCall", function: Callable[[Any], Any]) -> None:
        session = self._require_session()
        connection = self._idle.pop() if self._idle else _CallConnection(self._uri, self._opener)
        self._used.add(connection)

        def on_returned(future: "asyncio.Future[Any]") -> None:
            late = call.settled.is_set()
            call.returned = True
            self._release(call)
            error = self._check_lost(future, session)
            if isinstance(error, StaleError) or not isinstance(error, BusyError):
                self._refusals.pop(call.guest, None)
            self._put_back(connection, keep=not isinstance(error, LostError))
            if late:
                self._on_answer(call.guest)

        loop = asyncio.get_running_loop()
        call.began = loop.time()
        call.future = connection.start(function)
        call.future.add_done_callback(on_returned)
        call.timers = [
            loop.call_later(self._limits.prompt, self._give_slot, call),
            loop.call_later(self._limits.deadline, call.settled.set),
        ]

    def _give_slot(self, call: "_GuestCall") -> None:
        """Give a call's slot to others, now or once fewer calls hang."""
        if self._hanging < self._limits.hanging:
            self._hanging += 1
            call.has_slot = False
            self._slots.release()
        else:
            self._held.append(call)

    def _release(self, call: "_GuestCall") -> None:
        """Forget a call that has returned."""
        for timer in call.timers:
            timer.cancel()
        del self._calls[call.guest]
        call.settled.set()
        if call.has_slot:
            self._slots.release()
            with suppress(ValueError):
                self._held.remove(call)
            return
        self._hanging -= 1
        if self._held:
            self._give_slot(self._held.popleft())

    def _put_back(self, connection: "_CallConnection", *, keep: bool) -> None:
        """Take back a connection, unless it is one that `close` has closed."""
        if connection not in self._used:
            return
        self._used.remove(connection)
        if keep and len(self._idle) < self._limits.slots:
            self._idle.append(connection)
        else:
            connection.finish()

    def _check_lost(self, future: "asyncio.Future[Any]", session: object) -> BaseException | None:
        """Return the error of a call, and report the connection as lost if that was the present one."""
        error = None if future.cancelled() else future.exception()
        if isinstance(error, LostError) and session is self._session:
            self._on_lost(error.message)
        return error

    def _busy(self, guest: str, reason: str, wait: float = _BUSY_WAIT[0]) -> BusyError:
        """Return an error whose time to wait grows as long as a guest's calls fail like that."""
        count = self._refusals[guest] = self._refusals.get(guest, 0) + 1
        longer = min(_BUSY_WAIT[0] * 2 ** min(count - 1, 10), _BUSY_WAIT[1])
        return BusyError(reason, wait=max(wait, longer))


class _GuestCall:
    """A call for a guest, from when it waits for a slot until libvirt returns.

    :ivar settled: Set when it has returned, or passed its deadline.
    :ivar began: When it was made, in the event loop's seconds.
    """

    def __init__(self, guest: str) -> None:
        self.guest = guest
        self.settled = asyncio.Event()
        self.returned = False
        self.has_slot = True
        self.began = math.inf
        self.future: Any = None
        self.timers: list[asyncio.TimerHandle] = []


class _CallConnection:
    """A connection for one call at a time, opened by its first call."""

    def __init__(self, uri: str | None, opener: Opener) -> None:
        self._uri = uri
        self._opener = opener
        self._connection: Any = None
        self._thread = CallThread()

    def start(self, function: Callable[[Any], Any]) -> "asyncio.Future[Any]":
        """Start a call, and return the future of its result."""
        return asyncio.wrap_future(self._thread.submit(lambda: self._call(function)))

    def finish(self) -> None:
        """Close it after the call in progress."""
        self._thread.finish(self._close)

    def _call(self, function: Callable[[Any], Any]) -> Any:
        libvirt = libvirt_module()
        try:
            if self._connection is None:
                self._connection = self._opener(self._uri)
                with suppress(libvirt.libvirtError):  # drivers in this process have no keepalive
                    self._connection.setKeepAlive(*KEEPALIVE)
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
