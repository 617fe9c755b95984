"""Kernels of other architectures that really panic: every line is that of the serial console."""

import asyncio
import re
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import pytest

from onpanic.core.errors import FetchError
from onpanic.qmp.address import connect, parse_address
from onpanic.qmp.client import CommandError, QmpClient
from onpanic.why import LastWords, words_in_dump, words_through_monitor

from ..running.linux_kernels import ARCHITECTURES, Linux, kernel
from ..watch import panicking_guests as guests

pytestmark = pytest.mark.emulators

#: The initramfs's init carries this out as soon as it can.
COMMANDS = {"commands": b"echo c > /proc/sysrq-trigger\n"}

LINE = re.compile(rb"\[ *\d+\.\d{6}\] ")


class PrintedMemory:
    """A monitor that only prints memory, as if QEMU could not open the descriptor that it was sent."""

    def __init__(self, client: QmpClient) -> None:
        self.send_descriptor = client.send_descriptor
        self._client = client

    async def execute(self, command: str, arguments: Mapping[str, Any] | None = None) -> Any:
        if command == "pmemsave":
            raise CommandError("GenericError", "could not open the file")
        return await self._client.execute(command, arguments)


@pytest.mark.parametrize(
    ("suite", "flavour", "architecture", "options"),
    [
        ("bookworm", "", "s390x", []),
    ],
)
def test_every_line_is_that_of_the_console(
    suite: str,
    flavour: str,
    architecture: str,
    options: list[str],
    debian_emulator: Callable[..., list[str]],
    folder: Path,
    unavailable: Callable[[str], NoReturn],
) -> None:
    """Through the monitor in both ways, and in a dump.

    Only s390x reports the panic to QEMU, as Debian's kernels have no pvpanic driver for the others.
    """
    try:
        linux = kernel(suite, flavour, architecture, COMMANDS).copied(folder)
    except FetchError as error:
        unavailable(f"no Linux: {' / '.join(str(error).splitlines())}")
    line = f"console={linux.console} ignore_loglevel panic=0"
    linux = replace(linux, command_line=line, mebibytes=256)
    program = ARCHITECTURES[architecture].emulator
    emulator = guests.with_folder(debian_emulator("trixie", program), folder)
    found = panicked(linux, [*emulator, "-accel", "tcg", *options], folder)
    console = (folder / "console").read_bytes().replace(b"\r", b"").split(b"\n")
    lines = [line.decode().expandtabs() for line in console if LINE.match(line)]
    assert len(lines) > 100
    for words in found:
        assert list(words.lines) == lines
        assert (words.reason, words.kind, words.notes) == ("sysrq triggered crash", "sysrq", ())
        assert any("panic+" in entry for entry in words.trace)


def panicked(linux: Linux, command: list[str], folder: Path) -> list[LastWords]:
    """Return a Linux's last words through the monitor, as the monitor prints memory, and in a dump."""
    monitor = ["-qmp", f"unix:{folder}/qmp,server=on,wait=off", "-no-shutdown"]
    boot = ["-kernel", str(linux.kernel), "-initrd", str(linux.initramfs), "-append", linux.command_line]
    # Not a socket: s390x prints again what nobody was there to receive
    machine = [*ARCHITECTURES[linux.architecture].machine, "-m", str(linux.mebibytes)]
    console = ["-serial", f"file:{folder}/console", "-nodefaults", "-display", "none"]
    last = b"---[ end Kernel panic" if linux.architecture != "s390x" else b"] system_call+"
    log = folder / "console"
    with subprocess.Popen([*command, *machine, *boot, *console, *monitor]) as process:
        try:
            guests.until(lambda: log.exists() and last in log.read_bytes())
            return [*asyncio.run(read_and_dump(folder)), words_in_dump(folder / "dump")]
        finally:
            process.kill()


async def read_and_dump(folder: Path) -> list[LastWords]:
    client = QmpClient("foreign")
    await client.connect(await connect(parse_address(f"{folder}/qmp")))
    try:
        async with asyncio.timeout(guests.DEADLINE):
            while (await client.execute("query-status"))["running"]:
                await client.execute("stop")
            found = [await words_through_monitor(client), await words_through_monitor(PrintedMemory(client))]
            arguments = {"paging": False, "protocol": f"file:{folder}/dump"}
            await client.execute("dump-guest-memory", arguments)
            return found
    finally:
        await client.close()
