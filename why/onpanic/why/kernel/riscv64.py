"""Addresses of riscv64: page tables of three, four or five levels (Sv39, Sv48, Sv57).

The tables map the kernel's image, too; only the first one is found by the image's offset.
Sources: the RISC-V Instruction Set Manual, volume II, "Page-Based Virtual-Memory Systems" and "Svnapot";
Linux's Documentation/arch/riscv/vm-layout.rst; the kernel's own vmcoreinfo.
"""

from onpanic.why.kernel.vmcoreinfo import VmcoreInfo
from onpanic.why.memory.reading import MemoryFault, MemoryRange, Reading, unpack

__all__ = ("Riscv64Translator",)

_VALID, _LEAF = 1, 0b1110  # an entry that may be read, written or executed is a leaf
_NAPOT, _NAPOT_BITS = 1 << 63, 4  # a leaf for 16 pages
_NUMBER = (1 << 44) - 1  # of a physical page, from bit 10 of an entry on
_64_BITS = (1 << 64) - 1
_LEVELS = {39: 3, 48: 4, 57: 5}


class Riscv64Translator:
    """Translates a kernel's addresses.

    :param info: What the kernel says about itself; early ones do not state `va_kernel_pa_offset`.
    :raise MemoryFault: When it does not say where its page tables are, or how large its addresses are.
    """

    def __init__(self, info: VmcoreInfo) -> None:
        self._bits = info.number("VA_BITS")
        if self._bits not in _LEVELS:
            raise MemoryFault(f"addresses of {self._bits} bits")
        image_offset = info.number("va_kernel_pa_offset")
        self._root = (info.symbol("swapper_pg_dir") - image_offset) & _64_BITS

    def translate(self, address: int) -> "Reading[MemoryRange]":
        """Return where an address is, see `Translator`."""
        if address >> self._bits - 1 != _64_BITS >> self._bits - 1:
            raise MemoryFault(f"{address:#x} is not an address of the kernel")
        table = self._root
        for level in range(_LEVELS[self._bits] - 1, -1, -1):
            shift = 12 + 9 * level
            index = address >> shift & 0x1FF
            (entry,) = unpack("<Q", (yield MemoryRange(table + 8 * index, 8)))
            if not entry & _VALID:
                break
            page = (entry >> 10 & _NUMBER) << 12
            if entry & _LEAF:
                if entry & _NAPOT:
                    if level or entry >> 10 & (1 << _NAPOT_BITS) - 1 != 1 << _NAPOT_BITS - 1:
                        break
                    shift += _NAPOT_BITS
                offset = address & (1 << shift) - 1
                return MemoryRange((page & -1 << shift) + offset, (1 << shift) - offset)
            table = page
        raise MemoryFault(f"{address:#x} is not mapped")
