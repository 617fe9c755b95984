"""The ``<address>`` of a ``<panic>``: its type, its port, and what libvirt cannot read in it."""

import re
from collections.abc import Sequence

from onpanic.shims.domain_xml.elements import Element, child
from onpanic.shims.domain_xml.pci_slots import c_number

__all__ = ("address_problem", "address_type", "has_port")

# A number that libvirt reads as strtoul does with base 16, as it does iobase and irq
_HEX = re.compile(r"[ \t\n\v\f\r]*\+?(?:0[xX])?([0-9a-fA-F]{1,100})", re.ASCII)
_MOST = 2**32 - 1

# The attributes of a PCI address with their greatest values, and with those on the bus of the notifier: QEMU
# has one PCI domain, and libvirt puts the notifier on its root bus
_PCI = {"domain": _MOST, "bus": 0xFF, "slot": 0x1F, "function": 7}
_ON_ROOT_BUS = {"domain": 0, "bus": 0}
_SWITCH = (None, "on", "off")


def address_type(panic: Element) -> str:
    """Return the type of a notifier's address; empty if it has none."""
    address = child(panic, "address")
    return "" if address is None else str(address.get("type", "none"))


def has_port(panic: Element) -> bool | None:
    """Return whether the address of an ISA notifier gives it a port; None if it does not say."""
    address = child(panic, "address")
    if address is None or address.get("type") != "isa":
        return None
    return bool(_hexadecimal(address.get("iobase", "0")))  # libvirt's default is 0


def address_problem(panics: Sequence[Element], *, checked: bool) -> str:
    """Return the first attribute of an address that libvirt refuses, as it is written; empty for none.

    The rules are those of libvirt's ``virXMLPropUInt`` and ``virPCIDeviceAddressIsValid``.

    :param panics: The ``<panic>`` elements.
    :param checked: Whether libvirt's driver checks where the device is, see `DomainMachine.checks_panics`.
    """
    for panic in panics:
        address = child(panic, "address")
        kind = None if address is None else address.get("type")
        if address is not None and kind in ("isa", "pci"):
            name = _isa_problem(address) if kind == "isa" else _pci_problem(address, checked=checked)
            if name:
                return f"{name}='{address.get(name)}'"
    return ""


def _isa_problem(address: Element) -> str:
    names = ("iobase", "irq")
    return next((name for name in names if _hexadecimal(address.get(name, "0")) is None), "")


def _pci_problem(address: Element, *, checked: bool) -> str:
    found = {name: c_number(address.get(name, "0")) for name in _PCI}
    for name, value in found.items():
        if value is None or value > _MOST:
            return name
    if address.get("multifunction") not in _SWITCH:
        return "multifunction"
    if not any(found[name] for name in ("domain", "bus", "slot")):
        return ""  # libvirt assigns one
    most = _PCI | _ON_ROOT_BUS if checked else _PCI
    return next((name for name, value in found.items() if value > most[name]), "")  # type: ignore[operator]


def _hexadecimal(text: str) -> int | None:
    found = _HEX.fullmatch(text)
    value = int(found[1], 16) if found else None
    return None if value is None or value > _MOST else value
