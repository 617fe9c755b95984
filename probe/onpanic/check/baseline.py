"""What changed against an older build's record: a pure function.

A guest that migrates to the new build, or is started on it, sees what its machine type has there.
So a difference that guests can see is an error.  QEMU 9.1, for example, offers a new event bit on
old machine types too.

What a changed answer means is part of the question: `Question.change`.

Notifiers are compared by model, and only where both records know the model: a record of version 1 knows
one at most for each machine type.  If one record knows none, because the guest can have none, the machine
types' own facts are compared, as version 1 has them.
"""

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from onpanic.check.findings import Asked, Finding, grouped, own_notifier
from onpanic.check.tags import TAGS
from onpanic.core.errors import RecordError
from onpanic.probe.facts import EMULATOR_QUESTIONS, MACHINE_QUESTIONS, NOTIFIER_QUESTIONS, Fact, Question
from onpanic.probe.record.capability_record import CapabilityRecord, MachineRecord, Notifier

__all__ = ("changes",)

_NAMES = {"qemu": "QEMU", "xen": "Xen"}


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
    :raise RecordError: When the records are of different hypervisors or architectures, or have no
        machine type in common.
    """
    if old.hypervisor != new.hypervisor:
        raise RecordError(
            f"the baseline is of {_NAMES[old.hypervisor]}", "name a record of the same emulator"
        )
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
        found += _of_fact(question, old.facts, new.facts, "")
    return grouped(found)


def _of_machine(before: MachineRecord, after: MachineRecord, asked: Asked) -> Iterator[Finding]:
    if not after.started:
        yield _finding("behaviour-lost", before.name, f"it started, and does not now ({after.problem})")
        return
    if before.name == "none":  # no guest can run on it
        return
    for question in MACHINE_QUESTIONS.values():
        yield from _of_fact(question, before.facts, after.facts, before.name)
    questions = [one for one in NOTIFIER_QUESTIONS.values() if asked.acpi or not one.on_request]
    if not before.notifiers or not after.notifiers:
        yield from _of_notifier(questions, _own_facts(before, asked), _own_facts(after, asked), before.name)
        return
    own = own_notifier(before, asked)
    for notifier in before.notifiers:
        now = after.notifier_named(notifier.model)
        if now is None or notifier.model not in asked.notifiers:
            continue
        further = "" if own is not None and notifier.model == own.model else notifier.model
        found = list(_of_notifier(questions, notifier.facts, now.facts, before.name, further))
        if not any(one.tag == "evidence-lost" for one in found):
            found += _of_event_mask(notifier, now, before.name, further)
        yield from (msgspec.structs.replace(one, notifier=notifier.model) for one in found)


def _own_facts(machine: MachineRecord, asked: Asked) -> dict[str, Fact]:
    own = own_notifier(machine, asked)
    return machine.facts | own.facts if own else machine.facts


def _of_notifier(
    questions: Iterable[Question],
    before: Mapping[str, Fact],
    after: Mapping[str, Fact],
    machine: str,
    further: str = "",
) -> Iterator[Finding]:
    """Yield what changed about one notifier; what follows from an earlier change is not found again.

    :param further: Its model, if it is not the machine type's own.
    """
    lost = False
    once: set[str] = set()  # tags that later facts do not repeat
    for question in questions:
        wanted, old, new = question.requires, before.get(question.name), after.get(question.name)
        if old is None or new is None or (lost and wanted):
            continue
        for one in _of_fact(question, before, after, machine, further):
            added = question.name == "pvpanic-attachable" and new.answer == "yes"
            if added and further:  # no guest of the older build has it
                yield _finding("behaviour-gained", machine, one.evidence)
            elif one.tag not in once:
                yield one
            once |= {"behaviour-gained"} if added else {one.tag} & {"behaviour-gained", "evidence-lost"}
        lost = lost or bool(wanted and wanted.refused_by(new.answer) and new.answer != old.answer)
        if question.name == "pvpanic-attachable" and new.answer == "no":
            return


def _of_event_mask(before: Notifier, after: Notifier, machine: str, further: str) -> Iterator[Finding]:
    old, new = before.event_mask, after.event_mask
    attachable = after.facts.get("pvpanic-attachable")
    if old is None or old == new or (attachable and attachable.answer == "no"):
        return
    device = f"the {further} notifier" if further else "the device"
    if new is None:
        yield _finding("evidence-lost", machine, f"{device} offered the bits {old:#04x}")
    else:
        evidence = f"{device} offered the bits {old:#04x}, and now {new:#04x}"
        yield _finding("guest-visible-change", machine, evidence)


def _of_fact(
    question: Question,
    before: Mapping[str, Fact],
    after: Mapping[str, Fact],
    machine: str,
    notifier: str = "",
) -> Iterator[Finding]:
    """Yield the finding of a fact whose answer has changed; of the emulator if `machine` is empty."""
    old, new = before.get(question.name), after.get(question.name)
    if old is None or new is None or old.answer in ("unknown", new.answer):
        return
    of = f" of the {notifier} notifier" if notifier else ""
    evidence = f"{question.name}{of} was {old.answer}, and now is {new.answer} ({new.detail})"
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
