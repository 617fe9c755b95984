"""onpanic-qemu translates a command line and becomes the emulator."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import pytest

import onpanic
from onpanic.probe.testing import (
    QEMU_1_5,
    QEMU_1_6,
    QEMU_1_7,
    QEMU_7_2,
    Fault,
    PlayedEmulator,
    PlayedNotifier,
)

from ..running.libvirtd import HOST, folder_of

pytestmark = pytest.mark.processes

# Where the packages are that are tested; they need not be installed
PATHS = [str(Path(path).parent) for path in onpanic.__path__]
QEMU = "/usr/bin/qemu-system-x86_64"
MACHINE = ["-S", "-display", "none", "-nodefaults", "-m", "16", "-qmp", "stdio"]
AWAY = "-global pvpanic.ioport=0"

# Builds that have the ISA device under both names, or under the proposed one only
BOTH = QEMU_7_2.but(types=("pvpanic", "isa-pvpanic"))
DEAD = PlayedNotifier(event="", state="running")

# As it is started by a shell, even if this process ignores SIGINT
DEFAULT_SIGNALS = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execv(sys.argv[1], sys.argv[1:])
"""

Play = Callable[[PlayedEmulator], tuple[str, Callable[[], list[str]]]]
Until = Callable[[Callable[[], object]], None]


def run(*words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        list(words),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **options,
    )


@pytest.fixture
def emulator(tmp_path: Path) -> Play:
    """Return a function that makes a played emulator and a list of the options that it was started with."""

    def make(emulator: PlayedEmulator) -> tuple[str, Callable[[], list[str]]]:
        path, log = tmp_path / "qemu", tmp_path / "log"
        play = shlex.join(emulator.command())
        path.write_text(f'#!/bin/sh\necho "$*" >> {shlex.quote(str(log))}\nexec {play} "$@"\n', "utf-8")
        path.chmod(0o755)
        return str(path), lambda: log.read_text("utf-8").splitlines() if log.exists() else []

    return make


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the path of ``onpanic-qemu``, a script like the one that an installer writes."""
    path = tmp_path_factory.mktemp("bin") / "onpanic-qemu"
    start = f"import sys\nsys.path[:0] = {PATHS!r}\nfrom onpanic.shims.qemu.wrapper import main\nmain()\n"
    path.write_text(f"#!{sys.executable}\n{start}", "utf-8")
    path.chmod(0o755)
    return str(path)


# What becomes of a command line


@pytest.mark.parametrize(
    ("like", "options", "translated"),
    [
        (QEMU_1_7, "-device isa-pvpanic,id=a -m 16", "-device pvpanic,id=a -m 16"),
        (QEMU_1_7, "-m 16", "-m 16"),
        (QEMU_1_5, "-m 16", f"-m 16 {AWAY}"),
        (QEMU_1_5, "-M q35", f"-M q35 {AWAY}"),
        (QEMU_1_5, "-M pc-i440fx-1.4", "-M pc-i440fx-1.4"),
        (QEMU_1_6, "-m 16", "-m 16"),
        (QEMU_1_6, "-machine type=pc-i440fx-1.5", f"-machine type=pc-i440fx-1.5 {AWAY}"),
        # The name with which the device works, whichever it is
        (BOTH, "-device isa-pvpanic", "-device pvpanic"),
        (BOTH.but(notifiers={"isa-pvpanic": DEAD}), "-device isa-pvpanic", "-device pvpanic"),
        (BOTH.but(notifiers={"pvpanic": DEAD}), "-device isa-pvpanic", "-device isa-pvpanic"),
        (QEMU_7_2.but(types=("isa-pvpanic",)), "-device isa-pvpanic", "-device isa-pvpanic"),
        (QEMU_1_5.but(builtin_type="isa-pvpanic"), "-m 16", "-m 16 -global isa-pvpanic.ioport=0"),
        # An emulator that fails while it is probed
        (QEMU_1_7.failing(Fault("exit", at="qom-list")), "-m 16", f"-m 16 {AWAY}"),
    ],
    ids=lambda value: ".".join(map(str, value.version)) if isinstance(value, PlayedEmulator) else None,
)
def test_a_machine_is_started(
    program: str, like: PlayedEmulator, options: str, translated: str, emulator: Play
) -> None:
    path, starts = emulator(like)
    done = run(program, "--emulator", path, *options.split())
    assert starts()[-1] == translated
    assert len(starts()) > 1
    assert '"QMP"' in done.stdout


@pytest.mark.parametrize(
    ("like", "options", "code"),
    [
        (QEMU_1_5, "-device isa-pvpanic", "builtin-panic-device"),
        (QEMU_1_5, "-device isa-pvpanic -M isapc", "cont-refused-after-panic"),
        (QEMU_1_6, "-device isa-pvpanic", "cont-refused-after-panic"),
        (
            BOTH.but(notifiers={"pvpanic": DEAD, "isa-pvpanic": DEAD}),
            "-device isa-pvpanic",
            "panic-not-reported",
        ),
        (QEMU_7_2.but(types=("pvpanic-pci",)), "-device isa-pvpanic", "no-isa-notifier"),
    ],
    ids=lambda value: ".".join(map(str, value.version)) if isinstance(value, PlayedEmulator) else None,
)
def test_what_cannot_be_had_is_refused(
    program: str, like: PlayedEmulator, options: str, code: str, emulator: Play
) -> None:
    """A refusal is one line with the reason, and the machine is not started."""
    path, starts = emulator(like)
    done = run(program, "--emulator", path, *options.split())
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"onpanic-qemu: refused: {code}: ")
    assert options not in starts()


@pytest.mark.parametrize(
    "options",
    [
        "-version",
        "--help",
        "-machine help",
        "-M ?",
        "-cpu help",
        "-device pvpanic,help",
        "-machine none,accel=kvm:tcg -device isa-pvpanic",
        "-M pc -machine none -S -no-user-config -nodefaults -nographic",
    ],
)
def test_what_runs_no_machine_goes_through_at_once(program: str, options: str, emulator: Play) -> None:
    path, starts = emulator(QEMU_1_5)
    run(program, "--emulator", path, *options.split())
    assert starts() == [options]


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["--emulator", "/nowhere/qemu"], 2, "/nowhere/qemu: no such emulator"),
        (["--emulator", "no-such-qemu"], 2, "no-such-qemu: no such emulator"),
        (["--emulator"], 2, "the emulator: no such emulator"),
        (["--emulator", "/"], 2, "/: no such emulator"),
        (["--emulator", "{program}"], 2, "{program}: no such emulator"),
        (["--emulator", "{text}"], 2, "Exec format error"),
    ],
)
def test_an_emulator_that_is_none(
    program: str, words: list[str], status: int, said: str, tmp_path: Path
) -> None:
    text = tmp_path / "text"
    text.write_text("not a program", "utf-8")
    text.chmod(0o755)
    done = run(program, *(word.format(text=text, program=program) for word in words))
    assert (done.returncode, done.stdout) == (status, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("onpanic-qemu: ")
    assert said.format(program=program) in line


@pytest.mark.parametrize("name", ["qemu-system-x86_64", "onpanic-qemu-system-x86_64"])
def test_it_goes_by_its_name(program: str, name: str, tmp_path: Path) -> None:
    """A link with an emulator's name runs the next emulator of this name in PATH, never itself."""
    real, links = tmp_path / "real", tmp_path / "links"
    for folder in (real, links):
        folder.mkdir()
    (real / "qemu-system-x86_64").write_text("#!/bin/sh\necho real $*\n", "utf-8")
    (real / "qemu-system-x86_64").chmod(0o755)
    (links / name).symlink_to(program)
    done = run(str(links / name), "-version", env={**os.environ, "PATH": f"{links}:{real}:/usr/bin:/bin"})
    assert (done.returncode, done.stdout, done.stderr) == (0, "real -version\n", "")


# Nothing stays in between


@contextmanager
def started(*words: str, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Start a QEMU with its monitor on stdin and stdout, for at most a minute."""
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, **options) as process:
        deadline = threading.Timer(60, process.kill)
        deadline.start()
        try:
            assert process.stdout
            assert "QMP" in json.loads(process.stdout.readline())
            ask(process, "qmp_capabilities")
            yield process
        finally:
            deadline.cancel()
            process.kill()


def ask(process: subprocess.Popen[bytes], command: str, **arguments: Any) -> Any:
    assert process.stdin
    assert process.stdout
    process.stdin.write(json.dumps({"execute": command, "arguments": arguments}).encode())
    process.stdin.flush()
    while True:
        message = json.loads(process.stdout.readline())
        if "return" in message:
            return message["return"]


@pytest.mark.emulators
@pytest.mark.parametrize("device", ["isa-pvpanic", '{"driver": "isa-pvpanic", "id": "notifier"}'])
def test_the_process_is_the_emulator(program: str, device: str) -> None:
    """The wrapper's process becomes the emulator, with its device, its environment and its signals."""
    environment = {"HOME": "/", "ONE": "two=three", "PATH": os.environ["PATH"]}  # not even a locale
    with started(program, "--emulator", QEMU, *MACHINE, "-device", device, env=environment) as process:
        proc = Path(f"/proc/{process.pid}")
        assert (proc / "exe").samefile(QEMU)
        assert sorted((proc / "environ").read_bytes().split(b"\0")) == sorted(
            [b"", *(f"{name}={value}".encode() for name, value in environment.items())]
        )
        (ignored,) = [
            line for line in (proc / "status").read_text("utf-8").splitlines() if line.startswith("SigIgn")
        ]
        with started(QEMU, *MACHINE) as plain:
            assert ignored in Path(f"/proc/{plain.pid}/status").read_text("utf-8")
        assert [p for p in Path("/proc").glob("[0-9]*") if parent(p) == process.pid] == []
        tree = ask(process, "human-monitor-command", **{"command-line": "info qtree"})
        assert tree.count("dev: pvpanic, ") == 1
        ask(process, "cont")
        ask(process, "human-monitor-command", **{"command-line": "o /b 0x505 1"})


def parent(process: Path) -> int:
    try:
        return int((process / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()[1])
    except OSError:
        return 0


@pytest.mark.emulators
@pytest.mark.parametrize(
    "options", [["-version"], ["-machine", "nonsense"], ["-device", "nonsense"], ["-nonsense"]]
)
def test_what_the_emulator_says_is_its_own(program: str, options: list[str]) -> None:
    """The emulator's output and exit status are passed on unchanged."""
    ours, theirs = run(program, "--emulator", QEMU, *options), run(QEMU, *options)
    assert (ours.returncode, ours.stdout, ours.stderr) == (theirs.returncode, theirs.stdout, theirs.stderr)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_it_is_ended_while_it_asks(
    program: str, number: signal.Signals, emulator: Play, tmp_path: Path, until: Until
) -> None:
    """If the wrapper is killed while it probes, no emulator is left."""
    path, starts = emulator(QEMU_1_7.but(fault=Fault("hang"), stubborn=True))
    command = [sys.executable, "-c", DEFAULT_SIGNALS, program, "--emulator", path, "-m", "16"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            until(starts)
            process.send_signal(number)
            assert process.wait(timeout=60) != 0
        finally:
            process.kill()
    until(lambda: not survivors(str(tmp_path)))  # the reaper takes a moment


def survivors(word: str) -> list[bytes]:
    """Return the command lines with a word in them."""
    found = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = process.read_bytes()
        except OSError:
            continue  # it has ended
        if word.encode() in line:
            found.append(line)
    return found


# As libvirt's <emulator>

XML = """\
<domain type="qemu" xmlns:qemu="http://libvirt.org/schemas/domain/qemu/1.0">
  <name>guest</name>
  <memory unit="MiB">16</memory>
  <os><type arch="x86_64" machine="pc">hvm</type></os>
  <features><acpi/></features>
  <on_crash>preserve</on_crash>
  <devices><emulator>{emulator}</emulator></devices>
  <qemu:commandline><qemu:arg value="-device"/><qemu:arg value="{device}"/></qemu:commandline>
</domain>
"""


@pytest.fixture(scope="module")
def wrapper(uri: str, unavailable: Callable[[str], NoReturn]) -> Callable[[str], str]:
    """Return a function that writes a wrapper of an emulator, as it would be installed for libvirt.

    Root's tests have a libvirtd that is not root, which may not reach root's Python.  A suite's libvirtd
    reaches no Python that has what the wrapper needs.
    """
    folder = folder_of(uri).parent
    python = os.path.realpath(sys.executable)
    if os.geteuid() == 0 and not all(place.stat().st_mode & 1 for place in Path(python).parents):
        python = f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}"
    if not shutil.which(python):
        unavailable(f"no {python} here, and {sys.executable} is root's alone")
    packages = [path for path in sys.path if path.endswith("site-packages")]
    start = f"import site, sys; sys.path[:0] = {PATHS}; [site.addsitedir(path) for path in {packages}]"
    code = f"{start}; from onpanic.shims.qemu.wrapper import main; main()"

    def make(emulator: str) -> str:
        path = folder / f"onpanic-{Path(emulator).name}"
        path.write_text(
            f'#!/bin/sh\nexec {shlex.join([python, "-c", code, "--emulator", emulator])} "$@"\n', "utf-8"
        )
        path.chmod(0o755)
        return str(path)

    return make


@pytest.mark.libvirt
@pytest.mark.libvirts(HOST)
@pytest.mark.emulators
def test_libvirt_probes_the_wrapper_as_it_probes_the_emulator(
    wrapper: Callable[[str], str], connection: Any
) -> None:
    path = wrapper(QEMU)
    for machine in ("pc", "q35"):
        ours, theirs = (
            connection.getDomainCapabilities(emulator, "x86_64", machine, "qemu") for emulator in (path, QEMU)
        )
        assert ours.replace(path, QEMU) == theirs


@pytest.mark.libvirt
@pytest.mark.libvirts(HOST)
@pytest.mark.emulators
def test_libvirt_starts_a_guest_through_the_wrapper(
    wrapper: Callable[[str], str], connection: Any, libvirt: Any, until: Until
) -> None:
    """The guest has the device, and libvirt sees its panic."""
    qemu = sys.modules["libvirt_qemu"]
    domain = connection.createXML(XML.format(emulator=wrapper(QEMU), device="isa-pvpanic,id=notifier"))
    tree = qemu.qemuMonitorCommand(domain, "info qtree", qemu.VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP)
    assert 'dev: pvpanic, id "notifier"' in tree
    qemu.qemuMonitorCommand(domain, "o /b 0x505 1", qemu.VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP)
    panicked = [libvirt.VIR_DOMAIN_CRASHED, libvirt.VIR_DOMAIN_CRASHED_PANICKED]
    until(lambda: domain.state() == panicked)


@pytest.mark.libvirt
@pytest.mark.libvirts(HOST)
@pytest.mark.emulators
def test_libvirt_says_why_a_guest_does_not_start(
    wrapper: Callable[[str], str], uri: str, connection: Any, libvirt: Any
) -> None:
    silent = folder_of(uri).parent / "silent"
    silent.write_text(f'#!/bin/sh\nexec {QEMU} -global pvpanic.events=2 "$@"\n', "utf-8")
    silent.chmod(0o755)
    with pytest.raises(libvirt.libvirtError, match="refused: panic-not-reported: "):
        connection.createXML(XML.format(emulator=wrapper(str(silent)), device="isa-pvpanic"))
