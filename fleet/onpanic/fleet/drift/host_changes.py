"""What has changed from one record of a host to the next, the most important first: a pure function."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from onpanic.fleet.drift.drift_changes import DriftChange, DriftKind
from onpanic.fleet.drift.emulator_changes import emulator_changes
from onpanic.fleet.drift.promise_changes import POLICY_NAMES, promise_changes
from onpanic.fleet.drift.xen_changes import xen_changes
from onpanic.fleet.hosts.host_record import HostKvm, HostLibvirt, HostRecord
from onpanic.fleet.verdict.natural_order import natural

__all__ = ("host_changes",)

# What libvirt's QEMU driver accepts, in its own words
_FEATURES = {
    "device": "<panic>",
    "models": "<panic model='...'>",
    "pci": "<panic model='pvpanic'>",
    "preserve_running": "<on_crash>preserve-running</on_crash>",
    "vmcoreinfo": "<vmcoreinfo>",
}


def host_changes(old: HostRecord, new: HostRecord) -> tuple[DriftChange, ...]:
    """Return what has changed; what differs in machine types only, or policies only, is one change."""
    found = [
        *emulator_changes(old, new),
        *xen_changes(old, new),
        *promise_changes(old, new),
        *_of_libvirt(old.libvirt, new.libvirt),
        *(_of_features(old, new) if old.xen is None and new.xen is None else ()),
        *_of_kvm(old.kvm, new.kvm),
        *_of_problems(old.problems, new.problems),
    ]
    together = _grouped(_grouped(found, "machines", natural), "policies", POLICY_NAMES.index)
    return tuple(sorted(together, key=lambda one: one.rank))


def _grouped(changes: Iterable[DriftChange], member: str, order: Callable[[str], Any]) -> list[DriftChange]:
    """Return changes with those that differ only in a member as one.

    :param order: The key by which what the member names is sorted.
    """
    names: dict[DriftChange, dict[str, None]] = {}
    for one in changes:
        alike = msgspec.structs.replace(one, **{member: ()})
        names.setdefault(alike, {}).update(dict.fromkeys(getattr(one, member)))
    return [
        msgspec.structs.replace(one, **{member: tuple(sorted(found, key=order))})
        for one, found in names.items()
    ]


def _of_libvirt(old: HostLibvirt | None, new: HostLibvirt | None) -> Iterator[DriftChange]:
    if old is None or new is None:
        if old is not new:
            first, second = (
                f"libvirt {one.version}" if one else "none, or none that could be asked" for one in (old, new)
            )
            yield DriftChange("libvirt", f"was {first}, now {second}")
        return
    if old.version != new.version:
        yield DriftChange("libvirt", f"was libvirt {old.version}, now {new.version}")


def _of_features(first: HostRecord, second: HostRecord) -> Iterator[DriftChange]:
    """Yield what has changed about what libvirt's QEMU driver accepts."""
    old, new = first.libvirt, second.libvirt
    if old is None or new is None:
        return
    asked = old.known_by, new.known_by
    for name, words in _FEATURES.items():
        before, after = getattr(old, name), getattr(new, name)
        if before != after and old.version == new.version and asked == ("asked", "version"):
            yield DriftChange("evidence-lost", f"accepted {words}; now only its version is known")
        elif before != after and old.version == new.version and asked == ("version", "asked"):
            yield DriftChange("evidence-found", f"whether it accepts {words} was known by its version only")
        elif before != after:
            yield DriftChange("libvirt", f"now accepts {words}" if after else f"no longer accepts {words}")
    if old.checks_actions != new.checks_actions:
        what = "refuses actions that it does not carry out"
        yield DriftChange("libvirt", f"now {what}" if new.checks_actions else f"no longer {what}")


def _of_kvm(old: HostKvm, new: HostKvm) -> Iterator[DriftChange]:
    for name, before, after in (("usable", old.usable, new.usable), ("hyperv", old.hyperv, new.hyperv)):
        if before != after:
            kind: DriftKind = (
                "evidence-lost" if after == "unknown" else "evidence-found" if before == "unknown" else "kvm"
            )
            yield DriftChange(kind, f"KVM: {name} was {before}, now {after} ({new.detail})")


def _of_problems(old: Iterable[str], new: Iterable[str]) -> Iterator[DriftChange]:
    before, after = set(old), set(new)
    yield from (DriftChange("evidence-lost", one) for one in sorted(after - before))
    yield from (DriftChange("evidence-found", f"no longer reported: {one}") for one in sorted(before - after))
