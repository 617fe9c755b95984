"""A guest's memory through libvirt's memoryPeek, which neither stops nor taints its domain."""

from typing import Any

from onpanic.core.libvirt_api import libvirt_module
from onpanic.core.untrusted import printable
from onpanic.why.memory.reading import MemoryFault

__all__ = ("PeekedMemory",)

_VIRTUAL, _PHYSICAL = 1, 2  # VIR_MEMORY_VIRTUAL, VIR_MEMORY_PHYSICAL
_PIECE = 1 << 20  # bytes; what every libvirt returns in one answer


class PeekedMemory:
    """A guest's memory.  Blocks as libvirt does.

    :param domain: A `libvirt.virDomain`.
    """

    def __init__(self, domain: Any) -> None:
        self._domain = domain

    def physical(self, address: int, length: int) -> bytes:
        """Return the bytes at a physical address.

        :raise MemoryFault: When libvirt or QEMU does not return them.
        """
        return self._peek(address, length, _PHYSICAL)

    def virtual(self, address: int, length: int) -> bytes:
        """Return the bytes at a virtual address of the first processor: its program's, or its kernel's.

        :raise MemoryFault: When libvirt or QEMU does not return them, e.g. since nothing is mapped there.
        """
        return self._peek(address, length, _VIRTUAL)

    def _peek(self, address: int, length: int, flags: int) -> bytes:
        parts = []
        end = address + length
        try:
            while address < end:
                size = min(end - address, _PIECE)
                # QEMU takes a signed number
                signed = address - (1 << 64) if address >> 63 else address
                parts.append(bytes(self._domain.memoryPeek(signed, size, flags)))
                address += size
        except (libvirt_module().libvirtError, OverflowError) as error:
            raise MemoryFault(f"memory at {address:#x}: {printable(str(error), 200)}") from error
        return b"".join(parts)
