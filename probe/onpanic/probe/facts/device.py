"""Which pvpanic devices a machine has, who asked for them, and whether one can be added.

A device that the machine type creates by itself sits under ``/machine/unattached``
(or right under ``/machine``); one that was asked for sits under
``/machine/peripheral`` or ``/machine/peripheral-anon``.  Type lists and device
properties are the same for both, so they are not consulted.  RHEL 6 has no QOM; there
``info qtree`` tells the devices apart by their ids.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

import msgspec

from ..conversation import Conversation, Reply
from ..launch import OWN_ID
from .fact import Fact, no, unknown, yes

__all__ = (
    "DEFAULT_PORT",
    "NOTIFIERS",
    "PCI_BAR0",
    "PCI_IDENTITY",
    "Device",
    "builtin_pvpanic",
    "devices",
    "pvpanic_attachable",
)

#: The ISA device's port unless a property says otherwise (QEMU's ``hw/misc/pvpanic-isa.c``).
DEFAULT_PORT = 0x505

#: QOM types of pvpanic devices.
NOTIFIERS = frozenset({"pvpanic", "isa-pvpanic", "pvpanic-pci", "pvpanic-mmio"})
_ISA = ("pvpanic", "isa-pvpanic")
#: The PCI device's ids, as configuration space shows them at offset 0 (QEMU's docs/specs/pci-ids).
PCI_IDENTITY = 0x00111B36
#: Offset of the register's address in configuration space (PCI Local Bus Specification, 6.2.5.1).
PCI_BAR0 = 0x10
_FULL = "no slot/function available"  # QEMU's hw/pci/pci.c
_ABSENT = 0xFF  # what a port without a device reads as
_CHILD = re.compile(r"child<(.+)>")
_QTREE = re.compile(r'^[ \t]*dev: (?P<type>[\w-]+), id "(?P<id>[^"]*)"', re.MULTILINE)
_QTREE_PORT = re.compile(r"ioport = (0x[0-9a-f]+|\d+)")


class Device(msgspec.Struct, frozen=True):
    """A pvpanic that is in the machine.

    :param type: Its QOM type.
    :param path: Its QOM path, or its id in ``info qtree``.
    :param origin: ``builtin`` (nobody asked for it) or ``added``.
    :param port: Its I/O port, None for a device that has none or did not say.
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
        """True if its port was moved to 0, the DMA controller's: the way to switch a builtin one off."""
        return self.on_isa and self.port == 0


@lru_cache(maxsize=16)  # every question about a machine type looks here first
def devices(conversation: Conversation) -> tuple[Device, ...] | None:
    """Return the pvpanic devices in the machine, None if the conversation does not show them."""
    status = conversation.reply("query-status")
    if status and status.member("status") == "preconfig":
        return None  # they are still to be made
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


def builtin_pvpanic(conversations: Sequence[Conversation]) -> Fact:
    """Say if a pvpanic is there although none was asked for."""
    for conversation in conversations:
        present = devices(conversation)
        if present is None:
            continue
        builtin = [d for d in present if d.origin == "builtin"]
        live = [d for d in builtin if not d.neutralised]
        if live and all(_silent(conversation, d.port) for d in live):
            return no(
                "observed", f"{live[0].path} is listed as a {live[0].type}, but nothing answers at its port"
            )
        if live:
            port = f" at port {live[0].port:#x}" if live[0].port is not None else ""
            return yes("introspected", f"{live[0].path} is a {live[0].type} that nobody asked for{port}")
        if builtin:
            return no("introspected", f"{builtin[0].path} was switched off: ioport=0 moved it away")
        return no("introspected", "no pvpanic but what was asked for")
    return unknown("the emulator was not asked for the devices of this machine type")


def pvpanic_attachable(conversations: Sequence[Conversation]) -> Fact:
    """Say if the user can add a pvpanic, of either kind."""
    refused: list[str] = []
    for conversation in conversations:
        present = devices(conversation) or ()
        added = [d for d in present if d.origin == "added"]
        if added and not conversation.argv:
            return yes("introspected", f"the running machine has a {added[0].type} that was added")
        if added:
            return yes("observed", f"-device {added[0].type} was accepted")
        asked = set(conversation.devices) & NOTIFIERS
        unlisted = not any(reply.command == "qom-list" and reply.ok for reply in conversation.replies)
        if asked and conversation.answered and unlisted and devices(conversation) is None:
            return yes("observed", f"-device {min(asked)} was accepted")
        if asked and conversation.refused_to_start:
            refused.append(conversation.failed.partition(": ")[2] or conversation.failed)
    starts_without = any(c.greeting and not c.own_device and not c.refused_to_start for c in conversations)
    if starts_without and refused:
        full = [words for words in refused if _FULL in words]
        if full:  # another bus may have room
            return unknown(f"its default bus has no room for the device: {full[-1]}")
        about = [words for words in refused if "device" in words or "pvpanic" in words]
        if about:
            return no("observed", f"it starts without the device, and with it says: {about[-1]}")
        return unknown(f"it starts without the device only, and does not say why: {refused[-1]}")
    return _attachable_by_type(conversations)


def _attachable_by_type(conversations: Sequence[Conversation]) -> Fact:
    """Where no device was tried: without a type there is nothing to add."""
    for conversation in conversations:
        for reply in conversation.all_replies("qom-list-types"):
            if reply.ok and not {item["name"] for item in reply.items} & NOTIFIERS:
                return no("introspected", "the emulator has no pvpanic type at all")
    absent: list[Reply] = [
        reply
        for conversation in conversations
        for name in ("pvpanic", "pvpanic-pci")
        for reply in conversation.all_replies("device-list-properties", typename=name)
        if reply.refusal and reply.refusal.error_class == "DeviceNotFound"
    ]
    if len({reply.arguments["typename"] for reply in absent}) == 2:
        return no("introspected", "the emulator has no pvpanic type at all")
    return unknown("the machine type was not started with a pvpanic device")


def _own(conversation: Conversation, found: list[Device]) -> list[Device]:
    """Return the probe's own ISA device where a property of it is all that was asked for."""
    path = f"/machine/peripheral/{OWN_ID}"
    port = conversation.reply("qom-get", path=path, property="ioport")
    if not port or not port.ok or any(device.path == path for device in found):
        return []
    kind = conversation.own_device or "pvpanic"
    return [Device(kind, path, "added", _port(conversation, kind, path))]


def _silent(conversation: Conversation, port: int | None) -> bool:
    """Say if a port was tried, and neither its value nor an event spoke of a device."""
    reads = [a.value for a in conversation.accesses if a.address == port and a.kind == "read"]
    return bool(reads) and set(reads) == {_ABSENT} and not conversation.events("GUEST_PANICKED")


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
