"""Where a libvirt domain's guest has memory, as far as its machine type says so.

Devices must not be read, since that changes the state of some, and libvirt does not tell where memory is.
Sources: QEMU's hw/i386/pc_piix.c, pc_q35.c, hw/arm/virt.c, hw/riscv/virt.c and hw/ppc/spapr.c.
"""

from onpanic.shims.domain_xml.domain_machine import DomainMachine
from onpanic.why.memory.reading import MemoryRange

__all__ = ("domain_ranges",)

_LOWEST = 1 << 20  # what is below was the firmware's
_ABOVE = 1 << 32  # where a PC's memory continues
#: Of a PC: from which size on its memory is split, and how much of it is then below.
_SPLIT = {"i440fx": (0xE000_0000, 0xC000_0000), "q35": (0xB000_0000, 0x8000_0000)}
#: Where the memory of other machines begins, by architecture and the beginning of the machine type.
_BASES = {
    ("aarch64", "virt"): 0x4000_0000,
    ("riscv64", "virt"): 0x8000_0000,
    ("ppc64", "pseries"): 0,
    ("s390x", "s390-ccw-virtio"): 0,
}


def domain_ranges(machine: DomainMachine, size: int) -> list[MemoryRange]:
    """Return where a domain's guest has memory; empty if its machine type is not known.

    :param machine: What its XML describes.
    :param size: How much memory it has, in bytes.
    """
    name = machine.machine or ""
    if machine.target == "x86_64":
        split, below = next((row for board, row in _SPLIT.items() if board in name), (0, 0))
        low = size if size < split else below
        ranges = [MemoryRange(_LOWEST, low - _LOWEST), MemoryRange(_ABOVE, size - low)] if split else []
        return [span for span in ranges if span.length > 0]
    base = next((b for (arch, m), b in _BASES.items() if machine.target == arch and name.startswith(m)), None)
    return [] if base is None else [MemoryRange(base, size)]
