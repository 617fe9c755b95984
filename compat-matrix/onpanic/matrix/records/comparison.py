"""Two records of one build: the facts that both have, and how well each is known."""

from collections.abc import Iterator, Mapping
from typing import Generic, NamedTuple, TypeVar, get_args

from onpanic.probe.facts import QUESTIONS, Fact, How
from onpanic.probe.record.capability_record import CapabilityRecord, MachineRecord

__all__ = ("HOST_DEPENDENT", "MachineFacts", "Shared", "shared_by_machine", "shared_facts", "weakness")

#: Notifiers whose answers depend on the host's KVM, so that two records of one build may differ.
HOST_DEPENDENT = ("hyperv",)

_STRONGEST_FIRST: tuple[str, ...] = get_args(How)
_ABOUT_NOTIFIERS = tuple(question.name for question in QUESTIONS if question.scope == "notifier")

_Value = TypeVar("_Value")


class MachineFacts(NamedTuple, Generic[_Value]):
    """The facts about a machine type, of a record or of a matrix.

    :param own: The model of the notifier that `facts` are about; None if no notifier works.
    :param facts: The machine type's own facts.
    :param notifiers: The facts about each notifier, by model.
    """

    own: str | None
    facts: Mapping[str, _Value]
    notifiers: Mapping[str, Mapping[str, _Value]]


class Shared(NamedTuple, Generic[_Value]):
    """A fact that two records have.

    :param what: The fact's name, with the notifier and the machine type that it is about.
    :param name: The fact's name.
    :param model: The notifier that it is about; empty if it is the machine type's own, or none.
    :param before: What the one record has.
    :param after: What the other one has.
    """

    what: str
    name: str
    model: str
    before: _Value
    after: _Value


def weakness(how: How | None) -> int:
    """Return how weak a way of knowing a fact is: 0 for the strongest, the greatest number for unknown."""
    return len(_STRONGEST_FIRST) if how is None else _STRONGEST_FIRST.index(how)


def shared_facts(before: CapabilityRecord, after: CapabilityRecord) -> Iterator[Shared[Fact]]:
    """Yield the facts that both records have."""
    for name in before.facts.keys() & after.facts.keys():
        yield Shared(name, name, "", before.facts[name], after.facts[name])
    machines = {machine.name: machine for machine in after.machines}
    for machine in before.machines:
        if machine.name in machines:
            yield from shared_by_machine(machine.name, _facts(machine), _facts(machines[machine.name]))


def shared_by_machine(
    machine: str, before: MachineFacts[_Value], after: MachineFacts[_Value]
) -> Iterator[Shared[_Value]]:
    """Yield the facts about a machine type that both have.

    Its own facts about a notifier are compared only if they are about the same one.
    """
    same = before.own == after.own
    for name in before.facts.keys() & after.facts.keys():
        if same or name not in _ABOUT_NOTIFIERS:
            model = before.own if before.own in HOST_DEPENDENT and name in _ABOUT_NOTIFIERS else None
            yield Shared(f"{name} on {machine}", name, model or "", before.facts[name], after.facts[name])
    for model in before.notifiers.keys() & after.notifiers.keys():
        if same and model == before.own:
            continue  # they are the machine type's own facts
        old, new = before.notifiers[model], after.notifiers[model]
        for name in old.keys() & new.keys():
            yield Shared(f"{name} of {model} on {machine}", name, model, old[name], new[name])


def _facts(machine: MachineRecord) -> MachineFacts[Fact]:
    return MachineFacts(machine.notifier, machine.facts, {one.model: one.facts for one in machine.notifiers})
