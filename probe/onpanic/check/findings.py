"""What is found in a record: a pure function."""

import re
from collections.abc import Iterable, Iterator

import msgspec

from onpanic.probe.facts import Fact
from onpanic.probe.record import CapabilityRecord, MachineRecord

from .tags import EVENT_MASKS, SEVERITIES, TAGS, Severity, Tag

__all__ = ("Asked", "Finding", "findings_of", "gathered", "offered_by_name")

# The facts of a design that works, in the order in which they are asked; where one is "no", those
# after it cannot be known and need not be
_CORE = ("builtin-pvpanic", "pvpanic-attachable", "panic-reported", "panic-stops-guest", "cont-after-panic")

# pc-i440fx-8.2, pc-q35-4.0.1, virt-9.1: upstream's names, not a distribution's (pc-q35-rhel9.4.0)
_VERSIONED = re.compile(r"(?:pc-i440fx|pc-q35|virt)-(\d+)\.(\d+)(?:\.\d+)?", re.ASCII)


_NOT_ASKED = Fact("unknown", None, "not asked")


class Asked(msgspec.Struct, frozen=True):
    """What was asked of the emulator; what was asked for and is not known is a finding.

    :param machines: Machine types that were named, or aliases.
    :param all_machines: All that the emulator has.
    :param acpi: The guest's ACPI tables, too.
    """

    machines: tuple[str, ...] = ()
    all_machines: bool = False
    acpi: bool = False


class Finding(msgspec.Struct, frozen=True):
    """Something that a distribution's maintainer wants to know of a build.

    :param tag: A code of `tags.TAGS`.
    :param severity: The tag's, or another where the machine type matters less, or more.
    :param machines: The machine types that it holds for; empty if it is about the emulator.
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
        """What to do about it."""
        return TAGS[self.tag].entry.remedy

    @property
    def rank(self) -> tuple[int, str]:
        """Where it stands among others: the worst first."""
        return SEVERITIES.index(self.severity), self.tag


def findings_of(record: CapabilityRecord, asked: Asked = Asked()) -> list[Finding]:  # noqa: B008
    """Return what is found in a record, the worst first.

    A machine type called ``none`` is left out: no guest can run on it.

    :param record: The record, best of all machine types.
    :param asked: What the record was to be of.
    """
    machines = [machine for machine in record.machines if machine.name != "none"]
    event = record.facts.get("guest-panicked-event", _NOT_ASKED)
    found = [one for machine in machines for one in _of_machine(machine, event, asked)]
    if any(_conclusive(machine, event, asked) for machine in machines):
        found = [_lessened(one, record, asked) for one in found]
    if not any(_has_notifier(machine) for machine in machines):
        found = [_made(one, "error") if one.tag == "panic-device-missing" else one for one in found]
    if asked.all_machines and len(record.machines) == 1:
        said = "its machine types could not be listed, so one was checked only"
        found.append(_finding("probe-inconclusive", (), said))
    settable = record.facts.get("set-action-command")
    if settable and settable.answer == "no":
        found.append(_finding("panic-action-not-settable", (), settable.detail))
    return gathered(found)


def gathered(findings: Iterable[Finding]) -> list[Finding]:
    """Return findings with those that differ in the machine type only put together, the worst first."""
    machines: dict[tuple[str, Severity, str], dict[str, None]] = {}
    for one in findings:
        machines.setdefault((one.tag, one.severity, one.evidence), {}).update(dict.fromkeys(one.machines))
    together = [Finding(tag, severity, tuple(m), said) for (tag, severity, said), m in machines.items()]
    return sorted(together, key=lambda one: one.rank)


def offered_by_name(machine: str, model: str = "isa") -> int | None:
    """Return the event bits that the release offered that a machine type is named after.

    :param machine: For example ``pc-i440fx-8.2``.
    :param model: libvirt's name of the notifier.
    :return: None for a machine type that is named after no release of upstream's with that notifier.
    """
    version = _VERSIONED.fullmatch(machine)
    if version is None:
        return None
    release = (int(version[1]), int(version[2]))
    if model == "pvpanic" and release < (6, 0):  # the PCI device came with 6.0
        return None
    return next(mask for since, mask in EVENT_MASKS if release >= since)


def _of_machine(machine: MachineRecord, event: Fact, asked: Asked) -> Iterator[Finding]:
    name = (machine.name,)
    if not machine.started:
        yield _made(_finding("machine-type-does-not-start", name, machine.problem), "error")
        return
    if _by_architecture(machine):
        if event.answer != "yes":
            tag = "panic-not-reported" if event.answer == "no" else "probe-inconclusive"
            yield _finding(tag, name, f"guest-panicked-event: {event.detail}")
        return
    yield from _of_facts(machine)
    unknown = _unknown(machine, asked)
    if unknown:
        yield _finding("probe-inconclusive", name, f"{unknown}: {machine.facts[unknown].detail}")
    if machine.notifier is None:
        return
    offered, named = machine.notifier.event_mask, offered_by_name(machine.name, machine.notifier.model)
    if offered is not None and named is not None and offered != named:
        said = f"it offers the bits {offered:#04x}, the release that it is named after {named:#04x}"
        yield _finding("event-mask-differs-for-machine-type", name, said)


def _lessened(finding: Finding, record: CapabilityRecord, asked: Asked) -> Finding:
    """Make less of what is not known of a machine type that nobody named, if more is known of others.

    It may be Xen's, or one on which the device can be added and not be triggered.  One that
    the emulator chooses by itself, or crashes on, is not among these.
    """
    machine = record.machine(finding.machines[0])
    if machine.default or {machine.name, *machine.aliases} & set(asked.machines) or "SIG" in machine.problem:
        return finding
    if finding.tag == "machine-type-does-not-start":
        return _made(finding, "info")
    if finding.tag == "probe-inconclusive" and not machine.problem:
        return _made(finding, "warning")
    return finding


def _made(finding: Finding, severity: Severity) -> Finding:
    return msgspec.structs.replace(finding, severity=severity)


def _by_architecture(machine: MachineRecord) -> bool:
    """Say if the architecture brings the notifier, so that no device is missed (s390x, pseries)."""
    return machine.notifier is not None and machine.notifier.model in ("s390", "pseries")


def _has_notifier(machine: MachineRecord) -> bool:
    return _by_architecture(machine) or machine.facts.get("pvpanic-attachable", _NOT_ASKED).answer == "yes"


def _conclusive(machine: MachineRecord, event: Fact, asked: Asked) -> bool:
    if _by_architecture(machine):
        return machine.started and event.answer != "unknown"
    return machine.started and not _unknown(machine, asked)


def _of_facts(machine: MachineRecord) -> Iterator[Finding]:
    """Yield what single facts tell; of those of a working design only the first, which explains the rest."""
    explained = False
    for tag in sorted(TAGS.values(), key=lambda one: _CORE.index(one.fact) if one.fact in _CORE else -1):
        fact = machine.facts.get(tag.fact)
        if fact is None or fact.answer != tag.answer or not _counts(tag, machine):
            continue
        if not (explained and tag.fact in _CORE):
            yield _finding(tag.code, (machine.name,), f"{tag.fact}: {fact.detail}")
        explained |= tag.fact in _CORE[1:]


def _counts(tag: Tag, machine: MachineRecord) -> bool:
    """Leave out what follows from the device's being the PCI one, which guests find without ACPI."""
    by_acpi = machine.notifier is not None and machine.notifier.model == "isa"
    return by_acpi or tag.fact != "acpi-exposes-pvpanic"


def _unknown(machine: MachineRecord, asked: Asked) -> str | None:
    """Return the first fact that was asked for and is not known, unless one before it explains that."""
    by_acpi = asked.acpi and machine.notifier is not None and machine.notifier.model == "isa"
    for name in (*_CORE, *(["acpi-exposes-pvpanic"] if by_acpi else [])):
        fact = machine.facts.get(name)
        if fact is None or (name != "builtin-pvpanic" and fact.answer == "no"):
            return None
        if fact.answer == "unknown":
            return name
    return None


def _finding(code: str, machines: tuple[str, ...], evidence: str) -> Finding:
    return Finding(code, TAGS[code].severity, machines, evidence)
