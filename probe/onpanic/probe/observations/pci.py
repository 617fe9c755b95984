"""PCI: which functions there are, which one is the notifier, and where its register is and may be.

What a function is, is read from the answer to ``query-pci``, and where registers and windows are
from the machine's memory map; nothing is looked up by the name of a machine type.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from onpanic.probe.conversation import Conversation, Reply
from onpanic.probe.emulator.command_line import OWN_ID
from onpanic.probe.observations.memory_map import MemoryRegion, mapped_regions

__all__ = (
    "BAR0",
    "FLAT_VIEW",
    "IDENTITY",
    "PciFunction",
    "bar_candidates",
    "bars",
    "mapped_registers",
    "pci_functions",
    "pvpanic_function",
    "stayed_mapped",
)

#: The PCI device's ids, as configuration space shows them at offset 0 (QEMU's docs/specs/pci-ids).
IDENTITY = 0x00111B36
#: Offset of the register's address in configuration space (PCI Local Bus Specification, 6.2.5.1).
BAR0 = 0x10

#: The command whose answer shows where registers are.
FLAT_VIEW = "info mtree -f"

_REGISTER = "pvpanic"  # the region's name (QEMU's hw/misc/pvpanic-pci.c)
_DEEPEST = 32  # bridges behind bridges that are looked at
_ALIGNMENT = 2**20  # of a bridge's memory window (PCI-to-PCI Bridge Architecture Specification, 3.2.5.8)
# Names of PCI memory in QEMU's source: pci-mmio, pci0-mem, pci.mem, pci-memory, gpex_mmio_window, …
_PCI_MEMORY = re.compile(r"(?!.*(?:isa|mmcfg)).*(?:pci|gpex).*?(?:mem|memory|mmio)(?:_window)?|mmio")
# Where boards have PCI memory that no window shows: the host puts it into the system's memory itself
_USUAL = (0xE0000000, 0x80000000, 0x40000000, 0xFE000000, 0x10000000)


class PciFunction(msgspec.Struct, frozen=True):
    """A function of a PCI device.

    :param bus: The number of its bus; 0 below a bridge that has no number yet.
    :param slot: Its device number on the bus.
    :param function: Its function number.
    :param identity: Register 0 of its configuration space: device and vendor id.
    :param qdev_id: The id of the device in QEMU; empty for none.
    :param secondary: The number of the bus behind it; None if it is not a bridge, 0 without a number.
    :param addresses: The addresses in its BARs; without those that have none.
    :param bridges: The bridges above it, from the host on.
    """

    bus: int
    slot: int
    function: int
    identity: int
    qdev_id: str = ""
    secondary: int | None = None
    addresses: tuple[int, ...] = ()
    bridges: tuple["PciFunction", ...] = ()


def pci_functions(reply: Reply) -> list[PciFunction]:
    """Return the functions that ``query-pci`` lists; it omits those below bridges without a bus number."""
    return [f for bus in reply.items for f in _functions(bus.get("devices"), ())]


def pvpanic_function(functions: Sequence[PciFunction]) -> PciFunction | None:
    """Return the PCI pvpanic: the probe's own device, else the first one with its ids; None without one."""
    known = [f for f in functions if f.qdev_id == OWN_ID and f.secondary is None]
    known += [f for f in functions if f.identity == IDENTITY]
    return known[0] if known else None


def mapped_registers(text: str) -> list[int]:
    """Return the addresses at which CPUs reach the registers of PCI pvpanics, from ``info mtree -f``.

    :param text: The answer of the human monitor.
    """
    found = [r.start - r.offset for r in mapped_regions(text) if r.name == _REGISTER]
    return list(dict.fromkeys(found))


def stayed_mapped(conversation: Conversation, address: int, index: int) -> bool:
    """Return whether a register was still at an address when the machine was looked at next.

    If not, a write to it may have been lost: firmware moves registers, and a reset unmaps them.

    :param conversation: One that has written to the register.
    :param address: The register's address.
    :param index: The index of the entry with the write.
    :return: True also for a conversation that never looked: the register is where it was placed.
    """
    looks = conversation.all_replies("human-monitor-command", **{"command-line": FLAT_VIEW})
    later = [reply for reply in looks if reply.sent > index]
    resets = [
        reply.sent for reply in conversation.replies if reply.command == "system_reset" and reply.sent > index
    ]
    if not later or (resets and resets[0] < later[0].sent):
        return not looks
    return address in mapped_registers(str(later[0].value))


def bar_candidates(regions: Sequence[MemoryRegion]) -> list[int]:
    """Return values for BAR 0, those first that the windows of the memory map suggest.

    :param regions: The regions of the system's address space.
    """
    found = []
    for region in regions:
        if _PCI_MEMORY.fullmatch(region.target or region.name):
            middle = min(region.end - region.start, 2**29) // 2 & -_ALIGNMENT
            found.append(region.offset or middle)  # a window, or PCI memory itself, that begins at 0
    return list(dict.fromkeys(bar for bar in [*found, *_USUAL] if _ALIGNMENT <= bar < 2**32))


def bars(reply: Reply) -> list[int]:
    """Return the addresses of the registers of PCI pvpanics, from an answer to ``query-pci``."""
    found = (f for f in pci_functions(reply) if f.identity == IDENTITY or f.qdev_id == OWN_ID)
    return [address for function in found for address in function.addresses]


def _functions(devices: Any, bridges: tuple[PciFunction, ...]) -> Iterator[PciFunction]:
    for device in devices if isinstance(devices, list) else ():
        if not isinstance(device, dict):
            continue
        bridge = device.get("pci_bridge")
        behind = bridge.get("bus") if isinstance(bridge, dict) else None
        regions = device.get("regions")
        addresses = [r.get("address", -1) for r in regions or () if isinstance(r, dict)]
        found = PciFunction(
            bus=_number(device, "bus"),
            slot=_number(device, "slot"),
            function=_number(device, "function"),
            identity=_identity(device),
            qdev_id=str(device.get("qdev_id", "")),
            secondary=_number(behind, "secondary") if isinstance(behind, dict) else None,
            addresses=tuple(a for a in addresses if isinstance(a, int) and 0 < a < 2**63),
            bridges=bridges,
        )
        yield found
        if isinstance(bridge, dict) and len(bridges) < _DEEPEST:
            yield from _functions(bridge.get("devices"), (*bridges, found))


def _identity(device: Mapping[str, Any]) -> int:
    identity = device.get("id")
    ids = identity if isinstance(identity, dict) else {}
    return _number(ids, "device") << 16 | _number(ids, "vendor")


def _number(values: Mapping[str, Any], name: str) -> int:
    """Return a member that should be a small number; 0 if it is not."""
    value = values.get(name)
    return value if isinstance(value, int) and 0 <= value < 2**16 else 0
