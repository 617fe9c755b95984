"""A QMP monitor that is watched for as long as its emulator runs."""

import asyncio
import socket
import struct
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from onpanic.core.errors import AbsentError, FailedError, LostError, ProtocolFault, UnansweredError
from onpanic.core.tasks import finish
from onpanic.core.untrusted import printable
from onpanic.qmp.address import IN_USE, IN_USE_HINT, connect, parse_address
from onpanic.qmp.client import CommandError, ConnectionLostError, QmpClient

__all__ = ("QmpMonitor",)

_TIMEOUT = 10.0  # seconds for connecting with the greeting, and for an answer
_BEFORE_CLOSE = 5.0  # seconds


class QmpMonitor:
    """A monitor, to which there is at most one connection at a time.

    :param address: A UNIX socket's path, or ``host:port``.
    :param timeout: Seconds for connecting, and for an answer.
    :raise UsageError: When the address is invalid.
    :ivar pid: The emulator's PID; None until the first connection, and for an emulator that
        cannot be seen from here.
    """

    def __init__(self, address: str, timeout: float = _TIMEOUT) -> None:
        self._address = address
        self._parsed = parse_address(address)
        self._timeout = timeout
        self._client: QmpClient | None = None
        self.pid: int | None = None

    async def run(
        self,
        on_connected: Callable[[], object],
        on_event: Callable[[dict[str, Any]], None],
        before_close: Callable[[], Coroutine[Any, Any, object]] | None = None,
    ) -> None:
        """Connect, and pass on events until the connection ends.

        :param on_connected: Called when commands can be sent.
        :param on_event: Called with each event, in the order of the wire.  The first may come before
            `on_connected` is called.
        :param before_close: Called when this is cancelled while commands can be sent.  It has five seconds.
        :raise AbsentError: When nothing listens at the address.
        :raise LostError: When what listens does not speak QMP, or sends no greeting in time.
        """
        client = QmpClient(self._address, on_event=on_event)
        try:
            await self._connect(client)
            self._client = client
            on_connected()
            await client.wait_closed()
        except asyncio.CancelledError:
            if before_close and self._client and client.connected:
                await finish(before_close(), _BEFORE_CLOSE)
            raise
        finally:
            self._client = None
            await client.close()

    @property
    def connected(self) -> bool:
        """Whether commands can be sent."""
        return self._client is not None

    async def execute(self, command: str, timeout: float | None = None, **arguments: Any) -> Any:  # noqa: ASYNC109
        """Send a command and return what it returns.

        :param timeout: Seconds; None for those of the monitor.
        :raise FailedError: When the command is refused.
        :raise UnansweredError: When there is no answer.  The connection is closed then, since the answer
            could come at any time.
        :raise LostError: When there is no connection.
        """
        if self._client is None:
            raise LostError(f"{self._address} is not connected")
        try:
            async with asyncio.timeout(self._timeout if timeout is None else timeout):
                return await self._client.execute(command, arguments)
        except CommandError as refusal:
            raise FailedError(printable(refusal.desc)) from refusal
        except TimeoutError as error:
            await self.close()
            raise UnansweredError(f"{self._address} does not answer {command}") from error
        except ConnectionLostError as error:
            raise LostError(f"{self._address} closed the connection") from error

    def send_descriptor(self, descriptor: int) -> None:
        """Send a file descriptor, for a command that is sent next.

        :raise OSError: When the connection is no UNIX socket, or there is none.
        """
        if self._client is None:
            raise OSError(f"{self._address} is not connected")
        self._client.send_descriptor(descriptor)

    async def query(self, command: str) -> dict[str, Any]:
        """Return what a command without arguments returns; nothing if that is not an object.

        The errors are those of `execute`.
        """
        answer = await self.execute(command)
        return answer if isinstance(answer, dict) else {}

    async def close(self) -> None:
        """Close the connection, which makes `run` return."""
        if self._client:
            await self._client.close()

    def cpu_time(self, thread: int) -> int | None:
        """Return the CPU time of one of the emulator's threads, in nanoseconds; None if it cannot be read.

        :param thread: The thread's ID on this host.
        """
        try:
            stat = Path(f"/proc/{self.pid}/task/{thread}/schedstat").read_text(encoding="ascii")
            return int(stat.split()[0])
        except (OSError, ValueError, IndexError):
            return None

    def command_line(self, thread: int) -> list[str]:
        """Return the emulator's command line; empty if it cannot be read, or may be another process's.

        The process at the other end of a socket is the one that listened, which may have passed it on.

        :param thread: The ID of one of the emulator's threads on this host.
        """
        process = Path(f"/proc/{self.pid}")
        try:
            if not (process / f"task/{thread}").exists():
                return []
            return (process / "cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
        except OSError:
            return []

    async def _connect(self, client: QmpClient) -> None:
        connected = isinstance(self._parsed, str)  # or waits for room in the backlog
        try:
            async with asyncio.timeout(self._timeout):
                channel = await connect(self._parsed)
                connected, self.pid = True, _peer(channel)
                await client.connect(channel)
        except TimeoutError as error:
            if connected:
                raise LostError(f"{self._address} {IN_USE}", IN_USE_HINT) from error
            raise LostError(f"{self._address}: no connection in time") from error
        except ConnectionLostError as error:
            if isinstance(error.cause, ProtocolFault):
                raise LostError(error.cause.message, error.cause.hint) from error
            reason = printable(str(error.cause) or repr(error.cause), 200)
            raise LostError(f"{self._address} does not speak QMP: {reason}") from error
        except (ConnectionRefusedError, FileNotFoundError) as error:
            raise AbsentError(f"{self._address}: {error.strerror}") from error
        except OSError as error:
            raise LostError(f"{self._address}: {error}") from error


def _peer(channel: socket.socket) -> int | None:
    """Return the PID of the process at the other end; None if it cannot be seen from here."""
    if channel.family != socket.AF_UNIX:
        return None
    size = struct.calcsize("3i")  # struct ucred, unix(7)
    return struct.unpack("3i", channel.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))[0] or None
