"""Facts about devices: whether a pvpanic is builtin, and whether a notifier can be added."""

from collections.abc import Sequence

from onpanic.probe.conversation import Conversation
from onpanic.probe.emulator.notifier_models import ISA_TYPES, PCI_TYPE, NotifierModel
from onpanic.probe.facts.fact import Fact, no, unknown, yes
from onpanic.probe.facts.question import Excerpt, Question, Requirement
from onpanic.probe.observations.devices import NOTIFIERS, devices, is_silent
from onpanic.probe.observations.machines import is_made
from onpanic.probe.observations.notifiers import about
from onpanic.probe.observations.panics import panics
from onpanic.probe.observations.qom_types import known_types

__all__ = ("NO_SUCH_TYPE", "QUESTIONS", "attachable", "builtin_pvpanic")

#: What QEMU says of a type of device that it does not have (``qdev-monitor.c``).
NO_SUCH_TYPE = "is not a valid device model name"
_TWICE = "duplicate fw_cfg file name: etc/pvpanic-port"  # of a second ISA device (QEMU's hw/nvram/fw_cfg.c)
_FULL = "no slot/function available"  # QEMU's hw/pci/pci.c, as the next one
_IN_USE = "in use by"  # another device needs the place that this one has taken


def builtin_pvpanic(conversations: Sequence[Conversation]) -> Fact:
    """Return whether the machine type creates a pvpanic that the user did not ask for."""
    found: list[Fact] = []
    for conversation in conversations:
        present = devices(conversation)
        added = present is None or any(d.origin == "added" and d.on_isa for d in present)
        if not added and not set(conversation.devices) & set(ISA_TYPES):
            made = panics([conversation], "isa", without_notifier=True)
            unasked = [panic for panic in made if panic.action is not None]
            if unasked:
                return yes("observed", f"none was added, and {unasked[0].made_by}: GUEST_PANICKED")
        if present is not None:
            found.append(_builtin_listed(conversation))
    dead = [fact for fact in found if (fact.answer, fact.how) == ("no", "observed")]
    listed = [fact for fact in found if fact.answer == "yes"]
    twice = [c for c in conversations if _TWICE in c.failed and len(set(c.devices) & set(ISA_TYPES)) == 1]
    if twice and not dead and not listed:
        return yes("observed", f"another one is refused beside it: {twice[0].own_words}")
    if found:
        return [*dead, *listed, *found][0]
    types = known_types(conversations)
    if all(types.get(name) is False for name in ISA_TYPES):
        return no("introspected", f"the emulator has no type {ISA_TYPES[0]}")
    return unknown("the emulator was not asked for the devices of this machine type")


def _builtin_listed(conversation: Conversation) -> Fact:
    """Answer from the devices that one start lists."""
    builtin = [d for d in devices(conversation) or () if d.origin == "builtin"]
    live = [d for d in builtin if not d.neutralised]
    if live and all(is_silent(conversation, d) for d in live):
        return no(
            "observed", f"{live[0].path} is listed as a {live[0].type}, but nothing answers at its port"
        )
    if live:
        port = f" at port {live[0].port:#x}" if live[0].port is not None else ""
        kind = live[0].type or ISA_TYPES[0]
        return yes("introspected", f"{live[0].path} is a {kind} that the user did not add{port}")
    if builtin:
        return no("introspected", f"{builtin[0].path} was switched off: ioport=0 moved it away")
    return no("introspected", "no pvpanic that the user did not add")


def attachable(conversations: Sequence[Conversation], model: NotifierModel) -> Fact:
    """Return whether a guest of the machine type can have a notifier.

    :param conversations: Those with the machine type.
    """
    if model in ("s390", "pseries"):
        return yes("documented", "every machine of this architecture has it")
    if model == "hyperv":
        return _attachable_hyperv(about(conversations, model))
    types = ISA_TYPES if model == "isa" else (PCI_TYPE,)
    held = about(conversations, model)
    refused: list[str] = []
    for conversation in held:
        added = [d for d in devices(conversation) or () if d.origin == "added" and d.type in types]
        if added and not conversation.argv:
            return yes("introspected", f"the running machine has a {added[0].type} that was added")
        if added:
            return yes("observed", f"-device {added[0].type} was accepted")
        asked = set(conversation.devices) & set(types)
        if asked and conversation.answered and is_made(conversation):  # although nothing lists it
            return yes("observed", f"-device {min(asked)} was accepted")
        if asked and conversation.refused_to_start:
            refused.append(conversation.own_words)
    starts_without = any(
        c.greeting and not set(c.devices) & set(types) and not c.refused_to_start for c in conversations
    )
    # Another device of the command line may be the one that is unknown
    unknown_type = [words for words in refused if any(f"'{name}' {NO_SUCH_TYPE}" in words for name in types)]
    if unknown_type:
        return no("observed", unknown_type[-1])
    if starts_without and refused:
        full = [words for words in refused if _FULL in words]
        if full:  # another bus may have room
            return unknown(f"its default bus has no room for the device: {full[-1]}")
        said = [words for words in refused if any(name in words for name in types) and _IN_USE not in words]
        if said:  # else it is about a device of the user's
            return no("observed", f"it starts without the device, and with it says: {said[-1]}")
        return unknown(f"it starts without the device only, and does not say why: {refused[-1]}")
    return _attachable_by_type(conversations, types)


def _attachable_by_type(conversations: Sequence[Conversation], types: Sequence[str]) -> Fact:
    """Answer where no device was tried: without a type there is nothing to add."""
    known = known_types(conversations)
    lacking = [name for name in types if known.get(name) is False]
    if "pvpanic" in lacking and "isa-pvpanic" not in known:  # no released QEMU has it, and few are asked
        lacking.append("isa-pvpanic")
    if set(lacking) == set(types):
        return no("introspected", f"the emulator has no type {types[0]}")
    return unknown(f"the machine type was not started with -device {types[0]}")


def _attachable_hyperv(held: Sequence[Conversation]) -> Fact:
    tried = [c for c in held if "hv-crash" in str(c.options("cpu"))]
    accepted = [c for c in tried if c.answered and is_made(c)]
    if accepted:
        accel = "KVM" if any("accel=kvm" in str(c.argv) for c in accepted) else "TCG"
        return yes("observed", f"{accel} accepts -cpu …,hv-crash")
    refused = [c.own_words for c in tried if c.refused_to_start]
    about_cpu = [words for words in refused if "hv-crash" in words or "hv_crash" in words]
    if about_cpu:
        return no("observed", f"-cpu …,hv-crash: {about_cpu[-1]}")
    if refused:
        return unknown(f"it does not start with hv-crash: {refused[-1]}")
    return unknown("it was not started with -cpu …,hv-crash")


_NAMES = tuple(sorted(NOTIFIERS))

#: The questions that this module answers.
QUESTIONS = (
    Question(
        "builtin-pvpanic",
        scope="machine",
        asks="Is a pvpanic there although none was asked for?",
        known_from="qom-list, info qtree and info mtree, beside the device that the probe adds itself;"
        " and a panic where none was added",
        read=builtin_pvpanic,
        shows=Excerpt(
            ("qom-list", "qom-get"), _NAMES, ("info qtree", "info mtree", "i /b", "o /b"), starts=True
        ),
        change="guest-visible",
        requires=Requirement("no", "builtin-panic-device"),
    ),
    Question(
        "pvpanic-attachable",
        scope="notifier",
        asks="Can the guest have this notifier?",
        known_from="a start with -device pvpanic, with -device pvpanic-pci, with -cpu …,hv-crash",
        read=attachable,
        shows=Excerpt(
            ("qom-list", "qom-get", "qom-list-types", "device-list-properties"),
            _NAMES,
            ("info qtree",),
            starts=True,
        ),
        change="guest-visible",
        requires=Requirement("yes", "panic-device-missing"),
    ),
)
