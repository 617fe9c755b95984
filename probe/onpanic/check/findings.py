"""The findings in a record: a pure function.

Which answers a working notifier must have is part of each question: `Question.requires`.
"""

import re
from collections.abc import Iterable, Iterator

import msgspec

from onpanic.check.tags import EVENT_MASKS, SEVERITIES, TAGS, Severity
from onpanic.probe.facts import QUESTIONS, Fact, Question
from onpanic.probe.facts.question import Requirement
from onpanic.probe.record.capability_record import CapabilityRecord, MachineRecord

__all__ = ("Asked", "Finding", "findings_of", "grouped", "offered_by_name")

_Required = tuple[tuple[Question, Requirement], ...]
_ALL_REQUIRED: _Required = tuple((one, one.requires) for one in QUESTIONS if one.requires)

# What is required of a device, in the order in which it is asked, and of an architecture's own notifier
_OF_DEVICE: _Required = tuple((one, wanted) for one, wanted in _ALL_REQUIRED if not wanted.architectural)
_OF_ARCHITECTURE: _Required = tuple((one, wanted) for one, wanted in _ALL_REQUIRED if wanted.architectural)

# Facts about a machine type that are known only if they were asked for
_ON_REQUEST = tuple(one.name for one in QUESTIONS if one.on_request and one.scope == "machine")

# pc-i440fx-8.2, pc-q35-4.0.1, virt-9.1: upstream's names, not a distribution's (pc-q35-rhel9.4.0)
_VERSIONED = re.compile(r"(?:pc-i440fx|pc-q35|virt)-(\d+)\.(\d+)(?:\.\d+)?", re.ASCII)

_NOT_ASKED = Fact("unknown", None, "not asked")


class Asked(msgspec.Struct, frozen=True):
    """What the emulator was asked for.  A fact that was asked for and is unknown is a finding.

    :param machines: Machine types that were named; names or aliases.
    :param all_machines: Whether all machine types were asked for.
    :param acpi: Whether the guest's ACPI tables were asked for.
    """

    machines: tuple[str, ...] = ()
    all_machines: bool = False
    acpi: bool = False


class Finding(msgspec.Struct, frozen=True):
    """Something that the maintainer of a distribution's package should know about a build.

    :param tag: A code of `onpanic.check.TAGS`.
    :param severity: The severity of the tag, or another one if the machine type matters more or less.
    :param machines: The machine types that it is about; empty if it is about the emulator.
    :param evidence: What was seen, in the words of the record.
    """

    tag: str
    severity: Severity
    machines: tuple[str, ...]
    evidence: str

    @property
    def reason(self) -> str:
        """What the finding means, in one sentence."""
        return TAGS[self.tag].entry.reason

    @property
    def remedy(self) -> str:
        """What to do about the finding."""
        return TAGS[self.tag].entry.remedy

    @property
    def rank(self) -> tuple[int, str]:
        """Sorts findings: the most severe first."""
        return SEVERITIES.index(self.severity), self.tag


def findings_of(record: CapabilityRecord, asked: Asked = Asked()) -> list[Finding]:  # noqa: B008
    """Return what is found in a record, the most severe first.

    The machine type ``none`` is left out: no guest can run on it.

    :param record: The record, best of all machine types.
    :param asked: What the emulator was asked for.
    """
    machines = [machine for machine in record.machines if machine.name != "none"]
    found = [one for machine in machines for one in _of_machine(machine, record.facts, asked)]
    if any(_conclusive(machine, record.facts, asked) for machine in machines):
        found = [_lowered(one, record, asked) for one in found]
    if not any(_has_notifier(machine) for machine in machines):
        found = [_with_severity(one, "error") if one.tag == "panic-device-missing" else one for one in found]
    if asked.all_machines and len(record.machines) == 1:
        evidence = "its machine types could not be listed, so one was checked only"
        found.append(_finding("probe-inconclusive", (), evidence))
    settable = record.facts.get("set-action-command")
    if settable and settable.answer == "no":
        found.append(_finding("panic-action-not-settable", (), settable.detail))
    return grouped(found)


def grouped(findings: Iterable[Finding]) -> list[Finding]:
    """Return findings with those that differ only in the machine type as one, the most severe first."""
    machines: dict[tuple[str, Severity, str], dict[str, None]] = {}
    for one in findings:
        machines.setdefault((one.tag, one.severity, one.evidence), {}).update(dict.fromkeys(one.machines))
    together = [Finding(tag, severity, tuple(m), seen) for (tag, severity, seen), m in machines.items()]
    return sorted(together, key=lambda one: one.rank)


def offered_by_name(machine: str, model: str = "isa") -> int | None:
    """Return the event bits that a machine type must offer because it is named after a release.

    :param machine: For example ``pc-i440fx-8.2``.
    :param model: libvirt's name of the notifier.
    :return: None if the machine type is not named after an upstream release that has the notifier.
    """
    version = _VERSIONED.fullmatch(machine)
    if version is None:
        return None
    release = (int(version[1]), int(version[2]))
    if model == "pvpanic" and release < (6, 0):  # the PCI device came with 6.0
        return None
    return next(mask for since, mask in EVENT_MASKS if release >= since)


def _of_machine(machine: MachineRecord, emulator: dict[str, Fact], asked: Asked) -> Iterator[Finding]:
    name = (machine.name,)
    if not machine.started:
        problem = _finding("machine-type-does-not-start", name, machine.problem)
        yield _with_severity(problem, "error")
        return
    if _by_architecture(machine):
        for question, wanted in _OF_ARCHITECTURE:
            fact = emulator.get(question.name, _NOT_ASKED)
            if fact.answer != wanted.answer:
                tag = "probe-inconclusive" if fact.answer == "unknown" else wanted.refusal
                yield _finding(tag, name, f"{question.name}: {fact.detail}")
        return
    yield from _of_requirements(machine)
    hidden = machine.facts.get("acpi-exposes-pvpanic", _NOT_ASKED)
    if hidden.answer == "no" and _found_by_acpi(machine):
        yield _finding("panic-device-hidden-from-acpi", name, f"acpi-exposes-pvpanic: {hidden.detail}")
    unknown = _unknown(machine, asked)
    if unknown:
        yield _finding("probe-inconclusive", name, f"{unknown}: {machine.facts[unknown].detail}")
    yield from _of_event_mask(machine)


def _of_requirements(machine: MachineRecord) -> Iterator[Finding]:
    """Yield facts without the required answer, up to the first "no": later ones follow from it."""
    for question, wanted in _OF_DEVICE:
        fact = machine.facts.get(question.name, _NOT_ASKED)
        if fact.answer not in (wanted.answer, "unknown"):
            yield _finding(wanted.refusal, (machine.name,), f"{question.name}: {fact.detail}")
            if wanted.answer == "yes":
                return


def _of_event_mask(machine: MachineRecord) -> Iterator[Finding]:
    if machine.notifier is None:
        return
    offered, named = machine.notifier.event_mask, offered_by_name(machine.name, machine.notifier.model)
    if offered is not None and named is not None and offered != named:
        evidence = f"it offers the bits {offered:#04x}, the release that it is named after {named:#04x}"
        yield _finding("event-mask-differs-for-machine-type", (machine.name,), evidence)


def _lowered(finding: Finding, record: CapabilityRecord, asked: Asked) -> Finding:
    """Lower the severity of what is unknown of a machine type that was not named, if others are known.

    It may be one for Xen, or one where the device can be added but not triggered.  A machine type that
    is the emulator's default, or on which it crashes, keeps its severity.
    """
    machine = record.machine(finding.machines[0])
    if machine.default or {machine.name, *machine.aliases} & set(asked.machines) or "SIG" in machine.problem:
        return finding
    if finding.tag == "machine-type-does-not-start":
        return _with_severity(finding, "info")
    if finding.tag == "probe-inconclusive" and not machine.problem:
        return _with_severity(finding, "warning")
    return finding


def _with_severity(finding: Finding, severity: Severity) -> Finding:
    return msgspec.structs.replace(finding, severity=severity)


def _by_architecture(machine: MachineRecord) -> bool:
    """Return whether the architecture has a notifier (s390x, pseries), so that no device is needed."""
    return machine.notifier is not None and machine.notifier.model in ("s390", "pseries")


def _has_notifier(machine: MachineRecord) -> bool:
    return _by_architecture(machine) or machine.facts.get("pvpanic-attachable", _NOT_ASKED).answer == "yes"


def _found_by_acpi(machine: MachineRecord) -> bool:
    """Return whether guests find the notifier through ACPI; they find the PCI device without it."""
    return machine.notifier is not None and machine.notifier.model == "isa"


def _conclusive(machine: MachineRecord, emulator: dict[str, Fact], asked: Asked) -> bool:
    if _by_architecture(machine):
        answers = [emulator.get(question.name, _NOT_ASKED).answer for question, _ in _OF_ARCHITECTURE]
        return machine.started and "unknown" not in answers
    return machine.started and not _unknown(machine, asked)


def _unknown(machine: MachineRecord, asked: Asked) -> str | None:
    """Return the first fact that was asked for and is unknown, unless a "no" before it explains that."""
    for question, wanted in _OF_DEVICE:
        fact = machine.facts.get(question.name)
        if fact is None or (wanted.answer == "yes" and fact.answer == "no"):
            return None
        if fact.answer == "unknown":
            return question.name
    if asked.acpi and _found_by_acpi(machine):
        return next(
            (n for n in _ON_REQUEST if n in machine.facts and machine.facts[n].answer == "unknown"), None
        )
    return None


def _finding(code: str, machines: tuple[str, ...], evidence: str) -> Finding:
    return Finding(code, TAGS[code].severity, machines, evidence)
