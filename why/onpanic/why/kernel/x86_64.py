"""Addresses of x86_64: the kernel's image by its offset, all else by page tables of four or five levels.

Sources: Intel's Software Developer's Manual, volume 3, "Paging"; Linux's
Documentation/arch/x86/x86_64/mm.rst; the kernel's own vmcoreinfo.
"""

from onpanic.why.kernel.vmcoreinfo import VmcoreInfo
from onpanic.why.memory.reading import MemoryFault, MemoryRange, Reading, unpack

__all__ = ("ADDRESS_BITS", "IMAGE", "X86Translator", "walk_page_tables")

IMAGE = range(0xFFFF_FFFF_8000_0000, 0xFFFF_FFFF_C000_0000)  # the kernel's text and data; modules follow
_PRESENT, _LARGE = 1, 1 << 7

#: The bits of a page table's entry that are an address.
ADDRESS_BITS = 0x000F_FFFF_FFFF_F000


class X86Translator:
    """Translates a kernel's addresses.

    :param info: What the kernel says about itself.
    :raise MemoryFault: When it does not say where its page tables are.
    """

    def __init__(self, info: VmcoreInfo) -> None:
        self._phys_base = info.number("phys_base", default=0)
        self._levels = 5 if info.number("pgtable_l5_enabled", default=0) else 4
        self._mask = ADDRESS_BITS & ~info.number("sme_mask", default=0)
        symbol = "init_top_pgt" if info.has_symbol("init_top_pgt") else "swapper_pg_dir"
        self._root = self._in_image(info.symbol(symbol))

    def translate(self, address: int) -> "Reading[MemoryRange]":
        """Return where an address is, see `Translator`."""
        if address in IMAGE:
            return MemoryRange(self._in_image(address), IMAGE.stop - address)
        return (yield from walk_page_tables(self._root, self._levels, self._mask, address))

    def _in_image(self, address: int) -> int:
        if address not in IMAGE:
            raise MemoryFault(f"{address:#x} is not in the kernel's image")
        return (address - IMAGE.start + self._phys_base) & (1 << 64) - 1


def walk_page_tables(root: int, levels: int, mask: int, address: int) -> "Reading[MemoryRange]":
    """Return where a virtual address is, and how many bytes from there on are in the same page.

    :param root: The physical address of the page table of the highest level.
    :param levels: How many levels there are: 4 or 5.
    :param mask: The bits of an entry that are an address, see `ADDRESS_BITS`.
    :raise MemoryFault: When nothing is mapped there.
    """
    table = root
    for level in range(levels, 0, -1):
        shift = 12 + 9 * (level - 1)
        index = address >> shift & 0x1FF
        (entry,) = unpack("<Q", (yield MemoryRange(table + 8 * index, 8)))
        if not entry & _PRESENT:
            break
        if level == 1 or (level <= 3 and entry & _LARGE):
            offset = address & (1 << shift) - 1
            return MemoryRange((entry & mask & -1 << shift) + offset, (1 << shift) - offset)
        table = entry & mask
    raise MemoryFault(f"{address:#x} is not mapped")
