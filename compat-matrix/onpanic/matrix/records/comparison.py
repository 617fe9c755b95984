"""Two records of one build: the facts that both have, and how well each is known."""

from collections.abc import Iterator
from typing import get_args

from onpanic.probe.facts import Fact, How
from onpanic.probe.record.capability_record import CapabilityRecord

__all__ = ("shared_facts", "weakness")

_STRONGEST_FIRST: tuple[str, ...] = get_args(How)


def weakness(how: How | None) -> int:
    """Return how weak a way of knowing a fact is: 0 for the strongest, the greatest number for unknown."""
    return len(_STRONGEST_FIRST) if how is None else _STRONGEST_FIRST.index(how)


def shared_facts(before: CapabilityRecord, after: CapabilityRecord) -> Iterator[tuple[str, Fact, Fact]]:
    """Yield the facts that both records have: a description, the fact before, and the fact after."""
    for name in before.facts.keys() & after.facts.keys():
        yield name, before.facts[name], after.facts[name]
    machines = {machine.name: machine.facts for machine in after.machines}
    for machine in before.machines:
        old, new = machine.facts, machines.get(machine.name, {})
        for name in old.keys() & new.keys():
            yield f"{name} on {machine.name}", old[name], new[name]
