"""Whether guests find the ISA pvpanic through ACPI."""

from collections.abc import Sequence

from onpanic.probe.conversation import Conversation
from onpanic.probe.emulator.command_line import X86, guess_target
from onpanic.probe.facts.device import pvpanic_attachable
from onpanic.probe.facts.fact import Fact, no, unknown, yes
from onpanic.probe.facts.question import Excerpt, Question
from onpanic.probe.observations.acpi_tables import Memory, firmware_finished, tables_expose_pvpanic
from onpanic.probe.observations.devices import Device, devices

__all__ = ("QUESTIONS",)

_NOT_LOOKED_AT = "not looked at; --acpi does, in about half a second"


def acpi_exposes_pvpanic(conversations: Sequence[Conversation]) -> Fact:
    """Return whether the tables name the device when it is there, and only then."""
    seen: dict[bool, bool] = {}
    bare = False
    for conversation in conversations:
        present = devices(conversation)
        found = tables_expose_pvpanic(Memory(conversation))
        if present is None or found is None:
            bare = bare or (present is not None and firmware_finished(conversation))
            continue
        seen.setdefault(any(d.on_isa and not d.neutralised for d in present), found)
    if seen.get(True) is False:
        return no("observed", "the device is there, and no ACPI table names QEMU0001")
    if seen.get(False) is True:
        return no("observed", "the ACPI tables name QEMU0001 although no device is there")
    if seen == {True: True, False: False}:
        return yes("observed", "the ACPI tables name QEMU0001 with the device, and do not without it")
    if seen:
        return unknown("the ACPI tables were looked at only one way, with or without the device")
    if bare:
        return no("observed", "the firmware has finished and left no ACPI tables")
    return _without_isa(conversations) or unknown(_why_unknown(conversations))


def _why_unknown(conversations: Sequence[Conversation]) -> str:
    if any("xp /" in str(r.arguments) for c in conversations for r in c.replies):
        return "no tables where firmware such as SeaBIOS leaves them"
    if pvpanic_attachable(conversations).answer == "no":
        return "no notifier can be added, so there is none to expose"
    if conversations and all(c.refused_to_start for c in conversations):
        return "it does not start here"
    if conversations and not any(c.argv for c in conversations):
        return "not looked at: the memory of a running guest is not read"
    if not any(guess_target(c.argv) in X86 for c in conversations if c.argv):
        return "not looked at: only the firmware of x86 machine types is read"
    return _NOT_LOOKED_AT


def _without_isa(conversations: Sequence[Conversation]) -> Fact | None:
    """Answer where there is only a PCI device: guests find it by its id (QEMU's ``docs/specs/pvpanic``)."""
    present: list[Device] = [d for c in conversations for d in devices(c) or []]
    if present and not any(d.on_isa for d in present):
        return no("documented", "a pvpanic-pci is found by its PCI id, 1b36:0011, and has no ACPI node")
    return None


#: The question that this module answers.
QUESTIONS = (
    Question(
        "acpi-exposes-pvpanic",
        scope="machine",
        asks="Do the guest's ACPI tables name QEMU0001 when the ISA device is there, and not when it is not?",
        known_from="onpanic probe --acpi lets the firmware run, twice, and reads the tables in guest memory",
        read=acpi_exposes_pvpanic,
        shows=Excerpt(("cont",), starts=True, tables=True),
        change="guest-visible",
        on_request=True,
    ),
)
