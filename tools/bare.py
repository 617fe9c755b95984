"""The shortest possible use of an emulator: what `make bench` compares with."""

import asyncio
import contextlib
import socket
import subprocess
from collections.abc import Sequence

from qemu.qmp import QMPClient

__all__ = ("start",)

_BARE = ("-S", "-nodefaults", "-display", "none", "-qmp", "stdio")


async def start(command: Sequence[str], machine: str, *questions: str) -> None:
    """Start an emulator, read its greeting, send commands, and quit.

    :param command: The command that runs it.
    :param machine: The machine type; empty for the default one.
    :param questions: QMP commands without arguments.
    :raise TimeoutError: When that takes longer than a minute.
    """
    async with asyncio.timeout(60):
        await _converse(command, machine, questions)


async def _converse(command: Sequence[str], machine: str, questions: Sequence[str]) -> None:
    ours, theirs = socket.socketpair()
    argv = [*command, *_BARE, "-machine", f"{machine},accel=tcg" if machine else "accel=tcg"]
    process = await asyncio.create_subprocess_exec(
        *argv, stdin=theirs.fileno(), stdout=theirs.fileno(), stderr=subprocess.DEVNULL
    )
    theirs.close()
    client = QMPClient()
    await client.connect(ours)
    for question in (*questions, "quit"):
        await client.execute(question)
    with contextlib.suppress(EOFError):
        await client.disconnect()
    await process.wait()
