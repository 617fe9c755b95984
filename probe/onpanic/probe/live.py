"""Live sources: the monitor of a running guest, directly or through libvirt.

Only questions that change nothing: the guest is never panicked, stopped or continued,
and ``qom-list-types`` is not asked, since loading modules can abort an emulator.  What
only a panic can show stays unknown.
"""

import asyncio
import json
import os
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from . import interview
from .conversation import Conversation, Reply
from .errors import DeadlineError, SourceError, StartError
from .foreign import printable
from .session import Questions, attach

__all__ = ("ask_domain", "ask_monitor")

_AS_IN = "name a UNIX socket's path or HOST:PORT, as in QEMU's -qmp unix:PATH,server=on,wait=off"
_RUNNING = "it has to be a running QEMU domain"


async def ask_monitor(address: str, timeout: float) -> Conversation:  # noqa: ASYNC109
    """Ask the QMP monitor of a running emulator, and hang up.

    :param address: A UNIX socket's path, or ``host:port``.
    :param timeout: Seconds after which the monitor is given up.
    :raise SourceError: When there is no such address, or nobody to connect to.
    :raise EmulatorError: When nobody answers there, or not in time, or not in QMP.
    """
    where = _endpoint(address)
    try:
        async with attach(where, asyncio.get_running_loop().time() + timeout) as session:
            await _read_only(session)
    except StartError as error:
        reason = error.__cause__.__cause__ if error.__cause__ else None
        if isinstance(reason, OSError):  # of connecting
            raise SourceError(f"{address}: {_words(reason)}", _AS_IN) from error
        raise
    except DeadlineError as error:
        raise DeadlineError(f"the monitor at {address} did not answer in time", error.hint) from error
    return Conversation(session.entries)


async def ask_domain(name: str, uri: str | None, timeout: float) -> Conversation:  # noqa: ASYNC109
    """Ask a running libvirt domain's monitor.  libvirt marks the domain as tainted: custom-monitor.

    :param name: The domain's name, UUID or id.
    :param uri: libvirt's connection URI; None for its default.
    :param timeout: Seconds after which the domain is given up.
    :raise SourceError: When libvirt, or its Python module, has no such running QEMU domain.
    """
    domain = _Domain(name)
    try:
        async with asyncio.timeout(timeout):
            await domain.open(uri)
            await _read_only(domain)
            await domain.close()
    except TimeoutError as error:
        raise SourceError(
            f"domain {name}: libvirt did not answer in time", "is the guest's QEMU alive?"
        ) from error
    finally:
        domain.abandon()
    return Conversation(domain.entries)


async def _read_only(questions: Questions) -> None:
    await interview.plain(questions, thorough=True)
    await interview.events(questions)
    await interview.types(questions, gently=True)


def _endpoint(address: str) -> str | tuple[str, int]:
    """Tell a path from host and port; what has a slash or exists is a path."""
    host, colon, port = address.rpartition(":")
    if not colon or "/" in address or os.path.exists(address):  # noqa: PTH110
        return address
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) < 2**16):
        raise SourceError(f"{address}: {port!r} is no port", _AS_IN)
    return (host.removeprefix("[").removesuffix("]") or "localhost", int(port))


def _words(error: OSError) -> str:
    """Return the system's own words, without asyncio's."""
    return (
        os.strerror(error.errno)
        if error.errno and error.errno > 0
        else printable(error.strerror or str(error))
    )


class _Aside:
    """One thread for calls that may never return; it keeps no process from ending."""

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = queue.SimpleQueue()
        threading.Thread(target=self._work, name="libvirt", daemon=True).start()

    async def call(self, function: Callable[[], Any]) -> Any:
        """Return what the function returns, after all calls before it."""
        future: Future[Any] = Future()
        self._calls.put((future, function))
        return await asyncio.wrap_future(future)

    def end(self, last: Callable[[], Any]) -> None:
        """End the thread, with a last call, as soon as those before have returned."""
        self._calls.put((Future(), last))
        self._calls.put(None)

    def _work(self) -> None:
        for future, function in iter(self._calls.get, None):
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(function())
                except Exception as error:  # noqa: BLE001
                    future.set_exception(error)


class _Domain(Questions):
    """A libvirt domain's monitor as something to put questions to.

    libvirt blocks for as long as it likes, so it is called in a thread of its own.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name
        self._aside = _Aside()
        self._one_at_a_time = asyncio.Lock()
        self._connection: Any = None

    async def open(self, uri: str | None) -> None:
        """Find the domain.  Raises `SourceError` when there is no such running one."""
        version = await self._aside.call(lambda: self._open(uri))
        # libvirt has had the greeting; this is what was in it
        self.write_down("qmp", "recv", {"QMP": {"version": version, "capabilities": []}})

    async def ask(self, command: str, **arguments: Any) -> Reply:
        """Put a question through libvirt.  Raises `SourceError` when there is no answer."""
        message: dict[str, Any] = {"execute": command, **({"arguments": arguments} if arguments else {})}
        async with self._one_at_a_time:  # answers have libvirt's ids, so their order has to tell
            sent = len(self.entries)
            self.write_down("qmp", "send", message)
            answer = await self._aside.call(lambda: self._exchange(message))
            answer.pop("id", None)  # it is libvirt's own
            self.write_down("qmp", "recv", answer)
        return Reply.of(command, arguments, answer, sent, len(self.entries) - 1)

    async def close(self) -> None:
        """Let go of the connection."""
        await self._aside.call(self._close)

    def abandon(self) -> None:
        """Let go of the connection, if it is open, whenever libvirt lets; do not wait for it."""
        self._aside.end(self._close)

    # In the thread

    def _open(self, uri: str | None) -> Any:
        try:
            import libvirt
            import libvirt_qemu
        except ImportError as error:
            raise SourceError(
                f"libvirt's Python module is not there: {printable(str(error))}",
                "install python3-libvirt, or onpanic with the extra: pip install 'onpanic[libvirt]'",
            ) from error
        libvirt.registerErrorHandler(lambda *_: None, None)  # errors are raised as well
        self._libvirt, self._command = libvirt, libvirt_qemu.qemuMonitorCommand
        try:
            self._connection = libvirt.open(uri)
        except libvirt.libvirtError as error:
            raise SourceError(
                f"libvirt: {printable(str(error))}", "name another connection with --connect URI"
            ) from error
        try:
            self._domain = self._find()
        except libvirt.libvirtError as error:
            raise SourceError(f"domain {self._name}: {printable(str(error))}", _RUNNING) from error
        return self._exchange({"execute": "query-version"}).get("return")

    def _find(self) -> Any:
        """Look it up as ``virsh`` does; what is said of a name is what is said of all."""
        name, connection = self._name, self._connection
        lookups: list[tuple[Callable[[Any], Any], Any]] = [
            (connection.lookupByName, name),
            (connection.lookupByUUIDString, name),
        ]
        if name.isascii() and name.isdigit() and len(name) < 10:
            lookups.insert(0, (connection.lookupByID, int(name)))
        errors = []
        for lookup, key in lookups:
            try:
                return lookup(key)
            except self._libvirt.libvirtError as error:
                errors.append(error)
        raise errors[-2]

    def _exchange(self, message: dict[str, Any]) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = json.loads(self._command(self._domain, json.dumps(message), 0))
        except self._libvirt.libvirtError as error:
            raise SourceError(f"domain {self._name}: {printable(str(error))}", _RUNNING) from error
        return answer

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
