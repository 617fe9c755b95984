"""A connection to libvirt whose calls have a deadline, and that can run guests.

Only a libvirt of this host is asked: images of guests are written here, and core dumps are read and removed.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import wait
from itertools import cycle
from typing import Any, Final, TypeVar
from urllib.parse import SplitResult

from onpanic.core.errors import SourceError
from onpanic.core.libvirt_api import CallThread, libvirt_module, open_connection, run_event_loop
from onpanic.core.untrusted import printable, wellformed
from onpanic.matrix.libvirts.libvirt_conversation import LibvirtRefusal
from onpanic.shims.translation.local_uri import local_parts, split_local_uri

__all__ = ("LibvirtSession", "session_with")

_Result = TypeVar("_Result")

# Calls at a time.  With as many as max_client_requests of libvirtd.conf (5), libvirtd reads nothing more from
# the client, and closes the connection if that lasts longer than its keepalive allows (30 s).
_AT_ONCE = 4

#: Seconds that one call may take.  libvirt asks each of its emulators when it is first used.
CALL_TIMEOUT: Final = 120.0


class LibvirtSession:
    """A connection to libvirt.

    :ivar connection: The `libvirt.virConnect`.
    :ivar mode: The path of its URI, such as ``session``.
    """

    def __init__(self, connection: Any, mode: str, timeout: float) -> None:
        self.connection = connection
        self.mode = mode
        self._timeout = timeout
        self._error: type[Exception] = libvirt_module().libvirtError
        self._thread = CallThread()

    def call(self, function: Callable[[], _Result]) -> _Result:
        """Call a function that calls libvirt, and return what it returns.

        :raise libvirt.libvirtError: When libvirt refuses.
        :raise SourceError: When it does not answer in time.
        """
        try:
            result: _Result = self._thread.submit(function).result(self._timeout)
        except TimeoutError as error:
            self._thread.finish(lambda: None)  # as soon as the call returns
            self._thread = CallThread()
            raise SourceError(
                f"libvirt did not answer in {self._timeout:g} s", "try the same with virsh"
            ) from error
        return result

    def attempt(self, function: Callable[[], _Result]) -> "tuple[_Result | None, LibvirtRefusal | None]":
        """Call a function that calls libvirt, and return its result, or the refusal.

        :raise SourceError: When it does not answer in time.
        """
        try:
            return self.call(function), None
        except self._error as error:
            return None, refusal_of(error)

    def at_once(self, functions: Sequence[Callable[[], object]]) -> "list[LibvirtRefusal | None]":
        """Call functions that call libvirt, several at a time, and return the refusals; None for success.

        :raise SourceError: When one does not answer in time.
        """
        threads = [CallThread() for _ in range(_AT_ONCE)]
        futures = [
            thread.submit(function) for thread, function in zip(cycle(threads), functions, strict=False)
        ]
        refusals: list[LibvirtRefusal | None] = []
        try:
            for future in futures:
                try:
                    future.result(self._timeout)
                    refusals.append(None)
                except self._error as error:
                    refusals.append(refusal_of(error))
        except TimeoutError as error:
            raise SourceError(
                f"libvirt did not answer in {self._timeout:g} s", "try the same with virsh"
            ) from error
        finally:
            started = [future for future in futures if not future.cancel()]
            wait(started, self._timeout)  # so that the caller sees all that was done
            for thread in threads:
                thread.finish(lambda: None)
        return refusals

    def close(self) -> None:
        """Close the connection; libvirt then ends the guests that were started with it."""
        self._thread.finish(self.connection.close)


def refusal_of(error: Any) -> LibvirtRefusal:
    """Return an error of libvirt.

    :param error: A `libvirt.libvirtError`.
    """
    code, domain = error.get_error_code(), error.get_error_domain()
    return LibvirtRefusal(code or 0, domain or 0, wellformed(printable(str(error), 500)))


@contextlib.contextmanager
def session_with(uri: str, timeout: float = CALL_TIMEOUT) -> Iterator[LibvirtSession]:
    """Connect to libvirt, and close the connection at exit.

    :param uri: libvirt's connection URI.
    :param timeout: Seconds that each call may take.
    :raise SourceError: When libvirt refuses, or is on another host.
    :raise MissingExtraError: When libvirt's Python module is not installed.
    """
    shown = printable(uri, 200)
    if split_local_uri(uri) is None:
        raise SourceError(
            f"{shown}: on another host, where images and core dumps of guests are out of reach",
            "run onpanic matrix collect on that host",
        )
    run_event_loop()
    thread = CallThread()
    try:
        connection, parts = thread.submit(lambda: _opened(uri)).result(timeout)
    except TimeoutError as error:
        raise SourceError(f"{shown}: libvirt did not answer in {timeout:g} s", "try virsh connect") from error
    finally:
        thread.finish(lambda: None)
    session = LibvirtSession(connection, parts.path.strip("/") if parts else "", timeout)
    try:
        if parts is None:
            raise SourceError(f"{shown}: it is on another host", "run onpanic matrix collect on that host")
        yield session
    finally:
        session.close()


def _opened(uri: str) -> tuple[Any, SplitResult | None]:
    """Return a connection with the parts of its URI; None if it is on another host."""
    connection = open_connection(uri)
    try:
        return connection, local_parts(connection)
    except libvirt_module().libvirtError as error:
        connection.close()
        raise SourceError(f"libvirt: {printable(str(error))}", "try virsh uri") from error
