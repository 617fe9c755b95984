"""No emulator survives: not an error, not Ctrl-C, not SIGKILL of the command, not a wrapper's tricks."""

import asyncio
import contextlib
import gc
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

import pytest

from onpanic.probe import CapabilityRecord, EmulatorError, aprobe, probe
from onpanic.probe.emulator.process import EmulatorProcess
from onpanic.probe.emulator.reaper import Reaper
from onpanic.probe.testing import QEMU_7_2, Fault

pytestmark = pytest.mark.processes

Found = dict[int, str]
Find = Callable[[str], Found]
TRICKS = ("none", "script", "env -i", "setsid -w", "setsid", "env -i setsid")


def executable(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def hanging(mark: str) -> list[str]:
    """Return an emulator that hangs and ignores signals, with its mark in its command line."""
    return QEMU_7_2.but(stubborn=True, package=mark).failing(Fault("hang")).command()


def wrapped(trick: str, command: list[str], folder: Path) -> list[str]:
    if trick == "none":
        return command
    if trick == "script":
        return [executable(folder / "wrapper", f'{shlex.join(command)} "$@"\nexit 3')]
    return [*trick.split(), *command]


def start(*words: str) -> subprocess.Popen[bytes]:
    """Start the command in a new process group, as a shell does."""
    return subprocess.Popen(
        [sys.executable, "-m", "onpanic", "probe", "--timeout", "60", "--", *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        process_group=0,
    )


def end(onpanic: subprocess.Popen[bytes], number: int) -> str:
    """End the command with a signal; Ctrl-C twice, as Python can lose one before the command's first line."""
    for seconds in (3, 60) if number == signal.SIGINT else (60,):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(onpanic.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            return onpanic.communicate(timeout=seconds)[1].decode()
    onpanic.kill()
    raise AssertionError(onpanic.communicate(timeout=60)[1].decode())


def ignores_sigterm(pid: int) -> bool:
    """Return whether a process ignores SIGTERM, as a stubborn played emulator does once it runs."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    ignored = next(int(line.split()[1], 16) for line in status.splitlines() if line.startswith("SigIgn"))
    return bool(ignored >> (signal.SIGTERM - 1) & 1)


def await_emulator(
    found: Callable[[], Found], is_it: Callable[[int], bool], has_ended: Callable[[], bool]
) -> None:
    """Wait until an emulator runs, or what should start it has ended."""
    while not has_ended() and not any(map(is_it, found())):
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("number", "trick"),
    [
        *product(["SIGINT", "SIGTERM", "SIGKILL"], TRICKS),
        *product(["SIGHUP", "SIGQUIT"], ["env -i", "setsid -w"]),
    ],
)
def test_no_emulator_survives_the_command(
    number: str, trick: str, mark: str, tmp_path: Path, processes: Find, survivors: Find
) -> None:
    onpanic = start(*wrapped(trick, hanging(mark), tmp_path))
    await_emulator(lambda: processes(mark), ignores_sigterm, lambda: onpanic.poll() is not None)
    stderr = end(onpanic, signal.Signals[number])
    assert survivors(mark) == {}
    assert [line for line in stderr.splitlines() if not line.startswith("onpanic: ")] == []


@pytest.mark.parametrize("number", ["SIGTERM", "SIGINT", "SIGKILL"])
def test_no_emulator_survives_a_signal_at_any_moment(
    number: str, mark: str, tmp_path: Path, survivors: Find
) -> None:
    """Also while it is being started: the moments are spread over the command's start."""
    for moment in range(5):
        onpanic = start("setsid", "-w", *hanging(mark))
        with contextlib.suppress(subprocess.TimeoutExpired):
            onpanic.wait(0.03 + 0.04 * moment)
        end(onpanic, signal.Signals[number])
    assert survivors(mark) == {}


# Comes with the first import after the emulator's start, in a place where Python drops exceptions
LOST = """
import os, signal, sys
from onpanic.cli import console

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "onpanic.probe.asking.starts":
            Dropped()

class Dropped:
    def __del__(self):
        os.kill(os.getpid(), NUMBER)

sys.meta_path.insert(0, Finder())
console()
"""


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_no_signal_is_lost(number: str, mark: str, survivors: Find) -> None:
    """An exception that a signal handler raises in a finaliser is lost; the signal must not be."""
    code = LOST.replace("NUMBER", f"signal.{number}")
    words = [sys.executable, "-c", code, "probe", "--timeout", "60", "--", *hanging(mark)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode in (128 + signal.Signals[number], -signal.Signals[number])
    assert (done.stdout, done.stderr) == ("", "")
    assert survivors(mark) == {}


# Killed as soon as the emulator runs, before anything else is known of it
KILLED = """
import os, signal, subprocess, sys, time
from onpanic.cli import console

class Popen(subprocess.Popen):
    def __init__(self, argv, **options):
        super().__init__(argv, **options)
        if "-i" in argv:
            time.sleep(1)
            os.kill(os.getpid(), signal.SIGKILL)

subprocess.Popen = Popen
console()
"""


def test_an_emulator_without_a_mark_does_not_survive_its_start(mark: str, survivors: Find) -> None:
    """The reaper knows it before its process group is known."""
    words = [sys.executable, "-c", KILLED, "probe", "--timeout", "60", "--", "env", "-i", *hanging(mark)]
    done = subprocess.run(words, capture_output=True, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    assert survivors(mark) == {}


@pytest.mark.parametrize("fault", [None, Fault("exit"), Fault("exit", "cont")], ids=str)
def test_a_child_that_let_go_of_the_pipes_does_not_survive(
    fault: Fault | None, mark: str, tmp_path: Path, survivors: Find
) -> None:
    emulator = QEMU_7_2 if fault is None else QEMU_7_2.failing(fault)
    daemon = f"setsid sleep 1000 </dev/null >/dev/null 2>&1 &\nexec {shlex.join(emulator.command())}"
    with contextlib.suppress(EmulatorError):
        probe(executable(tmp_path / "wrapper", f'{daemon} "$@"'))
    assert survivors(mark) == {}


def test_the_reaper_needs_no_path(mark: str, processes: Find, survivors: Find) -> None:
    """It runs other programs, and the PATH may have others with their names."""
    words = [sys.executable, "-m", "onpanic", "probe", "--timeout", "60", "--", "/usr/bin/setsid", "-w"]
    onpanic = subprocess.Popen([*words, *hanging(mark)], env={**os.environ, "PATH": "/nowhere"})
    await_emulator(lambda: processes(mark), ignores_sigterm, lambda: onpanic.poll() is not None)
    onpanic.kill()
    onpanic.wait(60)
    assert survivors(mark) == {}


@pytest.mark.emulators
@pytest.mark.parametrize("way", ["exec", "group", "session"])
def test_no_real_qemu_survives_sigkill(
    way: str, mark: str, tmp_path: Path, processes: Find, survivors: Find
) -> None:
    """A script starts QEMU: it becomes QEMU, or runs it in its process group or in another session."""
    qemu = f"qemu-system-x86_64 -name {mark} -S -machine none -display none -monitor none"
    line = {
        "exec": f"sleep 1000 &\nexec {qemu}",
        "group": f"{qemu} </dev/null &\nsleep 1000",
        "session": f"setsid {qemu} </dev/null &\nsleep 1000",
    }[way]
    onpanic = start(executable(tmp_path / "wrapper", line))

    def is_qemu(pid: int) -> bool:
        with contextlib.suppress(OSError):
            return Path(f"/proc/{pid}/exe").readlink().name.startswith("qemu-system")
        return False

    await_emulator(lambda: processes(mark), is_qemu, lambda: onpanic.poll() is not None)
    end(onpanic, signal.SIGKILL)
    assert survivors(mark) == {}


@pytest.mark.emulators
@pytest.mark.parametrize("trick", ["setsid", "env -i setsid"])
def test_a_real_qemu_that_left_its_starter_does_not_survive(trick: str, mark: str, survivors: Find) -> None:
    with contextlib.suppress(EmulatorError):
        probe([*trick.split(), "qemu-system-x86_64", "-name", mark])
    assert survivors(mark) == {}


@pytest.mark.parametrize("times", [1, 2])
async def test_a_probe_that_is_cancelled_leaves_no_emulator(
    times: int, mark: str, processes: Find, survivors: Find
) -> None:
    probing = asyncio.create_task(aprobe(["setsid", "-w", *hanging(mark)], timeout=60))
    await asyncio.to_thread(await_emulator, lambda: processes(mark), ignores_sigterm, probing.done)
    for _ in range(times):
        probing.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await probing
    assert survivors(mark) == {}


async def test_probing_in_a_thread_beside_a_running_loop(mark: str, survivors: Find) -> None:
    record = await asyncio.to_thread(probe, QEMU_7_2.command(), timeout=60)
    assert record.accepts("pause")
    assert survivors(mark) == {}


def test_many_at_a_time_in_threads(mark: str, survivors: Find) -> None:
    emulators = [QEMU_7_2, QEMU_7_2.failing(Fault("stray", "cont"))] * 4
    with ThreadPoolExecutor(8) as pool:
        records: list[CapabilityRecord] = list(pool.map(lambda e: probe(e.command(), timeout=60), emulators))
    assert [bool(record.problems) for record in records] == [False, True] * 4
    assert survivors(mark) == {}


def test_probing_leaks_no_file_descriptors() -> None:
    ends = ("exit", "hang-up", "stray", "junk")
    emulators = [QEMU_7_2, *(QEMU_7_2.failing(Fault(kind, "cont")) for kind in ends)]
    commands = [emulator.command() for emulator in emulators]

    def round_of_probes() -> int:
        for command in [*commands, ["/nowhere/qemu-system-x86_64"]]:
            with contextlib.suppress(EmulatorError):
                probe(command)
        gc.collect()  # what other tests have left
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208

    first, _, last = [round_of_probes() for _ in range(3)]
    assert last <= first


@pytest.mark.parametrize("descriptors", [5, 6, 8, 10, 11, 12, 13, 14])
def test_without_file_descriptors_nothing_is_left(descriptors: int, mark: str, survivors: Find) -> None:
    """The command says what is used up, and what to do."""
    line = f'ulimit -n {descriptors}; exec "$0" -m onpanic probe -q --notifier pvpanic -- "$@"'
    done = subprocess.run(
        ["sh", "-c", line, sys.executable, *QEMU_7_2.command()],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode in (0, 2)
    assert done.returncode == 0 or "Too many open files" in done.stderr
    assert survivors(mark) == {}


def test_an_emulator_that_somebody_else_reaps(mark: str, survivors: Find) -> None:
    """An application may wait for any child; closing an emulator is not an error then."""
    with Reaper() as reaper:
        process = EmulatorProcess(["true"], reaper)
        os.waitpid(process.pid, 0)
        process.close()
    assert process.exited
    assert survivors(mark) == {}
