"""Runs the operator's commands, and recognises a process that an earlier watcher has started.

PIDs are reused, so a process is identified by its PID and its start time.
"""

import asyncio
import os
import shlex
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

__all__ = ("identity_of", "is_alive", "run_command")

_KILL_TIMEOUT = 1.0  # seconds for a killed process to be gone


async def run_command(
    command: str, variables: Mapping[str, str], seconds: float, started: Callable[[int], None] | None = None
) -> str:
    """Run a command and return why it failed; empty if it did not.  Its output goes to stderr.

    asyncio's own subprocesses are not used: since Python 3.12 they are killed when their event loop ends.

    :param command: The command, split as a shell would; nothing is run if it is blank.
    :param variables: Added to the environment.
    :param seconds: After which its whole process group is killed.
    :param started: Called with its PID.  Such a process goes on when the caller is cancelled.
    """
    try:
        words = shlex.split(command)
        if not words:
            return ""
        process = subprocess.Popen(  # noqa: ASYNC220  it returns at once
            words,
            stdin=subprocess.DEVNULL,
            stdout=2,  # stdout is the log
            env={**os.environ, **variables},
            start_new_session=True,
        )
    except (OSError, ValueError) as error:  # ValueError: a NUL in a name, for example
        return str(error)
    try:
        if started:
            started(process.pid)
        await _wait(process.pid, seconds)
    except (TimeoutError, OSError) as error:
        _kill(process)
        late = isinstance(error, TimeoutError)
        return f"it took longer than {seconds:g} s and was killed" if late else str(error)
    except BaseException:
        if started:
            _reap(process)
        else:
            _kill(process)
        raise
    status = process.wait()
    return f"it exited with status {status}" if status else ""


async def _wait(pid: int, seconds: float) -> None:
    """Wait until a child process has ended.

    :raise TimeoutError: When it does not in time.
    :raise OSError: When no descriptor is left to wait with.
    """
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    descriptor = os.pidfd_open(pid)
    try:
        loop.add_reader(descriptor, ended.set)
        async with asyncio.timeout(seconds):
            await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


def _kill(process: "subprocess.Popen[bytes]") -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    try:
        process.wait(_KILL_TIMEOUT)
    except subprocess.TimeoutExpired:
        _reap(process)


def _reap(process: "subprocess.Popen[bytes]") -> None:
    """Reap a process whenever it ends."""
    threading.Thread(target=process.wait, name="reap a command", daemon=True).start()


def identity_of(pid: int) -> str:
    """Return a string that no other process of this boot has; empty if the process has ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    fields = stat.rpartition(")")[2].split()  # proc(5): the state, and 19 fields later the start time
    return "" if fields[0] == "Z" else f"{pid}:{fields[19]}"


def is_alive(identity: str) -> bool:
    """Return whether a process still runs.

    :param identity: What `identity_of` has returned; any other string is no process.
    """
    pid = identity.partition(":")[0]
    return pid.isascii() and pid.isdigit() and len(pid) < 12 and identity_of(int(pid)) == identity
