"""`onpanic run` with a played QEMU: its process, its signals, its end."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Run
from .played_qemu import PlayedQemu, event, install

pytestmark = pytest.mark.processes
PANIC = event("GUEST_PANICKED", action="pause")
OFF = event("SHUTDOWN", guest=True, reason="guest-shutdown")
RESET = event("RESET", guest=True, reason="guest-reset")
CAUGHT = event("SHUTDOWN", guest=True, reason="guest-reset")
#: Has a process take its stdin for its terminal, and become the command that follows.
LEADER = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execvp(sys.argv[1], sys.argv[1:])
"""
Played = Callable[..., Run]


def started_with(folder: Path) -> list[str]:
    """Return the devices with which the guest was started at last."""
    options = json.loads((folder / "played.log").read_text().splitlines()[-1])
    return [value for name, value in zip(options, options[1:], strict=False) if name == "-device"]


def test_a_panic_has_a_status_of_its_own(played_run: Played, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    run = played_run(PlayedQemu(events=(PANIC,), status=5), "--report", str(report))
    status, _, err = run.end()
    assert status == 86, err
    assert "onpanic: the guest panicked" in err
    written = json.loads(report.read_text())
    assert (written["outcome"], written["emulator_status"]) == ("panicked", 5)


def test_a_report_that_cannot_be_written_hides_nothing(played_run: Played) -> None:
    status, _, err = played_run(PlayedQemu(events=(PANIC,)), "--report", "/dev/full").end()
    assert status == 86
    assert "onpanic: the guest panicked" in err
    assert "onpanic: no report: /dev/full: No space left on device" in err


def test_a_guest_that_ends_has_qemus_status(played_run: Played) -> None:
    """A device such as isa-debug-exit gives one."""
    assert played_run(PlayedQemu(events=(OFF,), status=7)).end() == (7, "began\n", "")


@pytest.mark.parametrize(
    ("takes", "devices"),
    [
        (["pvpanic", "pvpanic-pci", "vmcoreinfo"], ["pvpanic", "vmcoreinfo"]),
        (["pvpanic-pci", "vmcoreinfo"], ["pvpanic-pci", "vmcoreinfo"]),
        (["pvpanic"], ["pvpanic"]),
        (["vmcoreinfo"], ["vmcoreinfo"]),
        ([], []),
    ],
    ids=str,
)
def test_the_devices_that_the_machine_takes_are_added(
    takes: list[str], devices: list[str], played_run: Played, tmp_path: Path
) -> None:
    status, _, err = played_run(PlayedQemu(takes=takes, events=(PANIC,))).end()
    assert status == 86
    assert started_with(tmp_path) == devices
    assert ("takes no panic notifier" in err) == (not devices or devices == ["vmcoreinfo"])
    assert ("does not take vmcoreinfo" in err) == ("vmcoreinfo" not in devices)


def test_what_the_user_does_not_want_is_not_added(played_run: Played, tmp_path: Path) -> None:
    run = played_run(PlayedQemu(events=(OFF,)), "--no-notifier", "--no-vmcoreinfo")
    assert (run.end()[0], started_with(tmp_path)) == (0, [])


def test_what_the_user_has_is_not_added(played_run: Played, tmp_path: Path) -> None:
    command = (install(tmp_path), "-device", "pvpanic-pci")
    status, *_ = played_run(PlayedQemu(events=(OFF,)), "--no-vmcoreinfo", command=command).end()
    assert (status, started_with(tmp_path)) == (0, ["pvpanic-pci"])
    assert len((tmp_path / "played.log").read_text().splitlines()) == 1, "nothing was asked"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda n: n.name)
def test_a_signal_goes_to_qemu(number: signal.Signals, played_run: Played) -> None:
    """QEMU decides what it does, and its exit status counts."""
    run = played_run(PlayedQemu())
    run.wait_for("began")
    run.process.send_signal(number)
    assert run.end() == (0, f"ended by {number.name}\n", "")


def test_a_qemu_that_a_signal_has_ended(played_run: Played) -> None:
    """Its status is what a shell would say; what it reported before counts all the same."""
    assert played_run(PlayedQemu(dies=True)).end()[0] == 128 + signal.SIGKILL
    assert played_run(PlayedQemu(dies=True, events=(PANIC,))).end()[0] == 86


def test_a_qemu_that_does_not_end_is_killed(
    mark: str, survivors: Callable[[str], dict[int, str]], played_run: Played
) -> None:
    assert played_run(PlayedQemu(stubborn=True, events=(PANIC,))).end()[0] == 86
    assert survivors(mark) == {}


def test_nothing_is_left_if_it_is_killed(
    mark: str, survivors: Callable[[str], dict[int, str]], played_run: Played
) -> None:
    run = played_run(PlayedQemu(stubborn=True))
    run.wait_for("began")
    run.kill()
    assert survivors(mark) == {}


def test_what_a_wrapper_leaves_behind_is_ended(
    mark: str, survivors: Callable[[str], dict[int, str]], played_run: Played, tmp_path: Path
) -> None:
    wrapper = tmp_path / "wrapper"
    wrapper.write_text('#!/bin/sh\nsetsid sleep 600 >&- 2>&- &\n"$@"\nexit 9\n')
    wrapper.chmod(0o755)
    run = played_run(PlayedQemu(events=(OFF,)), command=(str(wrapper), install(tmp_path)))
    assert run.end()[0] == 9, "the wrapper's status is the command's"
    assert survivors(mark) == {}


def test_a_wrapper_that_passes_on_no_socket(played_run: Played, tmp_path: Path) -> None:
    command = ("env", install(tmp_path))
    status, _, err = played_run(PlayedQemu(closes=True), command=command).end()
    assert status == 1
    assert "if env does not pass it on" in err


def test_a_guest_that_takes_too_long(played_run: Played) -> None:
    status, _, err = played_run(PlayedQemu(), "--timeout", "0.5").end()
    assert status == 124
    assert "--timeout" in err


def test_a_command_that_never_becomes_qemu(played_run: Played, tmp_path: Path) -> None:
    """The time is over for it as well."""
    wrapper = tmp_path / "wrapper"
    wrapper.write_text('#!/bin/sh\ncase "$*" in *stdio*) exec "$@";; esac\nsleep 600\n')
    wrapper.chmod(0o755)
    command = (str(wrapper), install(tmp_path))
    assert played_run(PlayedQemu(), "--timeout", "0.5", command=command).end()[0] == 124


def test_a_qemu_without_a_machine_may_not_run_for_ever(begin: Callable[..., Run], tmp_path: Path) -> None:
    path = tmp_path / "qemu-system-x86_64"
    path.write_text("#!/bin/sh\nexec sleep 600\n")
    path.chmod(0o755)
    assert begin("--timeout", "0.1", "--", str(path), "-machine", "none").end()[0] == 124


def test_a_guest_that_resets_itself_in_a_loop(played_run: Played) -> None:
    status, _, err = played_run(PlayedQemu(events=(RESET, RESET, RESET, RESET)), "--resets", "4").end()
    assert status == 87
    assert "resets itself in a loop: 4 times" in err


def test_a_crash_kernel_is_waited_for(played_run: Played) -> None:
    crashload = event("GUEST_CRASHLOADED", action="run")
    status, _, err = played_run(PlayedQemu(events=(crashload, RESET))).end()
    assert status == 86
    assert "its crash kernel takes over" in err


def test_a_guest_that_goes_on_after_its_panic(played_run: Played) -> None:
    """Its command says so; the status tells of the panic when QEMU ends."""
    run = played_run(PlayedQemu(events=(event("GUEST_PANICKED", action="run"), OFF)))
    assert run.end()[0] == 86


def test_a_guest_that_panicked_can_be_kept(played_run: Played) -> None:
    run = played_run(PlayedQemu(events=(PANIC,)), "--keep")
    assert run.process.stderr
    assert "is kept" in next(iter(run.process.stderr))
    run.process.send_signal(signal.SIGTERM)
    assert run.end()[0] == 86


def test_an_error_of_qemus_is_told(played_run: Played) -> None:
    """It waits for its user, as it would without us."""
    run = played_run(PlayedQemu(events=(event("STOP"),), state="internal-error"))
    assert run.process.stderr
    assert "internal-error" in next(iter(run.process.stderr))
    run.process.send_signal(signal.SIGTERM)
    assert run.end()[0] == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "requires a command"),
        (["--", "./script"], "names QEMU"),
        (["--", "qemu-system-x86_64", "-daemonize"], "-daemonize"),
        (["--dump", "/nowhere/dump", "--", "qemu-system-x86_64"], "/nowhere"),
        (["--report", "/", "--", "qemu-system-x86_64"], "is a folder"),
        (["--", "/nowhere/qemu-system-x86_64"], "/nowhere"),
    ],
    ids=str,
)
def test_what_cannot_run(words: list[str], said: str, begin: Callable[..., Run]) -> None:
    """Status 2, and what to do."""
    status, out, err = begin(*words).end()
    assert (status, out) == (2, "")
    assert said in err
    assert "hint: " in err


def test_the_terminal_stays_qemus(tmp_path: Path) -> None:
    """Ctrl-C reaches QEMU from the terminal, once, and the terminal's settings come back."""
    played = PlayedQemu()
    controller, terminal = os.openpty()
    command = [sys.executable, "-m", "onpanic", "run", "--", install(tmp_path)]
    run = subprocess.Popen(
        [sys.executable, "-c", LEADER, *command],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
        env=played.environment(tmp_path),
    )
    os.close(terminal)
    try:
        said = b""
        while b"began" not in said:
            said += os.read(controller, 1000)
        os.write(controller, b"\x03")
        assert run.wait(30) == 0
        deadline = time.monotonic() + 30
        while b"SIGINT" not in said and time.monotonic() < deadline:
            said += os.read(controller, 1000)
        assert said.count(b"ended by SIGINT") == 1
    finally:
        run.kill()
        run.wait(30)
        os.close(controller)
