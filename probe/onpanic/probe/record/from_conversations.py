"""From conversations to the record: a pure function, whatever the source of the conversations."""

from collections.abc import Sequence

import msgspec

from onpanic.probe.conversation import Conversation
from onpanic.probe.facts import EMULATOR_QUESTIONS, MACHINE_QUESTIONS, Fact
from onpanic.probe.facts.fact import no, yes
from onpanic.probe.facts.panic import proven_panics
from onpanic.probe.observations.devices import devices
from onpanic.probe.observations.machines import Architectural, Machines, architectural_notifier, target_of
from onpanic.probe.record.capability_record import (
    CapabilityRecord,
    Emulator,
    MachineRecord,
    Notifier,
    NotifierModel,
    Probed,
    capabilities_of,
    on_panic_of,
)

__all__ = ("by_machine", "record_of")


def record_of(
    conversations: Sequence[Conversation],
    command: Sequence[str],
    probed: Probed,
    *,
    recorded: bool = False,
    listed: bool = False,
) -> CapabilityRecord:
    """Read all facts from conversations with one emulator, and decide.

    :param conversations: At least one of them with a greeting.
    :param command: How the emulator is started.
    :param recorded: The conversations come from a recording, and so do the facts.
    :param listed: Also include machine types that the emulator lists but was not started with.  All
        conversations must be with the machine type ``none``.
    """
    known = Machines(conversations)
    target = next(filter(None, map(target_of, conversations)), "")
    facts = {
        name: _sourced(question.read(conversations), recorded)
        for name, question in EMULATOR_QUESTIONS.items()
    }
    groups = by_machine(conversations)
    if listed:
        groups = {name: list(conversations) for name in known.names} | groups
    machines = [_machine(name, group, known, target, facts, recorded) for name, group in groups.items()]
    version, package = _version(conversations)
    return CapabilityRecord(
        emulator=Emulator(list(command), target, version, package),
        facts=facts,
        machines=machines,
        probed=probed,
        problems=list(dict.fromkeys(m.problem for m in machines if m.problem)),
    )


def by_machine(conversations: Sequence[Conversation]) -> dict[str, list[Conversation]]:
    """Group conversations with one emulator by the name of the machine type that they are about."""
    known = Machines(conversations)
    groups: dict[str, list[Conversation]] = {}
    for conversation in conversations:
        groups.setdefault(_asked_for(conversation, known, conversations), []).append(conversation)
    return groups


def _machine(
    name: str,
    conversations: Sequence[Conversation],
    known: Machines,
    target: str,
    emulator_facts: dict[str, Fact],
    recorded: bool,
) -> MachineRecord:
    facts = {
        name: _sourced(question.read(conversations), recorded) for name, question in MACHINE_QUESTIONS.items()
    }
    architectural = architectural_notifier(target, name)
    if architectural:
        facts = _document(facts, architectural, emulator_facts["guest-panicked-event"])
    broken = [c.failed for c in conversations if c.failed and not c.refused_to_start]
    started = not all(c.refused_to_start for c in conversations)
    greeted = any(c.greeting and not c.refused_to_start for c in conversations)
    return MachineRecord(
        name=name,
        aliases=known.aliases(name),
        default=name == known.default or (known.default is None and conversations[0].machine is None),
        facts=facts,
        on_panic=on_panic_of(capabilities_of(emulator_facts, facts, target, name)),
        notifier=_notifier(conversations, architectural),
        started=started,
        problem=broken[0] if broken else "" if greeted else conversations[-1].failed,
    )


def _asked_for(conversation: Conversation, known: Machines, conversations: Sequence[Conversation]) -> str:
    """Return the machine type that a conversation is about, even if the start failed."""
    name = known.canonical(conversation)
    if name is None:
        same = (known.canonical(c) for c in conversations if c.machine == conversation.machine)
        name = next(filter(None, same), None)
    return name or "default"


def _sourced(fact: Fact, recorded: bool) -> Fact:
    return (
        msgspec.structs.replace(fact, how="recorded")
        if recorded and fact.how in ("observed", "introspected")
        else fact
    )


def _document(facts: dict[str, Fact], architectural: Architectural, event: Fact) -> dict[str, Fact]:
    """Fill in what is true of the architecture where nothing stronger is known."""
    if event.answer == "unknown":
        return facts
    says = yes if event.answer == "yes" else no
    detail = architectural.detail if event.answer == "yes" else f"GUEST_PANICKED: {event.detail}"
    names = ("panic-reported", "panic-stops-guest", "cont-after-panic")
    documented = {n: says("documented", detail) for n in names}
    documented["acpi-exposes-pvpanic"] = no(
        "documented", "the architecture has no ACPI, and its notifier needs none"
    )
    return facts | {n: fact for n, fact in documented.items() if facts[n].answer == "unknown"}


def _notifier(conversations: Sequence[Conversation], architectural: Architectural | None) -> Notifier | None:
    if architectural:
        return Notifier(architectural.model)
    made = proven_panics(conversations)
    if made:
        model: NotifierModel = "isa" if made[0].space == "io" else "pvpanic"
        masks = [panic.mask for panic in made if panic.space == made[0].space and panic.mask is not None]
        return Notifier(model, masks[0] if masks else None) if made[0].there else None
    present = [d for c in conversations for d in devices(c) or ()]
    if any(d.port is not None for d in present):
        return Notifier("isa")
    return Notifier("pvpanic") if present else None


def _version(conversations: Sequence[Conversation]) -> tuple[str, str]:
    """Return the greeting's version and package; the package is free text, with or without brackets."""
    for conversation in conversations:
        said = (conversation.greeting or {}).get("version")
        number = said.get("qemu") if isinstance(said, dict) else None
        if isinstance(said, dict) and isinstance(number, dict):
            version = ".".join(str(number.get(part, "?")) for part in ("major", "minor", "micro"))
            return version, str(said.get("package", "")).strip().strip("()")
    return "", ""
