"""Addresses of ppc64: the linear map, which has the kernel's image and its log.

Sources: Linux's arch/powerpc/include/asm/page.h and book3s/64/radix.h: the first four bits of an address are
the region, 12 is the linear map; from 0xc008000000000000 on, a kernel with radix tables has other mappings.
"""

from onpanic.why.kernel.vmcoreinfo import VmcoreInfo
from onpanic.why.memory.reading import MemoryFault, MemoryRange, Reading

__all__ = ("Ppc64Translator",)

_LINEAR = range(0xC000_0000_0000_0000, 0xC008_0000_0000_0000)


class Ppc64Translator:
    """Translates a kernel's addresses; no page tables are read.

    :param info: What the kernel says about itself.
    """

    def __init__(self, info: VmcoreInfo) -> None:  # every translator has it
        del info

    def translate(self, address: int) -> "Reading[MemoryRange]":
        """Return where an address is, see `Translator`."""
        if address not in _LINEAR:
            raise MemoryFault(f"{address:#x} is not in the kernel's linear map")
        yield from ()
        return MemoryRange(address - _LINEAR.start, _LINEAR.stop - address)
