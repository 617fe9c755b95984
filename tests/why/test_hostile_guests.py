"""Guests that lie: all of guest memory is read as untrusted.

``ONPANIC_FUZZ=100000`` runs that many inputs instead of a few hundred.
"""

import lzma
import os
import random
import re
from functools import cache
from pathlib import Path

import msgspec
import pytest

from onpanic.core.errors import FileError
from onpanic.why.memory.elf_dump import ElfDump
from onpanic.why.memory.reading import MAX_BYTES, MAX_FETCHES, MemoryFault, read_with
from onpanic.why.readers.from_dump import words_in_dump
from onpanic.why.words.last_words import LastWords
from onpanic.why.words.linux_words import linux_words, vmcoreinfo_note
from onpanic.why.words.text_report import report_lines

from .conftest import DUMPS

INPUTS = int(os.environ.get("ONPANIC_FUZZ", "200"))
NAMES = sorted(path.name.removesuffix(".elf.xz") for path in DUMPS.glob("*.elf.xz"))
EXTREMES = (0, 1, 0x7F, 0xFF, 0xFFFF, 1 << 31, (1 << 32) - 1, 1 << 62, 1 << 63, (1 << 64) - 1)


class Bytes:
    """A dump in memory."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def at(self, offset: int, length: int) -> bytes:
        return self.content[offset : offset + length]


@cache
def content_of(name: str) -> bytes:
    return lzma.decompress((DUMPS / f"{name}.elf.xz").read_bytes())


class Guest:
    """A guest's memory with changes, and how much of it was fetched."""

    def __init__(self, name: str, chance: random.Random) -> None:
        dump = ElfDump.read(Bytes(content_of(name)))
        note = read_with(vmcoreinfo_note(dump.notes, dump.architecture), dump.fetch)
        assert note is not None
        self.dump, self.note = dump, note
        self.pages: dict[int, bytearray] = {}
        self.fetched = self.fetches = 0
        for segment in dump.segments:
            for place in range(0, segment.length, 4096):
                address = segment.address + place
                self.pages[address] = bytearray(dump.fetch(address, 4096))
        self.chance = chance

    def change_memory(self) -> None:
        """Change bits, words and pointers: in few pages, of which the log's structures are most."""
        addresses = list(self.pages)
        for _ in range(self.chance.choice((1, 1, 4, 32, 400))):
            page = self.pages[self.chance.choice(addresses)]
            place = self.chance.randrange(0, 4096, 8)
            match self.chance.randrange(3):
                case 0:
                    page[place + self.chance.randrange(8)] ^= 1 << self.chance.randrange(8)
                case 1:
                    page[place : place + 8] = self.chance.choice(EXTREMES).to_bytes(8, "little")
                case _:
                    other = self.pages[self.chance.choice(addresses)]
                    page[place : place + 8] = other[place : place + 8]

    def change_note(self) -> None:
        """Change numbers of the note, or leave lines out."""
        lines = self.note.split(b"\n")
        for _ in range(self.chance.choice((1, 2, 8))):
            place = self.chance.randrange(len(lines))
            key, equals, _ = lines[place].partition(b"=")
            number = self.chance.choice((*EXTREMES, 8, 24, 4096, -1))
            form = self.chance.choice((b"%d", b"%x", b"0x%x")) if number >= 0 else b"%d"
            lines[place] = self.chance.choice((key + equals + form % number, b"", b"\x1b[2J=\xff", key * 99))
        self.note = b"\n".join(lines)

    def fetch(self, address: int, length: int) -> bytes:
        self.fetched, self.fetches = self.fetched + length, self.fetches + 1
        pages = [self.pages.get(address + place) for place in range(0, length, 4096)]
        if None in pages:
            raise MemoryFault(f"{address:#x}")
        return b"".join(bytes(page) for page in pages if page is not None)

    def words(self) -> LastWords:
        order = self.dump.byte_order
        return read_with(linux_words(self.note, self.dump.architecture, order, "elf"), self.fetch)


def is_harmless(words: LastWords) -> bool:
    """Return whether everything that is printed is printable, and not endless."""
    text = "".join(report_lines(words, None)) + str(msgspec.to_builtins(words))
    return text.isprintable() and len(text) < 64 << 20


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("what", ["memory", "note", "both"])
def test_a_guest_that_lies_is_read_within_limits(name: str, what: str) -> None:
    """It raises nothing, and prints nothing that a terminal would interpret."""
    for seed in range(INPUTS // 3 // len(NAMES)):
        guest = Guest(name, random.Random(f"{what} {seed}"))
        if what != "note":
            guest.change_memory()
        if what != "memory":
            guest.change_note()
        words = guest.words()
        assert is_harmless(words), seed
        assert guest.fetched <= MAX_BYTES, seed
        assert guest.fetches <= MAX_FETCHES, seed


@pytest.mark.parametrize("name", NAMES[:1])
def test_a_file_that_is_damaged_is_read_or_refused(name: str, tmp_path: Path) -> None:
    """Its headers are as untrusted as the memory."""
    chance, content = random.Random(0), content_of(name)
    path = tmp_path / "guest.elf"
    for _ in range(max(INPUTS // 10, 20)):
        length = chance.choice((len(content), chance.randrange(len(content)), 64, 2000))
        damaged = bytearray(content[:length])
        for _ in range(chance.choice((0, 1, 8))):
            damaged[chance.randrange(min(len(damaged), 2000))] = chance.randrange(256)
        path.write_bytes(damaged)
        try:
            assert is_harmless(words_in_dump(path))
        except FileError as error:
            assert re.search(r"ELF|dump", str(error))  # noqa: PT017


def test_a_log_with_escapes_prints_none() -> None:
    """A guest could move the cursor of whoever reads its last words."""
    guest = Guest(NAMES[0], random.Random(0))
    for page in guest.pages.values():
        page[:] = page.replace(b"Kernel panic", b"Kernel pani\x1b").replace(
            b"Linux version", b"\x1b]0;owned\x07..."
        )
    words = guest.words()
    assert is_harmless(words)
    assert any("?]0;owned?" in line for line in words.lines)
