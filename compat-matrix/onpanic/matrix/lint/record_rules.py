"""Rules about one record: each takes its name and the record, and yields what is wrong."""

from collections import Counter
from collections.abc import Callable, Iterator

from onpanic.matrix.records.build_identity import build_name
from onpanic.probe.record.capability_record import CapabilityRecord, OnPanic, capabilities_of, on_panic_of

__all__ = ("RECORD_RULES",)


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
    """Yield machine types whose decision does not follow from their facts.

    Only accepted values and codes of refusals are compared, as texts change between versions.
    """
    for machine in record.machines:
        capabilities = capabilities_of(record.facts, machine.facts, record.emulator.target, machine.name)
        if _outcome(machine.on_panic) != _outcome(on_panic_of(capabilities)):
            yield f"the decision on {machine.name} does not follow from its facts: collect it again"


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


def _outcome(decision: OnPanic) -> tuple[dict[str, bool], dict[str, str]]:
    accepted = {value: how.coredump for value, how in decision.accepted.items()}
    return accepted, {value: refusal.code for value, refusal in decision.refused.items()}


#: The rules by name.
RECORD_RULES: dict[str, Callable[[str, CapabilityRecord], Iterator[str]]] = {
    "alias-names-another-machine": alias_names_another_machine,
    "decision-without-facts": decision_without_facts,
    "doubled-machine": doubled_machine,
    "misnamed-record": misnamed_record,
}
