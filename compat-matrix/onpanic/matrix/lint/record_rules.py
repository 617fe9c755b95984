"""Rules about one record: each takes its name and the record, and yields what is wrong."""

from collections import Counter
from collections.abc import Callable, Iterator

import msgspec

from onpanic.matrix.model.matrix import DECIDED
from onpanic.matrix.records.build_identity import build_name
from onpanic.probe.emulator.notifier_models import NOTIFIER_MODELS
from onpanic.probe.record.capability_record import (
    CapabilityRecord,
    MachineRecord,
    Notifier,
    OnPanic,
    capabilities_of,
    on_panic_of,
)

__all__ = ("RECORD_RULES",)

# Accepted values, each with whether coredump is; refused ones, each with its code
_DecisionOutcome = tuple[dict[str, bool], dict[str, str]]


def alias_names_another_machine(_name: str, record: CapabilityRecord) -> Iterator[str]:
    """Yield aliases that are the name of another machine type.

    Two machine types may share an alias: QEMU 10.0 has two with the alias powernv.
    """
    names = {machine.name for machine in record.machines}
    for machine in record.machines:
        for alias in machine.aliases:
            if alias in names and alias != machine.name:
                yield f"{alias} is an alias of {machine.name}, and also a machine type"


def decision_without_facts(_name: str, record: CapabilityRecord) -> Iterator[str]:
    """Yield machine types, and notifiers, whose decision does not follow from their facts.

    Only accepted values and codes of refusals are compared, as texts change between versions.
    """
    expected: dict[bytes, _DecisionOutcome] = {}  # most machine types have the same facts
    for machine in record.machines:
        decisions = {machine.name: (machine.facts, machine.on_panic)}
        for one in machine.notifiers:
            decisions[f"{one.model} of {machine.name}"] = (machine.facts | one.facts, one.on_panic)
        for where, (facts, decision) in decisions.items():
            target = record.emulator.target
            capabilities = capabilities_of(record.facts, facts, target, machine.name, machine.builtin)
            key = msgspec.json.encode(capabilities)
            if key not in expected:
                expected[key] = _outcome(on_panic_of(capabilities))
            if _outcome(decision) != expected[key]:
                yield f"the decision on {where} does not follow from its facts: collect it again"


def doubled_machine(_name: str, record: CapabilityRecord) -> Iterator[str]:
    """Yield machine types that a record has more than once, or more than one default."""
    for machine, times in Counter(machine.name for machine in record.machines).items():
        if times > 1:
            yield f"{machine} is in it {times} times"
    defaults = [machine.name for machine in record.machines if machine.default]
    if len(defaults) > 1:
        yield f"more than one default machine type: {', '.join(defaults)}"


def misnamed_record(name: str, record: CapabilityRecord) -> Iterator[str]:
    """Yield the name that a record's file should have; a variant may follow it."""
    expected = build_name(record.emulator)
    if name != expected and not name.startswith(f"{expected}+"):
        yield f"it is a record of {expected}: rename it"


def missing_notifier(_name: str, record: CapabilityRecord) -> Iterator[str]:
    """Yield machine types that do not have one entry for each notifier.

    Records of version 1 were about one notifier of each machine type, at most.
    """
    if all(len(machine.notifiers) <= 1 for machine in record.machines):
        return
    for machine in record.machines:
        counts = Counter(notifier.model for notifier in machine.notifiers)
        wrong = [model for model in NOTIFIER_MODELS if counts[model] != 1]
        if wrong:
            yield f"{machine.name} does not have one entry each for {', '.join(wrong)}: collect it again"


def notifier_contradicts_machine(_name: str, record: CapabilityRecord) -> Iterator[str]:
    """Yield machine types whose own facts or decision are not those of the notifier that they name.

    A machine type that names no notifier must not have one that works.
    """
    for machine in record.machines:
        notifiers = {notifier.model: notifier for notifier in machine.notifiers}
        if machine.notifier is None:
            working = [model for model, one in notifiers.items() if DECIDED[0] in one.on_panic.accepted]
            if working:
                yield f"{machine.name} has no notifier of its own, although {working[0]} works"
        elif machine.notifier not in notifiers:
            yield f"{machine.name} names the notifier {machine.notifier}, and has no entry for it"
        else:
            yield from _contradictions(machine, notifiers[machine.notifier])


def _contradictions(machine: MachineRecord, notifier: Notifier) -> Iterator[str]:
    for name, fact in notifier.facts.items():
        own = machine.facts.get(name)
        if own is not None and own.answer != fact.answer:
            answers = f"{own.answer}, and of its notifier {notifier.model} {fact.answer}"
            yield f"{name} on {machine.name} is {answers}"
    if _outcome(machine.on_panic) != _outcome(notifier.on_panic):
        yield f"the decision on {machine.name} is not that of its notifier {notifier.model}"


def _outcome(decision: OnPanic) -> _DecisionOutcome:
    accepted = {value: how.coredump for value, how in decision.accepted.items()}
    return accepted, {value: refusal.code for value, refusal in decision.refused.items()}


#: The rules by name.
RECORD_RULES: dict[str, Callable[[str, CapabilityRecord], Iterator[str]]] = {
    "alias-names-another-machine": alias_names_another_machine,
    "decision-without-facts": decision_without_facts,
    "doubled-machine": doubled_machine,
    "misnamed-record": misnamed_record,
    "missing-notifier": missing_notifier,
    "notifier-contradicts-machine": notifier_contradicts_machine,
}
