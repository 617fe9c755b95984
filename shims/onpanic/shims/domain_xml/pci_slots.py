"""Finding a free slot on a domain's root PCI bus, for a device that libvirt does not know."""

import re
from typing import Any

from onpanic.probe.emulator.command_line_parser import option_values
from onpanic.probe.emulator.option_value import json_members
from onpanic.shims.domain_xml.elements import Element

__all__ = ("c_number", "free_slot")

# strtoul with base 0, without what depends on the C library ("0b", since C23)
_C_NUMBER = re.compile(r"[ \t\n\v\f\r]*\+?(?:(0[xX][0-9a-fA-F]+)|(0[0-7]*)|([1-9][0-9]*))", re.ASCII)
# sscanf's %x, with which QEMU reads the SLOT of addr=SLOT.FUNCTION
_HEX = re.compile(r"[ \t\n\v\f\r]*\+?(?:0[xX])?([0-9a-fA-F]+)", re.ASCII)


def free_slot(root: Element, arguments: list[str]) -> int | None:
    """Return a free slot of a domain's root PCI bus, None if there is none.

    libvirt assigns slots from the lowest.  Those that libvirt and QEMU reserve (the video card, and on q35
    also USB, sound, bridges and SATA) are lower or higher than the ones that are returned.

    :param root: The element ``<domain>``.
    :param arguments: What the domain adds to QEMU's command line.
    """
    taken = {
        c_number(address.get("slot", ""))
        for address in root.iter("address")
        if address.get("type") == "pci" and not c_number(address.get("bus", ""))
    }
    taken |= {_slot(device) for device in option_values(arguments, "device")}
    return next((slot for slot in range(0x10, 0x1A) if slot not in taken), None)


def c_number(text: str) -> int | None:
    """Return a number in C's notation: ``16``, ``0x10`` or ``020``; None for anything else.

    libvirt reads the attributes of a PCI address like this (``strtoul`` with base 0).
    """
    found = _C_NUMBER.fullmatch(text)
    if not found or len(text) > 100:
        return None
    hexadecimal, octal, decimal = found.groups()
    return int(hexadecimal, 16) if hexadecimal else int(octal, 8) if octal else int(decimal)


def _slot(device: str) -> int | None:
    """Return the PCI slot in the value of QEMU's option ``-device``, None if it has none.

    Text is hexadecimal; a number in JSON is slot * 8 + function (QEMU's property type ``pci-devfn``).
    """
    address = _address(device)
    if isinstance(address, int):
        return address >> 3
    found = _HEX.match(address) if isinstance(address, str) else None
    return int(found[1], 16) if found else None


def _address(device: str) -> Any:
    if device.startswith("{"):
        return json_members(device).get("addr")
    parts = (part.partition("=") for part in device.split(","))
    return next((value for name, _, value in parts if name == "addr"), None)
