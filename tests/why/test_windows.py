"""Windows guests, by headers and memory that are built by hand as QEMU's win_dump_defs.h describes them.

No real Windows was read.
"""

import random
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from onpanic.core.errors import FileError
from onpanic.why import LastWords, report_lines, words_in_dump
from onpanic.why.windows.bugcheck_names import BUGCHECKS, bugcheck_name

from .built_dumps import PAGE, elf_dump, kdump, note

PARAMETERS = (0xFFFF_8000_0000_0010, 2, 0, 0xFFFF_F800_1234_5678)
TABLES, DATA = 0x1AD000, 0x40_0000  # physical addresses
KERNEL = 0xFFFF_F800_0000_0000  # the virtual address of the page at DATA
DEBUGGER_DATA, COPY, BUGCHECK = KERNEL + 0x100, KERNEL + 0x800, KERNEL + 0xC00
PAGE_FILL = 0x4547_4150  # "PAGE"


def header64(
    code: int,
    parameters: Sequence[int] = PARAMETERS,
    debugger_data: int = DEBUGGER_DATA,
    machine: int = 0x8664,
) -> bytes:
    """Return the 8 KiB that begin a crash dump of a 64-bit Windows."""
    start = struct.pack("<8sIIQQQQII", b"PAGEDU64", 15, 19041, TABLES, 0, 0, 0, machine, 4)
    start += struct.pack("<IIQQQQ", code, 0, *parameters)
    return (start + b"\0" * 32 + struct.pack("<Q", debugger_data)).ljust(8192, b"P")


def header32(
    code: int, parameters: Sequence[int] = (1, 2, 3, 4), debugger_data: int = 0x8000_0100, *, pae: bool = True
) -> bytes:
    """Return the 4 KiB that begin a crash dump of a 32-bit Windows."""
    start = struct.pack("<8sIIIIIIII", b"PAGEDUMP", 15, 7601, TABLES + 0x20, 0, 0, 0, 0x14C, 1)
    start += struct.pack("<5I", code, *parameters).ljust(52, b"\0")
    return (start + struct.pack("<BxxxI", pae, debugger_data)).ljust(4096, b"P")


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


def kernel64(code: int, *, encoded: bool = False) -> dict[int, bytes]:
    """Return the memory of a 64-bit Windows that has stored a bugcheck.

    :param encoded: Whether KdDebuggerDataBlock can be read by Windows only.
    """
    page = bytearray(PAGE)
    for place in (COPY, *(() if encoded else (DEBUGGER_DATA,))):
        struct.pack_into("<4s", page, place - KERNEL + 0x10, b"KDBG")
        struct.pack_into("<Q", page, place - KERNEL + 0x88, BUGCHECK)
    struct.pack_into("<5Q", page, BUGCHECK - KERNEL, code, *PARAMETERS)
    pages = {DATA: bytes(page)}
    tables = [TABLES, TABLES + 0x1000, TABLES + 0x2000, TABLES + 0x3000]
    for shift, table, entry in zip((39, 30, 21, 12), tables, [*tables[1:], DATA], strict=True):
        content = bytearray(PAGE)
        struct.pack_into("<Q", content, 8 * (KERNEL >> shift & 0x1FF), entry | 0x8000_0000_0000_0063)
        pages[table] = bytes(content)
    return pages


def kernel32(code: int) -> dict[int, bytes]:
    """Return the memory of a 32-bit Windows with PAE: its debugger data have sign-extended addresses."""
    page = bytearray(PAGE)
    page[0x110:0x114] = b"KDBG"
    struct.pack_into("<Q", page, 0x188, 0xFFFF_FFFF_8000_0C00)
    struct.pack_into("<5I", page, 0xC00, code, 1, 2, 3, 4)
    pages = {DATA: bytes(page)}
    for table, place, entry in (
        (TABLES, 0x20 + 8 * 2, (TABLES + 0x1000) | 1),
        (TABLES + 0x1000, 0, (TABLES + 0x2000) | 3),
        (TABLES + 0x2000, 0, DATA | 3),
    ):
        content = bytearray(PAGE)
        struct.pack_into("<Q", content, place, entry)
        pages[table] = bytes(content)
    return pages


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
