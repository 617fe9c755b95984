"""Benchmark of the watcher: the time from a panic to the action, compared with libvirt's own.

Half of the guests panic at once.  First libvirt itself restarts them (on_crash=restart); then the
watcher continues them, since their policy is to ignore a panic.  The times are those of QEMU's
events GUEST_PANICKED and RESUME.  Last, other guests have panicked whose QEMU is stopped (SIGSTOP), so
that the watcher's calls for them hang, and the first ones panic again.
"""

import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from onpanic.core.libvirt_api import libvirt_module, open_connection
from onpanic.shims.domain_xml.policy_xml import NAMESPACE

GUESTS = 200
BURST = 100
HUNG = 8  # guests whose QEMU is stopped, beside the others
NOBODY = 65534
DEADLINE = 300  # seconds
_BOOT = 5  # seconds for the guests to boot
HALT = bytes.fromhex("faf4ebfd").ljust(510, b"\0") + b"\x55\xaa"  # cli; hlt; goto hlt
PANIC = b'{"execute": "human-monitor-command", "arguments": {"command-line": "o /b 0x505 1"}}'
XML = """\
<domain type="qemu" xmlns:qemu="http://libvirt.org/schemas/domain/qemu/1.0">
  <name>guest{number}</name>
  <metadata>
    <policy xmlns="{namespace}"><on_panic>ignore</on_panic><wrote on_crash="preserve"/></policy>
  </metadata>
  <memory unit="MiB">16</memory>
  <os><type arch="x86_64" machine="pc">hvm</type></os>
  <features><acpi/></features>
  <on_crash>preserve</on_crash>
  <devices>
    <emulator>{emulator}</emulator>
    <disk type="file">
      <source file="{folder}/halt.img"/><target dev="hda" bus="ide"/><shareable/>
    </disk>
    <controller type="usb" model="none"/>
    <memballoon model="none"/>
    <panic model="isa"/>
  </devices>
  <qemu:commandline>
    <qemu:arg value="-qmp"/><qemu:arg value="unix:{folder}/{number}.qmp,server=on,wait=off"/>
  </qemu:commandline>
</domain>
"""


class Monitor:
    """A guest's second monitor, which libvirt does not use."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(DEADLINE)
        self._socket.connect(path)
        self._lines = self._socket.makefile()
        self._lines.readline()
        self._socket.sendall(b'{"execute": "qmp_capabilities"}')
        self._lines.readline()

    def panic(self) -> None:
        self._socket.sendall(PANIC)

    def panicked(self) -> None:
        """Wait for the panic."""
        while json.loads(self._lines.readline()).get("event") != "GUEST_PANICKED":
            pass

    def reaction(self) -> float:
        """Return the seconds from the panic until the guest runs again."""
        panicked = None
        while True:
            message = json.loads(self._lines.readline())
            if message.get("event") == "GUEST_PANICKED":
                panicked = _time(message)
            elif message.get("event") == "RESUME" and panicked is not None:
                return _time(message) - panicked

    def resumes(self) -> int:
        """Return how often the guest was continued since the last call."""
        self._socket.sendall(b'{"execute": "query-name", "id": 0}')
        count = 0
        while True:
            message = json.loads(self._lines.readline())
            if message.get("id") == 0:
                return count
            count += message.get("event") == "RESUME"

    def close(self) -> None:
        self._lines.close()
        self._socket.close()


def _time(message: dict[str, Any]) -> float:
    stamp = message["timestamp"]
    return float(stamp["seconds"]) + float(stamp["microseconds"]) / 1e6


@contextmanager
def daemon() -> Iterator[tuple[str, Path]]:
    """Start a separate libvirtd; a context with its URI and a folder that it may write to."""
    program = shutil.which("libvirtd", path=os.environ["PATH"] + ":/usr/sbin")
    assert program
    root = os.geteuid() == 0
    with tempfile.TemporaryDirectory(prefix="onpanic-", dir="/tmp", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        (folder / "libvirt").mkdir()
        (folder / "libvirt/qemu.conf").write_text('stdio_handler = "file"\n')
        (folder / "libvirtd.conf").touch()
        (folder / "halt.img").write_bytes(HALT)
        for path in (folder, folder / "libvirt", folder / "halt.img"):
            os.chown(path, NOBODY if root else -1, -1)
        homes = dict.fromkeys(("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"), name)
        process = subprocess.Popen(
            [program, "-f", str(folder / "libvirtd.conf")],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **homes},
            user=NOBODY if root else None,
            extra_groups=[] if root else None,
        )
        path = folder / "libvirt/libvirt-sock"
        try:
            with socket.socket(socket.AF_UNIX) as probe:
                while probe.connect_ex(str(path)):
                    time.sleep(0.05)
            yield f"qemu+unix:///session?socket={path}", folder
        finally:
            process.terminate()
            process.wait(DEADLINE)


@contextmanager
def watcher(uri: str, folder: Path, lines: list[dict[str, Any]]) -> Iterator[None]:
    """Run the watcher; a context that starts when all guests are watched.

    :param lines: Gets the log lines.
    """
    words = ["--connect", uri, "--state-dir", str(folder / "state"), "--log-format", "json"]
    process = subprocess.Popen(
        [sys.executable, "-m", "onpanic", "watch", *words], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout

    def read(stdout: Iterator[str]) -> None:
        lines.extend(map(json.loads, stdout))

    try:
        lines.append(json.loads(process.stdout.readline()))
        assert lines[0]["event"] == "watching"
        reader = threading.Thread(target=read, args=(process.stdout,))
        reader.start()
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(DEADLINE)
    reader.join(DEADLINE)


def burst(monitors: list[Monitor]) -> list[float]:
    """Make guests panic at the same time; return the seconds until each runs again."""
    for monitor in monitors:
        monitor.panic()
    with ThreadPoolExecutor(len(monitors)) as pool:
        return list(pool.map(Monitor.reaction, monitors))


@contextmanager
def started(uri: str, emulator: str, folder: Path) -> Iterator[list[Any]]:
    """Start guests, and destroy them at the end; a context with those that are to panic."""
    libvirt, connection = libvirt_module(), open_connection(uri)

    def begin(number: int) -> Any:
        xml = XML.format(number=number, namespace=NAMESPACE, emulator=emulator, folder=folder)
        return connection.createXML(xml)

    def end(domain: Any) -> None:
        with suppress(libvirt.libvirtError):
            domain.destroy()

    with ThreadPoolExecutor(4) as pool:
        try:
            list(pool.map(begin, range(GUESTS + HUNG)))
            time.sleep(_BOOT)
            yield [connection.lookupByName(f"guest{number}") for number in range(BURST)]
        finally:
            list(pool.map(end, connection.listAllDomains()))
    connection.close()


@contextmanager
def monitoring(folder: Path) -> Iterator[list[Monitor]]:
    """Connect to the monitors of the guests that are to panic; a context."""
    monitors = [Monitor(f"{folder}/{number}.qmp") for number in range(BURST)]
    try:
        yield monitors
    finally:
        for monitor in monitors:
            monitor.close()


def on_crash(domains: list[Any], action: int) -> None:
    """Set the action that libvirt takes when domains panic."""
    libvirt = libvirt_module()
    for domain in domains:
        domain.setLifecycleAction(libvirt.VIR_DOMAIN_LIFECYCLE_CRASH, action, libvirt.VIR_DOMAIN_AFFECT_LIVE)


@contextmanager
def hanging(folder: Path) -> Iterator[None]:
    """Let the last guests panic, and stop their QEMUs before anyone continues them; a context."""
    numbers = range(GUESTS, GUESTS + HUNG)
    pids = [int((folder / f"libvirt/qemu/run/guest{n}.pid").read_text()) for n in numbers]
    monitors = [Monitor(f"{folder}/{number}.qmp") for number in numbers]
    try:
        for monitor, pid in zip(monitors, pids, strict=True):
            monitor.panic()
            monitor.panicked()
            time.sleep(0.1)  # libvirt reads the event
            os.kill(pid, signal.SIGSTOP)
        yield
    finally:
        for monitor, pid in zip(monitors, pids, strict=True):
            os.kill(pid, signal.SIGCONT)
            monitor.close()


def watched_burst(uri: str, folder: Path, monitors: list[Monitor]) -> tuple[list[float], int, int]:
    """Make guests panic that are watched.

    :return: The seconds until each runs again, how many were continued, and how many twice.
    """
    lines: list[dict[str, Any]] = []
    time.sleep(_BOOT)
    for monitor in monitors:
        monitor.resumes()
    with watcher(uri, folder, lines):
        time.sleep(_BOOT)  # calls for guests that hang begin
        seconds = burst(monitors)
        time.sleep(2)  # for actions that are taken twice
    done = [line for line in lines if line["event"] == "action" and line["outcome"] == "done"]
    return seconds, len(done), sum(monitor.resumes() for monitor in monitors)


def reactions(emulator: str, show: Callable[[str, float, str, str], None]) -> None:
    if not shutil.which("libvirtd", path=os.environ["PATH"] + ":/usr/sbin"):
        print("watch: not measured, there is no libvirtd")
        return
    with (
        daemon() as (uri, folder),
        started(uri, emulator, folder) as domains,
        monitoring(folder) as monitors,
    ):
        on_crash(domains, libvirt_module().VIR_DOMAIN_LIFECYCLE_ACTION_RESTART)
        by_libvirt = burst(monitors)
        on_crash(domains, libvirt_module().VIR_DOMAIN_LIFECYCLE_ACTION_PRESERVE)
        by_watcher, *counts = watched_burst(uri, folder, monitors)
        with hanging(folder):
            beside_hung, *counts_beside_hung = watched_burst(uri, folder, monitors)
    show(
        "watch / libvirt, median",
        statistics.median(by_watcher) / statistics.median(by_libvirt),
        "<= 1",
        f"{_milliseconds(by_watcher)}; libvirt's restarts {_milliseconds(by_libvirt)}; {_outcome(*counts)}",
    )
    show(
        f"watch, {HUNG} hang / none",
        statistics.median(beside_hung) / statistics.median(by_watcher),
        "<= 1.1",
        f"{_milliseconds(beside_hung)}; {_outcome(*counts_beside_hung)}",
    )


def _milliseconds(seconds: list[float]) -> str:
    return f"median {statistics.median(seconds) * 1000:.0f} ms, worst {max(seconds) * 1000:.0f} ms"


def _outcome(done: int, twice: int) -> str:
    return f"{BURST} of {GUESTS} guests panicked, {done} continued, {twice} twice"


if __name__ == "__main__":
    reactions(
        shutil.which("qemu-system-x86_64") or "",
        lambda name, ratio, aim, detail: print(f"{name:24} {ratio:7.2f}   aim {aim:8} {detail}"),
    )
