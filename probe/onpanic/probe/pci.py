"""Place a PCI device's register where it can be written, as firmware would.

Outside x86 the machine is started without firmware, and PCI configuration space is in
memory: the generic host bridge (QEMU's ``hw/pci-host/gpex.c``) puts each slot's
registers at 32 KiB steps in its ECAM window.  Where those windows are is asked of
the machine, not looked up by its name.
"""

import re

from .facts.device import PCI_BAR0, PCI_IDENTITY
from .launch import OWN_ID
from .session import Session

__all__ = ("place_bar", "windows")

_COMMAND = 0x04
_MEMORY_ENABLE = 0x2
# Where a window is to be seen: "0000000010000000-000000003efeffff (prio 0, i/o): alias pcie-mmio @…"
_ALIAS = re.compile(r"^\s*([0-9a-f]{8,16})-[0-9a-f]{8,16} .*?: alias \S+ @([\w-]+)")


def windows(mtree: str) -> tuple[int, int] | None:
    """Find the ECAM window and the PCI memory window in ``info mtree``: their first addresses."""
    starts: dict[str, int] = {}
    for line in mtree.splitlines():
        if line.startswith("memory-region:"):
            break  # from here on, addresses are relative to the regions
        match = _ALIAS.match(line)
        if match:
            starts.setdefault(match[2], int(match[1], 16))
    ecam = starts.get("pcie-mmcfg-mmio")
    memory = starts.get(
        "gpex_mmio_window", starts.get("gpex_mmio")
    )  # machine types up to 6.0 have the latter
    return None if ecam is None or memory is None else (ecam, memory)


async def place_bar(session: Session) -> int | None:
    """Give the probe's own device a register address and return it; None where that cannot be done."""
    assert session.qtest is not None
    tree = await session.hmp("info mtree")
    found = windows(str(tree.value))
    slots = await session.ask("query-pci")
    slot = next(
        (
            device.get("slot")
            for bus in slots.items
            for device in bus.get("devices", [])
            if device.get("qdev_id") == OWN_ID and device.get("bus") == 0
        ),
        None,
    )
    if found is None or slot is None:
        return None
    ecam, memory = found
    registers = ecam + (slot << 15)
    if await session.qtest.read("l", registers) != PCI_IDENTITY:
        return None
    await session.qtest.write("l", registers + PCI_BAR0, memory)
    await session.qtest.write("w", registers + _COMMAND, _MEMORY_ENABLE)
    return memory
