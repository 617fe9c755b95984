"""The systemd unit of the samples: its own command under its own restrictions."""

import json
import os
import re
import shutil
import signal
import socket
import stat
import struct
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from onpanic.probe import probe
from onpanic.shims import Libvirt, to_libvirt

from ..running.ports import reserved_port
from ..running.system_libvirtd import run_system_libvirtd
from ..running.systemd_unit import SystemdUnit
from . import panicking_guests as guests
from .panicking_guests import until

pytestmark = [pytest.mark.processes, pytest.mark.emulators, pytest.mark.libvirt]

SAMPLES = Path(__file__).parent.parent.parent / "docs/samples/systemd"
EMULATOR = "/usr/bin/qemu-system-x86_64"
CONSOLE = "from onpanic.cli import console\nconsole()"
XML = """\
<domain type="qemu">
  <name>{name}</name>
  <memory unit="MiB">16</memory>
  <os><type arch="x86_64" machine="pc">hvm</type></os>
  <on_panic{coredump}>{value}</on_panic>
  <devices>
    <emulator>{emulator}</emulator>
    <disk type="file"><source file="/var/lib/libvirt/{name}.img"/><target dev="hda" bus="ide"/></disk>
    <panic model="isa"/>
  </devices>
</domain>
"""
ATTEMPTS = """\
import ctypes, json, mmap, os, signal, socket, sys

def refused(attempt):
    try:
        attempt()
    except OSError as error:
        return os.strerror(error.errno)
    return "no"

print(json.dumps({
    "network": refused(lambda: socket.socket(socket.AF_INET)),
    "root": refused(lambda: open("/etc/x", "w")),
    "home": os.listdir("/root") + os.listdir("/home"),
    "code": refused(lambda: mmap.mmap(-1, 4096, prot=7)),
    "set-user-id": refused(lambda: os.chmod(os.environ["STATE_DIRECTORY"], 0o4700)),
    "settings": refused(lambda: open("/proc/sys/kernel/hostname", "w")),
    "processes": [name for name in os.listdir("/proc") if name == str(os.getppid())],
    "capabilities": [l.split()[1] for l in open("/proc/self/status") if l.startswith(("CapEff", "CapPrm"))],
    "no new privileges": ctypes.CDLL(None).prctl(39, 0, 0, 0, 0),
    "priority": refused(lambda: os.nice(1)),  # of @resources
    "state": sorted(os.environ["STATE_DIRECTORY"].split("/")),
}), flush=True)
"""


class NotifySocket:
    """systemd's end of sd_notify(3)."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._socket.settimeout(60)

    def receive(self) -> tuple[list[str], int]:
        """Return the next assignments, and the PID of the sender."""
        text, ancillary, _, _ = self._socket.recvmsg(500, socket.CMSG_SPACE(struct.calcsize("3i")))
        (_, _, data), *_ = ancillary
        return text.decode().splitlines(), struct.unpack("3i", data)[0]

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def unit(unavailable: Callable[[str], NoReturn]) -> SystemdUnit:
    for program in ("systemd-analyze", "bwrap", "unshare"):
        shutil.which(program) or unavailable(f"no {program} here")
    if os.geteuid():
        unavailable("only root can mount /proc as the unit does")
    return SystemdUnit(SAMPLES / "onpanic-watch.service")


@pytest.fixture
def notify(folder: Path) -> Iterator[NotifySocket]:
    (folder / "systemd").mkdir()
    found = NotifySocket(folder / "systemd/notify")
    yield found
    found.close()


@pytest.fixture
def settings(folder: Path) -> Path:
    """Return a folder with the sample settings, and a hook."""
    (folder / "onpanic").mkdir()
    text = (SAMPLES / "watch.toml").read_text(encoding="utf-8")
    hook = "hook = 'sh -c \"echo $ONPANIC_EVENT >> /var/lib/onpanic/hook.log\"'"
    (folder / "onpanic/watch.toml").write_text(f"{text}\n{hook}\n", encoding="utf-8")
    return folder / "onpanic"


def test_the_restrictions_are_in_force(unit: SystemdUnit, folder: Path) -> None:
    """Otherwise the next test would prove nothing."""
    with unit.run(folder, {}, ATTEMPTS, ["/usr/bin/onpanic"]) as process:
        said = process.communicate(timeout=60)[0]
        found = json.loads(said)
    assert found == {
        "network": "Address family not supported by protocol",
        "root": "Read-only file system",
        "home": found["home"],  # the interpreter may be there
        "code": "Operation not permitted",
        "set-user-id": "Operation not permitted",
        "settings": "Read-only file system",
        "processes": found["processes"],
        "capabilities": ["0" * 16] * 2,
        "no new privileges": 1,
        "priority": "Operation not permitted",
        "state": ["", "lib", "onpanic", "var"],
    }
    assert not {".ssh", ".bashrc", ".profile"} & set(found["home"])


def test_a_directive_that_is_not_known_is_an_error(folder: Path) -> None:
    """No restriction can be added to the unit without a test that it leaves the watcher working."""
    text = (SAMPLES / "onpanic-watch.service").read_text(encoding="utf-8")
    path = folder / "changed.service"
    path.write_text(text.replace("[Install]", "PrivateUsers=yes\n[Install]"), encoding="utf-8")
    with (
        pytest.raises(AssertionError, match="PrivateUsers"),
        SystemdUnit(path).run(folder, {}, CONSOLE),
    ):
        pass


def test_policies_are_carried_out(
    unit: SystemdUnit,
    settings: Path,
    notify: NotifySocket,
    libvirt: Any,
    folder: Path,
    unavailable: Callable[[str], NoReturn],
) -> None:
    """It is ready, dumps and keeps one guest, restarts another one, reloads, and stops."""
    program = shutil.which("libvirtd", path="/usr/sbin:/usr/bin") or unavailable("no libvirtd here")
    Path(EMULATOR).exists() or unavailable(f"no {EMULATOR} here")
    for name in ("daemon", "sandbox"):
        (folder / name).mkdir()
    daemon = folder / "daemon"
    with run_system_libvirtd(program, daemon) as uri:
        binds = {
            "/run/libvirt": daemon / "run",
            "/etc/libvirt": daemon / "etc/libvirt",
            "/etc/onpanic": settings,
            "/run/systemd": folder / "systemd",
        }
        with unit.run(folder / "sandbox", binds, CONSOLE) as process:
            ready, pid = notify.receive()
            assert ready == ["READY=1", "STATUS=watching"]
            connection = libvirt.open(uri)
            kept = start(connection, daemon, "kept", "preserve", " coredump='yes'")
            start(connection, daemon, "renamed", "rename-restart")
            hook = folder / "sandbox/state/hook.log"  # dump and keep; destroy, rename and start
            until(lambda: hook.exists() and hook.read_text().count("action") >= 5)
            assert kept.state() == [6, 1]
            assert [core.suffix for core in (daemon / "lib/qemu/dump").iterdir()] == [".core"]
            assert any(domain.name().startswith("renamed-restart-") for domain in connection.listAllDomains())
            subprocess.run(unit.command("ExecReload", MAINPID=pid), check=True, timeout=60)
            assert notify.receive()[0][0] == "RELOADING=1"
            assert notify.receive()[0] == ["READY=1"]
            os.kill(pid, signal.SIGTERM)
            assert notify.receive()[0] == ["STOPPING=1"]
            said = process.communicate(timeout=60)[0]
            assert process.returncode == 0, said
            assert "action=coredump outcome=done" in said
            assert "action=preserve outcome=kept" in said
            assert "action=start outcome=done" in said
            assert "problem" not in said
            connection.close()


def start(connection: Any, daemon: Path, name: str, value: str, coredump: str = "") -> Any:
    """Start a guest that panics at each boot."""
    guests.disk(daemon / f"lib/{name}.img", guests.panics())
    xml = XML.format(name=name, value=value, coredump=coredump, emulator=EMULATOR)
    record = probe(EMULATOR, machines=["pc"])
    domain = connection.defineXML(to_libvirt(xml, record, libvirt=Libvirt.of_connection(connection)).xml)
    domain.create()
    return domain


# Drop-ins

DROP_INS = sorted((SAMPLES / "onpanic-watch.service.d").iterdir())


def test_all_drop_ins_leave_the_watcher_working(
    unit: SystemdUnit,
    settings: Path,
    notify: NotifySocket,
    folder: Path,
    unavailable: Callable[[str], NoReturn],
) -> None:
    """Each directive is in force: others can read the metrics, and dumps have a folder."""
    program = shutil.which("libvirtd", path="/usr/sbin:/usr/bin") or unavailable("no libvirtd here")
    for name in ("daemon", "sandbox"):
        (folder / name).mkdir()
    drop_ins = [path for path in DROP_INS if path.stem != "15-xen"]  # it is for another host
    by_name = {path.stem: path for path in drop_ins}
    assert list(by_name) == ["10-opt", "20-metrics-file", "20-metrics-listen", "30-dumps"]
    assert unit.command()[0] == "/usr/bin/onpanic"
    for path in DROP_INS[:-1]:
        assert SystemdUnit(SAMPLES / "onpanic-watch.service", path).command()[0] == "/opt/onpanic/bin/onpanic"
    both = SystemdUnit(SAMPLES / "onpanic-watch.service", *drop_ins)
    words = SystemdUnit(by_name["20-metrics-file"]).command()[1:]
    with run_system_libvirtd(program, folder / "daemon"), reserved_port() as port:
        address = both.command()[-1].replace("9876", str(port))
        binds = {
            "/run/libvirt": folder / "daemon/run",
            "/etc/onpanic": settings,
            "/run/systemd": folder / "systemd",
        }
        command = ["/usr/bin/onpanic", *words, "--metrics-listen", address]
        with both.run(folder / "sandbox", binds, CONSOLE, command) as process:
            ready, pid = notify.receive()
            assert ready == ["READY=1", "STATUS=watching"]
            with urllib.request.urlopen(f"http://localhost:{port}/metrics", timeout=60) as answer:
                assert "onpanic_watching 1.0" in answer.read().decode()
            os.kill(pid, signal.SIGTERM)
            said = process.communicate(timeout=60)[0]
            assert process.returncode == 0, said
            assert "problem" not in said
    metrics = folder / "sandbox/cache/onpanic.prom"
    assert "onpanic_watching 0.0" in metrics.read_text()
    assert [stat.S_IMODE(path.stat().st_mode) for path in (metrics.parent, metrics)] == [0o755, 0o644]
    state = folder / "sandbox/state"
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    assert (state / "dumps").is_dir()


@pytest.mark.parametrize("path", DROP_INS, ids=lambda path: path.stem)
def test_systemd_accepts_the_unit_with_a_drop_in(
    path: Path, folder: Path, unavailable: Callable[[str], NoReturn]
) -> None:
    """It knows every line, and there is one command; a wrong line in the drop-in is seen."""
    program = shutil.which("systemd-analyze") or unavailable("no systemd-analyze here")
    copy = folder / "onpanic-watch.service"
    (folder / "onpanic-watch.service.d").mkdir()
    drop_in = folder / "onpanic-watch.service.d" / path.name
    for source, target in ((SAMPLES / copy.name, copy), (path, drop_in)):
        text = re.sub("/(usr|opt/onpanic)/bin/onpanic", "/bin/true", source.read_text(encoding="utf-8"))
        target.write_text(text, encoding="utf-8")

    def verify() -> tuple[int, str]:
        done = subprocess.run(
            [program, "verify", "--man=no", str(copy)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, done.stderr

    assert verify() == (0, "")
    drop_in.write_text(drop_in.read_text().replace("[Service]", "[Service]\nExecStart=/bin/true\nNonsense=1"))
    assert "Nonsense" in verify()[1]
