"""What has changed about the Xen of a host: its version, its guests, and its values of ``<on_crash>``."""

from collections.abc import Iterator

from onpanic.fleet.drift.drift_changes import DriftChange, DriftKind
from onpanic.fleet.hosts.host_record import XEN, HostEmulator, HostRecord
from onpanic.probe.facts import Fact
from onpanic.probe.facts.xen_questions import GUEST_TYPE, ON_CRASH_FACTS
from onpanic.probe.record.capability_record import CapabilityRecord

__all__ = ("xen_changes",)


def xen_changes(old: HostRecord, new: HostRecord) -> Iterator[DriftChange]:
    """Yield what has changed about a host's Xen."""
    if old.xen is None or new.xen is None:
        if old.xen is not new.xen:
            words = "is no longer the dom0 of a Xen" if old.xen else "is now the dom0 of a Xen"
            yield DriftChange("emulator", f"the host {words}")
        return
    yield from _of_xen(old.xen, new.xen)


def _of_xen(old: HostEmulator, new: HostEmulator) -> Iterator[DriftChange]:
    before, after = old.record, new.record
    if before is None or after is None:
        if before:
            yield DriftChange("evidence-lost", f"Xen could not be asked: {new.problem}", XEN)
        elif after:
            yield DriftChange("evidence-found", f"Xen could not be asked: {old.problem}", XEN)
        return
    if before.emulator.build != after.emulator.build:
        yield DriftChange("emulator", f"was {before.emulator.build}, now {after.emulator.build}", XEN)
    first, second = _toolstack(before), _toolstack(after)
    if first != second:
        yield DriftChange("emulator", f"{first} was asked, now {second}", XEN)
    for word, name in ON_CRASH_FACTS.items():
        what = f"accepts <on_crash>{word}</on_crash>"
        yield from _of_fact(before.facts.get(name), after.facts.get(name), what)
    machines = {one.name: one for one in before.machines}
    for machine in after.machines:
        if machine.name in machines:
            known, found = (one.facts.get(GUEST_TYPE) for one in (machines[machine.name], machine))
            yield from _of_fact(known, found, "runs such guests", (machine.name,))


def _toolstack(record: CapabilityRecord) -> str:
    """Return which toolstack was asked, without its version: libvirt's is told with libvirt."""
    return record.emulator.toolstack.partition(" ")[0] or "nothing"


def _of_fact(
    old: Fact | None, new: Fact | None, what: str, machines: tuple[str, ...] = ()
) -> Iterator[DriftChange]:
    if old is None or new is None or old.answer == new.answer:
        return
    kind: DriftKind
    if "unknown" in (old.answer, new.answer):
        kind = "evidence-lost" if new.answer == "unknown" else "evidence-found"
    else:
        kind = "behaviour-gained" if new.answer == "yes" else "behaviour-lost"
    yield DriftChange(kind, f"{what}: was {old.answer}, now {new.answer} ({new.detail})", XEN, machines)
