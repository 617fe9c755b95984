"""What changed against an older build's record: a pure function.

Guests that migrate, or that are started again on the new build, see what their machine
type has; so a difference there is the first thing to know.  QEMU 9.1 offered a new event
bit on old machine types too, without anybody noticing.
"""

from collections.abc import Iterator

from onpanic.probe.errors import RecordError
from onpanic.probe.facts import Fact
from onpanic.probe.record import CapabilityRecord, MachineRecord

from .findings import Finding, gathered
from .tags import TAGS

__all__ = ("changes",)

# What a guest can see, and what its host can rely on
_VISIBLE = ("builtin-pvpanic", "pvpanic-attachable", "acpi-exposes-pvpanic")
_BEHAVIOUR = ("panic-reported", "panic-stops-guest", "cont-after-panic")


def changes(old: CapabilityRecord, new: CapabilityRecord, *, complete: bool) -> list[Finding]:
    """Return what changed between two builds of an emulator, the worst first.

    Machine types are compared by name.  What is unknown in either record is not compared,
    but said where it was known before.

    :param old: The older build's record.
    :param new: The record of the build in question.
    :param complete: The new record has all machine types, so one that it lacks is gone.
    :raise RecordError: When they are of different architectures.
    """
    if old.emulator.target and new.emulator.target and old.emulator.target != new.emulator.target:
        raise RecordError(
            f"the baseline is of {old.emulator.target}, the emulator of {new.emulator.target}",
            "name a record of the same emulator",
        )
    machines = {machine.name: machine for machine in new.machines}
    found: list[Finding] = []
    for before in old.machines:
        after = machines.get(before.name)
        if after is not None and before.started:
            found += _of_machine(before, after)
        elif after is None and complete:
            found.append(_finding("machine-type-gone", before.name, f"{_version(old)} had it"))
    found += [
        Finding(one.tag, one.severity, (), one.evidence)
        for name in sorted(set(old.facts) & set(new.facts))
        for one in _of_fact("", name, old.facts[name], new.facts[name], visible=False)
    ]
    return gathered(found)


def _of_machine(before: MachineRecord, after: MachineRecord) -> Iterator[Finding]:
    masks = [machine.notifier and machine.notifier.event_mask for machine in (before, after)]
    models = [machine.notifier and machine.notifier.model for machine in (before, after)]
    if None not in masks and masks[0] != masks[1] and models[0] == models[1]:
        said = f"the device offered the bits {masks[0]:#04x}, and now {masks[1]:#04x}"
        yield _finding("guest-visible-change", before.name, said)
    for name in (*_VISIBLE, *_BEHAVIOUR):
        if name in before.facts and name in after.facts:
            visible = name in _VISIBLE
            yield from _of_fact(before.name, name, before.facts[name], after.facts[name], visible=visible)


def _of_fact(machine: str, name: str, before: Fact, after: Fact, *, visible: bool) -> Iterator[Finding]:
    if before.answer in ("unknown", after.answer):
        return
    said = f"{name} was {before.answer}, and now is {after.answer} ({after.detail})"
    if after.answer == "unknown":
        if name != "acpi-exposes-pvpanic":  # not looked at unless asked for
            yield _finding("evidence-lost", machine, said)
    elif visible:
        yield _finding("guest-visible-change", machine, said)
    else:
        yield _finding("behaviour-lost" if after.answer == "no" else "behaviour-gained", machine, said)


def _finding(code: str, machine: str, evidence: str) -> Finding:
    return Finding(code, TAGS[code].severity, (machine,), evidence)


def _version(record: CapabilityRecord) -> str:
    return f"QEMU {record.emulator.version}"
