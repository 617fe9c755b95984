"""kdump-compressed dumps, as QEMU and libvirt write them: ``kdump-zlib``, ``kdump-lzo``, ``kdump-snappy``.

Source: makedumpfile's IMPLEMENTATION document and diskdump_mod.h; QEMU's include/system/dump.h.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from onpanic.core.untrusted import printable
from onpanic.why.memory.elf_dump import DumpSource, read_notes
from onpanic.why.memory.page_codecs import unpacked_page
from onpanic.why.memory.reading import MemoryFault, MemoryRange

__all__ = ("KdumpDump", "is_kdump", "read_kdump")

_SIGNATURE = b"KDUMP   "
_MACHINE = 12 + 4 * 65  # utsname.machine, after the version of the header
# Architectures by the byte order and the length of NT_PRSTATUS; QEMU 10 calls every machine "Unknown"
_STATUSES = {
    ("<", 144): "i386",
    ("<", 148): "arm",
    ("<", 336): "x86_64",
    (">", 336): "s390x",
    ("<", 376): "riscv64",
    ("<", 392): "aarch64",
    ("<", 504): "ppc64",
    (">", 504): "ppc64",
}
_BLOCK_SIZES = (4096, 8192, 16384, 32768, 65536)
_MAX_BITMAP = 1 << 29  # bytes: 16 TiB of memory
_RUN = re.compile(rb"\xff+|[^\0\xff]", re.DOTALL)  # of the bitmap: many pages, or a few of eight
_CHUNK = 1 << 16  # bytes of the bitmap that are counted at once
_MAX_NOTES, _MAX_VMCOREINFO = 16 << 20, 1 << 16

# Where the header has `status` and what follows, and the format of the sub-header up to the notes: of guests
# with 64 bits and with 32
_LAYOUTS = ((424, "QIIQQQQQQ"), (412, "IIIIIQIQI"))
_DESCRIPTOR = "QIIQ"  # of a page: its place in the file, its length, its flags, and the kernel's flags


@dataclass(frozen=True)
class KdumpDump:
    """A dump's headers, see `onpanic.why.memory.elf_dump.ElfDump`.

    :ivar architecture: As QEMU names it, e.g. ``x86_64``; empty if it is not known.
    :ivar byte_order: ``<`` or ``>``, as in `struct`.
    :ivar notes: The content of the first note of each name.
    :ivar statuses: The content of each CPU's NT_PRSTATUS.
    """

    architecture: str
    byte_order: str
    notes: dict[bytes, bytes]
    statuses: tuple[bytes, ...]
    _pages: "_Pages" = field(repr=False)

    def fetch(self, address: int, length: int) -> bytes:
        """Return the bytes at a physical address.

        :raise MemoryFault: When they are not in the file.
        """
        size = self._pages.size
        parts = []
        while length > 0:
            page = self._pages.page(address // size)
            part = page[address % size :][:length]
            parts.append(part)
            address, length = address + len(part), length - len(part)
        return b"".join(parts)

    def ranges(self) -> list[MemoryRange]:
        """Return where the file has memory."""
        found: list[MemoryRange] = []
        for first, count in self._pages.runs():
            start, length = first * self._pages.size, count * self._pages.size
            if found and sum(found[-1]) == start:
                found[-1] = MemoryRange(found[-1].address, found[-1].length + length)
            else:
                found.append(MemoryRange(start, length))
        return found


def is_kdump(start: bytes) -> bool:
    """Return whether a file begins as a kdump-compressed dump."""
    return start.startswith(_SIGNATURE)


def read_kdump(source: DumpSource) -> KdumpDump:
    """Read the headers and notes of a dump.

    :raise MemoryFault: When it is no such dump, or its headers make no sense.
    """
    start = source.at(0, 512)
    try:
        return _read(source, start)
    except struct.error as error:
        raise MemoryFault("the dump's headers are incomplete") from error


def _read(source: DumpSource, start: bytes) -> KdumpDump:
    if not is_kdump(start):
        raise MemoryFault("it is not a kdump-compressed dump")
    order = "<" if struct.unpack_from("<I", start, 8)[0] < 1 << 16 else ">"
    machine = start[_MACHINE : _MACHINE + 65].partition(b"\0")[0].decode("ascii", "replace")
    sizes = [struct.unpack_from(f"{order}I", start, place + 4)[0] for place, _ in _LAYOUTS]
    place, sub_header = _LAYOUTS[0 if sizes[0] in _BLOCK_SIZES else 1]
    block, sub_blocks, bitmap_blocks = struct.unpack_from(f"{order}3I", start, place + 4)
    if block not in _BLOCK_SIZES:
        raise MemoryFault(f"a kdump-compressed dump with blocks of {block} bytes")
    fields = struct.unpack_from(order + sub_header, source.at(block, 128))
    info_at, info_size, notes_at, notes_size = fields[-4:]
    notes, statuses = read_notes(source.at(notes_at, min(notes_size, _MAX_NOTES)), order)
    if info_at and info_size:
        notes[b"VMCOREINFO"] = source.at(info_at, min(info_size, _MAX_VMCOREINFO))
    bitmap = (1 + sub_blocks) * block
    pages = _Pages(source, order, block, bitmap + bitmap_blocks * block // 2, bitmap_blocks * block // 2)
    named = "" if machine == "Unknown" else printable(machine, 20)
    architecture = _STATUSES.get((order, len(statuses[0]) if statuses else 0), named)
    return KdumpDump(architecture, order, notes, statuses, pages)


class _Pages:
    """The pages of a dump.

    :param size: The size of a page, and of the file's blocks.
    :param bitmap: Where the bitmap of the pages in the file is; a descriptor of each follows it.
    :param bitmap_length: The length of the bitmap in bytes.
    """

    def __init__(self, source: DumpSource, order: str, size: int, bitmap: int, bitmap_length: int) -> None:
        if bitmap_length > _MAX_BITMAP:
            raise MemoryFault(f"a kdump-compressed dump with a bitmap of {bitmap_length} bytes")
        self.size = size
        self._source, self._bitmap, self._bitmap_length = source, bitmap, bitmap_length
        self._descriptor = struct.Struct(order + _DESCRIPTOR)
        self._counted = [0]  # pages before each chunk of the bitmap, as far as it was needed
        self._last = (-1, b"")

    def page(self, number: int) -> bytes:
        """Return a page by its number.

        :raise MemoryFault: When it is not in the file.
        """
        if number == self._last[0]:
            return self._last[1]
        chunk, inside = divmod(number // 8, _CHUNK)
        bits = self._chunk(chunk)
        if inside >= len(bits) or not bits[inside] >> number % 8 & 1:
            raise MemoryFault(f"{number * self.size:#x} is not in the dump")
        while len(self._counted) <= chunk:
            self._counted.append(self._counted[-1] + _count(self._chunk(len(self._counted) - 1)))
        before = _count(bits[:inside]) + _count(bytes([bits[inside] & (1 << number % 8) - 1]))
        index = self._counted[chunk] + before
        place = self._bitmap + self._bitmap_length + index * self._descriptor.size
        content = self._source.at(place, self._descriptor.size)
        if len(content) != self._descriptor.size:
            raise MemoryFault("the dump is truncated")
        offset, length, flags, _ = self._descriptor.unpack(content)
        if length > 2 * self.size:
            raise MemoryFault(f"a compressed page of {length} bytes")
        packed = self._source.at(offset, length)
        if len(packed) != length:
            raise MemoryFault("the dump is truncated")
        page = unpacked_page(packed, flags, self.size)
        self._last = (number, page)
        return page

    def runs(self) -> Iterator[tuple[int, int]]:
        """Yield the numbers of pages that are in the file: the first of some, and how many they are."""
        for start in range(0, self._bitmap_length, _CHUNK):
            for match in _RUN.finditer(self._chunk(start // _CHUNK)):
                first = 8 * (start + match.start())
                if match[0][0] == 0xFF:
                    yield first, 8 * len(match[0])
                else:
                    yield from ((first + bit, 1) for bit in range(8) if match[0][0] >> bit & 1)

    def _chunk(self, number: int) -> bytes:
        start = number * _CHUNK
        return self._source.at(self._bitmap + start, max(0, min(_CHUNK, self._bitmap_length - start)))


def _count(bits: bytes) -> int:
    return int.from_bytes(bits, "little").bit_count()
