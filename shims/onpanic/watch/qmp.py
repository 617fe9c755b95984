"""A QMP monitor that is listened to for as long as its emulator lives.

`onpanic.probe.session` writes down and bounds all that an emulator says; here it may talk
for months, so nothing is kept.
"""

import asyncio
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from qemu.qmp import ExecuteError, QMPClient, Runstate

from onpanic.probe.foreign import printable
from onpanic.probe.live import endpoint

from .guest import FailedError, LostError

__all__ = ("Absent", "Qmp")

_DEADLINE = 10.0  # seconds for an answer, and for the greeting


class Absent(LostError):  # noqa: N818
    """Nobody listens at the address: there is no such guest now."""


class Qmp:
    """A connection to a monitor.

    :param address: A UNIX socket's path, or ``host:port``.
    :raise SourceError: When it is no address.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._where = endpoint(address)
        self._client: QMPClient | None = None
        #: The emulator's process; None where the connection does not tell.
        self.pid: int | None = None

    async def listen(self, connected: Callable[[], Any], heard: Callable[[dict[str, Any]], None]) -> None:
        """Connect, and pass on events until the connection ends.

        :param connected: Called when questions can be put.
        :param heard: Called with each event.
        :raise Absent: When nobody listens at the address.
        :raise LostError: When who listens does not speak QMP, or not in time.
        """
        channel = await self._connected()
        client = QMPClient(self._address)
        hearing: asyncio.Task[None] | None = None
        with client.listener() as events:
            try:
                await self._greeted(client, channel)
                self._client = client
                hearing = asyncio.create_task(_pass_on(events, heard))
                connected()
                while client.runstate == Runstate.RUNNING:
                    await client.runstate_changed()
            finally:
                self._client = None
                if hearing:
                    hearing.cancel()
                    await asyncio.gather(hearing, return_exceptions=True)
                    for event in events.clear():  # what it said last
                        heard(dict(event))
                await _part(client)
                channel.close()

    async def _greeted(self, client: QMPClient, channel: socket.socket) -> None:
        try:
            async with asyncio.timeout(_DEADLINE):
                await client.connect(channel)
        except TimeoutError as error:
            raise LostError(f"{self._address} does not answer: another client may hold it") from error
        except Exception as error:  # qemu.qmp's, and what it asserts
            words = printable(str(error) or repr(error), 200)
            raise LostError(f"{self._address}: no QMP: {words}") from error

    @property
    def connected(self) -> bool:
        """True while questions can be put."""
        return self._client is not None

    async def ask(self, command: str, timeout: float = _DEADLINE, **arguments: Any) -> Any:  # noqa: ASYNC109
        """Return what a command returns.

        :param timeout: Seconds.
        :raise FailedError: When it is refused.
        :raise LostError: When there is no answer.
        """
        if self._client is None:
            raise LostError(f"{self._address} is not connected")
        try:
            async with asyncio.timeout(timeout):
                return await self._client.execute(command, arguments or None)
        except ExecuteError as refusal:
            raise FailedError(printable(str(refusal))) from refusal
        except TimeoutError as error:
            raise LostError(f"{self._address} does not answer {command}") from error
        except Exception as error:  # however the end shows
            raise LostError(f"{self._address} hung up") from error

    async def hang_up(self) -> None:
        """End the connection."""
        if self._client:
            with suppress(Exception):
                async with asyncio.timeout(1):
                    await self._client.disconnect()

    async def _connected(self) -> socket.socket:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_DEADLINE):
                if isinstance(self._where, str):
                    channel = socket.socket(socket.AF_UNIX)
                    try:
                        channel.setblocking(False)
                        await loop.sock_connect(channel, self._where)
                    except BaseException:
                        channel.close()
                        raise
                    size = struct.calcsize("3i")  # struct ucred, unix(7)
                    cred = channel.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
                    self.pid = struct.unpack("3i", cred)[0] or None
                    return channel
                host, port = self._where
                found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
                channel = socket.socket(found[0][0], socket.SOCK_STREAM)
                try:
                    channel.setblocking(False)
                    await loop.sock_connect(channel, found[0][4])
                except BaseException:
                    channel.close()
                    raise
                return channel
        except (ConnectionRefusedError, FileNotFoundError) as error:
            raise Absent(f"{self._address}: {error.strerror}") from error
        except (OSError, TimeoutError) as error:
            raise LostError(f"{self._address}: {error or 'no connection in time'}") from error

    def thread_time(self, thread: int) -> int | None:
        """Return how long a thread of the emulator has run, in nanoseconds; None if it cannot be seen."""
        try:
            text = Path(f"/proc/{self.pid}/task/{thread}/schedstat").read_text()
            return int(text.split()[0])
        except (OSError, ValueError, IndexError):
            return None


async def _part(client: QMPClient) -> None:
    """Hang up, and take what its reader raised, even if this is cancelled meanwhile."""
    parting = asyncio.create_task(client.disconnect())
    try:
        await asyncio.wait([parting], timeout=1)
    finally:
        if not parting.done():
            await asyncio.wait([parting], timeout=1)
        parting.cancel()
        await asyncio.gather(parting, return_exceptions=True)


async def _pass_on(events: Any, heard: Callable[[dict[str, Any]], None]) -> None:
    async for event in events:
        heard(dict(event))
