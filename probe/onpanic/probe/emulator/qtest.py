"""The qtest channel: device registers that QMP cannot access.

qtest is QEMU's protocol for its own device tests: one line for each request and each answer
(``softmmu/qtest.c``).  The probe uses it where the guest CPU would need a program to access a
device: for PCI configuration space and memory-mapped registers.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import Any

from onpanic.core.errors import EndedError, ProtocolFault

__all__ = ("Qtest", "QtestChannel")

_LINE_LIMIT = 64 * 1024
_BY_HAND = "run the command by hand to see more"


class Qtest:
    """A channel to the emulator's qtest server."""

    def __init__(self) -> None:
        self._record: Callable[[Any, Any, Any], Any] = lambda *_: None

    @property
    def options(self) -> list[str]:
        """The emulator's command line options."""
        raise NotImplementedError

    @property
    def pass_fds(self) -> tuple[int, ...]:
        """The file descriptors that the emulator must inherit."""
        return ()

    async def open(self, record: Callable[[Any, Any, Any], Any]) -> None:
        """Open the channel, after the emulator was started.

        :param record: Called with channel, direction and line of each request and answer.
        """
        self._record = record

    async def ask(self, line: str) -> str:
        """Send a request and return the answer, without its ``OK``.

        :raise EndedError: When the emulator closed the channel.
        :raise ProtocolFault: When the answer is not ``OK``.
        """
        self._record("qtest", "send", line)
        answer = await self.exchange(line)
        self._record("qtest", "recv", answer)
        if not answer:
            raise EndedError(f"the emulator hung up before answering qtest {line!r}", _BY_HAND)
        if not answer.startswith("OK"):
            raise ProtocolFault(f"qtest {line!r} was answered with {answer[:80]!r}", _BY_HAND)
        return answer.removeprefix("OK").strip()

    async def exchange(self, line: str) -> str:
        """Send a request and return the line that answers it; empty if the emulator closed the channel.

        :raise EndedError: When the channel broke.
        """
        raise NotImplementedError

    async def read(self, width: str, address: int) -> int:
        """Read a register of width ``b``, ``w`` or ``l``.  Raises as `ask` does."""
        return await self._number(f"read{width} {address:#x}")

    async def write(self, width: str, address: int, value: int) -> None:
        """Write a register.  Raises as `ask` does."""
        await self.ask(f"write{width} {address:#x} {value:#x}")

    async def read_port(self, width: str, port: int) -> int:
        """Read an I/O port of width ``b``, ``w`` or ``l``.  Raises as `ask` does."""
        return await self._number(f"in{width} {port:#x}")

    async def write_port(self, width: str, port: int, value: int) -> None:
        """Write an I/O port.  Raises as `ask` does."""
        await self.ask(f"out{width} {port:#x} {value:#x}")

    async def _number(self, line: str) -> int:
        """Send a request whose answer is a number, and return it.  Raises as `ask` does."""
        answer = await self.ask(line)
        try:
            return int(answer, 0)
        except ValueError as error:
            raise ProtocolFault(f"qtest {line!r} was answered with {answer[:80]!r}", _BY_HAND) from error

    def close(self) -> None:
        """Close the channel.  Never raises."""


class QtestChannel(Qtest):
    """A socket pair, one end of which the emulator inherits."""

    def __init__(self) -> None:
        super().__init__()
        self._ours, self._theirs = socket.socketpair()
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    @property
    def options(self) -> list[str]:
        """The emulator's command line options.  QEMU 7.2 requires the id to be ``qtest``."""
        fd = self._theirs.fileno()
        return ["-chardev", f"socket,id=qtest,fd={fd}", "-qtest", "chardev:qtest", "-qtest-log", "/dev/null"]

    @property
    def pass_fds(self) -> tuple[int, ...]:
        """The file descriptors that the emulator must inherit."""
        return (self._theirs.fileno(),)

    async def open(self, record: Callable[[Any, Any, Any], Any]) -> None:
        """Open the channel: see `Qtest.open`."""
        await super().open(record)
        self._theirs.close()
        self._reader, self._writer = await asyncio.open_connection(sock=self._ours, limit=_LINE_LIMIT)

    async def exchange(self, line: str) -> str:
        """Send a request and return the line that answers it: see `Qtest.exchange`."""
        assert self._reader is not None
        assert self._writer is not None
        try:
            self._writer.write(f"{line}\n".encode())
            await self._writer.drain()
            return (await self._reader.readline()).decode(errors="replace").strip()
        except (OSError, ValueError) as error:
            raise EndedError(f"the emulator hung up before answering qtest {line!r}", _BY_HAND) from error

    def close(self) -> None:
        """Close the channel.  Never raises."""
        with contextlib.suppress(OSError, RuntimeError):
            self._theirs.close()
            if self._writer:
                self._writer.transport.abort()
        with contextlib.suppress(OSError):
            self._ours.close()
