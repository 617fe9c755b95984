"""kdump-compressed dumps: built by hand, and as real QEMUs write them."""

import itertools
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from onpanic.core.errors import FileError
from onpanic.why import report_lines, words_in_dump
from onpanic.why.memory.dump_file import open_dump
from onpanic.why.memory.elf_dump import ElfDump
from onpanic.why.memory.flattened_file import FlattenedFile
from onpanic.why.memory.kdump_dump import KdumpDump, read_kdump
from onpanic.why.memory.page_codecs import unpacked_page
from onpanic.why.memory.reading import MemoryFault

from ..running.guest import Guest
from ..watch import panicking_guests as guests
from .built_dumps import PAGE, PLAIN, ZLIB, flattened, kdump, note, pieces_of

Dump = Callable[[str], Path]


class Bytes:
    """A file in memory."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def at(self, offset: int, length: int) -> bytes:
        return self.content[offset : offset + length]


def parts_of(path: Path) -> tuple[bytes, dict[int, bytes]]:
    """Return the note and the pages of a recorded dump."""
    with open_dump(path) as file:
        dump = ElfDump.read(file)
        places = ((s.address, range(0, s.length, PAGE)) for s in dump.segments)
        pages = {a + n: dump.fetch(a + n, PAGE) for a, offsets in places for n in offsets}
    return dump.notes[b"VMCOREINFO"], pages


@pytest.mark.parametrize("flags", [PLAIN, ZLIB])
@pytest.mark.parametrize("piece", [0, 777, 4096, 1 << 20])
def test_a_linux_has_the_same_last_words_as_in_elf(
    flags: int, piece: int, dump: Dump, tmp_path: Path
) -> None:
    elf = words_in_dump(dump("linux-6.1-sysrq"))
    info, pages = parts_of(dump("linux-6.1-sysrq"))
    content = kdump(note(b"VMCOREINFO", info), info, pages, flags=flags)
    path = tmp_path / "guest.kdump"
    path.write_bytes(flattened(pieces_of(content, piece)) if piece else content)
    words = words_in_dump(path)
    assert (words.source, words.architecture, words.notes) == ("kdump", "x86_64", ())
    assert len(words.lines) > 300
    assert (words.release, words.reason, words.trace, words.lines) == (
        elf.release,
        elf.reason,
        elf.trace,
        elf.lines,
    )


def test_pieces_in_any_order_and_written_twice() -> None:
    """makedumpfile writes the header first, and again at the end; what comes later counts."""
    content = bytes(range(256)) * 40
    parts = pieces_of(content, 1000)
    file = FlattenedFile(Bytes(flattened([(0, b"\xff" * 1500), *reversed(parts), (20, content[20:30])])))
    for offset, length in ((0, 10240), (990, 20), (1500, 3000), (10_000, 1000), (20_000, 5), (0, 0)):
        assert file.at(offset, length) == content[offset : offset + length]
    assert FlattenedFile(Bytes(flattened([(8, b"x")]))).at(0, 20) == bytes(8) + b"x"
    assert FlattenedFile(Bytes(flattened([]))).at(0, 8) == b""


@pytest.mark.parametrize(
    ("order", "wide", "machine", "status", "architecture"),
    [
        ("<", True, b"x86_64", 336, "x86_64"),
        ("<", True, b"Unknown", 392, "aarch64"),
        (">", True, b"Unknown", 336, "s390x"),
        (">", True, b"Unknown", 1, ""),
        ("<", False, b"i686", 144, "i386"),
        ("<", False, b"m\x1bips", 1, "m ips"),
    ],
)
def test_headers_of_every_kind_of_guest(
    order: str, wide: bool, machine: bytes, status: int, architecture: str
) -> None:
    """QEMU 10 does not name the machine; the length of a CPU's status tells it."""
    pages = {0: b"a" * PAGE, 0x5000: b"b" * PAGE, 0x4000_0000: b"c" * PAGE}
    notes = note(b"CORE", bytes(status), 1, order) + note(b"CORE", b"2", 1, order) + note(b"X", b"", 1, order)
    found = read_kdump(Bytes(kdump(notes, b"info", pages, order=order, wide=wide, machine=machine)))
    assert found.architecture == architecture
    assert (found.byte_order, found.statuses) == (order, (bytes(status), b"2"))
    assert found.notes == {b"CORE": bytes(status), b"X": b"", b"VMCOREINFO": b"info"}
    assert found.ranges() == [(0, PAGE), (0x5000, PAGE), (0x4000_0000, PAGE)]
    assert found.fetch(0x5FFE, 2) == b"bb"
    assert found.fetch(0x4000_0000, PAGE) == b"c" * PAGE
    assert found.fetch(0x10, 0) == b""
    for address, length in ((0x1000, 8), (0x5FFE, 4), (0x4000_1000, 1), (1 << 63, 1)):
        with pytest.raises(MemoryFault, match="not in the dump"):
            found.fetch(address, length)


WORDS = (b"panic ", b"oops at ", b"\0" * 300, b"call trace", bytes(range(40)))
TEXT = b"".join(WORDS[n * n // 3 % 5] for n in range(100))[:PAGE]
#: TEXT as lzo1x_1_compress of LZO 2.10 compresses it.
LZO = (
    "0370616e696320b4000f6f6f70732061742063616c6c207472616365bc02283d000020000b0000f429fc0020000be9040028"
    "c4092e040af429bc022a1400e40338ec0020000c0406f429fc0020000cec0438040af4292adc0aac01e40338ec0020000c04"
    "06f429fc0020000cec0438040af429a4562a1400e40338ec0020000c0406f429fc0020000cec0438040af4292adc0aac01e4"
    "0338ec0020000c0406f429fc0020000cec0438040af429a4562a1400e40338ec0020000c0406f429fc0020abec0400020000"
    "000000000000000000000000000000000000110000"
)
#: TEXT as lzo1x_999_compress of LZO 2.10 compresses it.
LZO_BEST = (
    "1770616e696320b4000f6f6f70732061742063616c6c207472616365bc02283d000020000b0000f429fc0020000cec043804"
    "0af4292adc0a2000000000000000e6f40a20000000000020f40a110000"
)
#: TEXT as Snappy 1.1.9 compresses it.
SNAPPY = (
    "80201470616e6963200906446f6f70732061742063616c6c207472616365091819100000fe0100fe0100fe0100fe0100aa01"
    "00314e1108fe3b01fe3b01fe3b01fe3b01aa3b01000059723e8202314e09182e0600111a663c00fe8201fe8201fe8201fe82"
    "01ae8201314e1108fe3c01fe3c01fe3c01fe3c01ae3c01668202314e2eb802090c111a663c00fe8201fe8201fe8201fe8201"
    "ae8201314e1108fe3c01fe3c01fe3c01fe3c01ae3c01668202314e49b22e0600111a663c00fe8201fe8201fe8201fe8201ae"
    "8201314e1108fe3c01fe3c01fe3c01fe3c01ae3c01668202314e2eb802090c111a663c00fe8201fe8201fe8201fe8201ae82"
    "01314e1108fe3c01fe3c01fe3c01fe3c01ae3c01668202314e49b22e0600111a663c00fe8201fe8201fe8201fe8201ae8201"
    "314e1108fe3c01fe3c01fe3c017e3c01"
)


@pytest.mark.parametrize(("flags", "packed"), [(2, LZO), (2, LZO_BEST), (4, SNAPPY)])
def test_pages_that_other_libraries_have_compressed(flags: int, packed: str) -> None:
    assert unpacked_page(bytes.fromhex(packed), flags, PAGE) == TEXT


def test_pages_that_are_damaged() -> None:
    """They are another page, or a fault: nothing else, and no more than a page."""
    chance = random.Random(15)
    for flags, packed in itertools.product((1, 2, 4), (LZO, LZO_BEST, SNAPPY)):
        for _ in range(200):
            content = bytearray.fromhex(packed)
            del content[chance.randrange(1, len(content)) :]
            for _ in range(chance.randrange(5)):
                content[chance.randrange(len(content))] = chance.choice((0, 0xFF, chance.randrange(256)))
            try:
                assert len(unpacked_page(bytes(content), flags, PAGE)) == PAGE
            except MemoryFault:
                continue
    for flags in (0, 1, 2, 4, 0x20):
        with pytest.raises(MemoryFault):
            unpacked_page(b"", flags, PAGE)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(b"KDUMP   ", "headers are incomplete", id="short"),
        pytest.param(b"KDUMP   ".ljust(8192, b"\1"), "blocks of", id="no sizes"),
        pytest.param(flattened([])[:-16], "truncated", id="no end"),
        pytest.param(flattened([(-5, b"x")]), "a piece of 1 bytes at -5", id="a negative place"),
        pytest.param(flattened([(0, b"")]), "a piece of 0 bytes", id="an empty piece"),
        pytest.param(flattened([(0, b"text")]), "not a dump", id="something else"),
        pytest.param(flattened(pieces_of(flattened([]), 99)), "not a dump", id="flattened twice"),
    ],
)
def test_a_file_that_makes_no_sense(content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "guest.kdump"
    path.write_bytes(content)
    with pytest.raises(FileError, match=said):
        words_in_dump(path)


def test_a_file_that_is_damaged_is_read_or_refused(dump: Dump, tmp_path: Path) -> None:
    chance = random.Random(15)
    info, pages = parts_of(dump("linux-6.1-sysrq"))
    content = kdump(note(b"VMCOREINFO", info), info, pages)
    path = tmp_path / "guest.kdump"
    for number in range(60):
        damaged = bytearray(flattened(pieces_of(content, 4096)) if number % 2 else content)
        del damaged[chance.randrange(8, 2 * len(damaged)) :]
        for _ in range(chance.randrange(30)):
            place = chance.randrange(chance.choice((len(damaged), min(len(damaged), 8192))))
            damaged[place] = chance.choice((0, 0xFF, chance.randrange(256)))
        path.write_bytes(damaged)
        try:
            words = words_in_dump(path)
        except FileError:
            continue
        assert all(line.isprintable() for line in report_lines(words))


# The header and the first note of a core that Xen 4.17 wrote of a PV guest
XEN_CORE = (
    bytes.fromhex("7f454c46 02010100 00000000 00000000 04003e00 01000000").ljust(40, b"\0")
    + bytes.fromhex("40000000 00000000 00000000 40003800 00004000 07000100").ljust(512 - 40, b"\0")
    + bytes.fromhex("04000000 00000000 00000002 58656e00")
)


@pytest.mark.parametrize(
    ("start", "said", "remedy"),
    [
        (b"\x1f\x8b\x08", "compressed with gzip", "gzip -d"),
        (b"\x89LZO\0\r\n", "compressed with lzop", "lzop -d"),
        (b"BZh9", "compressed with bzip2", "bzip2 -d"),
        (b"\xfd7zXZ\0", "compressed with xz", "xz -d"),
        (b"\x28\xb5\x2f\xfd", "compressed with zstd", "zstd -d"),
        (b"QEVM\0\0\0\3", "as it is migrated", "--memory-only"),
        (b"LibvirtQemudSave", "a saved domain", "--memory-only"),
        (XEN_CORE, "a core file of Xen", "grep -a"),
    ],
)
def test_what_libvirt_writes_otherwise_has_a_remedy(
    start: bytes, said: str, remedy: str, tmp_path: Path
) -> None:
    path = tmp_path / "guest.dump"
    path.write_bytes(start.ljust(600, b"\0"))
    with pytest.raises(FileError, match=said) as refused:
        words_in_dump(path)
    assert remedy in refused.value.hint


def addresses(dump: ElfDump) -> Iterator[int]:
    for segment in dump.segments:
        yield from range(segment.address, segment.address + segment.length, PAGE)


def same_memory(elf: ElfDump, compressed: KdumpDump) -> None:
    assert (compressed.architecture, compressed.byte_order) == (elf.architecture, elf.byte_order)
    assert compressed.statuses == elf.statuses
    assert len(elf.statuses) == 2
    assert {a for r in compressed.ranges() for a in range(r.address, sum(r), PAGE)} == set(addresses(elf))
    for address in addresses(elf):
        assert compressed.fetch(address, PAGE) == elf.fetch(address, PAGE), hex(address)


@pytest.mark.emulators
def test_a_real_qemu_s_dump_has_the_memory_of_its_elf_file(guest: Callable[..., Guest], folder: Path) -> None:
    """QEMU writes it flattened; 8.2 and later write it plain, too."""
    one = guest("-smp", "2", "-no-shutdown", *guests.disk(folder / "disk", guests.waits()))
    one.ask("stop")
    formats = [name for name in one.ask("query-dump-guest-memory-capability")["formats"] if "kdump" in name]
    assert "kdump-zlib" in formats
    for name in ("elf", *formats):
        one.ask("dump-guest-memory", paging=False, protocol=f"file:{folder}/{name}", format=name)
    with open_dump(folder / "elf") as file:
        elf = ElfDump.read(file)
        for name in formats:
            with open_dump(folder / name) as compressed:
                raw = name.startswith("kdump-raw-")
                same_memory(elf, read_kdump(compressed if raw else FlattenedFile(compressed)))
