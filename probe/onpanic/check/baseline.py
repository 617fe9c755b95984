"""What changed against an older build's record: a pure function.

A guest that migrates to the new build, or is started on it, sees what its machine type has there.
So a difference that guests can see is an error.  QEMU 9.1, for example, offers a new event bit on
old machine types too.

What a changed answer means is part of the question: `Question.change`.
"""

from collections.abc import Iterator

from onpanic.check.findings import Asked, Finding, grouped
from onpanic.check.tags import TAGS
from onpanic.core.errors import RecordError
from onpanic.probe.facts import EMULATOR_QUESTIONS, MACHINE_QUESTIONS, Fact, Question
from onpanic.probe.record.capability_record import CapabilityRecord, MachineRecord, Notifier

__all__ = ("changes",)


def changes(
    old: CapabilityRecord, new: CapabilityRecord, asked: Asked, *, new_ones: bool = False
) -> list[Finding]:
    """Return what changed between two builds of an emulator, the most severe first.

    Machine types are compared by name.  A fact that is unknown in the older record is
    not compared; one that is unknown only in the newer record is a finding.

    :param old: The older build's record.
    :param new: The newer build's record.
    :param asked: What the newer record was asked for.  If it was all machine types, one that is not in
        it is gone.
    :param new_ones: Whether new machine types are findings too; they break nothing.
    :raise RecordError: When the records are of different architectures, or have no machine type in common.
    """
    if old.emulator.target and new.emulator.target and old.emulator.target != new.emulator.target:
        raise RecordError(
            f"the baseline is of {old.emulator.target}, the emulator of {new.emulator.target}",
            "name a record of the same emulator",
        )
    machines = {machine.name: machine for machine in new.machines}
    if not {machine.name for machine in old.machines} & set(machines):
        raise RecordError(
            f"the baseline has no machine type of these: {', '.join(machines)}",
            "make it with onpanic probe --all-machines --format json",
        )
    found: list[Finding] = []
    for before in old.machines:
        after = machines.get(before.name)
        if after is not None and before.started:
            found += _of_machine(before, after, asked)
        elif after is None and asked.all_machines and len(machines) > 1:
            found.append(_finding("machine-type-gone", before.name, f"{_version(old)} had it"))
    if new_ones:
        known = {machine.name for machine in old.machines}
        more = (name for name in machines if name not in known)
        found += [_finding("machine-type-new", name, f"{_version(old)} did not have it") for name in more]
    for question in EMULATOR_QUESTIONS.values():
        found += _of_fact(question, "", old.facts, new.facts)
    return grouped(found)


def _of_machine(before: MachineRecord, after: MachineRecord, asked: Asked) -> Iterator[Finding]:
    if not after.started:
        yield _finding("behaviour-lost", before.name, f"it started, and does not now ({after.problem})")
        return
    if before.notifier and after.notifier:
        yield from _of_device(before.name, before.notifier, after.notifier)
    for question in MACHINE_QUESTIONS.values():
        if asked.acpi or not question.on_request:
            yield from _of_fact(question, before.name, before.facts, after.facts)


def _of_device(machine: str, before: Notifier, after: Notifier) -> Iterator[Finding]:
    if before.model != after.model:
        evidence = f"the notifier was {before.model}, and now is {after.model}"
        yield _finding("guest-visible-change", machine, evidence)
    elif before.event_mask is not None and after.event_mask is None:
        yield _finding("evidence-lost", machine, f"the device offered the bits {before.event_mask:#04x}")
    elif before.event_mask is not None and before.event_mask != after.event_mask:
        evidence = f"the device offered the bits {before.event_mask:#04x}, and now {after.event_mask:#04x}"
        yield _finding("guest-visible-change", machine, evidence)


def _of_fact(
    question: Question, machine: str, before: dict[str, Fact], after: dict[str, Fact]
) -> Iterator[Finding]:
    """Yield the finding of a fact whose answer has changed; of the emulator if `machine` is empty."""
    old, new = before.get(question.name), after.get(question.name)
    if old is None or new is None or old.answer in ("unknown", new.answer):
        return
    evidence = f"{question.name} was {old.answer}, and now is {new.answer} ({new.detail})"
    if new.answer == "unknown":
        yield _finding("evidence-lost", machine, evidence)
    elif question.change == "guest-visible":
        yield _finding("guest-visible-change", machine, evidence)
    else:
        wanted = question.requires.answer if question.requires else "yes"
        code = "behaviour-gained" if new.answer == wanted else "behaviour-lost"
        yield _finding(code, machine, evidence)


def _finding(code: str, machine: str, evidence: str) -> Finding:
    return Finding(code, TAGS[code].severity, (machine,) if machine else (), evidence)


def _version(record: CapabilityRecord) -> str:
    return f"QEMU {record.emulator.version}"
