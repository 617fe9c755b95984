"""Guests without libvirt: a watcher at the monitors of real QEMUs whose guests panic."""

import json
import random
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from onpanic.probe.testing import QEMU_1_5, QEMU_1_7, Fault, PlayedEmulator

from ..running.guest import Guest
from ..running.linux_kernels import READY, Linux
from . import panicking_guests as guests
from .conftest import WatchProcess
from .panicking_guests import until

pytestmark = [pytest.mark.emulators, pytest.mark.processes]

Start = Callable[..., Guest]
Watch = Callable[..., WatchProcess]
Run = Callable[..., subprocess.CompletedProcess[str]]

PANIC = ["-device", "pvpanic", "-no-shutdown"]
VALUES = ["ignore", "restart", "destroy", "preserve", "pause"]
COREDUMPS = [[], ["--coredump"]]
STAY = ("preserve", "pause")


@pytest.fixture
def counting(guest: Start, folder: Path) -> Callable[..., Guest]:
    """Return a function that starts a guest which counts, panics and, once continued, counts on."""

    def start(*options: str) -> Guest:
        disk = guests.disk(folder / "disk", guests.counts())
        return guest(*PANIC, *disk, "-serial", f"file:{folder}/said", *options)

    return start


@pytest.fixture
def panicking(guest: Start, folder: Path) -> Callable[..., Guest]:
    """Return a function that starts a guest which panics, and halts after a reset."""

    def start(*options: str) -> Guest:
        return guest(*PANIC, *guests.disk(folder / "disk", guests.panics()), *options)

    return start


def cores(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.core*"))


@pytest.mark.parametrize("first", ["watcher", "panic"])
@pytest.mark.parametrize("coredump", COREDUMPS, ids=["", "coredump"])
@pytest.mark.parametrize("value", VALUES)
def test_a_policy_is_carried_out(
    value: str, coredump: list[str], first: str, counting: Start, watch: Watch, folder: Path
) -> None:
    """Whether the guest panics before the watcher starts or afterwards."""
    if value == "ignore" and coredump:
        return
    one = counting("-S", "-name", "guest")
    if first == "panic":
        one.ask("cont")
        until(lambda: one.status == "guest-panicked")
    options = ["--start-limit", "1", "--dump-dir", str(folder)]
    watcher = watch("--qmp", str(one.path), "--on-panic", value, *coredump, *options)
    watcher.until("connected", domain="guest")
    if first == "watcher":
        one.ask("cont")
    steps: list[tuple[str, str]] = [("coredump", "done")] if coredump else []
    if value in STAY:
        watcher.until("action", action=value, outcome="kept")
        assert one.status == "guest-panicked"
        steps.append((value, "kept"))
    elif value == "destroy":
        watcher.until("action", action="destroy", outcome="done")
        assert one.process.wait(60) == 0
        steps.append(("destroy", "done"))
    elif value == "ignore":
        guests.wait_for_text(folder / "said", "abcdef")  # it goes on from where it was
        watcher.until("action")
        steps.append(("ignore", "done") if first == "watcher" else ("continue", "done"))
    else:
        watcher.until("action", outcome="start-limit-hit")
        guests.wait_for_text(folder / "said", "abcabc")  # it begins anew
        steps += [("restart", "done"), ("restart", "start-limit-hit")]
    assert watcher.actions() == steps
    assert watcher.stop() == 0
    found = cores(folder)
    assert len(found) == len(coredump)
    for core in found:
        assert core.suffix == ".core"
        assert guests.elf_notes(core) == ["CORE", "QEMU"]
        assert guests.complete(core)
        assert guests.memory(core, guests.COUNT, 8) == guests.COUNT_AT_PANIC.to_bytes(8, "little")


def test_a_guest_that_goes_on_after_a_pause(
    counting: Start, watch: Watch, folder: Path, onpanic: Run
) -> None:
    """`onpanic resume` continues it, and the next panic is a new one."""
    one = counting()
    watcher = watch("--qmp", str(one.path), "--on-panic", "pause", "--coredump", "--dump-dir", str(folder))
    watcher.until("action", action="pause", outcome="kept")
    done = onpanic("resume", "--qmp", f"localhost:{one.port}")
    assert done.stdout == "continued: was guest-panicked, is running\n"
    guests.wait_for_text(folder / "said", "abcdef")
    watcher.until("over")
    time.sleep(1.1)  # a panic right after it was continued may be another notifier's report
    one.ask("human-monitor-command", **{"command-line": "o /b 0x505 1"})
    watcher.until("action", action="pause", outcome="kept", times=2)
    assert len(watcher.logged("panicked")) == 2
    assert len(cores(folder)) in (1, 2)  # named by the second


@pytest.mark.parametrize("value", ["destroy", "restart", "preserve", ""])
@pytest.mark.parametrize("coredump", COREDUMPS, ids=["", "coredump"])
def test_an_internal_error_is_covered_by_on_crash(
    value: str, coredump: list[str], guest: Start, watch: Watch, folder: Path
) -> None:
    """The action is taken, or none without <on_crash>."""
    if coredump and not value:
        return
    one = guest(*guests.internal_error(guest, folder), "-name", "guest")
    until(lambda: one.status == "internal-error")
    on_crash = ["--on-crash", value, *(["--on-crash-coredump"] if coredump else [])] if value else []
    watcher = watch("--qmp", str(one.path), "--on-panic", "ignore", *on_crash, "--dump-dir", str(folder))
    watcher.until("internal-error")
    if value == "destroy":
        assert one.process.wait(60) == 0
    elif value == "restart":
        until(lambda: one.status == "running")
    else:
        watcher.until("action", action=value or "nothing", outcome="kept")
        assert one.status == "internal-error"
    watcher.until("action", times=1 + len(coredump))
    watcher.stop()
    assert [guests.elf_notes(core) for core in cores(folder)] == [["CORE", "QEMU"]] * len(coredump)


def test_a_crash_kernel_is_not_disturbed(guest: Start, watch: Watch, folder: Path) -> None:
    """The event is logged, and nothing is done."""
    disk = guests.disk(folder / "disk", guests.crashloads())
    one = guest(*PANIC, *disk, "-S")
    watcher = watch("--qmp", str(one.path), "--on-panic", "destroy")
    watcher.until("connected")
    one.ask("cont")
    watcher.until("crashloaded")
    assert one.status == "running"
    assert watcher.logged("action") == []


def test_the_reason_of_an_s390x_guest(
    debian_emulator: Callable[..., list[str]], watch: Watch, folder: Path
) -> None:
    """The log has what the CPU reports."""
    emulator = guests.with_folder(debian_emulator("trixie", "qemu-system-s390x"), folder)
    options = ["-accel", "tcg", "-display", "none", "-nodefaults", "-m", "16", "-S"]
    monitor = ["-qmp", f"unix:{folder}/monitor,server=on,wait=off", "-qmp", "stdio"]
    with subprocess.Popen(
        [*emulator, *options, *monitor, *guests.s390x(folder / "kernel")],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    ) as process:
        try:
            watcher = watch("--qmp", f"{folder}/monitor", "--on-panic", "pause")
            watcher.until("connected")
            assert process.stdin
            process.stdin.write(b'{"execute": "qmp_capabilities"}{"execute": "cont"}\n')
            process.stdin.flush()
            panic = watcher.until("panicked")
            words = "s390 core=0 psw-addr=0xdead psw-mask=0x2000180000000 reason=disabled-wait"
            assert sorted(panic["detail"].split()) == sorted(words.split())
            assert (panic["panic"], panic["code"]) == ("s390", "disabled-wait")
        finally:
            process.kill()


def test_a_real_linux(guest: Start, watch: Watch, folder: Path, linux: Linux) -> None:
    """It panics, is explained and dumped, and boots again."""
    log = folder / "serial.log"
    one = guest(*PANIC, "-device", "vmcoreinfo", *linux.options(folder))
    words = ["--on-panic", "restart", "--coredump", "--dump-dir", str(folder), "--why-timeout", "60"]
    watcher = watch("--qmp", str(one.path), *words)
    guests.wait_for_text(log, READY)
    guests.send_command(folder / "serial", "panic")
    watcher.until("action", action="restart", outcome="done")
    guests.wait_for_text(log, READY, times=2)
    assert watcher.stop() == 0
    (core,) = cores(folder)
    assert guests.elf_notes(core) == ["CORE", "QEMU", "VMCOREINFO"]
    (said,) = watcher.logged("why")
    assert (said["kind"], said["reason"], said["why"]) == (
        "sysrq",
        "sysrq triggered crash",
        str(folder / f"{core.stem}.why.txt"),
    )
    assert "Kernel panic - not syncing: sysrq triggered crash" in Path(said["why"]).read_text("utf-8")
    assert guests.complete(core)
    assert b"Linux version" in core.read_bytes()


STARTER = """\
#!{python}
import os, subprocess, sys
assert os.environ["ONPANIC_DOMAIN"] == "guest"
with open({log!r}, "a") as log:
    log.write(os.environ["ONPANIC_NEW_NAME"] + "\\n")
command = {command!r} + ["-name", os.environ["ONPANIC_NEW_NAME"], "-daemonize", "-pidfile", {pid!r}]
subprocess.run(command, check=True)
"""


@pytest.fixture
def renewed(folder: Path) -> Any:
    """Return a function that writes a start command for a guest like another one; end what it has started."""
    log, pid, program = folder / "names", folder / "pid", folder / "starter"

    def starter(one: Guest) -> str:
        words = one.process.args
        assert isinstance(words, list)
        command = [word for word in words if word not in ("-name", "guest")]
        program.write_text(STARTER.format(python=sys.executable, log=str(log), command=command, pid=str(pid)))
        program.chmod(0o755)
        return shlex.quote(str(program))

    yield starter
    if pid.exists():
        subprocess.run(["kill", "-9", pid.read_text().strip()], check=False, timeout=60)


@pytest.mark.parametrize("coredump", COREDUMPS, ids=["", "coredump"])
def test_a_guest_is_started_by_the_start_command(
    coredump: list[str], panicking: Start, renewed: Any, watch: Watch, folder: Path
) -> None:
    """It has another name then, and the same address."""
    one = panicking("-name", "guest", "-S")
    options = ["--start", renewed(one), "--dump-dir", str(folder), "--start-limit", "1"]
    watcher = watch("--qmp", str(one.path), "--on-panic", "rename-restart", *coredump, *options)
    watcher.until("connected")
    one.ask("cont")
    assert one.process.wait(60) == 0
    watcher.until("action", action="start", outcome="done")
    watcher.until("connected", domain="guest-restart-1")
    assert (folder / "names").read_text() == "guest-restart-1\n"
    dumped = [("coredump", "done")] if coredump else []
    steps = [("destroy", "done"), ("rename", "done"), ("start", "done")]
    assert watcher.actions() == [*dumped, *steps]


@pytest.mark.parametrize("number", range(2))
@pytest.mark.parametrize(
    ("value", "coredump"),
    [("restart", True), ("destroy", True), ("preserve", True), ("rename-restart", True)],
)
def test_killed_at_any_moment_it_ends_the_same(
    value: str, coredump: bool, number: int, panicking: Start, renewed: Any, watch: Watch, folder: Path
) -> None:
    """The watcher is killed several times, at random moments, until one may finish."""
    chance = random.Random(f"{value}{number}")
    one = panicking("-name", "guest", "-m", "64", "-S")  # nor does the next one run by itself
    one.ask("cont")
    options = ["--qmp", str(one.path), "--on-panic", value, "--dump-dir", str(folder), "--coredump"]
    options += ["--start", renewed(one)] if value == "rename-restart" else []
    for _ in range(4):
        watcher = watch(*options)
        watcher.until("watching")
        time.sleep(chance.uniform(0, 0.15))
        watcher.kill()
    done = watch(*options, "--once")
    # An earlier watcher may have done all; whether a guest should be where nothing listens is not known then
    assert done.wait() in ((0, 2) if value == "destroy" else (0,))
    if value == "preserve":
        assert one.status == "guest-panicked"
    elif value == "restart":
        assert one.status == "running"
        assert one.events.count("RESET") >= 1
    else:
        assert one.process.wait(60) == 0
    if value == "rename-restart":
        names = (folder / "names").read_text().splitlines()
        assert set(names) == {"guest-restart-1"}
        with socket.socket(socket.AF_UNIX) as channel:
            channel.connect(str(one.path))
    assert len(cores(folder)) == 1
    assert guests.complete(cores(folder)[0])
    assert cores(folder)[0].suffix == ".core"


def test_two_watchers_do_not_act_twice(panicking: Start, watch: Watch, folder: Path) -> None:
    """The second stands by, and acts when the first is killed."""
    one = panicking("-S")
    options = ["--qmp", str(one.path), "--on-panic", "preserve", "--coredump", "--dump-dir", str(folder)]
    first = watch(*options)
    first.until("connected")
    second = watch(*options)
    second.until("standby")
    one.ask("cont")
    first.until("action", action="preserve", outcome="kept")
    assert [line["event"] for line in second.lines] == ["watching", "standby"]
    first.kill()
    second.until("connected")
    assert second.stop() == 0
    assert second.logged("action") == []
    assert len(cores(folder)) == 1


def test_two_watchers_of_different_guests_are_independent(
    panicking: Start, watch: Watch, folder: Path
) -> None:
    """Neither stands by."""
    other = watch("--qmp", str(folder / "another"), "--on-panic", "pause")
    other.until("waiting")
    one = panicking()
    watcher = watch("--qmp", str(one.path), "--on-panic", "pause")
    watcher.until("action", outcome="kept")
    assert watcher.logged("standby") == other.logged("standby") == []


@pytest.mark.parametrize("options", [["-action", "panic=pause"], ["-no-shutdown"]], ids=" ".join)
def test_a_guest_that_may_not_reboot_is_restarted(
    options: list[str], guest: Start, watch: Watch, folder: Path
) -> None:
    """-no-reboot would end it, or leave it in the shutdown state."""
    disk = guests.disk(folder / "disk", guests.panics())
    one = guest("-device", "pvpanic", "-no-reboot", *options, *disk, "-S")
    watcher = watch("--qmp", str(one.path), "--on-panic", "restart")
    watcher.until("connected")
    one.ask("cont")
    watcher.until("action", action="restart", outcome="done")
    assert one.status == "running"
    assert "reboot is reset, and stays so" in watcher.logged("qemu-action")[0]["detail"]
    assert watcher.stop() == 0
    one.ask("system_reset")
    one.ask("query-status")
    assert "SHUTDOWN" not in one.events


@pytest.mark.parametrize("policy", ["pause", "ignore"])
@pytest.mark.parametrize("end", ["stop", "once", "kill"])
def test_qemus_own_action_is_given_back(
    end: str, policy: str, counting: Start, watch: Watch, folder: Path
) -> None:
    """A guest of CI ends with its panic as before, once no watcher watches it any more."""
    one = counting("-S", "-name", "guest", "-action", "panic=exit-failure,shutdown=poweroff")
    words = ["--qmp", str(one.path), "--on-panic", policy]
    if end == "kill":
        killed = watch(*words)
        killed.until("connected")
        killed.until("qemu-action")
        killed.kill()
        words[-1] = "pause" if policy == "ignore" else "ignore"  # the next one has another policy
    watcher = watch(*words, *(["--once"] if end == "once" else []))
    changed = watcher.until("qemu-action", times=1)
    assert "it was exit-failure" in changed["detail"]
    assert (watcher.wait() if end == "once" else watcher.stop()) == 0
    assert watcher.logged("qemu-action")[-1]["detail"] == "QEMU's action on a panic is exit-failure again"
    one.ask("cont")
    assert one.process.wait(60) == 1


def test_an_action_that_fits_the_policy_is_not_changed(counting: Start, watch: Watch) -> None:
    """But set, since a watcher that was killed may have left another one."""
    one = counting("-S", "-name", "guest")
    killed = watch("--qmp", str(one.path), "--on-panic", "ignore")
    killed.until("qemu-action")
    killed.kill()
    watcher = watch("--qmp", str(one.path), "--on-panic", "pause")
    watcher.until("connected")
    one.ask("cont")
    watcher.until("action", action="pause", outcome="kept")
    assert watcher.stop() == 0
    assert watcher.logged("qemu-action") == []


def test_an_action_that_is_not_known_stays(counting: Start, watch: Watch) -> None:
    """The process at the other end of a TCP connection cannot be seen; a line says so."""
    one = counting("-S", "-action", "panic=exit-failure,shutdown=poweroff")
    watcher = watch("--qmp", f"localhost:{one.port}", "--on-panic", "preserve")
    assert "what it was is not known" in watcher.until("qemu-action")["detail"]
    one.ask("cont")
    watcher.until("action", action="preserve", outcome="kept")
    assert watcher.stop() == 0
    assert len(watcher.logged("qemu-action")) == 1


def test_a_qemu_without_actions_that_may_not_reboot(
    debian_emulator: Callable[..., list[str]], watch: Watch, folder: Path
) -> None:
    """The restart has failed: its reset is a shutdown, and `cont` goes on with the guest as it was."""
    emulator = guests.with_folder(debian_emulator("bullseye"), folder)
    options = ["-display", "none", "-nodefaults", "-m", "16", "-device", "pvpanic", "-no-reboot"]
    monitor = ["-no-shutdown", "-qmp", f"unix:{folder}/monitor,server=on,wait=off"]
    with subprocess.Popen(
        [*emulator, *options, *monitor, *guests.disk(folder / "disk", guests.panics_for_ever())],
        stdin=subprocess.DEVNULL,
    ) as process:
        try:
            watcher = watch("--qmp", f"{folder}/monitor", "--on-panic", "restart")
            failed = watcher.until("action", action="restart", outcome="failed")
            assert "-no-reboot" in failed["detail"]
            assert watcher.logged("action", outcome="done") == []
        finally:
            process.kill()


def test_an_emulator_that_comes_and_goes(guest: Start, watch: Watch, folder: Path) -> None:
    """It need not run when the watcher starts, and may be replaced."""
    watcher = watch("--qmp", str(folder / "asked"), "--on-panic", "pause")
    assert "No such file" in watcher.until("waiting")["detail"]
    for times in (1, 2):
        one = guest(*PANIC)
        watcher.until("connected", times=times)
        one.ask("human-monitor-command", **{"command-line": "o /b 0x505 1"})
        watcher.until("action", outcome="kept", times=times)
        one.end()
        watcher.until("disconnected", times=times)


def test_progress_of_a_large_dump(guest: Start, watch: Watch, folder: Path) -> None:
    """It is logged while it is made."""
    one = guest(*PANIC, "-m", "1500")
    options = ["--dump-dir", str(folder), "--progress", "0.05"]
    watcher = watch("--qmp", str(one.path), "--on-panic", "preserve", "--coredump", *options)
    watcher.until("connected")
    one.ask("human-monitor-command", **{"command-line": "o /b 0x505 1"})
    watcher.until("action", action="coredump", outcome="done")
    steps = [(line["done"], line["total"]) for line in watcher.logged("progress")]
    assert steps
    assert steps == sorted(steps)
    assert all(0 <= done <= total for done, total in steps)


@pytest.mark.parametrize("folder_of_dumps", ["/nowhere", "full"])
def test_a_dump_without_space(folder_of_dumps: str, watch: Watch, folder: Path) -> None:
    """The guest stays as it is, QEMU's message is logged, and no incomplete file is left."""
    dumps = folder / "dumps"
    dumps.mkdir()
    small = ["bwrap", "--dev-bind", "/", "/", "--size", str(1 << 20), "--tmpfs", str(dumps)]
    emulator = folder / "emulator"
    emulator.write_text(f'#!/bin/sh\nexec {shlex.join(small)} --die-with-parent qemu-system-x86_64 "$@"\n')
    emulator.chmod(0o755)
    one = Guest(str(emulator), folder, *PANIC)
    try:
        where = str(dumps) if folder_of_dumps == "full" else folder_of_dumps
        watcher = watch("--qmp", str(one.path), "--on-panic", "destroy", "--coredump", "--dump-dir", where)
        watcher.until("connected")
        one.ask("human-monitor-command", **{"command-line": "o /b 0x505 1"})
        failed = watcher.until("action", action="coredump", outcome="failed")
        assert failed["level"] == "error"
        words = "No space left on device" if folder_of_dumps == "full" else "No such file or directory"
        assert words in failed["detail"]
        assert one.status == "guest-panicked"
        assert watcher.stop() == 0
        assert list(dumps.iterdir()) == []
    finally:
        one.end()


# Emulators that fail, and old ones


@pytest.mark.parametrize("emulator", [QEMU_1_7, QEMU_1_5], ids=["1.7", "1.5"])
def test_old_emulators(
    emulator: PlayedEmulator, played: Callable[[PlayedEmulator], str], watch: Watch
) -> None:
    """A panic is ignored where `cont` is accepted; where it is not, QEMU's message is logged."""
    watcher = watch("--qmp", played(emulator.but(run_state="guest-panicked")), "--on-panic", "ignore")
    watcher.until("panicked")
    done = watcher.until("action", action="continue")
    if emulator is QEMU_1_7:
        assert done["outcome"] == "done"
    else:
        assert done["outcome"] == "failed"
        assert "Resetting the Virtual Machine is required" in done["detail"]


@pytest.mark.parametrize("kind", ["hang", "exit", "hang-up", "silence", "junk", "wrong-shape"])
@pytest.mark.parametrize("at", ["query-name", "query-status", "cont"])
def test_a_monitor_that_fails_does_not_affect_others(
    kind: str, at: str, played: Callable[[PlayedEmulator], str], guest: Start, watch: Watch
) -> None:
    """The other guest is still watched."""
    one = guest(*PANIC)
    bad = played(QEMU_1_7.but(run_state="guest-panicked", fault=Fault(kind, at=at)))
    watcher = watch("--qmp", bad, str(one.path), "--on-panic", "pause")
    watcher.until("connected", domain=str(one.path))
    one.ask("human-monitor-command", **{"command-line": "o /b 0x505 1"})
    watcher.until("action", domain=str(one.path), outcome="kept")
    assert watcher.stop() == 0


# Many


class PlayedMonitors:
    """Many played guests in a process of their own."""

    def __init__(self, folder: Path, number: int) -> None:
        self.program = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("played_monitor.py")), str(folder), str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.program.stdout
        assert self.program.stdout.readline() == "ready\n"
        self.addresses = [f"{folder}/{index}" for index in range(number)]

    def ask(self, word: str) -> Any:
        assert self.program.stdin
        assert self.program.stdout
        self.program.stdin.write(word + "\n")
        self.program.stdin.flush()
        return json.loads(self.program.stdout.readline())


def test_a_hundred_panics_at_once(watch: Watch, folder: Path) -> None:
    """Of 200 guests, a hundred panic: none is missed, and none is continued twice."""
    played = PlayedMonitors(folder, 200)
    try:
        watcher = watch("--qmp", *played.addresses, "--on-panic", "ignore")
        watcher.until("connected", times=200)
        played.ask("panic 100")
        watcher.until("action", times=100, outcome="done")
        assert played.ask("counts") == [1] * 100 + [0] * 100
        assert watcher.stop() == 0
        assert len(watcher.logged("panicked")) == 100
        assert len(watcher.logged("action")) == 100
    finally:
        played.program.kill()
        played.program.communicate(timeout=60)
