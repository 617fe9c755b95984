"""What a record accepts and refuses follows from its facts."""

from collections.abc import Iterator

from onpanic.probe.record import CapabilityRecord, OnPanic, capabilities_of, on_panic_of


def check(_name: str, record: CapabilityRecord) -> Iterator[str]:
    """Yield the machine types whose decision is another than their facts give.

    Only what is accepted and the codes of what is refused are compared: words change.
    """
    for machine in record.machines:
        capabilities = capabilities_of(record.facts, machine.facts, record.emulator.target, machine.name)
        if _outcome(machine.on_panic) != _outcome(on_panic_of(capabilities)):
            yield f"the decision on {machine.name} does not follow from its facts: collect it again"


def _outcome(decision: OnPanic) -> tuple[dict[str, bool], dict[str, str]]:
    accepted = {value: how.coredump for value, how in decision.accepted.items()}
    return accepted, {value: refusal.code for value, refusal in decision.refused.items()}
