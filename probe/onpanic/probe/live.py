"""Live sources: the monitor of a running guest, directly or through libvirt.

Only questions that change nothing: the guest is never panicked, stopped or continued,
and ``qom-list-types`` is not asked, since loading modules can abort an emulator.  What
only a panic can show stays unknown.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from . import interview
from .conversation import Conversation, Reply
from .errors import DeadlineError, SourceError, StartError
from .foreign import printable
from .libvirt_access import RUNNING, Aside, connect, find, module, monitor_command
from .session import Questions, Session, attach

__all__ = ("ask_domain", "ask_monitor", "endpoint", "monitor")

_AS_IN = "name a UNIX socket's path or HOST:PORT, as in QEMU's -qmp unix:PATH,server=on,wait=off"


async def ask_monitor(address: str, timeout: float) -> Conversation:  # noqa: ASYNC109
    """Ask the QMP monitor of a running emulator, and hang up.  Parameters and errors are `monitor`'s."""
    async with monitor(address, timeout) as session:
        await _read_only(session)
    return Conversation(session.entries)


@asynccontextmanager
async def monitor(address: str, timeout: float) -> AsyncIterator[Session]:  # noqa: ASYNC109
    """Connect to the QMP monitor of a running emulator; hang up on the way out.

    :param address: A UNIX socket's path, or ``host:port``.
    :param timeout: Seconds after which the monitor is given up, whatever is being asked.
    :raise SourceError: When there is no such address, or nobody to connect to.
    :raise EmulatorError: When nobody answers there, or not in time, or not in QMP.
    """
    where = endpoint(address)
    try:
        async with attach(where, asyncio.get_running_loop().time() + timeout) as session:
            yield session
    except StartError as error:
        reason = error.__cause__.__cause__ if error.__cause__ else None
        if isinstance(reason, OSError):  # of connecting
            raise SourceError(f"{address}: {_words(reason)}", _AS_IN) from error
        raise
    except DeadlineError as error:
        raise DeadlineError(f"the monitor at {address} did not answer in time", error.hint) from error


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


def endpoint(address: str) -> str | tuple[str, int]:
    """Tell a path from host and port; what has a slash or exists is a path.

    :raise SourceError: When it is neither.
    """
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


class _Domain(Questions):
    """A libvirt domain's monitor as something to put questions to.

    libvirt blocks for as long as it likes, so it is called in a thread of its own.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name
        self._aside = Aside()
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
        self._libvirt = module()
        self._connection = connect(uri)
        self._domain = find(self._connection, self._name)
        return self._exchange({"execute": "query-version"}).get("return")

    def _exchange(self, message: dict[str, Any]) -> dict[str, Any]:
        try:
            return monitor_command(self._domain, message)
        except self._libvirt.libvirtError as error:
            raise SourceError(f"domain {self._name}: {printable(str(error))}", RUNNING) from error

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
