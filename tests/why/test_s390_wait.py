"""s390x guests without a log that can be read: what their CPUs' program status words tell."""

import asyncio
import struct
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from onpanic.qmp.address import connect, parse_address
from onpanic.qmp.client import QmpClient
from onpanic.why import LastWords, words_in_dump, words_through_monitor

from ..watch import panicking_guests as guests
from .built_dumps import PAGE, elf_dump, note

WAIT, ENABLED, RUNNING = 0x0002_0001_8000_0000, 0x0706_0001_8000_0000, 0x0704_0001_8000_0000


def status(mask: int, address: int) -> bytes:
    """Return an NT_PRSTATUS as QEMU's arch_dump.c has it."""
    return (bytes(112) + struct.pack(">QQ", mask, address)).ljust(336, b"\0")


def read(tmp_path: Path, *statuses: bytes) -> LastWords:
    path = tmp_path / "guest.elf"
    notes = b"".join(note(b"CORE", content, 1, ">") for content in statuses)
    path.write_bytes(elf_dump(notes, {0: bytes(PAGE)}, 22, ">"))
    return words_in_dump(path)


def test_a_disabled_wait_of_any_cpu(tmp_path: Path) -> None:
    words = read(tmp_path, status(ENABLED, 0x10), status(WAIT, 0xDEAD), status(RUNNING, 0x20))
    assert (words.architecture, words.panicked, words.kind) == ("s390x", True, "disabled-wait")
    assert words.reason == "disabled wait: the guest has stopped its CPU for good"
    assert words.details == {"psw mask": "0x0002000180000000", "psw address": "0x000000000000dead"}
    assert "no Linux" in words.notes[0]
    assert "the code that gave up" in words.notes[1]


def test_address_0_is_the_boot_firmwares(tmp_path: Path) -> None:
    assert "boot firmware" in read(tmp_path, status(WAIT, 0)).notes[1]


@pytest.mark.parametrize(("mask", "address"), [(ENABLED, 0x10), (RUNNING, 0x10), (WAIT, 0xFFF)])
def test_a_cpu_that_can_go_on_or_was_shut_down(mask: int, address: int, tmp_path: Path) -> None:
    words = read(tmp_path, status(mask, address))
    assert (words.panicked, words.kind, words.reason) == (False, "", "")
    assert words.details["psw address"] == f"{address:#018x}"


def test_a_status_that_is_too_short(tmp_path: Path) -> None:
    assert read(tmp_path, b"short").details == {}
    assert read(tmp_path).details == {}


@pytest.mark.emulators
def test_a_real_disabled_wait(debian_emulator: Callable[..., list[str]], folder: Path) -> None:
    """Through the monitor, and in each dump that this QEMU writes."""
    emulator = guests.with_folder(debian_emulator("trixie", "qemu-system-s390x"), folder)
    monitor = ["-qmp", f"unix:{folder}/qmp,server=on,wait=off", "-no-shutdown"]
    options = ["-accel", "tcg", "-display", "none", "-nodefaults", "-m", "16", *monitor]
    kinds = ("elf", "kdump-zlib", "kdump-raw-zlib")
    with subprocess.Popen([*emulator, *options, *guests.s390x(folder / "kernel")]) as process:
        try:
            guests.until((folder / "qmp").exists)
            live = asyncio.run(read_and_dump(folder, kinds))
        finally:
            process.kill()
    found = [live, *(words_in_dump(folder / kind) for kind in kinds)]
    assert [words.source for words in found] == ["monitor", "elf", "kdump", "kdump"]
    for words in found:
        assert (words.architecture, words.kind) == ("s390x", "disabled-wait")
        assert words.details["psw address"] == "0x000000000000dead"


async def read_and_dump(folder: Path, kinds: tuple[str, ...]) -> LastWords:
    """Return the last words of the guest with a monitor in a folder, and dump it there."""
    connection = QmpClient("test")
    await connection.connect(await connect(parse_address(str(folder / "qmp"))))
    deadline = time.monotonic() + guests.DEADLINE
    while (await connection.execute("query-status"))["status"] != "guest-panicked":
        assert time.monotonic() < deadline
    for kind in kinds:
        arguments = {"paging": False, "protocol": f"file:{folder}/{kind}", "format": kind}
        await connection.execute("dump-guest-memory", arguments)
    words = await words_through_monitor(connection)
    await connection.close()
    return words
