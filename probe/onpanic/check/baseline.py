"""What changed against an older build's record: a pure function.

Guests that migrate, or that are started again on the new build, see what their machine
type has; so a difference there is the first thing to know.  QEMU 9.1 offered a new event
bit on old machine types too, without anybody noticing.
"""

from collections.abc import Iterator

from onpanic.probe.errors import RecordError
from onpanic.probe.facts import Fact
from onpanic.probe.record import CapabilityRecord, MachineRecord, Notifier

from .findings import Asked, Finding, gathered
from .tags import TAGS

__all__ = ("changes",)

# What a guest can see, and what its host can rely on
_VISIBLE = ("builtin-pvpanic", "pvpanic-attachable", "acpi-exposes-pvpanic")
_BEHAVIOUR = ("panic-reported", "panic-stops-guest", "cont-after-panic")


def changes(
    old: CapabilityRecord, new: CapabilityRecord, asked: Asked, *, new_ones: bool = False
) -> list[Finding]:
    """Return what changed between two builds of an emulator, the worst first.

    Machine types are compared by name.  What is unknown in either record is not compared,
    but said where it was known before.

    :param old: The older build's record.
    :param new: The record of the build in question.
    :param asked: What the new record is of; if of all machine types, one that it lacks is gone.
    :param new_ones: Tell of new machine types, too; they break nothing.
    :raise RecordError: When they are of different architectures, or have no machine type in common.
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
    listed = asked.all_machines and len(machines) > 1
    found: list[Finding] = []
    for before in old.machines:
        after = machines.get(before.name)
        if after is not None and before.started:
            found += _of_machine(before, after, asked)
        elif after is None and listed:
            found.append(_finding("machine-type-gone", before.name, f"{_version(old)} had it"))
    if new_ones:
        known = {machine.name for machine in old.machines}
        more = (name for name in machines if name not in known)
        found += [_finding("machine-type-new", name, f"{_version(old)} did not have it") for name in more]
    found += [
        Finding(one.tag, one.severity, (), one.evidence)
        for name in sorted(set(old.facts) & set(new.facts))
        for one in _of_fact("", name, old.facts[name], new.facts[name], visible=False)
    ]
    return gathered(found)


def _of_machine(before: MachineRecord, after: MachineRecord, asked: Asked) -> Iterator[Finding]:
    if not after.started:
        yield _finding("behaviour-lost", before.name, f"it started, and does not now ({after.problem})")
        return
    if before.notifier and after.notifier:
        yield from _of_device(before.name, before.notifier, after.notifier)
    for name in (*_VISIBLE, *_BEHAVIOUR):
        if name == "acpi-exposes-pvpanic" and not asked.acpi:
            continue
        if name in before.facts and name in after.facts:
            visible = name in _VISIBLE
            yield from _of_fact(before.name, name, before.facts[name], after.facts[name], visible=visible)


def _of_device(machine: str, before: Notifier, after: Notifier) -> Iterator[Finding]:
    if before.model != after.model:
        said = f"the notifier was {before.model}, and now is {after.model}"
        yield _finding("guest-visible-change", machine, said)
    elif before.event_mask is not None and after.event_mask is None:
        yield _finding("evidence-lost", machine, f"the device offered the bits {before.event_mask:#04x}")
    elif before.event_mask is not None and before.event_mask != after.event_mask:
        said = f"the device offered the bits {before.event_mask:#04x}, and now {after.event_mask:#04x}"
        yield _finding("guest-visible-change", machine, said)


def _of_fact(machine: str, name: str, before: Fact, after: Fact, *, visible: bool) -> Iterator[Finding]:
    if before.answer in ("unknown", after.answer):
        return
    said = f"{name} was {before.answer}, and now is {after.answer} ({after.detail})"
    if after.answer == "unknown":
        yield _finding("evidence-lost", machine, said)
    elif visible:
        yield _finding("guest-visible-change", machine, said)
    else:
        yield _finding("behaviour-lost" if after.answer == "no" else "behaviour-gained", machine, said)


def _finding(code: str, machine: str, evidence: str) -> Finding:
    return Finding(code, TAGS[code].severity, (machine,), evidence)


def _version(record: CapabilityRecord) -> str:
    return f"QEMU {record.emulator.version}"
