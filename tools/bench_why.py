"""Benchmark of the last words: the time from a panic to them, beside a dump of the same guest's memory.

Guests of three sizes run Debian's kernel under TCG, and panic.  The time begins when QEMU's event
GUEST_PANICKED arrives.  Memory that the kernel does not use costs the host nothing.
"""

import asyncio
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from bench_watch import daemon

from onpanic.core.libvirt_api import open_connection, run_event_loop, silence_libvirt
from onpanic.qmp.address import connect
from onpanic.qmp.client import QmpClient
from onpanic.why import words_in_domain, words_in_dump, words_through_monitor

ROOT = Path(__file__).parent.parent
GIBIBYTE = 1024
SIZES = (256, 4 * GIBIBYTE, 16 * GIBIBYTE)  # MiB
DUMPED = 4 * GIBIBYTE  # a dump of more is only a matter of patience
ROUNDS = 5
DEADLINE = 120  # seconds

CRASHED = 6  # libvirt's VIR_DOMAIN_CRASHED
DOMAIN = """\
<domain type="qemu">
  <name>guest</name>
  <memory unit="MiB">{}</memory>
  <os><type arch="x86_64" machine="pc">hvm</type>{}</os>
  <features><acpi/><vmcoreinfo state="on"/></features>
  <on_crash>preserve</on_crash>
  <devices>
    {}
    <controller type="usb" model="none"/>
    <memballoon model="none"/>
    <panic model="isa"/>
  </devices>
</domain>
"""

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
                async with asyncio.timeout(DEADLINE):
                    await panicked.wait()
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
            async with asyncio.timeout(DEADLINE):
                await dumped.wait()
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


def through_libvirt(show: Show) -> None:
    """Show how long it takes to read last words through libvirt, once it has seen the panic."""
    if not shutil.which("libvirtd", path=os.environ["PATH"] + ":/usr/sbin"):
        print("last words through libvirt: not measured, there is no libvirtd")
        return
    sys.path.insert(0, str(ROOT))
    from tests.running.linux_kernels import READY, kernel
    from tests.watch.panicking_guests import send_command, until, wait_for_text

    run_event_loop()
    silence_libvirt()  # it would print that the dump was given up
    medians: list[float] = []
    with daemon() as (uri, folder):
        linux = kernel("bookworm").copied(folder)
        for mebibytes in SIZES:
            place = folder / str(mebibytes)
            place.mkdir(mode=0o777)
            place.chmod(0o777)
            connection = open_connection(uri)
            domain = connection.createXML(DOMAIN.format(mebibytes, linux.os(), linux.serial(place)))
            try:
                times = []
                for boots in range(1, ROUNDS + 1):
                    wait_for_text(place / "serial.log", READY, boots)
                    send_command(place / "serial", "panic")
                    until(partial(has_crashed, domain))
                    start = time.perf_counter()
                    words = words_in_domain(domain)
                    times.append(time.perf_counter() - start)
                    assert words.reason == "sysrq triggered crash", words
                    domain.reset()
                    domain.resume()
            finally:
                domain.destroy()
                connection.close()
            medians.append(statistics.median(times))
            detail = f"{mebibytes} MiB: {ms(medians[-1])}, at most {ms(max(times))}, through libvirt"
            show("last words / first size", medians[-1] / medians[0], "<= 1.2", detail)


def has_crashed(domain: Any) -> bool:
    return bool(domain.state()[0] == CRASHED)


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
