"""What has changed about the emulators of a host, by the rules of `onpanic.check` for two builds."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from onpanic.check.baseline import changes
from onpanic.check.findings import Asked
from onpanic.fleet.drift.drift_changes import DriftChange, DriftKind
from onpanic.fleet.hosts.host_record import HostEmulator, HostRecord
from onpanic.probe.facts import EMULATOR_QUESTIONS, MACHINE_QUESTIONS, NOTIFIER_QUESTIONS, Fact
from onpanic.probe.record.capability_record import CapabilityRecord, MachineRecord

__all__ = ("emulator_changes",)

# Machine types come from the emulators' lists, as a record has only those that were asked about
_ASKED = Asked(acpi=True)

_AGAIN = "collect it with onpanic host --machine"


class _EmulatorPair(NamedTuple):
    """An emulator then and now, and what it is called: by the architecture of its guests, or by its path."""

    about: str
    old: HostEmulator
    new: HostEmulator


def emulator_changes(old: HostRecord, new: HostRecord) -> Iterator[DriftChange]:
    """Yield what has changed about emulators and their machine types."""
    pairs = list(_by_architecture(old, new))
    for side, other, words in (
        (old, new, "there is no emulator for its guests; it was {}"),
        (new, old, "{} is now the emulator for its guests; there was none"),
    ):
        for emulator in side.emulators:
            for architecture in emulator.runs:
                if side.emulator_for(architecture) is emulator and other.emulator_for(architecture) is None:
                    yield DriftChange("emulator", words.format(emulator.path), architecture)
    known = {(pair.old.path, pair.new.path) for pair in pairs}
    before, after = ({one.path: one for one in host.emulators} for host in (old, new))
    further = (path for path in before if path in after and (path, path) not in known)
    pairs += [_EmulatorPair(path, before[path], after[path]) for path in further]
    for path in sorted(before.keys() - after.keys() - {old for old, _ in known}):
        yield DriftChange("emulator", f"{path} is gone")
    for path in sorted(after.keys() - before.keys() - {new for _, new in known}):
        yield DriftChange("emulator", f"{path} is new")
    for pair in pairs:
        yield from _of_pair(pair)


def _by_architecture(old: HostRecord, new: HostRecord) -> Iterator[_EmulatorPair]:
    """Yield the emulators that run guests of an architecture in both records; each pair of them once."""
    seen = set()
    for emulator in old.emulators:
        for architecture in emulator.runs:
            before, after = old.emulator_for(architecture), new.emulator_for(architecture)
            if before is not emulator or after is None or (before.path, after.path) in seen:
                continue
            seen.add((before.path, after.path))
            yield _EmulatorPair(architecture, before, after)


def _of_pair(pair: _EmulatorPair) -> Iterator[DriftChange]:
    about, old, new = pair
    if old.path != new.path:
        yield DriftChange(
            "emulator", f"{new.path} is now the emulator for its guests; it was {old.path}", about
        )
    for name, before, after in (
        ("domain types", old.domain_types, new.domain_types),
        ("architectures", old.runs, new.runs),
    ):
        if sorted(before) != sorted(after):
            yield DriftChange("emulator", f"{name} were {_listed(before)}, now {_listed(after)}", about)
    first, second = old.record, new.record
    if first and second and first.emulator.build != second.emulator.build:
        detail = f"was {first.emulator.build}, now {second.emulator.build}"
        yield DriftChange("emulator", detail, about)
    yield from _of_machine_types(pair)
    yield from _of_aliases(pair)
    if first and second:
        yield from _of_default(about, first, second)
        yield from _of_records(about, old, new, first, second)
    elif first:
        yield DriftChange("evidence-lost", f"{new.path} could not be asked: {new.problem}", about)
    elif second:
        yield DriftChange("evidence-found", f"{old.path} could not be asked: {old.problem}", about)


def _listed(names: list[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def _of_machine_types(pair: _EmulatorPair) -> Iterator[DriftChange]:
    about, old, new = pair
    before, after = dict.fromkeys(old.machine_types), dict.fromkeys(new.machine_types)
    if bool(before) != bool(after):
        kind: DriftKind = "evidence-lost" if before else "evidence-found"
        yield DriftChange(kind, "the list of machine types", about)
        return
    gone = tuple(name for name in before if name not in after)
    more = tuple(name for name in after if name not in before)
    if gone:
        yield DriftChange(
            "machine-type-gone", f"{_version(old)} had {'it' if len(gone) == 1 else 'them'}", about, gone
        )
    if more:
        yield DriftChange(
            "machine-type-new",
            f"{_version(old)} did not have {'it' if len(more) == 1 else 'them'}",
            about,
            more,
        )


def _of_aliases(pair: _EmulatorPair) -> Iterator[DriftChange]:
    about, old, new = pair
    for alias, name in old.aliases.items():
        if alias in new.aliases and new.aliases[alias] != name:
            yield DriftChange(
                "emulator", f"stood for {name}, now stands for {new.aliases[alias]}", about, (alias,)
            )


def _of_default(about: str, old: CapabilityRecord, new: CapabilityRecord) -> Iterator[DriftChange]:
    """Yield that another machine type is the default one, unless an alias says so already."""
    before, after = (next((one for one in record.machines if one.default), None) for record in (old, new))
    if before and after and before.name != after.name and not {*before.aliases} & {*after.aliases}:
        detail = f"the default machine type was {before.name}, now {after.name}"
        yield DriftChange("emulator", detail, about)


def _version(emulator: HostEmulator) -> str:
    return f"QEMU {emulator.record.emulator.version}" if emulator.record else emulator.path


def _of_records(
    about: str, old: HostEmulator, new: HostEmulator, before: CapabilityRecord, after: CapabilityRecord
) -> Iterator[DriftChange]:
    first, second = ({one.name: one for one in record.machines} for record in (before, after))
    lost = tuple(name for name in first if name not in second and name in new.machine_types)
    found = tuple(name for name in second if name not in first and name in old.machine_types)
    if lost:
        yield DriftChange("evidence-lost", f"the new record does not cover it: {_AGAIN}", about, lost)
    if found:
        yield DriftChange("evidence-found", "the old record did not cover it", about, found)
    if not (first.keys() & second.keys()) or before.emulator.target != after.emulator.target:
        return
    for one in changes(before, after, _ASKED):
        yield DriftChange(one.tag, one.evidence, about, one.machines, notifier=one.notifier)  # type: ignore[arg-type]
    yield from _answered(about, "", EMULATOR_QUESTIONS, before.facts, after.facts)
    for name in sorted(first.keys() & second.keys()):
        yield from _of_machine(about, first[name], second[name])


def _of_machine(about: str, old: MachineRecord, new: MachineRecord) -> Iterator[DriftChange]:
    """Yield what `changes` does not compare: types of devices, and facts that were not known."""
    if not old.started or not new.started:
        if new.started:
            yield DriftChange(
                "behaviour-gained", f"did not start ({old.problem}), now does", about, (new.name,)
            )
        return
    if old.builtin and new.builtin and old.builtin != new.builtin:
        detail = f"its builtin notifier was {_builtin(old)}, now {_builtin(new)}"
        yield DriftChange("guest-visible-change", detail, about, (new.name,))
    yield from _answered(about, new.name, MACHINE_QUESTIONS, old.facts, new.facts)
    for before in old.notifiers:
        after = new.notifier_named(before.model)
        attachable = before.facts.get("pvpanic-attachable")
        if after is None or (attachable and attachable.answer == "no"):  # there was nothing to know
            continue
        if before.type and after.type and before.type != after.type:
            detail = f"the device was a {before.type}, and now is a {after.type}"
            yield DriftChange("guest-visible-change", detail, about, (new.name,), notifier=before.model)
        if before.event_mask is None and after.event_mask is not None:
            detail = f"the device offers the bits {after.event_mask:#04x}"
            yield DriftChange("evidence-found", detail, about, (new.name,), notifier=before.model)
        yield from _answered(about, new.name, NOTIFIER_QUESTIONS, before.facts, after.facts, before.model)


def _answered(
    about: str,
    machine: str,
    questions: Mapping[str, object],
    old: Mapping[str, Fact],
    new: Mapping[str, Fact],
    model: str = "",
) -> Iterator[DriftChange]:
    """Yield the questions that were not answered, and are now."""
    for name in questions:
        before, after = old.get(name), new.get(name)
        if before and after and before.answer == "unknown" and after.answer != "unknown":
            detail = f"{name} was unknown, now {after.answer} ({after.detail})"
            yield DriftChange("evidence-found", detail, about, (machine,) if machine else (), notifier=model)


def _builtin(machine: MachineRecord) -> str:
    assert machine.builtin
    port = machine.builtin.port
    return machine.builtin.type if port is None else f"{machine.builtin.type} at port {port:#x}"
