"""Find and end processes that a test has started."""

import os
import signal
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

__all__ = ("KILLED", "kill_all", "processes_with", "survivors_of")

#: Seconds that a process has to end when it is killed.
KILLED = 30


def processes_with(word: str) -> dict[int, str]:
    """Return the processes with a word in their command line or environment: PIDs and command lines."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        if int(process.name) == os.getpid():
            continue
        try:
            line = (process / "cmdline").read_bytes()
            if word.encode() in line + (process / "environ").read_bytes():
                found[int(process.name)] = line.replace(b"\0", b" ").decode(errors="replace")[:80]
        except OSError:
            continue  # it has ended, or belongs to another user
    return found


def survivors_of(word: str) -> dict[int, str]:
    """Return the processes that still have a word after half a minute, and kill them."""
    deadline = time.monotonic() + KILLED
    while (found := processes_with(word)) and time.monotonic() < deadline:
        time.sleep(0.02)
    kill_all(found)
    return found


def kill_all(processes: Iterable[int]) -> None:
    """Kill processes; those that have ended are ignored."""
    for pid in processes:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
