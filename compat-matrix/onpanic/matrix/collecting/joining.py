"""Adds the answers of one record to another one of the same build: those that are asked only on request.

Reading a guest's ACPI tables takes half a second for each machine type, and so it is often left out, or
done on some machine types only.  Its answers decide nothing (`Question.requires`), so adding them leaves
the decision as it is.
"""

from collections.abc import Mapping

import msgspec

from onpanic.probe.facts import QUESTIONS, Fact
from onpanic.probe.record.capability_record import CapabilityRecord, MachineRecord, Notifier

__all__ = ("with_requested_answers",)

_ADDED = tuple(one.name for one in QUESTIONS if one.on_request and one.requires is None)


def with_requested_answers(record: CapabilityRecord, other: CapabilityRecord) -> CapabilityRecord:
    """Return a record with the answers that another record of the same build has, and it lacks.

    :param record: The record.  It keeps what it knows, even if the other one says something else.
    :param other: The record whose answers are added, with their evidence.
    """
    excerpts = _Excerpts(record, other)
    others = {machine.name: machine for machine in other.machines}
    machines = [
        _machine(machine, others[machine.name], excerpts) if machine.name in others else machine
        for machine in record.machines
    ]
    return msgspec.structs.replace(record, machines=machines, evidence=excerpts.all())


class _Excerpts:
    """The evidence of a record, to which that of another one is added."""

    def __init__(self, record: CapabilityRecord, other: CapabilityRecord) -> None:
        self._kept = record.evidence
        self._other = other.evidence if isinstance(other.evidence, list) else []
        own = record.evidence if isinstance(record.evidence, list) else []
        self._indexes = {tuple(lines): index for index, lines in reversed(list(enumerate(own)))}
        self._lines = list(own)

    def moved(self, fact: Fact) -> Fact:
        """Return a fact of the other record whose evidence is among the record's own."""
        if not isinstance(fact.evidence, int) or not 0 <= fact.evidence < len(self._other):
            return msgspec.structs.replace(fact, evidence=msgspec.UNSET)
        lines = self._other[fact.evidence]
        index = self._indexes.setdefault(tuple(lines), len(self._lines))
        if index == len(self._lines):
            self._lines.append(lines)
        return msgspec.structs.replace(fact, evidence=index)

    def all(self) -> list[list[str]] | msgspec.UnsetType:
        """Return all excerpts; unset if there are none, and the record had none."""
        return self._lines or self._kept


def _machine(machine: MachineRecord, other: MachineRecord, excerpts: _Excerpts) -> MachineRecord:
    others = {one.model: one for one in other.notifiers}
    notifiers = [
        _notifier(one, others[one.model], excerpts) if one.model in others else one
        for one in machine.notifiers
    ]
    facts = machine.facts
    if machine.notifier == other.notifier:
        facts = _facts(facts, other.facts, excerpts)
    return msgspec.structs.replace(machine, facts=facts, notifiers=notifiers)


def _notifier(notifier: Notifier, other: Notifier, excerpts: _Excerpts) -> Notifier:
    return msgspec.structs.replace(notifier, facts=_facts(notifier.facts, other.facts, excerpts))


def _facts(own: Mapping[str, Fact], other: Mapping[str, Fact], excerpts: _Excerpts) -> dict[str, Fact]:
    """Return facts, with the other ones where an answer is unknown that is asked only on request."""
    return {
        name: excerpts.moved(other[name])
        if name in _ADDED and fact.answer == "unknown" and _is_known(other.get(name))
        else fact
        for name, fact in own.items()
    }


def _is_known(fact: Fact | None) -> bool:
    return fact is not None and fact.answer != "unknown"
