"""Addresses of aarch64: page tables of 4, 16 and 64 KiB, with addresses of up to 52 bits.

The tables map the kernel's image and the linear map, too; only the first one is found by the image's offset.
Sources: Arm's Architecture Reference Manual for A-profile, "The AArch64 Virtual Memory System
Architecture"; Linux's Documentation/arch/arm64/memory.rst; the kernel's own vmcoreinfo.
"""

from onpanic.why.kernel.vmcoreinfo import VmcoreInfo
from onpanic.why.memory.reading import MemoryFault, MemoryRange, Reading, unpack

__all__ = ("Aarch64Translator",)

_VALID, _TABLE_OR_PAGE = 1, 2  # an entry without the second bit maps a block
_BLOCKS_BELOW = {12: 39, 14: 36, 16: 42}  # blocks are at most this large, by the bits of a page; see `_block`
_64_BITS = (1 << 64) - 1


class Aarch64Translator:
    """Translates a kernel's addresses.

    :param info: What the kernel says about itself.
    :raise MemoryFault: When it does not say where its page tables are, or how large its addresses are.
    """

    def __init__(self, info: VmcoreInfo) -> None:
        built = info.number("VA_BITS")
        # A kernel that is built for 52 bits runs with less where the CPU does not have them
        self._bits = 64 - info.number("TCR_EL1_T1SZ", default=64 - built)
        self._page_bits = info.page_size.bit_length() - 1
        self._index_bits = self._page_bits - 3
        if not (36 <= self._bits <= built <= 52):
            raise MemoryFault(f"addresses of {self._bits} bits, of {built} at most")
        self._levels = self._levels_of(self._bits)
        # With the same number of levels, the first table has the size that the kernel was built for
        indexed = built if self._levels == self._levels_of(built) else self._bits
        self._root_bits = indexed - self._page_bits - self._index_bits * (self._levels - 1)
        self._long = self._bits > 48 and self._page_bits < 16  # FEAT_LPA2: another place of the high bits
        image_offset = info.number("kimage_voffset")
        self._root = (info.symbol("swapper_pg_dir") - image_offset) & _64_BITS

    def translate(self, address: int) -> "Reading[MemoryRange]":
        """Return where an address is, see `Translator`."""
        address |= (address >> 55 & 1) * 0xFF << 56  # the top byte may be a tag of the pointer
        if address >> self._bits != _64_BITS >> self._bits:
            raise MemoryFault(f"{address:#x} is not an address of the kernel")
        table, index_bits = self._root, self._root_bits
        for level in range(self._levels - 1, -1, -1):
            shift = self._page_bits + self._index_bits * level
            index = address >> shift & (1 << index_bits) - 1
            (entry,) = unpack("<Q", (yield MemoryRange(table + 8 * index, 8)))
            if not entry & _VALID:
                break
            if level == 0 or not entry & _TABLE_OR_PAGE:
                if bool(level) == bool(entry & _TABLE_OR_PAGE) or not self._block(shift):
                    break
                offset = address & (1 << shift) - 1
                return MemoryRange((self._output(entry) & -1 << shift) + offset, (1 << shift) - offset)
            table, index_bits = self._output(entry), self._index_bits
        raise MemoryFault(f"{address:#x} is not mapped")

    def _levels_of(self, bits: int) -> int:
        return -(-(bits - self._page_bits) // self._index_bits)

    def _block(self, shift: int) -> bool:
        """Return whether an entry may map this much; with FEAT_LPA2, one level more may."""
        largest = _BLOCKS_BELOW[self._page_bits]
        return shift < largest or (self._long and shift < largest + self._index_bits)

    def _output(self, entry: int) -> int:
        """Return the physical address that an entry has."""
        if self._long:
            return (entry & (1 << 50) - (1 << self._page_bits)) | (entry >> 8 & 3) << 50
        address = entry & (1 << 48) - (1 << self._page_bits)
        if self._page_bits == 16:  # FEAT_LPA; these bits are zero without it
            address |= (entry >> 12 & 0xF) << 48
        return address
