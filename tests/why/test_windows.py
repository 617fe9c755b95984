"""Windows guests, by headers and memory that are built by hand as QEMU's win_dump_defs.h describes them.

No real Windows was read.  A real QEMU was: it takes a note from a guest as virtio-win's driver gives it, and
completes the header of a ``win-dmp`` from the guest's memory.
"""

import asyncio
import random
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from onpanic.core.errors import FileError
from onpanic.qmp.address import connect, parse_address
from onpanic.qmp.client import QmpClient
from onpanic.why import LastWords, report_lines, words_in_dump, words_through_monitor
from onpanic.why.windows.bugcheck_names import BUGCHECKS, bugcheck_name

from ..running.guest import Guest
from ..watch.panicking_guests import until
from .built_dumps import PAGE, elf_dump, kdump, note
from .built_windows import COPY, DATA, PAGE_FILL, guest_options, header32, header64, kernel32, kernel64


def read(tmp_path: Path, content: bytes) -> LastWords:
    path = tmp_path / "memory.dmp"
    path.write_bytes(content)
    return words_in_dump(path)


def test_a_crash_dump_has_its_bugcheck(tmp_path: Path) -> None:
    words = read(tmp_path, header64(0xD1))
    assert (words.guest, words.architecture, words.release) == ("windows", "x86_64", "build 19041")
    assert (words.panicked, words.kind, words.source) == (True, "bugcheck", "windows-dump")
    assert words.reason == "0xd1 DRIVER_IRQL_NOT_LESS_OR_EQUAL"
    assert words.details == {
        "bugcheck": "0xd1",
        "parameter 1": "0xffff800000000010",
        "parameter 2": "0x2",
        "parameter 3": "0x0",
        "parameter 4": "0xfffff80012345678",
    }
    assert report_lines(words)[0].endswith("(x86_64) panicked: 0xd1 DRIVER_IRQL_NOT_LESS_OR_EQUAL")


def test_a_crash_dump_of_a_32_bit_windows(tmp_path: Path) -> None:
    words = read(tmp_path, header32(0x50))
    assert (words.architecture, words.release) == ("i386", "build 7601")
    assert words.reason == "0x50 PAGE_FAULT_IN_NONPAGED_AREA"
    assert [words.details[f"parameter {n}"] for n in range(1, 5)] == ["0x1", "0x2", "0x3", "0x4"]


@pytest.mark.parametrize("code", [0, PAGE_FILL, 0x161])
def test_a_windows_that_has_not_crashed(code: int, tmp_path: Path) -> None:
    """QEMU marks a dump of it as a live one."""
    words = read(tmp_path, header64(code))
    assert (words.guest, words.panicked, words.reason, words.kind) == ("windows", False, "", "")
    assert "no bugcheck" in words.notes[0]


def test_a_code_that_is_not_public_is_shown(tmp_path: Path) -> None:
    words = read(tmp_path, header64(0xDEAD_0001))
    assert (words.panicked, words.reason) == (True, "0xdead0001")


def test_a_header_that_is_incomplete(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="incomplete"):
        read(tmp_path, header64(0xD1)[:100])


def test_names_are_microsofts() -> None:
    """The first and the last of a line of the table, and such as stand alone."""
    names = {
        0x1: "APC_INDEX_MISMATCH",
        0xA: "IRQL_NOT_LESS_OR_EQUAL",
        0x3B: "SYSTEM_SERVICE_EXCEPTION",
        0x7B: "INACCESSIBLE_BOOT_DEVICE",
        0x7E: "SYSTEM_THREAD_EXCEPTION_NOT_HANDLED",
        0x9F: "DRIVER_POWER_STATE_FAILURE",
        0x139: "KERNEL_SECURITY_CHECK_FAILURE",
        0x1CA: "SYNTHETIC_WATCHDOG_TIMEOUT",
        0xC000_021A: "WINLOGON_FATAL_ERROR",
        0xDEAD_DEAD: "MANUALLY_INITIATED_CRASH1",
    }
    assert {code: bugcheck_name(code) for code in names} == names
    assert bugcheck_name(0x83) == ""
    assert len(BUGCHECKS) == 425


def dumped(header: bytes, pages: Mapping[int, bytes]) -> bytes:
    return elf_dump(note(b"CORE", bytes(336), 1) + note(b"VMCOREINFO", header), pages)


@pytest.mark.parametrize("encoded", [False, True])
def test_the_bugcheck_behind_the_drivers_note(encoded: bool, tmp_path: Path) -> None:
    """The header in the note was made when the driver was loaded: it has the way to the bugcheck only."""
    header = header64(PAGE_FILL, (COPY, 0, 0, 0))
    words = read(tmp_path, dumped(header, kernel64(0x3B, encoded=encoded)))
    assert (words.guest, words.architecture, words.source) == ("windows", "x86_64", "elf")
    assert (words.panicked, words.reason) == (True, "0x3b SYSTEM_SERVICE_EXCEPTION")
    assert words.details["parameter 4"] == "0xfffff80012345678"
    assert words.notes == ()


def test_the_same_in_a_kdump_compressed_file(tmp_path: Path) -> None:
    header = header64(PAGE_FILL, (COPY, 0, 0, 0))
    words = read(tmp_path, kdump(b"", header, kernel64(0x3B)))
    assert (words.reason, words.source) == ("0x3b SYSTEM_SERVICE_EXCEPTION", "kdump")


def test_the_bugcheck_of_a_32_bit_windows_with_pae(tmp_path: Path) -> None:
    words = read(tmp_path, dumped(header32(PAGE_FILL), kernel32(0x7F)))
    assert (words.architecture, words.reason) == ("i386", "0x7f UNEXPECTED_KERNEL_MODE_TRAP")
    assert words.details["parameter 4"] == "0x4"


def test_a_windows_that_runs_has_no_bugcheck(tmp_path: Path) -> None:
    """What the note's header has in the places of a bugcheck is not one."""
    words = read(tmp_path, dumped(header64(0x1234, (COPY, 0, 0, 0)), kernel64(0)))
    assert (words.guest, words.panicked, words.reason, words.details) == ("windows", False, "", {})


@pytest.mark.parametrize(
    ("header", "pages", "said"),
    [
        pytest.param(header64(0), {DATA: bytes(PAGE)}, "not where the note says", id="no page tables"),
        pytest.param(
            header64(0, debugger_data=0), kernel64(1), "not where the note says", id="no debugger data"
        ),
        pytest.param(header64(0, machine=0xAA64), kernel64(1), "Windows on aarch64", id="aarch64"),
        pytest.param(header32(0, pae=False), kernel32(1), "Windows on i386", id="without PAE"),
        pytest.param(header64(0)[:64], kernel64(1), "incomplete", id="a short note"),
    ],
)
def test_what_cannot_be_read_is_said(
    header: bytes, pages: Mapping[int, bytes], said: str, tmp_path: Path
) -> None:
    words = read(tmp_path, dumped(header, pages))
    assert (words.guest, words.panicked) == ("windows", False)
    assert said in words.notes[0]


def test_a_windows_that_lies(tmp_path: Path) -> None:
    """Whatever its note and memory hold, there are words without control characters, or a plain refusal."""
    chance = random.Random(15)
    original = dumped(header64(0, (COPY, 0, 0, 0)), kernel64(0xD1))
    for _ in range(300):
        content = bytearray(original)
        for _ in range(chance.randrange(1, 40)):
            content[chance.randrange(len(content))] = chance.choice((0, 1, 0x7F, 0xFF, chance.randrange(256)))
        try:
            words = read(tmp_path, bytes(content))
        except FileError:
            continue
        assert all(line.isprintable() for line in report_lines(words))


@pytest.mark.emulators
@pytest.mark.parametrize(
    ("header", "pages", "architecture"),
    [
        (header64(PAGE_FILL, (COPY, 0, 0, 0), processors=1), kernel64(0x3B), "x86_64"),
        (header32(PAGE_FILL, (0x8000_0800, 0, 0, 0)), kernel32(0x3B), "i386"),
    ],
    ids=["64", "32"],
)
def test_what_a_real_qemu_makes_of_a_windows(
    header: bytes,
    pages: Mapping[int, bytes],
    architecture: str,
    guest: Callable[..., Guest],
    folder: Path,
) -> None:
    """Its guest hands over a note as virtio-win's driver does; QEMU completes the header of its win-dmp."""
    one = guest(*guest_options(folder, header, pages))
    until(lambda: one.status == "guest-panicked")
    kinds = ("elf", "kdump-zlib", "win-dmp")
    for kind in kinds:
        one.ask("dump-guest-memory", paging=False, protocol=f"file:{folder}/{kind}", format=kind)
    found = [asyncio.run(through_monitor(one.path)), *(words_in_dump(folder / kind) for kind in kinds)]
    assert [words.source for words in found] == ["monitor", "elf", "kdump", "windows-dump"]
    for words in found:
        assert (words.guest, words.architecture, words.panicked) == ("windows", architecture, True)
        assert (words.reason, words.notes) == ("0x3b SYSTEM_SERVICE_EXCEPTION", ())
        assert words.details == found[0].details


async def through_monitor(path: Path) -> LastWords:
    connection = QmpClient("test")
    await connection.connect(await connect(parse_address(str(path))))
    words = await words_through_monitor(connection)
    await connection.close()
    return words
