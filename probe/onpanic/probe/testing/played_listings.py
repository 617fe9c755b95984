"""What a played machine's listings show, in the words of QEMU."""

from typing import Any

from onpanic.probe.testing.played_machine import PlayedDevice, PlayedMachine

__all__ = ("info_mtree", "info_qtree", "info_views", "pci_devices", "qom_children")

_IDENTITY = {"vendor": 0x1B36, "device": 0x0011}
_HOST_BRIDGE = {"bus": 0, "slot": 0, "function": 0, "qdev_id": "", "id": {"vendor": 0x8086, "device": 0x1237}}


def qom_children(machine: PlayedMachine, folder: str) -> list[dict[str, str]]:
    """Return what ``qom-list`` returns for a folder."""
    inside = [{"name": "type", "type": "string"}]
    for device in _shown(machine, "qom-list"):
        parent, _, name = device.path.rpartition("/")
        if parent == folder:
            inside.append({"name": name, "type": f"child<{device.type}>"})
    return inside


def info_qtree(machine: PlayedMachine) -> str:
    """Return the devices as ``info qtree`` prints them."""
    lines = ["bus: main-system-bus", '  dev: ps2-mouse, id ""']
    for device in _shown(machine, "info qtree"):
        lines.append(f'  dev: {device.type}, id "{"" if device.builtin else device.path.rpartition("/")[2]}"')
        if device.port is not None and "ioport" not in machine.like.lacks:
            lines.append(f"    ioport = {device.port} ({device.port:#x})")
        lines.append(f"    events = {device.does.mask or 0}")
    return "".join(f"{line}\n" for line in lines)


def info_mtree(machine: PlayedMachine) -> str:
    """Return the ports as ``info mtree`` prints them: of devices that answer there."""
    lines = ["address-space: memory", "  0000000000000000-ffffffffffffffff (prio 0, i/o): system", ""]
    lines += ["address-space: I/O", "  0000000000000000-000000000000ffff (prio 0, i/o): io"]
    for device in _shown(machine, "info mtree"):
        if device.port is not None and device.does.mask is not None:
            lines.append(f"    {device.port:016x}-{device.port:016x} (prio 0, i/o): pvpanic")
    return "".join(f"{line}\n" for line in lines)


def info_views(machine: PlayedMachine) -> str:
    """Return the PCI device's register as ``info mtree -f`` prints it, once it is mapped."""
    lines = ["FlatView #0", ' AS "memory", root: system', " Root memory region: system"]
    if machine.register is not None:
        lines.append(f"  {machine.register:016x}-{machine.register + 1:016x} (prio 1, i/o): pvpanic")
    return "".join(f"{line}\n" for line in [*lines, ""])


def pci_devices(machine: PlayedMachine) -> list[dict[str, Any]]:
    """Return what ``query-pci`` returns."""
    if machine.like.pci == "none" or machine.name in machine.like.without_pci or machine.name == "none":
        return []
    region = {
        "bar": 0,
        "type": "memory",
        "size": 2,
        "address": -1 if machine.register is None else machine.register,
    }
    found = [
        {"bus": 0, "slot": 2, "function": 0, "id": _IDENTITY, "regions": [region]}
        | {"qdev_id": device.path.rpartition("/")[2]}
        for device in machine.devices
        if device.port is None
    ]
    return [{"bus": 0, "devices": [_HOST_BRIDGE | {"regions": []}, *found]}]


def _shown(machine: PlayedMachine, listing: str) -> list[PlayedDevice]:
    """Return the devices that a listing shows."""
    return [d for d in machine.devices if not (d.builtin and listing in machine.like.hides)]
