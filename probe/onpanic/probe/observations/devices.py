"""The pvpanic devices of a machine, and whether the user or the machine type added them.

A device that the machine type creates is usually below ``/machine/unattached`` (or directly below
``/machine``); one that the user added is below ``/machine/peripheral`` or
``/machine/peripheral-anon``.  Type lists and device properties are the same for both, so they
are not used.  A machine type may create one below another object, so that ``info qtree`` and
``info mtree`` are compared with what QOM lists: what they show in addition is builtin.  RHEL 6 has no
QOM; there the ids in ``info qtree`` distinguish the devices.
"""

import re
from collections.abc import Sequence
from typing import Literal

import msgspec

from onpanic.probe.conversation import Conversation
from onpanic.probe.emulator.command_line import OWN_ID
from onpanic.probe.emulator.command_line_parser import device_type
from onpanic.probe.emulator.notifier_models import ISA_TYPES, PCI_TYPE
from onpanic.probe.emulator.option_value import properties
from onpanic.probe.observations.machines import is_made

__all__ = (
    "ABSENT",
    "DEFAULT_PORT",
    "NOTIFIERS",
    "Device",
    "added_notifier",
    "builtin_devices",
    "devices",
    "is_silent",
    "isa_devices",
)

#: The ISA device's port unless a property says otherwise (QEMU's ``hw/misc/pvpanic-isa.c``).
DEFAULT_PORT = 0x505
#: What a port without a device reads as.
ABSENT = 0xFF

#: QOM types of pvpanic devices.
NOTIFIERS = frozenset({*ISA_TYPES, PCI_TYPE, "pvpanic-mmio"})
_CHILD = re.compile(r"child<(.+)>")
_QTREE = re.compile(r'^[ \t]*dev: (?P<type>[\w-]+), id "(?P<id>[^"]*)"', re.MULTILINE)
_QTREE_PORT = re.compile(r"ioport = (0x[0-9a-f]+|\d+)")
# "    0000000000000505-0000000000000505 (prio 0, i/o): pvpanic"; QEMU 1.x prints RW for i/o
_MTREE = re.compile(r"\s*([0-9a-f]{8,16})-[0-9a-f]{8,16} \(prio [^)]*\): (\S+)")


class Device(msgspec.Struct, frozen=True):
    """A pvpanic in the machine.

    :param type: Its QOM type; empty for an ISA device that only its port shows.
    :param path: Its QOM path, or its id in ``info qtree``.
    :param origin: ``builtin`` (the machine type created it) or ``added`` (by the user).
    :param port: Its I/O port, None for a device that has none, or did not say.
    """

    type: str
    path: str
    origin: Literal["builtin", "added"]
    port: int | None = None

    @property
    def on_isa(self) -> bool:
        """True for the ISA device, under either name."""
        return self.type in ("", *ISA_TYPES)

    @property
    def unlocated(self) -> bool:
        """True if it has a port, and nothing says which."""
        return self.on_isa and self.port is None

    @property
    def neutralised(self) -> bool:
        """True if its port was moved to 0, the DMA controller's, which switches a builtin device off."""
        return self.on_isa and self.port == 0


def devices(conversation: Conversation) -> tuple[Device, ...] | None:
    """Return the pvpanic devices in the machine, None if the conversation does not show them."""
    return conversation.derived(_devices)


def isa_devices(conversation: Conversation) -> list[Device]:
    """Return the ISA devices that are known, also where the conversation does not show all of them."""
    present = devices(conversation)
    return [d for d in (_own(conversation, []) if present is None else present) if d.on_isa]


def added_notifier(conversations: Sequence[Conversation]) -> str | None:
    """Return the type of the notifier that the probe added and the emulator accepted, None without one."""
    started = (c.own_device for c in conversations if c.own_device and not c.refused_to_start)
    return next(started, None)


def builtin_devices(conversation: Conversation) -> tuple[Device, ...] | None:
    """Return the devices that the machine type created, without those that are switched off.

    :return: None if the conversation does not show which devices there are; empty if they are listed, but
        nothing answers at their ports.
    """
    present = devices(conversation)
    if present is None:
        return None
    live = tuple(d for d in present if d.origin == "builtin" and not d.neutralised)
    return () if all(is_silent(conversation, device) for device in live) else live


def is_silent(conversation: Conversation, device: Device) -> bool:
    """Return whether a device's port was tried, and neither its value nor an event shows the device."""
    reads = [a for a in conversation.accesses if a.address == device.port and a.kind == "read"]
    absent = bool(reads) and {a.value for a in reads} == {ABSENT}
    return absent and not conversation.events("GUEST_PANICKED", reads[0].sent)


def _devices(conversation: Conversation) -> tuple[Device, ...] | None:
    if not is_made(conversation):
        return None
    found: list[Device] = []
    listed = False
    for folder in ("/machine", "/machine/unattached", "/machine/peripheral", "/machine/peripheral-anon"):
        reply = conversation.reply("qom-list", path=folder)
        if reply is None or not reply.ok:
            continue
        listed = listed or folder == "/machine/unattached"
        for item in reply.items:
            match = _CHILD.fullmatch(item["type"])
            if match and match[1] in NOTIFIERS:
                origin: Literal["builtin", "added"] = "added" if "peripheral" in folder else "builtin"
                path = f"{folder}/{item['name']}"
                found.append(Device(match[1], path, origin, _port(conversation, match[1], path)))
    tree = conversation.hmp("info qtree")
    in_tree = _from_qtree(tree.value, conversation) if tree and tree.ok and "dev: " in tree.value else None
    if listed:
        found += _own(conversation, found)
        asked = conversation.own_device
        if asked and not any(d.type == asked for d in found):
            return None  # -preconfig
        found = [_with_port(device, in_tree or []) for device in found]
        found += _elsewhere(conversation, found, in_tree or [])
        return tuple(_with_mapped_ports(conversation, found))
    mapped = conversation.hmp("info mtree")
    if in_tree is None and (mapped is None or not mapped.ok or "address-space" not in mapped.value):
        return None
    asked_for = _own(conversation, []) or _asked_for(conversation)
    return tuple(_with_mapped_ports(conversation, asked_for if in_tree is None else in_tree))


def _elsewhere(conversation: Conversation, found: list[Device], in_tree: list[Device]) -> list[Device]:
    """Return the devices of ``info qtree`` that QOM does not list, and the command line does not add."""
    more: list[Device] = []
    for kind in dict.fromkeys(device.type for device in in_tree):
        origins = [device.origin for device in found if device.type == kind]
        added = max(origins.count("added"), conversation.devices.count(kind))
        shown = [device for device in in_tree if device.type == kind]
        unknown = len(shown) - origins.count("builtin") - added
        builtin = [device for device in shown if device.origin == "builtin"]
        more += builtin[-unknown:] if unknown > 0 else []
    return more


def _asked_for(conversation: Conversation) -> list[Device]:
    """Return the devices that the command line adds: they are there if the emulator has started."""
    kinds = [kind for kind in conversation.devices if kind in NOTIFIERS]
    return [Device(kind, f"-device {kind}", "added") for kind in kinds]


def _with_port(device: Device, in_tree: list[Device]) -> Device:
    """Return a device with the port that ``info qtree`` shows, if QOM did not say it."""
    if device.port is not None or not device.on_isa:
        return device
    name = "" if device.origin == "builtin" else device.path.rpartition("/")[2]
    ports = [d.port for d in in_tree if d.type == device.type and d.path == _path_in_tree(d.type, name)]
    return msgspec.structs.replace(device, port=next(iter(ports), None))


def _with_mapped_ports(conversation: Conversation, found: list[Device]) -> list[Device]:
    """Return the devices with the ports of ``info mtree``.

    A port that is not a known device's is that of one whose port is not known, or else of a builtin device
    that nothing else lists.
    """
    tree = conversation.hmp("info mtree")
    ports = _mapped_ports(str(tree.value)) if tree and tree.ok else []
    for device in found:
        if device.port in ports:
            ports.remove(device.port)
    located = [
        msgspec.structs.replace(device, port=ports.pop(0)) if device.unlocated and ports else device
        for device in found
    ]
    asked = sum(1 for kind in conversation.devices if kind in ISA_TYPES)
    unlisted = asked - sum(1 for device in found if device.on_isa and device.origin == "added")
    more = [Device("", "info mtree", "builtin", port) for port in ports[max(0, unlisted) :]]
    return located + more


def _mapped_ports(mtree: str) -> list[int]:
    """Return the addresses of pvpanics in the I/O address space, from ``info mtree``."""
    found, in_ports = [], False
    for line in mtree.splitlines():
        region = _MTREE.match(line)
        if region is None and line.strip():
            in_ports = line.strip() in ("address-space: I/O", "I/O")  # QEMU 1.x prints the latter
        elif region and in_ports and region[2] == "pvpanic":
            found.append(int(region[1], 16))
    return found


def _own(conversation: Conversation, found: list[Device]) -> list[Device]:
    """Return the probe's own ISA device where only a property of it was asked for."""
    path = f"/machine/peripheral/{OWN_ID}"
    port = conversation.reply("qom-get", path=path, property="ioport")
    if not port or not port.ok or any(device.path == path for device in found):
        return []
    kind = conversation.own_device or "pvpanic"
    return [Device(kind, path, "added", _port(conversation, kind, path))]


def _port(conversation: Conversation, kind: str, path: str) -> int | None:
    reply = conversation.reply("qom-get", path=path, property="ioport")
    return int(reply.value) if reply and reply.ok and kind in ISA_TYPES else None


def _from_qtree(tree: str, conversation: Conversation) -> list[Device]:
    """Read ``dev: pvpanic, id "…"``; without an id, it was added only if the command line says so."""
    values = [v for v in conversation.options("device") if device_type(v) in NOTIFIERS]
    asked = sum("id" not in dict(properties(value, "driver")) for value in values)
    found = []
    matches = list(_QTREE.finditer(tree))
    ends = [match.start() for match in matches[1:]] + [len(tree)]
    for match, end in zip(matches, ends, strict=False):
        if match["type"] not in NOTIFIERS:
            continue
        rest = tree[match.end() : end]
        port = _QTREE_PORT.search(rest)
        number = int(port[1], 16 if port[1].startswith("0x") else 10) if port else None
        anonymous = not match["id"]
        added = not anonymous or asked > 0
        asked -= anonymous
        path = _path_in_tree(match["type"], match["id"])
        found.append(Device(match["type"], path, "added" if added else "builtin", number))
    return found


def _path_in_tree(kind: str, identity: str) -> str:
    """Return how a device of ``info qtree`` is named."""
    return f"{kind} (id {identity or 'none'!r})"
