"""What the command does on SIGINT, SIGTERM and SIGHUP."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

__all__ = ("exit_on_signals", "interruptible", "print_on_exit")

_NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_last_line = ""


def exit_on_signals() -> None:
    """End the process at once on a signal; one that is ignored, as under nohup(1), stays ignored.

    SIGCHLD must not be ignored, since the exit status of a child process would be lost.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number in _NUMBERS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _exit)


def print_on_exit(line: str) -> None:
    """Set the line that is printed on stderr when a signal ends the process; empty for none."""
    global _last_line  # noqa: PLW0603
    _last_line = line


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise KeyboardInterrupt on signals for a while, for child processes that must be ended in Python."""

    def interrupt(number: int, _frame: object) -> NoReturn:
        raise KeyboardInterrupt(number)

    before = {number: signal.getsignal(number) for number in _NUMBERS}
    try:
        for number in _NUMBERS:
            if before[number] != signal.SIG_IGN:
                signal.signal(number, interrupt)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _exit(number: int, _frame: object) -> None:
    """End at once: an exception from a handler can be lost, and the reaper ends the emulators."""
    if sys.stderr and sys.stderr.isatty():
        os.write(sys.stderr.fileno(), b"\033[?25h")  # show the cursor that a progress bar hides
    if sys.stderr and _last_line:
        os.write(sys.stderr.fileno(), f"\nonpanic: {_last_line}\n".encode())
    os._exit(128 + number)
