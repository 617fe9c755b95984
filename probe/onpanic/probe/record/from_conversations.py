"""From conversations to the record: a pure function, whatever the source of the conversations."""

from collections.abc import Sequence

import msgspec

from onpanic.probe.conversation import Conversation
from onpanic.probe.emulator.command_line import named_target
from onpanic.probe.emulator.notifier_models import ISA_TYPES, NOTIFIER_MODELS, NotifierModel
from onpanic.probe.emulator.user_options import adapt
from onpanic.probe.facts import EMULATOR_QUESTIONS, MACHINE_QUESTIONS, Fact
from onpanic.probe.facts.device import NO_SUCH_TYPE
from onpanic.probe.observations.devices import devices
from onpanic.probe.observations.machines import Machines, running_machine, target_of
from onpanic.probe.observations.panics import panics
from onpanic.probe.record.capability_record import (
    Builtin,
    CapabilityRecord,
    ChangedOption,
    Emulator,
    MachineRecord,
    Probed,
    capabilities_of,
    on_panic_of,
)
from onpanic.probe.record.notifier_entries import best_of, notifiers_of, sourced

__all__ = ("by_machine", "record_of")


def record_of(
    conversations: Sequence[Conversation],
    command: Sequence[str],
    probed: Probed,
    *,
    recorded: bool = False,
    listed: bool = False,
    notifier: NotifierModel | None = None,
) -> CapabilityRecord:
    """Read all facts from conversations with one emulator, and decide.

    :param conversations: At least one of them with a greeting.
    :param command: How the emulator is started.
    :param recorded: The conversations come from a recording, and so do the facts.
    :param listed: Also include machine types that the emulator lists but was not started with.  All
        conversations must be with the machine type ``none``.
    :param notifier: The notifier whose facts and decision are each machine type's own; None for the best.
    """
    known = Machines(conversations)
    target = next(filter(None, map(target_of, conversations)), "")
    facts = {
        name: sourced(question.read(conversations), recorded=recorded)
        for name, question in EMULATOR_QUESTIONS.items()
    }
    groups = by_machine(conversations)
    if listed:
        groups = {name: list(conversations) for name in known.names} | groups
    named = next(filter(None, (named_target(c.argv) for c in conversations)), named_target(command))
    context = _Context(known, target or named, facts, recorded, notifier)
    machines = [_machine(name, group, context) for name, group in groups.items()]
    version, package = _version(conversations)
    return CapabilityRecord(
        emulator=Emulator(list(command), target, version, package, _changes(command, conversations[0].argv)),
        facts=facts,
        machines=machines,
        probed=probed,
        problems=list(dict.fromkeys(m.problem for m in machines if m.problem)),
    )


def by_machine(conversations: Sequence[Conversation]) -> dict[str, list[Conversation]]:
    """Group conversations with one emulator by the name of the machine type that they are about."""
    known = Machines(conversations)
    groups: dict[str, list[Conversation]] = {}
    for conversation in (c for c in conversations if not c.emulator_only):
        groups.setdefault(_asked_for(conversation, known, conversations), []).append(conversation)
    return groups


class _Context(msgspec.Struct, frozen=True):
    """What the records of all machine types share."""

    known: Machines
    target: str
    emulator_facts: dict[str, Fact]
    recorded: bool
    notifier: NotifierModel | None


def _machine(name: str, conversations: Sequence[Conversation], context: _Context) -> MachineRecord:
    own = {
        question.name: sourced(question.read(conversations), recorded=context.recorded)
        for question in MACHINE_QUESTIONS.values()
        if question.applies(context.target, name)
    }
    types = [name for name in ISA_TYPES if context.emulator_facts[f"{name}-type"].answer == "yes"]
    builtin = _builtin(conversations, types) if own["builtin-pvpanic"].answer == "yes" else None
    notifiers = notifiers_of(
        conversations, name, context.target, context.emulator_facts, own, builtin, recorded=context.recorded
    )
    chosen = best_of(notifiers, context.notifier)
    facts = own | chosen.facts
    capabilities = capabilities_of(context.emulator_facts, facts, context.target, name, builtin)
    broken = [c.failed for c in conversations if c.failed and not c.refused_to_start and not _by_panic(c)]
    started = not all(c.refused_to_start for c in conversations)
    greeted = any(c.greeting and not c.refused_to_start for c in conversations)
    return MachineRecord(
        name=name,
        aliases=context.known.aliases(name),
        default=name == context.known.default
        or (context.known.default is None and conversations[0].machine is None),
        facts=facts,
        on_panic=on_panic_of(capabilities),
        notifier=chosen.model if facts["pvpanic-attachable"].answer != "no" and started else None,
        notifiers=notifiers,
        builtin=builtin,
        started=started,
        problem=broken[0] if broken else "" if greeted else conversations[-1].failed,
    )


def _builtin(conversations: Sequence[Conversation], types: Sequence[str]) -> Builtin:
    """Return the device that the machine type creates, which its port or a panic may have shown only.

    :param types: The types of ISA device that the emulator has.
    """
    failures = [conversation.failed for conversation in conversations]
    refused = {name for name in ISA_TYPES if any(f"'{name}' {NO_SUCH_TYPE}" in words for words in failures)}
    possible = [name for name in types or ISA_TYPES if name not in refused]
    only = (possible or ISA_TYPES)[0]
    present = [d for c in conversations for d in devices(c) or () if d.origin == "builtin"]
    live = [d for d in present if not d.neutralised]
    if live:
        return Builtin(live[0].type or only, live[0].port)
    made = [
        panic for panic in panics(conversations, "isa", without_notifier=True) if panic.action is not None
    ]
    return Builtin(only, made[0].address if made else None)


def _by_panic(conversation: Conversation) -> bool:
    """Return whether a conversation ended because the emulator ends when its guest panics."""
    return any(
        panic.exit_status is not None
        for source in NOTIFIER_MODELS
        for panic in panics([conversation], source)
    )


def _asked_for(conversation: Conversation, known: Machines, conversations: Sequence[Conversation]) -> str:
    """Return the machine type that a conversation is about, even if the start failed."""
    same = (c for c in conversations if c.machine == conversation.machine and not c.emulator_only)
    running = next(filter(None, map(running_machine, [conversation, *same])), None)
    return running or known.canonical(conversation) or "default"


def _changes(command: Sequence[str], argv: Sequence[str]) -> list[ChangedOption]:
    """Return what was changed about a command; nothing for a recording that shows no change."""
    if list(argv[: len(command)]) == list(command):
        return []
    return [ChangedOption(*change) for change in adapt(command).changes]


def _version(conversations: Sequence[Conversation]) -> tuple[str, str]:
    """Return the greeting's version and package; the package is free text, with or without brackets."""
    for conversation in conversations:
        said = (conversation.greeting or {}).get("version")
        number = said.get("qemu") if isinstance(said, dict) else None
        if isinstance(said, dict) and isinstance(number, dict):
            version = ".".join(str(number.get(part, "?")) for part in ("major", "minor", "micro"))
            return version, str(said.get("package", "")).strip().strip("()")
    return "", ""
