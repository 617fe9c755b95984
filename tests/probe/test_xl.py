"""Asking ``xl``: programs of that name that behave in every way, on a host that looks like a dom0."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from onpanic.core.errors import StartError
from onpanic.probe import CapabilityRecord
from onpanic.probe.facts.xen_questions import ON_CRASH_FACTS
from onpanic.probe.record.capability_record import Probed
from onpanic.probe.xen.ask_xl import ask_xl
from onpanic.probe.xen.record_of_xen import record_of_xen
from onpanic.probe.xen.xen_below import xen_below

DOM0, DOMU = "000228f0", "000220f0"
# Like xl: it reads the last setting, and refuses a word that it does not know
XL = 'case "$*" in *on_crash=\\"onpanic\\"*) echo "Unknown on_crash action" >&2; exit 1;; esac'

# It refuses everything from the second of the words on
DIES = '[ -e "$0.once" ] && echo gone >&2 && exit 1\ncase "$*" in *-restart*) : > "$0.once"; esac'

# What the command does around it
COMMAND = """
import sys
from onpanic.cli.signals import interruptible
from onpanic.probe.xen.xl import run_xl
with interruptible():
    run_xl(sys.argv[1:], 1000)
"""


# What one does that is given up while libvirt is asked, which may run xl
EXIT = """
import os, pathlib, sys, threading, time
from onpanic.probe.xen.xl import end_xl, run_xl
threading.Thread(target=run_xl, args=(sys.argv[1:2], 1000), daemon=True).start()
while not pathlib.Path(sys.argv[2]).exists():
    time.sleep(0.01)
end_xl()
os._exit(0)
"""


@pytest.fixture
def sysfs(tmp_path: Path) -> Path:
    """Return a folder that looks like a dom0's ``/sys/hypervisor``."""
    folder = tmp_path / "hypervisor"
    files = {"type": "xen", "version/major": "4", "version/minor": "17", "version/extra": ".7"}
    files |= {"properties/features": DOM0, "properties/capabilities": "xen-3.0-x86_64 "}
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"{content}\n")
    return folder


@pytest.fixture
def asked(tmp_path: Path, sysfs: Path) -> Callable[..., CapabilityRecord]:
    """Return a function from the lines of a program to the record that it leads to."""

    def ask(program: str, timeout: float = 20) -> CapabilityRecord:
        path = tmp_path / "xl"
        path.write_text(f"#!/bin/sh\n{program}\n")
        path.chmod(0o755)
        return record_of_xen(ask_xl(timeout, str(path), sysfs), Probed("2026-11-27T12:00:00Z", "onpanic", 0))

    return ask


def answers(record: CapabilityRecord) -> set[str]:
    return {record.facts[name].answer for name in ON_CRASH_FACTS.values()}


def test_accepted(asked: Callable[..., CapabilityRecord]) -> None:
    """An xl that refuses only what does not exist accepts every crash action."""
    record = asked(XL)
    assert answers(record) == {"yes"}
    assert record.emulator.version == "4.17.7"
    assert not record.problems
    assert record.accepts("crash", on_crash="rename-restart")


def test_refused(asked: Callable[..., CapabilityRecord]) -> None:
    """A crash action that it refuses is refused, with its words."""
    record = asked(
        f'{XL}\ncase "$*" in *preserve*) echo "Parsing config"; echo no such thing >&2; exit 1;; esac'
    )
    assert record.facts["on-crash-preserve"].answer == "no"
    assert "no such thing" in record.facts["on-crash-preserve"].detail
    assert record.facts["on-crash-restart"].answer == "yes"


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("exit 0", "accepts a crash action that does not exist"),
        ("echo cannot init xl context >&2; exit 1", "cannot init xl context"),
        ("exit 3", "it ended with status 3"),
        ("kill -9 $$", "it ended with status -9"),
        ("head -c 3000000 /dev/urandom >&2; exit 1", "refuses a guest without a crash action, too"),
        ("head -c 3000000 /dev/zero; head -c 3000000 /dev/zero >&2; exit 1", "it ended with status 1"),
        (f"{XL}\n{DIES}", "gone"),
    ],
)
def test_nothing_concluded(asked: Callable[..., CapabilityRecord], program: str, said: str) -> None:
    """From an xl that accepts or refuses everything only the guest types are known, and why."""
    record = asked(program)
    assert answers(record) == {"unknown"}
    (problem,) = record.problems
    assert said in problem
    assert len(problem) < 300
    assert problem.isprintable()
    assert record.machine("pv").facts["guest-type-supported"].answer == "yes"
    assert record.accepts("crash", on_crash="restart").code == "toolstack-inconclusive"


@pytest.mark.parametrize(
    "program",
    [
        "sleep 1000 & wait",
        "exec 2>&-; sleep 1000",
        "trap '' TERM; while :; do echo x; done",
        f"{XL}\nsleep 1000",
    ],
)
def test_no_answer(
    asked: Callable[..., CapabilityRecord],
    program: str,
    mark: str,
    survivors: Callable[[str], dict[int, str]],
) -> None:
    """An xl that does not answer is killed with its children, and is not asked again."""
    record = asked(program, timeout=0.3)
    assert answers(record) == {"unknown"}
    (problem,) = record.problems
    assert "did not answer in 0.3 s; is xenstored running?" in problem
    assert record.machine("pv").facts["guest-type-supported"].answer == "yes"
    assert not survivors(mark)


def test_daemon(
    asked: Callable[..., CapabilityRecord], mark: str, survivors: Callable[[str], dict[int, str]]
) -> None:
    """A child that it leaves behind, and that holds its stderr, is not waited for."""
    assert answers(asked(f"sleep 1000 &\n{XL}")) == {"yes"}
    assert not survivors(mark)


def test_signal(tmp_path: Path, mark: str, survivors: Callable[[str], dict[int, str]]) -> None:
    """A signal that ends the command ends xl and its children, too."""
    xl, runs = tmp_path / "xl", tmp_path / "runs"
    xl.write_text(f"#!/bin/sh\nsleep 1000 &\n: > {runs}\nwait\n")
    xl.chmod(0o755)
    with subprocess.Popen([sys.executable, "-c", COMMAND, str(xl)], stderr=subprocess.DEVNULL) as command:
        while not runs.exists():
            time.sleep(0.01)
        command.terminate()
    assert not survivors(mark)


def test_exit(tmp_path: Path, mark: str, survivors: Callable[[str], dict[int, str]]) -> None:
    """A command that exits while another thread waits for xl leaves nothing of it behind."""
    xl, runs = tmp_path / "xl", tmp_path / "runs"
    xl.write_text(f"#!/bin/sh\nsleep 1000 &\n: > {runs}\nwait\n")
    xl.chmod(0o755)
    subprocess.run([sys.executable, "-c", EXIT, str(xl), str(runs)], check=True, timeout=60)
    assert not survivors(mark)


def test_missing(sysfs: Path, tmp_path: Path) -> None:
    """A dom0 without xl, or with one that cannot be executed, is an error that names libvirt."""
    for path in (tmp_path / "none", sysfs):
        with pytest.raises(StartError, match="--connect xen:///system") as caught:
            ask_xl(10, str(path), sysfs)
        assert caught.value.missing


def test_domu(sysfs: Path) -> None:
    """A guest of Xen is not its dom0, even if xl is installed there."""
    (sysfs / "properties/features").write_text(DOMU)
    with pytest.raises(StartError, match="a guest of Xen, not its dom0"):
        ask_xl(10, "true", sysfs)


def test_no_xen(tmp_path: Path) -> None:
    """A host without Xen is told how to ask another one."""
    with pytest.raises(StartError, match=r"does not run on Xen\n.*--connect"):
        ask_xl(10, "true", tmp_path)


@pytest.mark.parametrize(
    ("features", "is_dom0"), [(DOM0, True), (DOMU, False), ("", None), ("<denied>", None)]
)
def test_dom0(sysfs: Path, features: str, is_dom0: bool | None) -> None:
    """Whether this is a dom0 is known if Linux says which features Xen has."""
    (sysfs / "properties/features").write_text(features)
    found = xen_below(sysfs)
    assert found
    assert found.is_dom0 == is_dom0
