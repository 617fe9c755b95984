"""Benchmark of the last words: the time from a panic to them, beside a dump of the same guest's memory.

Guests of three sizes run Debian's kernel under TCG, and panic.  The time begins when QEMU's event
GUEST_PANICKED arrives.  Memory that the kernel does not use costs the host nothing.
"""

import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from onpanic.qmp.address import connect
from onpanic.qmp.client import QmpClient
from onpanic.why import words_in_dump, words_through_monitor

ROOT = Path(__file__).parent.parent
GIBIBYTE = 1024
SIZES = (256, 4 * GIBIBYTE, 16 * GIBIBYTE)  # MiB
DUMPED = 4 * GIBIBYTE  # a dump of more is only a matter of patience
ROUNDS = 5
DEADLINE = 120  # seconds

Show = Callable[[str, float, str, str], None]


class PanickedGuest:
    """A Linux that panics on command."""

    def __init__(self, emulator: str, folder: Path, mebibytes: int) -> None:
        sys.path.insert(0, str(ROOT))  # the tests know how to get a kernel
        from tests.running.linux_kernels import READY, kernel
        from tests.watch.panicking_guests import send_command, wait_for_text

        linux = kernel("bookworm")
        options = [*linux.options(folder), "-m", str(mebibytes)]
        devices = [
            "-device",
            "pvpanic",
            "-device",
            "vmcoreinfo",
            "-no-shutdown",
            "-nodefaults",
            "-display",
            "none",
        ]
        monitor = ["-nodefaults", "-display", "none", "-qmp", f"unix:{folder}/qmp,server=on,wait=off"]
        self._folder = folder
        self._process = subprocess.Popen([emulator, *options, *devices, *monitor])
        self._ready = lambda times: wait_for_text(folder / "serial.log", READY, times)
        self._panic = lambda: send_command(folder / "serial", "panic")
        self._boots = 0

    def end(self) -> None:
        """End the guest."""
        self._process.kill()
        self._process.wait(DEADLINE)

    async def measure(self, dump: Path | None) -> tuple[list[float], float]:
        """Return the seconds from each panic to its last words, and those of a dump, 0 without one."""
        panicked = asyncio.Event()
        dumped = asyncio.Event()

        def on_event(event: dict[str, Any]) -> None:
            if event["event"] == "GUEST_PANICKED":
                panicked.set()
            elif event["event"] == "DUMP_COMPLETED":
                dumped.set()

        await asyncio.to_thread(self._ready, 1)
        client = QmpClient("the guest", on_event=on_event)
        await client.connect(await connect(f"{self._folder}/qmp"))
        times = []
        try:
            for _ in range(ROUNDS):
                self._boots += 1
                await asyncio.to_thread(self._ready, self._boots)
                await asyncio.to_thread(self._panic)
                await asyncio.wait_for(panicked.wait(), DEADLINE)
                panicked.clear()
                start = time.perf_counter()
                words = await words_through_monitor(client)
                times.append(time.perf_counter() - start)
                assert words.reason == "sysrq triggered crash", words
                if len(times) < ROUNDS:
                    await client.execute("system_reset")
                    await client.execute("cont")
            if dump is None:
                return times, 0.0
            dumped.clear()
            start = time.perf_counter()
            await client.execute(
                "dump-guest-memory", {"paging": False, "protocol": f"file:{dump}", "detach": True}
            )
            await asyncio.wait_for(dumped.wait(), DEADLINE)
            return times, time.perf_counter() - start
        finally:
            await client.close()


def last_words(emulator: str, show: Show) -> None:
    """Show how long it takes to read last words, through a monitor and from a file."""
    medians: list[float] = []
    with tempfile.TemporaryDirectory(prefix="onpanic-") as name:
        for mebibytes in SIZES:
            folder = Path(name) / str(mebibytes)
            folder.mkdir()
            dump = folder / "guest.elf" if mebibytes <= DUMPED else None
            guest = PanickedGuest(emulator, folder, mebibytes)
            try:
                times, dumping = asyncio.run(guest.measure(dump))
            finally:
                guest.end()
            median = statistics.median(times)
            medians.append(median)
            detail = f"{mebibytes} MiB: {ms(median)}, at most {ms(max(times))}, after the event"
            show("last words / first size", median / medians[0], "<= 1.2", detail)
            if dump:
                show("last words / dump", median / dumping, "-", f"{ms(median)} / {ms(dumping)}")
                from_file(dump, show)
                dump.unlink()


def from_file(dump: Path, show: Show) -> None:
    """Show how long it takes to read last words from a file, in this process and as a command."""
    assert words_in_dump(dump).panicked
    start = time.perf_counter()
    words_in_dump(dump)
    inside = time.perf_counter() - start
    took = {}
    for name, words in (("bare", ["-c", "pass"]), ("command", ["-m", "onpanic", "why", str(dump)])):
        times = []
        for _ in range(ROUNDS):
            start = time.perf_counter()
            subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL, timeout=DEADLINE)
            times.append(time.perf_counter() - start)
        took[name] = statistics.median(times)
    size = f"{dump.stat().st_size >> 20} MiB"
    detail = f"{ms(took['command'])} / {ms(took['bare'])}; {ms(inside)} inside; {size}"
    show("why DUMP / interpreter", took["command"] / took["bare"], "-", detail)


def ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"
