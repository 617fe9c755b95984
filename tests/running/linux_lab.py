"""A real Linux that is booted once, and panics in many ways: each panic begins from the same saved state."""

import asyncio
import os
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from onpanic.qmp.address import connect, parse_address
from onpanic.qmp.client import QmpClient

from .linux_kernels import READY, Linux
from .processes import KILLED

__all__ = ("Booted", "Panicked", "boot", "panic")

#: Seconds for a step.
DEADLINE = 120


class Booted(NamedTuple):
    """A Linux that takes commands.

    :param command: The command that starts its QEMU.
    :param state: Its state, as QEMU migrates it.
    :param console: What the kernel has printed.
    """

    command: list[str]
    state: bytes
    console: bytes


class Panicked(NamedTuple):
    """A Linux that has panicked, and that its QEMU has stopped.

    :param client: A connection to its monitor.
    :param console: Everything that the kernel has printed.
    """

    client: QmpClient
    console: bytes


async def boot(linux: Linux, emulator: Sequence[str], folder: Path, *options: str) -> Booted:
    """Boot a Linux until it takes commands, and save its state.

    :param emulator: The command of a QEMU that can use `folder` and the Linux's files.
    :param folder: Where its sockets and the output of its serial ports are.
    :param options: More of QEMU's options.
    """
    plain = ["-nodefaults", "-display", "none", "-no-shutdown", "-device", "vmcoreinfo"]
    # Commands have a serial port of their own, so that nothing is between the kernel's lines
    console = ["-serial", f"file:{folder}/console"]
    monitor = ["-qmp", f"unix:{folder}/qmp,server=on,wait=off"]
    command = [*emulator, *plain, *options, *linux.options(folder), *console, *monitor]
    async with _running(command, folder) as (client, _):
        await _until(lambda: READY in _text(folder / "serial.log"))
        await client.execute("stop")
        state = await _saved(client)
        return Booted(command, state, (folder / "console").read_bytes())


@asynccontextmanager
async def panic(booted: Booted, folder: Path, *commands: str) -> AsyncIterator[Panicked]:
    """Let a Linux continue from its saved state, send it commands, and yield it when it has panicked."""
    end, ours = os.pipe()
    writer = threading.Thread(target=_write, args=(ours, booted.state))
    writer.start()
    try:
        async with _running([*booted.command, "-incoming", f"fd:{end}"], folder, end) as (client, events):
            while (await client.execute("query-status"))["status"] == "inmigrate":
                await asyncio.sleep(0.01)
            await client.execute("cont")
            await asyncio.to_thread(_send, folder / "serial", commands)
            await _until(lambda: "GUEST_PANICKED" in events)
            yield Panicked(client, booted.console + (folder / "console").read_bytes())
    finally:
        os.close(end)
        writer.join()


@asynccontextmanager
async def _running(command: list[str], folder: Path, *descriptors: int) -> AsyncIterator[Any]:
    (folder / "qmp").unlink(missing_ok=True)
    process = subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", *command], stdin=subprocess.DEVNULL, pass_fds=descriptors
    )
    events: list[str] = []
    client = QmpClient("lab", on_event=lambda event: events.append(event["event"]))
    try:
        await _until(lambda: (folder / "qmp").exists() or process.poll() is not None)
        channel = None
        while channel is None:
            assert process.poll() is None, f"QEMU has ended with {process.poll()}"
            with suppress(Exception):
                channel = await connect(parse_address(str(folder / "qmp")))
        await client.connect(channel)
        yield client, events
    finally:
        await client.close()
        process.kill()
        process.wait(KILLED)


async def _saved(client: QmpClient) -> bytes:
    end, theirs = os.pipe()
    try:
        client.send_descriptor(theirs)
        await client.execute("getfd", {"fdname": "state"})
    finally:
        os.close(theirs)
    with os.fdopen(end, "rb") as stream:
        reading = asyncio.create_task(asyncio.to_thread(stream.read))
        await client.execute("migrate", {"uri": "fd:state"})
        content = await reading
    assert (await client.execute("query-migrate"))["status"] == "completed"
    return content


def _write(descriptor: int, content: bytes) -> None:
    with os.fdopen(descriptor, "wb") as stream, suppress(BrokenPipeError):
        stream.write(content)


def _send(serial: Path, commands: Sequence[str]) -> None:
    import socket

    with socket.socket(socket.AF_UNIX) as line:
        line.connect(str(serial))
        for command in commands:
            line.sendall(command.encode() + b"\n")
        time.sleep(0.2)


async def _until(reached: Any) -> None:
    async with asyncio.timeout(DEADLINE):
        while not reached():
            await asyncio.sleep(0.01)


def _text(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""
