"""The command `onpanic watch`: options, settings, reload, metrics, the hook, systemd."""

import fcntl
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import tomllib
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import msgspec
import pytest

from onpanic.cli import main
from onpanic.watch.rules.settings import Settings, read_settings

from ..played.libvirt import PRESERVE, PlayedLibvirt
from ..running.ports import reserved_port
from .conftest import WatchProcess
from .panicking_guests import until
from .test_played_domains import policy_of, xml

Watch = Callable[..., WatchProcess]
Run = Callable[..., subprocess.CompletedProcess[str]]
Start = Callable[..., Any]  # a `Guest` of tests/conftest.py

ROOT = Path(__file__).parent.parent.parent
SAMPLES = ROOT / "docs/samples/systemd"
PANIC = {"command-line": "o /b 0x505 1"}
PAUSE = ["--on-panic", "pause"]


# In this process


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([*PAUSE], "a policy on the command line requires --qmp"),
        (["--qmp", "x"], "--qmp requires a policy"),
        (["--qmp", "x", *PAUSE, "--connect", "y"], "--qmp is about guests without libvirt"),
        (["--qmp", "x", "--on-panic", "explode"], "refused: unknown-value"),
        (["--qmp", "x", "--on-panic", "crash"], "refused: crash-needs-xen"),
        (["--qmp", "x", "--on-panic", "ignore", "--coredump"], "refused: coredump-needs-action"),
        (["--qmp", "x", *PAUSE, "--on-crash", "pause"], "refused: unknown-on-crash"),
        (["--qmp", "x", *PAUSE, "--on-crash-coredump"], "refused: unknown-on-crash"),
        (["--qmp", "x", "--on-panic", "rename-restart"], "requires a command that starts a guest"),
        (["--qmp", "x", "--on-panic", "rename-restart", "--start", " "], "requires a command that starts"),
        (["--qmp", "localhost:0", *PAUSE], "localhost:0: '0' is not a port"),
        (["--qmp", "x", *PAUSE, "--config", "/nowhere"], "/nowhere: No such file"),
        (["--qmp", "x", *PAUSE, "--dumps", "0"], "settings: dumps must be at least 1"),
        (["--qmp", "x", *PAUSE, "--grace", "30s"], "settings: grace must be a number of seconds"),
        (["--qmp", "x", *PAUSE, "--metrics-file", "/nowhere/x.prom"], "/nowhere/x.prom: "),
        (["--qmp", "x", *PAUSE, "--metrics-listen", "nonsense"], "is not a port"),
        (["--qmp", "x", *PAUSE, "--metrics-listen", "9" * 5000], "is not a port"),
        (["--qmp", "x", *PAUSE, "--state-dir", "/proc/nowhere"], "/proc/nowhere"),
    ],
)
def test_wrong_arguments(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line says what is wrong, and a hint what to do."""
    state = [] if "--state-dir" in words else ["--state-dir", str(tmp_path)]
    status = main(["watch", "--once", *words, *state])
    lines = capsys.readouterr().err.splitlines()
    errors = [line for line in lines if not line.startswith("onpanic: hint: ")]
    assert (status, len(errors)) == (2, 1)
    assert message in errors[0]
    assert len(lines) <= 2


def test_metrics_that_cannot_be_served(tmp_path: Path) -> None:
    """Nothing goes on writing the file."""
    words = ["--qmp", "x", *PAUSE, "--state-dir", str(tmp_path), "--metrics-file", str(tmp_path / "x.prom")]
    assert main(["watch", "--once", *words, "--metrics-listen", "nonsense"]) == 2
    assert "metrics" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.parametrize("uri", ["nonsense:///x", "qemu+ssh://[::1/system"])
def test_a_wrong_uri(
    uri: str, played_libvirt: PlayedLibvirt, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """libvirt's message, or one about its form."""
    played_libvirt.fail("open", 1, "no connection driver available for nonsense:///x", times=9)
    assert main(["watch", "--once", "--state-dir", str(tmp_path), "--connect", uri]) == 2
    assert uri in capsys.readouterr().err


def test_domains_are_watched(
    played_libvirt: PlayedLibvirt, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """libvirt prints nothing on stderr beside the log."""
    domain = played_libvirt.add(xml(policy_of("ignore")))
    played_libvirt.add(PRESERVE.replace("guest", "other"))
    domain.panic()
    metrics = tmp_path / "x.prom"
    words = ["--state-dir", str(tmp_path), "--log-format", "json", "--metrics-file", str(metrics)]
    assert main(["watch", "--once", *words]) == 0
    printed = capsys.readouterr()
    events = [json.loads(line)["event"] for line in printed.out.splitlines()]
    events.remove("watching")  # when all policies are read, while the first guest may be acted on
    assert events == ["panicked", "why", "action", "stopping"]
    assert 'outcome="done"' in metrics.read_text()
    assert played_libvirt.error_handler is not None
    assert domain.state[0] == 1


def test_monitors_are_watched(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing listens there, which is all that there is to print."""
    words = ["--qmp", str(tmp_path / "qmp"), *PAUSE, "--state-dir", str(tmp_path)]
    assert main(["watch", "--once", *words]) == 2
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[2] for line in lines] == ["watching", "waiting", "stopping"]


def test_the_sample_settings_are_the_defaults(tmp_path: Path) -> None:
    """There is a line for each setting but those that are for guests without libvirt."""
    sample = SAMPLES / "watch.toml"
    assert read_settings(sample, {}) == Settings()
    text = sample.read_text(encoding="utf-8")
    whole = tomllib.loads(re.sub(r"^#(?=[a-z-]+ =)", "", text, flags=re.MULTILINE))
    names = {name.replace("_", "-") for name in Settings.__struct_fields__}
    assert set(whole) == names - {"start", "dump-paging"}


def test_every_setting_is_an_option_with_its_default(capsys: pytest.CaptureFixture[str]) -> None:
    """The help shows each number that is used if neither option nor file sets it."""
    assert main(["watch", "--help"]) == 0
    text = re.sub(r"\s+", " ", capsys.readouterr().out.partition("settings (also")[2])
    for name, default in msgspec.structs.asdict(Settings()).items():
        found = re.search(rf" --{name.replace('_', '-')} (?:[A-Z]+ )?(.*?)(?= --[a-z]|$)", text)
        assert found, name
        assert (
            not default
            or f"(default: {default if isinstance(default, str) else format(default, 'g')}" in found[1]
        ), name


def test_every_option_is_described(capsys: pytest.CaptureFixture[str]) -> None:
    """By a phrase; the file of settings is not named in a file of settings."""
    assert main(["watch", "--help"]) == 0
    text = capsys.readouterr().out
    for words in re.findall(r"^  --\w(?:[^\n]|\n {8,})*", text, re.MULTILINE):
        assert re.search(r"\s{2,}\w.* ", words), words
    assert "--config" not in text.partition("settings (also")[2].partition("\n")[2]


@pytest.mark.parametrize(("value", "noted"), [("preserve", True), ("restart", False)])
def test_a_grace_period_without_effect(
    value: str, noted: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The policy of all guests has none, which a note says."""
    words = ["--qmp", str(tmp_path / "qmp"), "--on-panic", value, "--grace", "30"]
    assert main(["watch", "--once", *words, "--state-dir", str(tmp_path)]) == 2
    assert ("note: grace has no effect on preserve" in capsys.readouterr().err) is noted


@pytest.mark.parametrize(("name", "warned"), [("metrics.txt", True), ("metrics.prom", False)])
def test_metrics_that_node_exporter_does_not_read(
    name: str, warned: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line says what its name must end in."""
    words = ["--qmp", str(tmp_path / "qmp"), *PAUSE, "--metrics-file", str(tmp_path / name)]
    assert main(["watch", "--once", *words, "--state-dir", str(tmp_path)]) == 2
    lines = capsys.readouterr().out.splitlines()
    assert [("problem" in line, "ends in .prom" in line) for line in lines].count((True, True)) == warned
    assert (tmp_path / name).exists()


# As a process


@pytest.mark.processes
@pytest.mark.libvirt
def test_a_driver_that_reports_no_panics(onpanic: Run, libvirt: Any, tmp_path: Path) -> None:
    """The real libvirt has a test driver."""
    done = onpanic("watch", "--once", "--state-dir", str(tmp_path), "--connect", "test:///default")
    assert done.returncode == 2
    assert "libvirt's driver TEST reports no panics" in done.stderr


@pytest.mark.processes
@pytest.mark.emulators
def test_the_exit_status_of_a_single_run(guest: Start, watch: Watch, folder: Path) -> None:
    """1 while the guest is not as its policy asks, 2 if one cannot be asked, and 0 when all is done."""
    hmp = folder / "hmp"
    one = guest("-device", "pvpanic", "-no-shutdown", "-monitor", f"unix:{hmp},server=on,wait=off")
    one.ask("human-monitor-command", **PANIC)
    words = ["--once", "--on-panic", "preserve", "--coredump"]
    failing = [*words, "--dump-dir", "/nowhere", "--qmp", str(one.path)]
    assert watch(*failing).wait() == 1
    assert watch(*failing).wait() == 1
    both = watch(*failing, str(hmp))
    assert both.wait() == 2
    assert "answers as a human monitor (HMP), not QMP" in both.until("waiting")["detail"]
    held = watch(*words, "--qmp", str(folder / "watched"))
    assert held.wait() == 2
    assert "is in use by another client" in held.until("waiting")["detail"]
    assert watch(*words, "--dump-dir", str(folder), "--qmp", str(one.path)).wait() == 0


@pytest.mark.processes
@pytest.mark.emulators
def test_a_reload_loses_nothing(guest: Start, watch: Watch, tmp_path: Path) -> None:
    """Settings are read again; when they are invalid, the old ones stay."""
    config = tmp_path / "watch.toml"
    config.write_text("dump-dir = '/nowhere'\n")
    one = guest("-device", "pvpanic", "-no-shutdown")
    options = ["--config", str(config), "--coredump", "--log-format", "json"]
    watcher = watch("--qmp", str(one.path), "--on-panic", "preserve", *options)
    watcher.until("connected")
    one.ask("human-monitor-command", **PANIC)
    watcher.until("action", action="coredump", outcome="failed")
    config.write_text("dump-dir = 7\n")
    watcher.process.send_signal(signal.SIGHUP)
    assert "not reloaded: " in watcher.until("problem")["detail"]
    config.write_text(f"dump-dir = '{tmp_path}'\n")
    for _ in range(20):
        watcher.process.send_signal(signal.SIGHUP)
    watcher.until("action", action="preserve", outcome="kept")
    watcher.until("reloaded")
    assert len(list(tmp_path.glob("*.core"))) == 1
    assert watcher.stop() == 0
    assert len(watcher.logged("panicked")) == 1


@pytest.mark.processes
@pytest.mark.emulators
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_everything_is_notified(number: int, guest: Start, watch: Watch, folder: Path) -> None:
    """The hook, Prometheus by file and by HTTP, and systemd, until the watcher is stopped."""
    hook = folder / "hook"
    hook.write_text(
        '#!/bin/sh\necho "$ONPANIC_EVENT $ONPANIC_DOMAIN $ONPANIC_OUTCOME" >> "$0.log"\necho noise\n'
    )
    hook.chmod(0o755)
    one = guest("-device", "pvpanic", "-no-shutdown", "-name", "guest")
    with reserved_port() as port, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(folder / "notify"))
        systemd.settimeout(60)
        watcher = watch(
            *("--qmp", str(one.path), *PAUSE, "--hook", str(hook)),
            *("--metrics-file", str(folder / "x.prom"), "--metrics-listen", str(port)),
            NOTIFY_SOCKET=str(folder / "notify"),
        )
        assert systemd.recv(200).startswith(b"READY=1\n")
        one.ask("human-monitor-command", **PANIC)
        watcher.until("action", outcome="kept")
        panics = 'onpanic_guest_panics_total{domain="guest",uuid=""} 1.0'
        with urllib.request.urlopen(f"http://localhost:{port}/metrics", timeout=60) as answer:
            assert panics in answer.read().decode()
        until(lambda: panics in (folder / "x.prom").read_text())
        watcher.process.send_signal(signal.SIGHUP)
        assert systemd.recv(200).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
        assert systemd.recv(200) == b"READY=1"
        watcher.process.send_signal(number)
        assert systemd.recv(200) == b"STOPPING=1"
    assert watcher.process.wait(60) == 0
    assert (folder / "hook.log").read_text() == "panicked guest \naction guest kept\n"
    assert "onpanic_watching 0.0" in (folder / "x.prom").read_text()
    assert watcher.errors() == "noise\n" * 2  # stdout is the log


def cpu_time(one: Any) -> int:
    """Return the CPU time of a guest's first vCPU, in nanoseconds."""
    thread = one.ask("query-cpus-fast")[0]["thread-id"]
    return int(Path(f"/proc/{one.process.pid}/task/{thread}/schedstat").read_text().split()[0])


@pytest.mark.processes
@pytest.mark.emulators
def test_lines_for_people_and_for_the_journal(guest: Start, onpanic: Run, tmp_path: Path) -> None:
    """Lines have a priority if stdout is the journal, and a time otherwise."""
    one = guest("-device", "pvpanic", "-no-shutdown", "-name", "guest")
    one.ask("human-monitor-command", **PANIC)
    words = ["watch", "--qmp", str(one.path), *PAUSE, "--once", "--state-dir", str(tmp_path)]
    lines = onpanic(*words, JOURNAL_STREAM="1:2").stdout.splitlines()
    form = re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (info|notice|warning)\s+[a-z]+( [a-z]+=.*)?")
    assert [line for line in lines if not form.fullmatch(line)] == []
    ran = cpu_time(one)
    one.ask("cont")
    until(lambda: cpu_time(one) > ran + 50_000_000)  # less would pass for what a dump takes
    one.ask("human-monitor-command", **PANIC)
    until(lambda: one.status == "guest-panicked")
    with (tmp_path / "journal").open("w") as journal:
        status = os.fstat(journal.fileno())
        environment = {**os.environ, "JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
        command = [sys.executable, "-m", "onpanic", *words]
        subprocess.run(command, stdout=journal, env=environment, timeout=120, check=True)
    lines = (tmp_path / "journal").read_text().splitlines()
    assert '<4>panicked domain=guest policy=<on_panic>pause</on_panic> detail="found in that state"' in lines


@pytest.mark.processes
@pytest.mark.emulators
def test_a_stop_during_a_dump(guest: Start, watch: Watch, folder: Path) -> None:
    """The watcher stops at once; the next one continues, and there is one complete dump."""
    one = guest("-device", "pvpanic", "-no-shutdown", "-m", "1500")
    words = ["--qmp", str(one.path), "--on-panic", "preserve", "--coredump", "--dump-dir", str(folder)]
    watcher = watch(*words, "--progress", "0.01")
    watcher.until("connected")
    one.ask("human-monitor-command", **PANIC)
    watcher.until("progress")
    assert watcher.stop() == 0
    again = watch(*words, "--once")
    assert again.wait() == 0
    assert again.actions() == [("coredump", "done"), ("preserve", "kept")]
    assert [core.suffix for core in folder.glob("*.core*")] == [".core"]


@pytest.mark.processes
@pytest.mark.emulators
def test_a_reader_that_does_not_read(guest: Start, folder: Path, state: Path) -> None:
    """Guests are handled all the same; a reader that goes away ends the watcher."""
    one = guest("-device", "pvpanic", "-no-shutdown", "-name", "x" * 2000)
    read, write = os.pipe()
    fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 4096)
    words = ["watch", "--qmp", str(one.path), *PAUSE, "--state-dir", str(state)]
    with subprocess.Popen(
        [sys.executable, "-m", "onpanic", *words, "--hook", "true"], stdout=write
    ) as watcher:
        os.close(write)
        until(lambda: one.status == "running" and list(state.rglob("*.lock")))
        for number in range(1, 6):
            one.ask("human-monitor-command", **PANIC)
            until(lambda: any("finished" not in path.read_text() for path in state.rglob("*.json")))
            one.ask("cont")
            until(lambda: not list(state.rglob("*.json")))  # it has handled that, too
            assert one.events.count("GUEST_PANICKED") == number
        os.close(read)
        one.ask("human-monitor-command", **PANIC)
        assert watcher.wait(60) == 128 + signal.SIGPIPE


@pytest.mark.processes
def test_a_standby_that_is_stopped(watch: Watch) -> None:
    """By a signal, before it has acted."""
    words = ["--qmp", "/nowhere/monitor", *PAUSE]
    first = watch(*words)
    first.until("watching")
    second = watch(*words)
    second.until("standby")
    second.process.send_signal(signal.SIGHUP)
    second.until("reloaded")
    assert second.stop() == 0
    assert first.stop() == 0


@pytest.mark.processes
def test_systemd_accepts_the_sample_unit(unavailable: Callable[[str], NoReturn], tmp_path: Path) -> None:
    """It knows every line, and finds little that the service could do to the host."""
    program = shutil.which("systemd-analyze") or unavailable("no systemd-analyze here")
    unit = tmp_path / "onpanic-watch.service"
    text = (SAMPLES / unit.name).read_text()
    unit.write_text(text.replace("/usr/bin/onpanic", shutil.which("true") or "/bin/true"))
    verify = [program, "verify", "--man=no", str(unit)]  # no manual page is installed
    done = subprocess.run(verify, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    security = [program, "security", "--offline=true", "--threshold=20", str(unit)]
    done = subprocess.run(security, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout
