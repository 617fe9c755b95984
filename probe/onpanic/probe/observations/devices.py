"""The pvpanic devices of a machine, and whether the user or the machine type added them.

A device that the machine type creates is below ``/machine/unattached`` (or directly below
``/machine``); one that the user added is below ``/machine/peripheral`` or
``/machine/peripheral-anon``.  Type lists and device properties are the same for both, so they
are not used.  RHEL 6 has no QOM; there the ids in ``info qtree`` distinguish the devices.
"""

import re
from collections.abc import Sequence
from typing import Literal

import msgspec

from onpanic.probe.conversation import Conversation
from onpanic.probe.emulator.command_line import OWN_ID

__all__ = (
    "DEFAULT_PORT",
    "NOTIFIERS",
    "Device",
    "added_notifier",
    "builtin_devices",
    "devices",
    "is_silent",
)

#: The ISA device's port unless a property says otherwise (QEMU's ``hw/misc/pvpanic-isa.c``).
DEFAULT_PORT = 0x505

#: QOM types of pvpanic devices.
NOTIFIERS = frozenset({"pvpanic", "isa-pvpanic", "pvpanic-pci", "pvpanic-mmio"})
_ISA = ("pvpanic", "isa-pvpanic")
_ABSENT = 0xFF  # what a port without a device reads as
_CHILD = re.compile(r"child<(.+)>")
_QTREE = re.compile(r'^[ \t]*dev: (?P<type>[\w-]+), id "(?P<id>[^"]*)"', re.MULTILINE)
_QTREE_PORT = re.compile(r"ioport = (0x[0-9a-f]+|\d+)")


class Device(msgspec.Struct, frozen=True):
    """A pvpanic in the machine.

    :param type: Its QOM type.
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
        return self.type in _ISA

    @property
    def neutralised(self) -> bool:
        """True if its port was moved to 0, the DMA controller's, which switches a builtin device off."""
        return self.on_isa and self.port == 0


def devices(conversation: Conversation) -> tuple[Device, ...] | None:
    """Return the pvpanic devices in the machine, None if the conversation does not show them."""
    return conversation.derived(_devices)


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
    reads = [a.value for a in conversation.accesses if a.address == device.port and a.kind == "read"]
    return bool(reads) and set(reads) == {_ABSENT} and not conversation.events("GUEST_PANICKED")


def _devices(conversation: Conversation) -> tuple[Device, ...] | None:
    status = conversation.reply("query-status")
    if status and status.member("status") == "preconfig":
        return None  # they have not been created yet
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
    if listed:
        found += _own(conversation, found)
        asked = conversation.own_device
        return None if asked and not any(d.type == asked for d in found) else tuple(found)  # -preconfig
    tree = conversation.hmp("info qtree")
    if tree is not None and tree.ok and "dev: " in tree.value:
        return tuple(_from_qtree(tree.value, conversation))
    return None


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
    if reply and reply.ok:
        return int(reply.value)
    return DEFAULT_PORT if kind in _ISA else None


def _from_qtree(tree: str, conversation: Conversation) -> list[Device]:
    """Read ``dev: pvpanic, id "…"``; without an id, it was added only if the command line says so."""
    asked = sum(1 for v in conversation.options("device") if v.split(",")[0] in NOTIFIERS and ",id=" not in v)
    found = []
    matches = list(_QTREE.finditer(tree))
    ends = [match.start() for match in matches[1:]] + [len(tree)]
    for match, end in zip(matches, ends, strict=False):
        if match["type"] not in NOTIFIERS:
            continue
        rest = tree[match.end() : end]
        port = _QTREE_PORT.search(rest)
        number = int(port[1], 16 if port[1].startswith("0x") else 10) if port else DEFAULT_PORT
        anonymous = not match["id"]
        added = not anonymous or asked > 0
        asked -= anonymous
        path = f"{match['type']} (id {match['id'] or 'none'!r})"
        found.append(Device(match["type"], path, "added" if added else "builtin", number))
    return found
