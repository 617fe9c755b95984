"""The findings in a record: a pure function.

Which answers a working notifier must have is part of each question: `Question.requires`.

A machine type is judged by its own notifier: the best one, or the one that ``--notifier`` names.  What it
lacks is an error; a further notifier that a guest can have and that does not work is a warning.  Hyper-V's
is judged only if it is named, because whether it works depends on the host's KVM and not on the build.
"""

import re
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from onpanic.check.panic_options import panic_options
from onpanic.check.tags import EVENT_MASKS, SEVERITIES, TAGS, Severity
from onpanic.probe.emulator.notifier_models import NOTIFIER_MODELS, NotifierModel
from onpanic.probe.facts import QUESTIONS, Fact, Question
from onpanic.probe.facts.question import Requirement
from onpanic.probe.record.capability_record import CapabilityRecord, MachineRecord, Notifier
from onpanic.probe.record.notifier_entries import best_of

__all__ = ("Asked", "Finding", "findings_of", "grouped", "offered_by_name", "own_notifier")

_Requirements = tuple[tuple[Question, Requirement], ...]

# In the order in which they are asked
_REQUIRED: _Requirements = tuple((one, one.requires) for one in QUESTIONS if one.requires)

# Facts that the emulator's command line decides
_BY_OPTIONS = ("panic-action", "panic-stops-guest")

# Facts about a machine type that are known only if they were asked for
_ON_REQUEST = tuple(one.name for one in QUESTIONS if one.on_request and one.scope != "emulator")

# pc-i440fx-8.2, pc-q35-4.0.1, virt-9.1: upstream's names, not a distribution's (pc-q35-rhel9.4.0)
_VERSIONED = re.compile(r"(?:pc-i440fx|pc-q35|virt)-(\d+)\.(\d+)(?:\.\d+)?", re.ASCII)

_NOT_ASKED = Fact("unknown", None, "not asked")


class Asked(msgspec.Struct, frozen=True):
    """What the emulator was asked for.  A fact that was asked for and is unknown is a finding.

    :param machines: Machine types that were named; names or aliases.
    :param all_machines: Whether all machine types were asked for.
    :param acpi: Whether the guest's ACPI tables were asked for.
    :param notifier: The only notifier that was asked for; None for all.
    """

    machines: tuple[str, ...] = ()
    all_machines: bool = False
    acpi: bool = False
    notifier: NotifierModel | None = None

    @property
    def notifiers(self) -> tuple[NotifierModel, ...]:
        """The notifiers that are judged."""
        if self.notifier:
            return (self.notifier,)
        return tuple(model for model in NOTIFIER_MODELS if model != "hyperv")


class Finding(msgspec.Struct, frozen=True):
    """Something that the maintainer of a distribution's package should know about a build.

    :param tag: A code of `onpanic.check.TAGS`.
    :param severity: The severity of the tag, or another one if the machine type matters more or less.
    :param machines: The machine types that it is about; empty if it is about the emulator.
    :param evidence: What was seen, in the words of the record.
    :param notifier: The notifier that it is about, by libvirt's model; empty if it is not about one.
    """

    tag: str
    severity: Severity
    machines: tuple[str, ...]
    evidence: str
    notifier: str = ""

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
    machines = [_JudgedMachine.of(machine, asked) for machine in record.machines if machine.name != "none"]
    options = panic_options(record.emulator.command)
    found = [one for machine in machines for one in _of_machine(machine, options, asked)]
    if any(machine.record.started and not _unknown(machine, asked) for machine in machines):
        found = [_lowered(one, record, asked) for one in found]
    if not any(machine.fact("pvpanic-attachable").answer == "yes" for machine in machines):
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
    machines: dict[Finding, dict[str, None]] = {}
    for one in findings:
        alike = msgspec.structs.replace(one, machines=())
        machines.setdefault(alike, {}).update(dict.fromkeys(one.machines))
    together = [msgspec.structs.replace(one, machines=tuple(names)) for one, names in machines.items()]
    return sorted(together, key=lambda one: one.rank)


def own_notifier(machine: MachineRecord, asked: Asked) -> Notifier | None:
    """Return the notifier that a machine type is judged by; None if the record does not say.

    It is the best one of those that are judged, even if the guest can have none of them.
    """
    judged = [notifier for notifier in machine.notifiers if notifier.model in asked.notifiers]
    return best_of(judged) if judged else None


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


class _JudgedMachine(msgspec.Struct, frozen=True):
    """A machine type with the notifier that it is judged by.

    :param facts: Those of the machine type and of that notifier.
    :param model: The notifier's model; empty if the guest can have none.
    :param further: Other notifiers that the guest can have.
    """

    record: MachineRecord
    facts: dict[str, Fact]
    model: str
    further: list[Notifier]

    @classmethod
    def of(cls, machine: MachineRecord, asked: Asked) -> "_JudgedMachine":
        own = own_notifier(machine, asked)
        facts = machine.facts | own.facts if own else machine.facts
        model = own.model if own and _attachable(own) != "no" else ""
        further = [
            notifier
            for notifier in machine.notifiers
            if notifier is not own and notifier.model in asked.notifiers and _attachable(notifier) == "yes"
        ]
        return cls(machine, facts, model, further)

    def fact(self, name: str) -> Fact:
        """Return a fact; one that was not asked is unknown."""
        return self.facts.get(name, _NOT_ASKED)


def _attachable(notifier: Notifier) -> str:
    """Return the answer to whether the guest can have a notifier."""
    return notifier.facts.get("pvpanic-attachable", _NOT_ASKED).answer


def _of_machine(machine: _JudgedMachine, options: Sequence[str], asked: Asked) -> Iterator[Finding]:
    name = (machine.record.name,)
    if not machine.record.started:
        problem = _finding("machine-type-does-not-start", name, machine.record.problem)
        yield _with_severity(problem, "error")
        return
    yield from _of_requirements(machine, options)
    hidden = machine.fact("acpi-exposes-pvpanic")
    if hidden.answer == "no" and machine.model == "isa":  # guests find the others without ACPI
        evidence = f"acpi-exposes-pvpanic: {hidden.detail}"
        yield _finding("panic-device-hidden-from-acpi", name, evidence, machine.model)
    unknown = _unknown(machine, asked)
    if unknown:
        model = "" if unknown == "builtin-pvpanic" else machine.model
        yield _finding("probe-inconclusive", name, f"{unknown}: {machine.facts[unknown].detail}", model)
    yield from _of_event_masks(machine)
    for notifier in machine.further:
        yield from _of_further(machine, notifier, options)


def _of_requirements(machine: _JudgedMachine, options: Sequence[str]) -> Iterator[Finding]:
    """Yield facts without the required answer, up to the first that explains the later ones."""
    for question, wanted in _REQUIRED:
        fact = machine.fact(question.name)
        code = wanted.refused_by(fact.answer)
        if code:
            evidence = f"{question.name}: {fact.detail}"
            if options and question.name in _BY_OPTIONS:
                evidence += f" (the command line has {' '.join(options)})"
            model = machine.model if question.scope == "notifier" else ""
            yield _finding(code, (machine.record.name,), evidence, model)
            if question.scope == "notifier":
                return


def _of_further(machine: _JudgedMachine, notifier: Notifier, options: Sequence[str]) -> Iterator[Finding]:
    """Yield why a further notifier does not work, if it is known that it does not.

    What the command line decides is found once, for the machine type's own notifier.
    """
    for question, wanted in _REQUIRED:
        fact = notifier.facts.get(question.name)
        code = wanted.refused_by(fact.answer) if fact else ""
        if fact and code and not (options and question.name in _BY_OPTIONS):
            evidence = f"{question.name} of the {notifier.model} notifier: {fact.detail}"
            found = _finding(code, (machine.record.name,), evidence, notifier.model)
            yield _with_severity(found, "warning")
        if code:
            return


def _of_event_masks(machine: _JudgedMachine) -> Iterator[Finding]:
    for notifier in machine.record.notifiers:
        offered = None if _attachable(notifier) == "no" else notifier.event_mask
        named = offered_by_name(machine.record.name, notifier.model)
        if offered is not None and named is not None and offered != named:
            own = notifier.model == machine.model
            who, what = ("it", "it") if own else (f"the {notifier.model} notifier", "the machine type")
            evidence = (
                f"{who} offers the bits {offered:#04x}, the release that {what} is named after {named:#04x}"
            )
            code = "event-mask-differs-for-machine-type"
            yield _finding(code, (machine.record.name,), evidence, notifier.model)


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


def _unknown(machine: _JudgedMachine, asked: Asked) -> str | None:
    """Return the first fact that was asked for and is unknown, unless an earlier answer explains that."""
    for question, wanted in _REQUIRED:
        fact = machine.facts.get(question.name)
        if fact is None or (question.scope == "notifier" and wanted.refused_by(fact.answer)):
            return None
        if fact.answer == "unknown":
            return question.name
    if asked.acpi and machine.model == "isa":
        return next((name for name in _ON_REQUEST if machine.fact(name).answer == "unknown"), None)
    return None


def _finding(code: str, machines: tuple[str, ...], evidence: str, notifier: str = "") -> Finding:
    return Finding(code, TAGS[code].severity, machines, evidence, notifier)
