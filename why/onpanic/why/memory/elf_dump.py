"""Dumps in ELF, as QEMU's ``dump-guest-memory`` and libvirt's memory-only dumps write them.

Source: elf(5); QEMU's docs/specs and dump/dump.c.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from onpanic.why.memory.reading import MemoryFault

__all__ = ("DumpSource", "ElfDump", "is_elf", "read_notes")

_ET_CORE = 4
_PT_LOAD, _PT_NOTE = 1, 4
_NT_PRSTATUS = 1  # of the name CORE: the registers of a CPU
_PN_XNUM = 0xFFFF  # the number of segments is in the first section's sh_info
_MAX_SEGMENTS = 4096
_MAX_NOTES = 16 << 20  # bytes; a note for each of 4,096 CPUs fits

#: Architectures by ELF's number, as QEMU names them.
_MACHINES = {62: "x86_64", 3: "i386", 183: "aarch64", 40: "arm", 22: "s390x", 21: "ppc64", 243: "riscv64"}


class DumpSource(Protocol):
    """Where the bytes of a dump are."""

    def at(self, offset: int, length: int) -> bytes:
        """Return bytes; fewer than asked for where the file ends."""


class Segment(NamedTuple):
    """A part of the guest's memory: its physical address, where it is in the file, its length in bytes."""

    address: int
    offset: int
    length: int


@dataclass(frozen=True)
class ElfDump:
    """A dump's headers.

    :ivar architecture: As QEMU names it, e.g. ``x86_64``; empty if it is another one.
    :ivar byte_order: ``<`` or ``>``, as in `struct`.
    :ivar notes: The content of the first note of each name.
    :ivar statuses: The content of each CPU's NT_PRSTATUS.
    :ivar segments: Where memory is.
    """

    architecture: str
    byte_order: str
    notes: dict[bytes, bytes]
    statuses: tuple[bytes, ...]
    segments: tuple[Segment, ...]
    source: DumpSource

    @staticmethod
    def read(source: DumpSource) -> "ElfDump":
        """Read the headers and notes of a dump.

        :raise MemoryFault: When it is no core file in ELF, or its headers make no sense.
        """
        try:
            return _read(source)
        except struct.error as error:
            raise MemoryFault("the ELF file's headers are incomplete") from error

    def fetch(self, address: int, length: int) -> bytes:
        """Return the bytes at a physical address.

        :raise MemoryFault: When they are not in the file.
        """
        parts = []
        while length > 0:
            segment = next((s for s in self.segments if s.address <= address < s.address + s.length), None)
            if segment is None:
                raise MemoryFault(f"{address:#x} is not in the dump")
            inside = address - segment.address
            size = min(length, segment.length - inside)
            content = self.source.at(segment.offset + inside, size)
            if len(content) != size:
                raise MemoryFault("the dump is truncated")
            parts.append(content)
            address, length = address + size, length - size
        return b"".join(parts)


def is_elf(start: bytes) -> bool:
    """Return whether a file begins as an ELF file."""
    return start[:4] == b"\x7fELF"


def _read(source: DumpSource) -> ElfDump:
    start = source.at(0, 64)
    if not is_elf(start) or start[4:5] not in (b"\1", b"\2") or start[5:6] not in (b"\1", b"\2"):
        raise MemoryFault("its ELF header makes no sense")
    wide = start[4] == 2
    order = "<" if start[5] == 1 else ">"
    kind, machine = struct.unpack_from(f"{order}HH", start, 16)
    if kind != _ET_CORE:
        raise MemoryFault("an ELF file, but not a core file, as dumps are")
    if wide:
        table, sections = struct.unpack_from(f"{order}QQ", start, 32)
        size, count = struct.unpack_from(f"{order}HH", start, 54)
        row = f"{order}IIQQQQ"
    else:
        table, sections = struct.unpack_from(f"{order}II", start, 28)
        size, count = struct.unpack_from(f"{order}HH", start, 42)
        row = f"{order}IIIIII"
    if count == _PN_XNUM:
        (count,) = struct.unpack_from(f"{order}I", source.at(sections, 64), 44 if wide else 28)
    if count > _MAX_SEGMENTS or size < struct.calcsize(row):
        raise MemoryFault(f"an ELF file with {count} segments of {size} bytes")
    headers = source.at(table, size * count)
    notes: dict[bytes, bytes] = {}
    statuses: tuple[bytes, ...] = ()
    segments = []
    for number in range(count):
        fields = struct.unpack_from(row, headers, number * size)
        kind, (offset, _, address, length) = fields[0], fields[2:6] if wide else fields[1:5]
        if kind == _PT_NOTE:
            found, cores = read_notes(source.at(offset, min(length, _MAX_NOTES)), order)
            notes, statuses = found | notes, statuses + cores
        elif kind == _PT_LOAD and length:
            segments.append(Segment(address, offset, length))
    return ElfDump(_MACHINES.get(machine, ""), order, notes, statuses, tuple(segments), source)


def read_notes(content: bytes, order: str) -> tuple[dict[bytes, bytes], tuple[bytes, ...]]:
    """Return the content of the first note of each name, and of each CPU's NT_PRSTATUS.

    :param content: The notes, one after the other; names and contents are padded to 4 bytes.
    :param order: ``<`` or ``>``, as in `struct`.
    """
    notes: dict[bytes, bytes] = {}
    statuses = []
    for name, kind, note in _notes(content, order):
        notes.setdefault(name, note)
        if kind == _NT_PRSTATUS and name == b"CORE":
            statuses.append(note)
    return notes, tuple(statuses)


def _notes(content: bytes, order: str) -> Iterator[tuple[bytes, int, bytes]]:
    """Yield the names, types and contents of notes."""
    place = 0
    while place + 12 <= len(content):
        name_size, size, kind = struct.unpack_from(f"{order}III", content, place)
        place += 12
        after_name = place + (name_size + 3) // 4 * 4
        yield content[place : place + name_size].rstrip(b"\0"), kind, content[after_name : after_name + size]
        place = after_name + (size + 3) // 4 * 4
