"""`onpanic watch` as an operator runs it: options, settings, reload, counters, the hook, systemd."""

import fcntl
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import tomllib
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from onpanic.watch.settings import Settings, read_settings

from .conftest import Watching
from .guests import until

pytestmark = pytest.mark.processes

Watch = Callable[..., Watching]
Run = Callable[..., subprocess.CompletedProcess[str]]
Start = Callable[..., Any]  # a `Guest` of tests/conftest.py

ROOT = Path(__file__).parent.parent.parent
SAMPLES = ROOT / "docs/samples/systemd"
PANIC = {"command-line": "o /b 0x505 1"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--connect", "nonsense:///x"], "libvirt: "),
        (["--connect", "test:///default"], "libvirt's driver TEST tells of no panics"),
        (["--on-panic", "pause"], "a policy on the command line goes with --qmp"),
        (["--qmp", "x"], "what is to be done when they panic?"),
        (["--qmp", "x", "--on-panic", "pause", "--connect", "y"], "--qmp is about guests without libvirt"),
        (["--qmp", "x", "--on-panic", "explode"], "refused: unknown-value"),
        (["--qmp", "x", "--on-panic", "crash"], "refused: crash-needs-xen"),
        (["--qmp", "x", "--on-panic", "ignore", "--coredump"], "refused: coredump-needs-action"),
        (["--qmp", "x", "--on-panic", "pause", "--on-crash", "pause"], "refused: unknown-on-crash"),
        (["--qmp", "x", "--on-panic", "pause", "--on-crash-coredump"], "refused: unknown-on-crash"),
        (["--qmp", "x", "--on-panic", "rename-restart"], "nobody else can start a guest"),
        (["--qmp", "localhost:0", "--on-panic", "pause"], "localhost:0: '0' is no port"),
        (["--qmp", "x", "--on-panic", "pause", "--config", "/nowhere"], "/nowhere: No such file"),
        (["--qmp", "x", "--on-panic", "pause", "--dumps", "0"], "settings: dumps has to be at least 1"),
        (["--qmp", "x", "--on-panic", "pause", "--metrics-file", "/nowhere/x.prom"], "/nowhere/x.prom: "),
        (["--qmp", "x", "--on-panic", "pause", "--metrics-listen", "nonsense"], "is no port"),
        (["--qmp", "x", "--on-panic", "pause", "--state-dir", "/proc/nowhere"], "/proc/nowhere"),
    ],
)
def test_what_makes_no_sense_is_said(words: list[str], message: str, onpanic: Run, tmp_path: Path) -> None:
    """A line for what, and one for what to do; nothing is watched."""
    state = [] if "--state-dir" in words else ["--state-dir", str(tmp_path)]
    done = onpanic("watch", "--once", *words, *state)
    lines = [line for line in done.stderr.splitlines() if not line.startswith("onpanic: hint: ")]
    assert (done.returncode, len(lines)) == (2, 1), done
    assert message in lines[0]
    assert done.stderr.count("\n") <= 2


@pytest.mark.emulators
def test_a_reload_loses_nothing(guest: Start, watch: Watch, tmp_path: Path) -> None:
    """Settings are read again; where they make no sense, those of before stand."""
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
    assert len(watcher.said("panicked")) == 1


@pytest.mark.emulators
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_everybody_is_told(number: int, guest: Start, watch: Watch, folder: Path) -> None:
    """The hook, Prometheus by file and by HTTP, and systemd, until it is stopped."""
    with socket.create_server(("localhost", 0)) as free:
        port = free.getsockname()[1]
    hook = folder / "hook"
    hook.write_text(
        '#!/bin/sh\necho "$ONPANIC_EVENT $ONPANIC_DOMAIN $ONPANIC_OUTCOME" >> "$0.log"\necho noise\n'
    )
    hook.chmod(0o755)
    one = guest("-device", "pvpanic", "-no-shutdown", "-name", "guest")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(folder / "notify"))
        systemd.settimeout(60)
        watcher = watch(
            *("--qmp", str(one.path), "--on-panic", "pause", "--hook", str(hook)),
            *("--metrics-file", str(folder / "x.prom"), "--metrics-listen", str(port)),
            NOTIFY_SOCKET=str(folder / "notify"),
        )
        assert systemd.recv(200).startswith(b"READY=1\n")
        one.ask("human-monitor-command", **PANIC)
        watcher.until("action", outcome="kept")
        panics = 'onpanic_panics_total{domain="guest",uuid=""} 1.0'
        with urllib.request.urlopen(f"http://localhost:{port}/metrics", timeout=60) as answer:
            assert panics in answer.read().decode()
        assert panics in (folder / "x.prom").read_text()
        watcher.process.send_signal(signal.SIGHUP)
        assert systemd.recv(200).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
        assert systemd.recv(200) == b"READY=1"
        watcher.process.send_signal(number)
        assert systemd.recv(200) == b"STOPPING=1"
    assert watcher.process.wait(60) == 0
    assert (folder / "hook.log").read_text() == "panicked guest \naction guest kept\n"
    assert "onpanic_watching 0.0" in (folder / "x.prom").read_text()
    assert watcher.errors() == "noise\n" * 2  # stdout is for lines


@pytest.mark.emulators
def test_lines_for_people_and_for_journald(guest: Start, onpanic: Run, tmp_path: Path) -> None:
    one = guest("-device", "pvpanic", "-no-shutdown", "-name", "guest")
    one.ask("human-monitor-command", **PANIC)
    words = ["watch", "--qmp", str(one.path), "--on-panic", "pause", "--once", "--state-dir", str(tmp_path)]
    lines = onpanic(*words).stdout.splitlines()
    form = re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (info|notice|warning)\s+[a-z]+( [a-z]+=.*)?")
    assert [line for line in lines if not form.fullmatch(line)] == []
    one.ask("cont")
    time.sleep(0.3)  # it runs while nobody watches
    one.ask("human-monitor-command", **PANIC)
    until(lambda: one.status == "guest-panicked")
    said = onpanic(*words, JOURNAL_STREAM="1:2").stdout.splitlines()
    assert '<4>panicked domain=guest policy=<on_panic>pause</on_panic> detail="found in that state"' in said


@pytest.mark.emulators
def test_a_stop_in_the_middle_of_a_dump_is_clean(guest: Start, watch: Watch, folder: Path) -> None:
    """It ends at once; the next watcher takes it up again, and there is one whole dump."""
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


@pytest.mark.emulators
def test_a_reader_who_does_not_read_holds_nothing_up(guest: Start, folder: Path, state: Path) -> None:
    """Guests are looked after all the same; a reader who goes away ends the watcher."""
    one = guest("-device", "pvpanic", "-no-shutdown", "-name", "x" * 2000)
    read, write = os.pipe()
    fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 4096)
    words = ["watch", "--qmp", str(one.path), "--on-panic", "pause", "--state-dir", str(state)]
    with subprocess.Popen(
        [sys.executable, "-m", "onpanic", *words, "--hook", "true"], stdout=write
    ) as watcher:
        os.close(write)
        until(lambda: one.status == "running" and list(state.rglob("*.lock")))
        for number in range(1, 6):
            one.ask("human-monitor-command", **PANIC)
            until(lambda: any("finished" not in path.read_text() for path in state.rglob("*.json")))
            one.ask("cont")
            until(lambda: not list(state.rglob("*.json")))  # it has seen that, too
            assert one.events.count("GUEST_PANICKED") == number
        os.close(read)
        one.ask("human-monitor-command", **PANIC)
        assert watcher.wait(60) == 128 + signal.SIGPIPE


def test_a_standby_that_is_stopped(watch: Watch) -> None:
    words = ["--qmp", "/nowhere/monitor", "--on-panic", "pause"]
    first = watch(*words)
    first.until("watching")
    second = watch(*words)
    second.until("standby")
    second.process.send_signal(signal.SIGHUP)
    second.until("reloaded")
    assert second.stop() == 0
    assert first.stop() == 0


def test_the_sample_settings_are_the_defaults(tmp_path: Path) -> None:
    """With a line for each, so that nobody has to look elsewhere."""
    sample = SAMPLES / "watch.toml"
    assert read_settings(sample, {}) == Settings()
    whole = tomllib.loads(re.sub(r"^#(?=[a-z-]+ =)", "", sample.read_text(), flags=re.MULTILINE))
    names = {name.replace("_", "-") for name in Settings.__struct_fields__}
    assert set(whole) == names - {"start"}  # that is for guests without libvirt


def test_systemd_takes_the_sample_unit(unavailable: Callable[[str], NoReturn], tmp_path: Path) -> None:
    """It knows every line, and finds little that the service could do to the host."""
    program = shutil.which("systemd-analyze") or unavailable("no systemd-analyze here")
    unit = tmp_path / "onpanic-watch.service"
    text = (SAMPLES / unit.name).read_text()
    unit.write_text(text.replace("/usr/bin/onpanic", shutil.which("true") or "/bin/true"))
    done = subprocess.run([program, "verify", str(unit)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    security = [program, "security", "--offline=true", "--threshold=20", str(unit)]
    done = subprocess.run(security, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
