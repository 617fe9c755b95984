"""`onpanic run` with real QEMUs and guests that really panic."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from onpanic.core.errors import FetchError
from onpanic.why import words_in_dump

from ..running.linux_kernels import READY, Linux, kernel
from ..watch.panicking_guests import (
    BEGIN,
    HALT,
    OFF,
    crashloads,
    disk,
    panics,
    s390x,
    sector,
    waits,
    with_folder,
)
from .conftest import Run

pytestmark = pytest.mark.emulators
Begin = Callable[..., Run]

#: Write to QEMU's isa-debug-exit: its exit status is twice the value and one.
EXIT = sector(BEGIN + "baf400 b003 ee" + HALT)
#: Reset through the keyboard's controller.
RESET = sector(BEGIN + "b0fe e664" + HALT)
HOST = "host"


@pytest.fixture
def emulator(
    debian_emulator: Callable[..., list[str]], folder: Path, unavailable: Callable[[str], NoReturn]
) -> Callable[..., list[str]]:
    """Return a function that returns the command of a suite's emulator, without a display."""

    def command(suite: str, name: str = "qemu-system-x86_64") -> list[str]:
        if suite == HOST:
            return [shutil.which(name) or unavailable(f"no {name} here"), "-display", "none"]
        return [*with_folder(debian_emulator(suite, name), folder), "-display", "none"]

    return command


@pytest.mark.parametrize("suite", [HOST, "bullseye", "sid"])
def test_how_guests_end(suite: str, begin: Begin, emulator: Callable[..., list[str]], folder: Path) -> None:
    """Each in its own way, and with the status that its user would see without us."""
    guests = {
        "panics": (panics(), (), 86, "the guest panicked"),
        "panics, says the user": (
            panics(),
            ("-device", "pvpanic", "-no-reboot", "-no-shutdown"),
            86,
            "panicked",
        ),
        "turns itself off": (sector(BEGIN + OFF + HALT), (), 0, ""),
        "exits": (EXIT, ("-device", "isa-debug-exit,iobase=0xf4"), 7, ""),
        "resets itself once": (RESET, ("-no-reboot",), 0, ""),
        "resets itself for ever": (RESET, (), 87, "in a loop: 5 times"),
    }
    found, expected = {}, {}
    for name, (code, options, status, said) in guests.items():
        command = [*emulator(suite), "-m", "16", *disk(folder / "guest.img", code), *options]
        ended, _, err = begin("--resets", "5", "--", *command).end()
        found[name] = (ended, said if said in err else err)
        expected[name] = (status, said)
    assert found == expected


def test_a_crash_kernel_is_waited_for(begin: Begin, emulator: Callable[..., list[str]], folder: Path) -> None:
    command = [*emulator(HOST), "-m", "16", *disk(folder / "guest.img", crashloads())]
    status, _, err = begin("--timeout", "6", "--", *command).end()
    assert status == 86
    assert "its crash kernel takes over" in err


def test_panics_that_do_not_stop_the_guest(
    begin: Begin, emulator: Callable[..., list[str]], folder: Path
) -> None:
    """The user's command has QEMU go on: it does, and the status tells of the panic."""
    options = ("-action", "panic=none", *disk(folder / "guest.img", panics()))
    status, _, err = begin("--", *emulator(HOST), "-m", "16", *options).end()
    assert status == 86, err
    assert "goes on, as its command says" in err


def test_an_s390x_guest(begin: Begin, emulator: Callable[..., list[str]], folder: Path) -> None:
    """Its notifier belongs to the architecture, and says why."""
    command = [*emulator("trixie", "qemu-system-s390x"), *s390x(folder / "guest.img")]
    status, _, err = begin("--", *command).end()
    assert status == 86
    assert "disabled wait" in err


@pytest.mark.parametrize("name", ["qemu-system-aarch64", "qemu-system-riscv64"])
def test_boards_without_an_isa_bus(
    name: str, begin: Begin, emulator: Callable[..., list[str]], folder: Path
) -> None:
    """They get the PCI notifier; a guest that does nothing is ended after a time."""
    command = [*emulator("trixie", name), "-M", "virt", "-monitor", "none", "-serial", "none"]
    report = folder / "report.json"
    run = begin("--timeout", "1", "--report", str(report), "--", *command)
    assert run.end()[0] == 124
    assert json.loads(report.read_bytes())["notes"] == []


@pytest.fixture(scope="module")
def linux(unavailable: Callable[[str], NoReturn]) -> Linux:
    """Return Debian's kernel, which prints on the serial port."""
    try:
        return kernel("bookworm")
    except FetchError as error:
        unavailable(str(error))


def booted(
    begin: Begin, emulator: list[str], linux: Linux, *words: str, append: str, ours: tuple[str, ...]
) -> Run:
    """Return the run of a Linux that takes commands on our stdin."""
    boot = ["-kernel", str(linux.kernel), "-initrd", str(linux.initramfs), "-append", append]
    run = begin(*ours, "--", *emulator, "-m", "128", "-nodefaults", "-serial", "stdio", *boot, *words)
    run.wait_for(READY)
    return run


def test_a_linux_says_why(
    begin: Begin, emulator: Callable[..., list[str]], linux: Linux, tmp_path: Path
) -> None:
    """The terminal is QEMU's, what the guest said last is on stderr, and its memory is in a file."""
    dump = tmp_path / "guest.elf"
    run = booted(
        begin,
        emulator(HOST),
        linux,
        append="console=ttyS0 panic=0",
        ours=("--lines", "3", "--dump", str(dump)),
    )
    status, out, err = run_to_panic(run)
    assert status == 86
    assert "panicked: sysrq triggered crash" in err
    assert "sysrq_handle_crash" in err
    assert "Kernel panic - not syncing: sysrq triggered crash" in out
    assert words_in_dump(dump).reason == "sysrq triggered crash"


def test_a_linux_that_resets_itself_after_its_panic(
    begin: Begin, emulator: Callable[..., list[str]], linux: Linux
) -> None:
    """Nothing reports its panic, as with a kernel without a notifier's driver."""
    options = ("-device", "pvpanic,events=2", "-no-reboot")
    run = booted(
        begin, emulator(HOST), linux, *options, append="console=ttyS0 panic=-1", ours=("--lines", "3")
    )
    status, _, err = run_to_panic(run)
    assert status == 86
    assert "nothing reported that" in err
    assert "panicked: sysrq triggered crash" in err


def run_to_panic(run: Run) -> tuple[int, str, str]:
    """Have a Linux panic, and return how its run ends."""
    assert run.process.stdin
    run.process.stdin.write("panic\n")
    run.process.stdin.flush()
    return run.end()


@pytest.mark.parametrize("suite", [HOST, "sid"])
def test_the_monitor_that_qemu_has_by_default(
    suite: str, begin: Begin, emulator: Callable[..., list[str]], folder: Path
) -> None:
    """With -nographic it is behind Ctrl-A, on the terminal, and ends QEMU."""
    run = begin("--", *emulator(suite)[:-2], "-nographic", "-m", "16", *disk(folder / "guest.img", waits()))
    run.wait_for("SeaBIOS")
    assert run.process.stdin
    run.process.stdin.write("\x01x")
    run.process.stdin.flush()
    status, out, _ = run.end()
    assert status == 0
    assert "QEMU: Terminated" in out
