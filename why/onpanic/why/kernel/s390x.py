"""Addresses of s390x: region, segment and page tables, big endian; and where its vmcoreinfo is.

s390x has no vmcoreinfo device.  Instead, the kernel keeps the address of its note at a fixed place.
Sources: IBM's z/Architecture Principles of Operation, "Dynamic Address Translation"; Linux's
Documentation/arch/s390/mm.rst and the layout of its lowcore; the kernel's own vmcoreinfo.
"""

from onpanic.why.kernel.vmcoreinfo import MAX_LENGTH, NOTE_NAME, VmcoreInfo
from onpanic.why.memory.reading import MemoryFault, MemoryRange, Reading, unpack

__all__ = ("S390xTranslator", "note_in_lowcore")

_NOTE_POINTER = 0xE0C  # in the first page of memory; a physical address

_INVALID, _LARGE = 0x20, 0x400  # bits of the entries of region and segment tables
_TYPE_SHIFT = 2  # of the two bits that say which table it is: 0 for segments, 3 for first regions
_FIRST_ENTRY, _LAST_ENTRY = 6, 0  # shifts of the numbers of the first and last quarter that the table has
_SEGMENT_SHIFT, _INDEX_BITS = 20, 11
_PAGE_INVALID, _PAGE_ZERO, _PAGE_BITS = 0x400, 0x800, 8
_64_BITS = (1 << 64) - 1


def note_in_lowcore() -> "Reading[bytes]":
    """Return the content of the kernel's vmcoreinfo note.

    :raise MemoryFault: When there is none.
    """
    (address,) = unpack(">Q", (yield MemoryRange(_NOTE_POINTER, 8)))
    name_length, length = unpack(">II", (yield MemoryRange(address, 8)))
    if not address or name_length != len(NOTE_NAME) + 1 or not 0 < length <= MAX_LENGTH:
        raise MemoryFault("the guest's first page does not lead to a vmcoreinfo")
    start = 12 + (name_length + 3) // 4 * 4
    note = yield MemoryRange(address, start + length)
    if note[12 : 12 + name_length] != NOTE_NAME + b"\0":
        raise MemoryFault("the guest's first page does not lead to a vmcoreinfo")
    return note[start:]


class S390xTranslator:
    """Translates a kernel's addresses.

    :param info: What the kernel says about itself.
    :raise MemoryFault: When it does not say where its page tables are.
    """

    def __init__(self, info: VmcoreInfo) -> None:
        self._root = info.symbol("swapper_pg_dir")
        if "KERNELOFFPHYS" in info.values:  # 6.10 and later; before, the image is where its addresses say
            shift = info.hexadecimal("KERNELOFFPHYS") - info.hexadecimal("KERNELOFFSET")
            self._root = (self._root + shift) & _64_BITS

    def translate(self, address: int) -> "Reading[MemoryRange]":
        """Return where an address is, see `Translator`."""
        (entry,) = unpack(">Q", (yield MemoryRange(self._root, 8)))
        level = entry >> _TYPE_SHIFT & 3  # even entries that map nothing have their table's type
        if address >> _SEGMENT_SHIFT + _INDEX_BITS * (level + 1):
            raise MemoryFault(f"{address:#x} is not an address of the kernel")
        table, first, last = self._root, 0, 3
        for kind in range(level, -1, -1):
            shift = _SEGMENT_SHIFT + _INDEX_BITS * kind
            index = address >> shift & (1 << _INDEX_BITS) - 1
            if not first <= index >> _INDEX_BITS - 2 <= last:
                break
            (entry,) = unpack(">Q", (yield MemoryRange(table + 8 * index, 8)))
            if entry & _INVALID or entry >> _TYPE_SHIFT & 3 != kind:
                break
            if kind <= 1 and entry & _LARGE:
                return _span(entry, address, shift)
            if kind == 0:
                return (yield from self._page(entry, address))
            table, first, last = entry & -1 << 12, entry >> _FIRST_ENTRY & 3, entry >> _LAST_ENTRY & 3
        raise MemoryFault(f"{address:#x} is not mapped")

    def _page(self, segment: int, address: int) -> "Reading[MemoryRange]":
        table = segment & -1 << _PAGE_BITS + 3
        index = address >> 12 & (1 << _PAGE_BITS) - 1
        (entry,) = unpack(">Q", (yield MemoryRange(table + 8 * index, 8)))
        if entry & (_PAGE_INVALID | _PAGE_ZERO):
            raise MemoryFault(f"{address:#x} is not mapped")
        return _span(entry, address, 12)


def _span(entry: int, address: int, shift: int) -> MemoryRange:
    offset = address & (1 << shift) - 1
    return MemoryRange((entry & -1 << shift) + offset, (1 << shift) - offset)
