"""A real Linux that is booted once, and panics in many ways: each panic begins from the same saved state."""

import asyncio
import os
import socket
import subprocess
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from onpanic.qmp.client import QmpClient

from .linux_kernels import READY, Linux
from .processes import KILLED

__all__ = ("BootedLinux", "PanickedLinux", "boot_linux", "panicked_linux")

#: Seconds after which a wait has failed.
DEADLINE = 120

_END, _DONE = b"---[ end Kernel panic", b"onpanic: done"


class BootedLinux(NamedTuple):
    """A Linux that takes commands.

    :param command: The command that starts its QEMU.
    :param folder: Where its sockets and the output of its serial ports are.
    :param state: Its state, as QEMU migrates it.
    :param console: What the kernel has printed.
    """

    command: list[str]
    folder: Path
    state: bytes
    console: bytes


class PanickedLinux(NamedTuple):
    """A Linux that has panicked, so that its QEMU has stopped it.

    :param client: A connection to its monitor.
    :param console: The lines that the kernel has printed, with blanks for tabs.
    """

    client: QmpClient
    console: list[str]


async def boot_linux(linux: Linux, emulator: Sequence[str], folder: Path, *options: str) -> BootedLinux:
    """Boot a Linux until it takes commands, and save its state.

    Commands have a serial port of their own, so that nothing is between the kernel's lines; its command
    line must have ``console=ttyS1 ignore_loglevel``.

    :param emulator: The command of a QEMU that can use `folder` and the Linux's files.
    :param folder: An empty folder with a short path.
    :param options: More of QEMU's options: the panic notifier.
    """
    plain = ["-nodefaults", "-display", "none", "-no-shutdown", "-device", "vmcoreinfo"]
    console, monitor = f"file:{folder}/console", f"unix:{folder}/qmp,server=on,wait=off"
    own = [*linux.options(folder), "-serial", console, "-qmp", monitor]
    command = [*emulator, *plain, *options, *own]
    async with _running(command, folder) as (client, _):
        log = folder / "serial.log"
        await _until(lambda: log.exists() and READY in log.read_text(errors="replace"))
        await client.execute("stop")
        state = await _saved(client)
        return BootedLinux(command, folder, state, (folder / "console").read_bytes())


@asynccontextmanager
async def panicked_linux(booted: BootedLinux, commands: Sequence[str]) -> AsyncIterator[PanickedLinux]:
    """Let a Linux go on from its saved state, send it commands, and yield it when it has panicked.

    :param commands: Lines for the guest; `monitor` and a command of QEMU's is for its monitor, once the
        guest has carried out what is before it.
    """
    folder, console = booted.folder, booted.folder / "console"
    end, ours = os.pipe()
    writer = threading.Thread(target=_write, args=(ours, booted.state))
    writer.start()
    try:
        command = [*booted.command, "-incoming", f"fd:{end}"]
        async with _running(command, folder, end) as (client, events):
            while (await client.execute("query-status"))["status"] == "inmigrate":
                await asyncio.sleep(0.01)
            await client.execute("cont")
            with socket.socket(socket.AF_UNIX) as line:
                line.connect(str(folder / "serial"))
                for word in commands:
                    if word.startswith("monitor "):
                        await _until(lambda: _DONE in (folder / "serial.log").read_bytes())
                        await client.execute(word.removeprefix("monitor "))
                    else:
                        line.sendall(f"{word}\n".encode())
                await _until(lambda: "GUEST_PANICKED" in events or _END in console.read_bytes())
            await client.execute("stop")  # where the kernel has no driver of the notifier
            said = (booted.console + console.read_bytes()).decode().replace("\r\n", "\n")
            yield PanickedLinux(client, said.expandtabs().removesuffix("\n").split("\n"))
    finally:
        os.close(end)
        writer.join()


@asynccontextmanager
async def _running(
    command: list[str], folder: Path, *descriptors: int
) -> AsyncIterator[tuple[QmpClient, list[str]]]:
    """Run a QEMU; yield a connection to its monitor, and its events."""
    (folder / "qmp").unlink(missing_ok=True)
    words = ["setpriv", "--pdeathsig", "KILL", *command]  # even if the tests are killed
    process = await asyncio.create_subprocess_exec(*words, stdin=subprocess.DEVNULL, pass_fds=descriptors)
    events: list[str] = []
    client = QmpClient("the lab's QEMU", on_event=lambda event: events.append(event["event"]))
    try:
        async with asyncio.timeout(DEADLINE):
            channel = socket.socket(socket.AF_UNIX)
            while channel.connect_ex(str(folder / "qmp")):
                assert process.returncode is None, "QEMU has ended"
                await asyncio.sleep(0.01)
            await client.connect(channel)
        yield client, events
    finally:
        await client.close()
        with suppress(ProcessLookupError):
            process.kill()
        async with asyncio.timeout(KILLED):
            await process.wait()


async def _saved(client: QmpClient) -> bytes:
    """Return a stopped guest's state."""
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


async def _until(reached: Callable[[], object]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not reached():
            await asyncio.sleep(0.01)
