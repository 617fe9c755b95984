"""Commands of the operator's, called; and processes of which only a note is left.

A process is known again by its number and, as numbers come again, by when it started.
"""

import asyncio
import os
import shlex
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

__all__ = ("alive", "call", "identity")


async def call(
    command: str, facts: Mapping[str, str], seconds: float, started: Callable[[int], None] | None = None
) -> str:
    """Call a command, and return what went wrong; empty if nothing did.  It prints on stderr.

    :param command: As in a shell, without one; nothing happens if there is nothing in it.
    :param facts: Are added to its environment.
    :param seconds: After which it is ended, with all that it has started in its process group.
    :param started: Called with its process; it then outlives this one.
    """
    try:
        words = shlex.split(command)
        if not words:
            return ""
        process = await asyncio.create_subprocess_exec(
            *words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=2,  # stdout is for lines
            env={**os.environ, **facts},
            start_new_session=True,
        )
    except (OSError, ValueError) as error:  # a NUL in a name, for one
        return str(error)
    if started:
        started(process.pid)
    try:
        status = await asyncio.wait_for(process.wait(), seconds)
    except TimeoutError:
        await _ended(process)
        return f"it took longer than {seconds:g} s, and was ended"
    except asyncio.CancelledError:
        if not started:
            await _ended(process)
        raise
    return f"it ended with status {status}" if status else ""


async def _ended(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


def identity(pid: int) -> str:
    """Return what tells a process from all others of this boot; empty if it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else f"{pid}:{fields[19]}"  # proc(5): its state; starttime


def alive(found: str) -> bool:
    """Say if a process runs still.

    :param found: What `identity` has returned.
    """
    return identity(int(found.partition(":")[0])) == found
