"""An emulator's process under asyncio: heard while it runs, ended, with nothing left behind."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from .launch import GRACE, Launched

__all__ = ("Process", "running")

_HEAD, _TAIL = 4096, 16384  # bytes of stderr that are kept, first and last


class Process:
    """A running emulator, the leader of a process group of its own.

    :param launched: How it was started.
    :param exited: Set as soon as the process has ended; it is not reaped before `running` ends.
    """

    def __init__(self, launched: Launched, exited: asyncio.Event) -> None:
        self._launched = launched
        self._head = b""
        self._tail = b""
        self._grace = GRACE
        self.exited = exited
        self.killed = False

    @property
    def returncode(self) -> int | None:
        """The exit status once the process has been reaped, negative for a signal."""
        return self._launched.popen.returncode

    @property
    def stderr(self) -> str:
        """What it wrote to stderr: the first 4 KiB and the last 16 KiB of it."""
        gap = b"\n[...]\n" if self._tail else b""
        return (self._head + gap + self._tail).decode(errors="replace")

    @property
    def end(self) -> str:
        """How it ended, for a message: ``status 1`` or ``SIGABRT``."""
        code = self.returncode
        if code is not None and code < 0:
            with contextlib.suppress(ValueError):
                return signal.Signals(-code).name
        return f"status {code}"

    def abandon(self) -> None:
        """Give it no time to end by itself: it has failed."""
        self._grace = 0.0

    def _heard(self, data: bytes) -> None:
        room = _HEAD - len(self._head)
        self._head += data[:room]
        self._tail = (self._tail + data[room:])[-_TAIL:] if len(data) > room else self._tail


@asynccontextmanager
async def running(launched: Launched) -> AsyncIterator[Process]:
    """Listen to an emulator that was started; end it on the way out.

    The process has `GRACE` seconds to end by itself (it was told to ``quit``, or it
    failed); then its whole group is killed.
    """
    loop = asyncio.get_running_loop()
    popen = launched.popen
    exited = asyncio.Event()
    process = Process(launched, exited)
    pidfd = os.pidfd_open(popen.pid)
    loop.add_reader(pidfd, exited.set)
    assert popen.stderr is not None
    listening = asyncio.create_task(_listen(process, popen.stderr.fileno()))
    try:
        yield process
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(exited.wait(), process._grace)  # noqa: SLF001
    finally:
        process.killed = not exited.is_set()
        launched.kill()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(exited.wait(), GRACE)
        loop.remove_reader(pidfd)
        os.close(pidfd)
        popen.poll()
        heard = await _hear_out(listening, launched)
        launched.over = popen.returncode is not None and heard


async def _listen(process: Process, fd: int) -> None:
    """Keep the pipe empty, so that an emulator with much to say is not held up."""
    loop = asyncio.get_running_loop()
    os.set_blocking(fd, False)
    readable = asyncio.Event()
    loop.add_reader(fd, readable.set)
    try:
        while True:
            await readable.wait()
            readable.clear()
            with contextlib.suppress(BlockingIOError):
                data = os.read(fd, 65536)
                if not data:
                    return
                process._heard(data)  # noqa: SLF001
    finally:
        loop.remove_reader(fd)


async def _hear_out(listening: asyncio.Task[None], launched: Launched) -> bool:
    """Read stderr to its end, and say if it ended; who holds it open then is a stray of this emulator's."""
    _, pending = await asyncio.wait({listening}, timeout=0.1)
    if pending:
        launched.lifeline.kill_strays(launched.mark, launched.pipe)
        _, pending = await asyncio.wait({listening}, timeout=0.2)
        listening.cancel()
    with contextlib.suppress(asyncio.CancelledError, OSError):
        await listening
    return not pending
