"""An emulator's process: starting it, reading its stderr, and ending it with everything that it started.

The module loads in a few milliseconds, unlike asyncio and the QMP client: a command starts the
emulator first and loads those while QEMU is starting.
"""

import contextlib
import errno
import os
import select
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

from onpanic.core.errors import StartError
from onpanic.probe.emulator.reaper import Reaper

if TYPE_CHECKING:
    import asyncio

__all__ = ("EmulatorProcess",)

_GRACE = 1.0  # seconds to exit after QMP's quit, and to disappear after SIGKILL
_LAST_OUTPUT = 0.05  # seconds from the process's end to the end of its connection
_EOF = 0.1  # seconds from the process's end to the end of its stderr
_USED_UP = (errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM)  # descriptors, processes, memory
_STDOUT = 2**16  # bytes of stdout that are looked at
_HEAD, _TAIL = 4096, 16384  # bytes of stderr that are kept, first and last


class EmulatorProcess:
    """An emulator that was started: the leader of its own process group, with QMP on its stdin and stdout.

    Used as an asynchronous context manager, which gives the emulator a second to exit, unless `abandon`
    was called, and then closes it.  `close` never waits for the event loop, so that no
    cancellation or exception can leave a process behind.

    :param argv: The command line.
    :param reaper: Ends the emulator if this process goes away.
    :param pass_fds: File descriptors that it inherits.
    :param opening: What it is sent first, see `opening_commands`.
    :ivar started_at: When it was started, in seconds of the monotonic clock.
    :ivar channel: This end of its stdin and stdout.
    :ivar exited: True if it has ended.
    :ivar killed: True if it did not end by itself.
    :raise StartError: When the command cannot be executed.
    """

    def __init__(
        self, argv: Sequence[str], reaper: Reaper, pass_fds: Sequence[int] = (), opening: bytes = b""
    ) -> None:
        self.argv = list(argv)
        self.opening = opening
        self.started_at = time.monotonic()
        self.exited = False
        self.killed = False
        self._reaper = reaper
        self._mark = reaper.mark()
        self._head = self._tail = b""
        self._eof = self._closed = False
        self._grace = _GRACE
        self._loop: asyncio.AbstractEventLoop | None = None
        self._hang_up: asyncio.TimerHandle | None = None
        self._on_exit: asyncio.Event | None = None
        try:
            self.channel, theirs = socket.socketpair()
        except OSError as error:
            raise _cannot_execute(self.argv[0], error) from error
        try:
            self._stderr, their_stderr = os.pipe()
        except OSError as error:
            self.channel.close()
            theirs.close()
            raise _cannot_execute(self.argv[0], error) from error
        os.set_blocking(self._stderr, False)
        self._pipe = os.fstat(self._stderr).st_ino
        reaper.expect(self._pipe)
        try:
            self._popen: subprocess.Popen[bytes] = subprocess.Popen(
                self.argv,
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=their_stderr,
                env=reaper.environment(self._mark),
                pass_fds=tuple(pass_fds),
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            reaper.forget(self._pipe)
            self.channel.close()
            os.close(self._stderr)
            raise _cannot_execute(self.argv[0], error) from error
        finally:
            theirs.close()
            os.close(their_stderr)
        reaper.watch(self.pid, self._pipe)
        try:
            self._pidfd = os.pidfd_open(self.pid)
        except OSError as error:  # no descriptor is left
            self._pidfd = -1
            self.close()
            raise _cannot_execute(self.argv[0], error) from error
        with contextlib.suppress(OSError):  # it has ended, which shows later
            self.channel.sendall(opening)

    @property
    def pid(self) -> int:
        """The process, and its group."""
        return self._popen.pid

    @property
    def returncode(self) -> int | None:
        """The exit status, negative for a signal; None until it was closed."""
        return self._popen.returncode

    @property
    def stderr(self) -> str:
        """What it wrote to stderr: the first 4 KiB and the last 16 KiB."""
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
        """Let `__aexit__` kill the emulator at once: it has failed."""
        self._grace = 0.0

    async def __aenter__(self) -> Self:
        import asyncio

        self._on_exit = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._pidfd, self._exit)
        self._loop.add_reader(self._stderr, self._read)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                await self.wait(self._grace)
        finally:
            self.close()

    async def wait(self, seconds: float) -> bool:
        """Wait for it to end, and return whether it has.

        :param seconds: How long to wait.
        """
        import asyncio

        assert self._on_exit
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._on_exit.wait()
        return self.exited

    async def first_output(self) -> bytes:
        """Wait until it has written to stdout, or closed it, and return what can be read; it stays there."""
        import asyncio

        self.channel.setblocking(False)
        readable = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_reader(self.channel, readable.set)
        try:
            await readable.wait()
        finally:
            loop.remove_reader(self.channel)
        return self.peek()

    def peek(self) -> bytes:
        """Return what can be read from stdout, and leave it there."""
        try:
            return self.channel.recv(_STDOUT, socket.MSG_PEEK)
        except OSError:
            return b""

    def close(self) -> None:
        """Kill its process group, reap it, and release everything.  Does nothing the second time."""
        if self._closed:
            return
        self._closed = True
        self._detach()
        self.exited = self.exited or self._has_exited()
        self.killed = not self.exited
        # Until the leader is reaped, its number names this group and no other
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(_GRACE)
        if not self._read_to_end(_EOF) or self.returncode is None:
            self._reaper.kill_strays(self._mark, self._pipe)
            self._read_to_end(2 * _EOF)
        self._reaper.release(self.pid)
        self.channel.close()
        if self._pidfd >= 0:
            os.close(self._pidfd)
        os.close(self._stderr)

    def _detach(self) -> None:
        if self._hang_up:
            self._hang_up.cancel()
        if self._loop and not self._loop.is_closed():
            self._loop.remove_reader(self._pidfd)
            self._loop.remove_reader(self._stderr)

    def _exit(self) -> None:
        """Note that the process has ended, and end its connection, which a child may hold open."""
        assert self._loop
        assert self._on_exit
        self.exited = True
        self._on_exit.set()
        self._loop.remove_reader(self._pidfd)
        self._hang_up = self._loop.call_later(_LAST_OUTPUT, self._shut_down)

    def _shut_down(self) -> None:
        with contextlib.suppress(OSError):
            self.channel.shutdown(socket.SHUT_RDWR)

    def _has_exited(self) -> bool:
        if self._pidfd < 0:
            return False
        options = os.WEXITED | os.WNOHANG | os.WNOWAIT
        try:
            return os.waitid(os.P_PIDFD, self._pidfd, options) is not None
        except ChildProcessError:  # SIGCHLD is ignored, or the application waits for any child
            return True

    def _read(self) -> None:
        """Read what is available on stderr, so that an emulator that prints much is not blocked."""
        try:
            data = os.read(self._stderr, 65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._eof = True
            if self._loop and not self._closed:
                self._loop.remove_reader(self._stderr)
        room = _HEAD - len(self._head)
        self._head += data[:room]
        if len(data) > room:
            self._tail = (self._tail + data[room:])[-_TAIL:]

    def _read_to_end(self, seconds: float) -> bool:
        """Read stderr to its end and return whether it came: a process that holds it open is a stray."""
        deadline = time.monotonic() + seconds
        while not self._eof:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._stderr], [], [], left)[0]:
                return False
            self._read()
        return True


def _cannot_execute(program: str, error: Exception) -> StartError:
    """Return why a command cannot be executed, and what to do about it."""
    if not program:
        return StartError("the emulator's name is empty", "name an emulator, e.g. qemu-system-x86_64")
    if isinstance(error, FileNotFoundError):
        if "/" in program and os.path.exists(program):
            return StartError(
                f"{program}: its interpreter or loader does not exist", "run it by hand to see which"
            )
        hint = "name an emulator, e.g. qemu-system-x86_64, or install it"
        return StartError(f"{program}: no such file or command", hint, missing=True)
    if isinstance(error, PermissionError):
        reason = "is a folder" if os.path.isdir(program) else "is not executable"
        return StartError(f"{program}: {reason}", "name the emulator itself, and check its mode bits")
    reason = getattr(error, "strerror", None) or str(error)
    if getattr(error, "errno", None) in _USED_UP:
        return StartError(
            f"{program}: {reason}", "try again with fewer --jobs, or raise the limit, see ulimit -a"
        )
    return StartError(f"{program}: {reason}", "name a QEMU system emulator of this host's architecture")
