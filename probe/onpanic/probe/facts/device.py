"""Facts about the pvpanic devices of a machine type: whether one is builtin, and whether one can be added."""

from collections.abc import Sequence

from onpanic.probe.conversation import Conversation, Reply
from onpanic.probe.facts.fact import Fact, no, unknown, yes
from onpanic.probe.facts.question import Excerpt, Question, Requirement
from onpanic.probe.observations.devices import NOTIFIERS, devices, is_silent

__all__ = ("QUESTIONS", "pvpanic_attachable")

_FULL = "no slot/function available"  # QEMU's hw/pci/pci.c


def builtin_pvpanic(conversations: Sequence[Conversation]) -> Fact:
    """Return whether the machine type creates a pvpanic that the user did not ask for."""
    for conversation in conversations:
        present = devices(conversation)
        if present is None:
            continue
        builtin = [d for d in present if d.origin == "builtin"]
        live = [d for d in builtin if not d.neutralised]
        if live and all(is_silent(conversation, d) for d in live):
            return no(
                "observed", f"{live[0].path} is listed as a {live[0].type}, but nothing answers at its port"
            )
        if live:
            port = f" at port {live[0].port:#x}" if live[0].port is not None else ""
            return yes("introspected", f"{live[0].path} is a {live[0].type} that the user did not add{port}")
        if builtin:
            return no("introspected", f"{builtin[0].path} was switched off: ioport=0 moved it away")
        return no("introspected", "no pvpanic that the user did not add")
    return unknown("the emulator was not asked for the devices of this machine type")


def pvpanic_attachable(conversations: Sequence[Conversation]) -> Fact:
    """Return whether the user can add a pvpanic, of either kind."""
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
    """Answer where no device was tried: without a type there is nothing to add."""
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


_NAMES = tuple(sorted(NOTIFIERS))

#: The questions that this module answers.
QUESTIONS = (
    Question(
        "builtin-pvpanic",
        scope="machine",
        asks="Is a pvpanic there although none was asked for?",
        known_from="qom-list under /machine/unattached, beside the device that the probe adds itself",
        read=builtin_pvpanic,
        shows=Excerpt(("qom-list", "qom-get"), _NAMES, ("info qtree", "i /b"), starts=True),
        change="guest-visible",
        requires=Requirement("no", "builtin-panic-device"),
    ),
    Question(
        "pvpanic-attachable",
        scope="machine",
        asks="Can the user add a pvpanic?",
        known_from="a start with -device pvpanic, then with -device pvpanic-pci",
        read=pvpanic_attachable,
        shows=Excerpt(("qom-list", "qom-get", "qom-list-types"), _NAMES, ("info qtree",), starts=True),
        change="guest-visible",
        requires=Requirement("yes", "panic-device-missing"),
    ),
)
