"""The PCI device: how it is identified, and where its register and the host's windows are.

Where a generic PCIe host (QEMU's ``hw/pci-host/gpex.c``) has its windows is read from the
machine's memory map, not looked up by its name.
"""

import re

from onpanic.probe.conversation import Reply
from onpanic.probe.emulator.command_line import OWN_ID

__all__ = ("BAR0", "IDENTITY", "bars", "own_slot", "windows")

#: The PCI device's ids, as configuration space shows them at offset 0 (QEMU's docs/specs/pci-ids).
IDENTITY = 0x00111B36
#: Offset of the register's address in configuration space (PCI Local Bus Specification, 6.2.5.1).
BAR0 = 0x10

_IDS = divmod(IDENTITY, 1 << 16)  # device and vendor
# A window's line: "0000000010000000-000000003efeffff (prio 0, i/o): alias pcie-mmio @…"
_ALIAS = re.compile(r"^\s*([0-9a-f]{8,16})-[0-9a-f]{8,16} .*?: alias \S+ @([\w-]+)")


def bars(reply: Reply) -> list[int]:
    """Return the addresses of the registers of PCI pvpanics, from an answer to ``query-pci``."""
    found = []
    for bus in reply.items:
        for device in bus.get("devices", []):
            identity = device.get("id")
            known = isinstance(identity, dict) and (identity.get("device"), identity.get("vendor")) == _IDS
            if known or device.get("qdev_id") == OWN_ID:
                addresses = [region.get("address", -1) for region in device.get("regions", [])]
                found += [address for address in addresses if 0 < address < 2**63]
    return found


def own_slot(reply: Reply) -> int | None:
    """Return the slot of the probe's own device on the root bus, from ``query-pci``; None without one."""
    for bus in reply.items:
        for device in bus.get("devices", []):
            if device.get("qdev_id") == OWN_ID and device.get("bus") == 0:
                slot = device.get("slot")
                return slot if isinstance(slot, int) else None
    return None


def windows(mtree: str) -> tuple[int, int] | None:
    """Return the addresses of the ECAM and PCI memory windows, from ``info mtree``; None without both."""
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
