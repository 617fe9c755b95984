"""Host bridges whose windows to PCI memory are closed until software opens them.

`open_windows` opens them as a board's firmware would.  Which host bridge a board has is known from
the regions of its memory map.
"""

from collections.abc import Sequence

import msgspec

from onpanic.probe.asking.pci_config import Registers
from onpanic.probe.emulator.qtest import Qtest
from onpanic.probe.observations.memory_map import MemoryRegion

__all__ = ("open_windows",)


class _Host(msgspec.Struct, frozen=True):
    """How to open a window to PCI memory.

    :param region: The name of the region with the host bridge's registers.
    :param size: The size of that region: others have the same name.
    :param little_endian: Whether the registers are little-endian on a big-endian CPU.
    :param writes: Offsets of registers, and what to write to them.
    :param bar: The PCI address that the window then begins with.
    """

    region: str
    size: int
    little_endian: bool
    writes: tuple[tuple[int, int], ...]
    bar: int


# The windows are where no board of that kind has anything else: beyond the memory that it can have
_HOSTS = (
    # QEMU's hw/pci-host/dino.c: enable a window of 8 MiB, and the forwarding
    _Host("dino", 0x1000, False, ((0x60, 1 << 4), (0x38, 0x80)), 0xF2000000),
    # QEMU's hw/pci-host/astro.c: address and enable bit, mask, host bridge, of 64 bits each
    _Host(
        "astro",
        0x40000,
        True,
        ((0x300, 0xF4000001), (0x304, 0xFFFFFFFF), (0x308, 0xFC000000), (0x30C, 0xFFFFFFFF), (0x310, 0)),
        0xF4000000,
    ),
    # QEMU's hw/pci-host/ppc440_pcix.c: address, PCI address, size; the region was renamed
    *(
        _Host(
            name,
            0xFF,
            True,
            ((0x68, 0x80000000), (0x6C, 0xC), (0x74, 0x80000000), (0x78, 0), (0x70, 0xFFF00001)),
            0x80000000,
        )
        for name in ("pci-reg", "pci.reg")
    ),
    # QEMU's hw/pci-host/ppce500.c: PCI address and address, both in pages, size
    _Host("pci.reg", 0x400, False, ((0x20, 0x80000), (0x28, 0xC80000), (0x30, 0x80000013)), 0x80000000),
    # QEMU's hw/pci-host/designware.c: viewport 1, memory, address, last address, PCI address, enable
    _Host(
        "pcie.reg",
        0x1000,
        False,
        (
            (0x900, 1),
            (0x904, 0),
            (0x90C, 0x18100000),
            (0x914, 0x181FFFFF),
            (0x918, 0x18100000),
            (0x908, 1 << 31),
        ),
        0x18100000,
    ),
)


async def open_windows(regions: Sequence[MemoryRegion], qtest: Qtest) -> list[int]:
    """Open the windows of a board's host bridges, and return the PCI addresses that they begin with.

    :param regions: The regions of the board's memory map.
    :raise EmulatorError: When the emulator ends, or does not answer.
    """
    opened = []
    for host in _HOSTS:
        for region in regions:
            if (region.name, region.target) == (
                host.region,
                "",
            ) and region.end - region.start + 1 == host.size:
                registers = Registers(qtest, swapped=host.little_endian)
                for offset, value in host.writes:
                    await registers.write(region.start + offset, value)
                opened.append(host.bar)
    return opened
