"""Whether guests find the ISA pvpanic through ACPI."""

from collections.abc import Sequence

from onpanic.probe.conversation import Conversation
from onpanic.probe.emulator.command_line import X86, guess_target
from onpanic.probe.emulator.notifier_models import NotifierModel
from onpanic.probe.facts.device import attachable
from onpanic.probe.facts.fact import Fact, no, unknown, yes
from onpanic.probe.facts.question import Excerpt, Question
from onpanic.probe.observations.acpi_tables import Memory, firmware_finished, tables_expose_pvpanic
from onpanic.probe.observations.devices import devices
from onpanic.probe.observations.notifiers import about

__all__ = ("QUESTIONS",)

_NO_NODE = {
    "pvpanic": "a pvpanic-pci is found by its PCI id, 1b36:0011, and has no ACPI node",
    "hyperv": "guests find Hyper-V's notifier through CPUID",
    "pseries": "guests find the RTAS call in the device tree",
    "s390": "the architecture has no ACPI, and its notifier needs none",
}
_NOT_LOOKED_AT = "not looked at; --acpi does, in about half a second"


def acpi_exposes_pvpanic(conversations: Sequence[Conversation], model: NotifierModel) -> Fact:
    """Return whether the tables name the device when it is there, and only then."""
    if model != "isa":
        return no("documented", _NO_NODE[model])
    conversations = about(conversations, model)
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
    missing = attachable(conversations, "isa")
    if missing.answer == "no":
        return Fact("no", missing.how, "the device cannot be added, so there is none to expose")
    return unknown(_why_unknown(conversations))


def _why_unknown(conversations: Sequence[Conversation]) -> str:
    if any("xp /" in str(r.arguments) for c in conversations for r in c.replies):
        return "no tables where firmware such as SeaBIOS leaves them"
    if conversations and all(c.refused_to_start for c in conversations):
        return "it does not start here"
    if conversations and not any(c.argv for c in conversations):
        return "not looked at: the memory of a running guest is not read"
    if not any(guess_target(c.argv) in X86 for c in conversations if c.argv):
        return "not looked at: only the firmware of x86 machine types is read"
    return _NOT_LOOKED_AT


#: The question that this module answers.
QUESTIONS = (
    Question(
        "acpi-exposes-pvpanic",
        scope="notifier",
        asks="Do the guest's ACPI tables name QEMU0001 when the ISA device is there, and not when it is not?",
        known_from="onpanic probe --acpi lets the firmware run, twice, and reads the tables in guest memory",
        read=acpi_exposes_pvpanic,
        shows=Excerpt(("cont",), starts=True, tables=True),
        change="guest-visible",
        on_request=True,
    ),
)
