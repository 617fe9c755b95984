"""The user's QEMU: a child that keeps this terminal, its process group and the descriptors it inherits.

It is started before asyncio is loaded, so that QEMU does not wait for that.
"""

import os
import signal
import termios
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

from onpanic.core.errors import StartError
from onpanic.probe.emulator.reaper import Reaper

if TYPE_CHECKING:
    import asyncio

__all__ = ("RunProcess",)

_STREAMS = (0, 1, 2)
# Python ignores them, and a child would inherit that
_IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)


class RunProcess:
    """A process that is started as a shell starts it; an asynchronous context manager.

    What it has set up on the terminal and not taken back, as when it is killed, is taken back at the end.
    Whatever it has started and left behind is killed.

    :param argv: The command line.
    :param reaper: Ends it if this process goes away.
    :param mask: The signals that are blocked in it.
    :raise StartError: When the command cannot be executed.
    """

    def __init__(self, argv: Sequence[str], reaper: Reaper, mask: Iterable[int]) -> None:
        self._status: int | None = None
        self._terminal = _terminal()
        self._blocking = [(number, os.get_blocking(number)) for number in _STREAMS if _is_open(number)]
        self._reaper = reaper
        self._mark = reaper.mark()
        self._ended: asyncio.Event | None = None
        environment = reaper.environment(self._mark)
        try:
            self.pid = os.posix_spawnp(
                argv[0], list(argv), environment, setsigmask=mask, setsigdef=_IGNORED_BY_PYTHON
            )
        except OSError as error:
            hint = "name an emulator, e.g. qemu-system-x86_64, or install it"
            raise StartError(f"{argv[0]}: {error.strerror}", hint, missing=True) from error
        self._pidfd = os.pidfd_open(self.pid)

    async def __aenter__(self) -> Self:
        import asyncio

        self._ended = asyncio.Event()
        asyncio.get_running_loop().add_reader(self._pidfd, self._end)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Kill it if it still runs, reap it, and clean up after it."""
        import asyncio

        asyncio.get_running_loop().remove_reader(self._pidfd)
        if self._status is None:
            self.send(signal.SIGKILL)
            self._reap()
        os.close(self._pidfd)
        self._reaper.kill_strays(self._mark)
        self._restore_terminal()

    @property
    def status(self) -> int:
        """Its exit status as a shell has it: 128 and the number for a signal.  It must have ended."""
        assert self._status is not None
        return self._status if self._status >= 0 else 128 - self._status

    async def wait(self, seconds: float | None = None) -> bool:
        """Wait for it to end, and return whether it has.

        :param seconds: How long to wait; None for as long as it runs.
        """
        import asyncio

        assert self._ended
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._ended.wait()
        return self._ended.is_set()

    def send(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self._status is None:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it, and all that it has started."""
        self.send(signal.SIGKILL)
        self._reaper.kill_strays(self._mark)

    def _end(self) -> None:
        import asyncio

        assert self._ended
        asyncio.get_running_loop().remove_reader(self._pidfd)
        self._reap()
        self._ended.set()

    def _reap(self) -> None:
        with suppress(ChildProcessError):
            self._status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def _restore_terminal(self) -> None:
        for number, blocking in self._blocking:
            with suppress(OSError):
                os.set_blocking(number, blocking)
        # A process in the background would be stopped for it
        if self._terminal is not None and os.tcgetpgrp(0) == os.getpgrp():
            with suppress(termios.error):
                termios.tcsetattr(0, termios.TCSADRAIN, self._terminal)


def _terminal() -> list[Any] | None:
    """Return the settings of the terminal on stdin; None if it is none."""
    try:
        return termios.tcgetattr(0)
    except (termios.error, OSError):
        return None


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True
