"""Which policies a host no longer keeps, or keeps now, or keeps by other means."""

from collections.abc import Iterator

from onpanic.fleet.drift.drift_changes import DriftChange, DriftKind
from onpanic.fleet.hosts.host_record import HostEmulator, HostRecord
from onpanic.fleet.judging.host_promise import Promise
from onpanic.fleet.judging.judged_policies import POLICIES, policy_name
from onpanic.fleet.judging.promise import promise_of
from onpanic.shims.translation.mapping import DomainChanges

__all__ = ("POLICY_NAMES", "promise_changes")

#: What the policies are called that are compared, in the order of a verdict.
POLICY_NAMES = tuple(dict.fromkeys(policy_name(one) for found in POLICIES.values() for one in found))

# The emulator, the machine type or what is known of them has changed, which has a kind of its own
_OTHERWISE_TOLD = ("no-emulator", "emulator-not-asked", "no-machine-type", "machine-type-not-asked")


def promise_changes(old: HostRecord, new: HostRecord) -> Iterator[DriftChange]:
    """Yield the changes of policies, for each machine type that both records know, or its alias."""
    for emulator in old.every_emulator():
        hypervisor = emulator.hypervisor
        for architecture in emulator.runs:
            before, after = (one.emulator_for(architecture, hypervisor) for one in (old, new))
            if before is not emulator or after is None:
                continue
            for machine in _machines(before, after):
                for policy in POLICIES[hypervisor]:
                    first, second = (
                        promise_of(host, architecture, machine, policy, hypervisor) for host in (old, new)
                    )
                    change = _changed(first, second)
                    if change:
                        kind, code, detail = change
                        names = (policy_name(policy),)
                        yield DriftChange(kind, detail, architecture, (machine,), names, code)


def _machines(old: HostEmulator, new: HostEmulator) -> list[str]:
    """Return the machine types that both were asked about, and aliases of others."""
    if old.record is None or new.record is None:
        return []
    names = {one.name for one in old.record.machines} & {one.name for one in new.record.machines}
    first, second = (
        {alias: one.name for one in record.machines for alias in one.aliases}
        for record in (old.record, new.record)
    )
    aliases = {alias for alias in first.keys() & second.keys() if first[alias] != second[alias]}
    return [*sorted(names - {"none"}), *sorted(aliases)]


def _changed(old: Promise, new: Promise) -> tuple[DriftKind, str, str] | None:
    """Return the kind of a change, with the code and the words; None if there is none."""
    if old.code in _OTHERWISE_TOLD or new.code in _OTHERWISE_TOLD:
        return None
    if old.kept == new.kept:
        words = (
            _difference(old.changes, new.changes)
            if old.changes and new.changes
            else _other_notifier(old, new)
        )
        return ("policy-changed", "", words) if words else None
    if new.kept == "unknown":
        return (
            "evidence-lost",
            new.code,
            f"kept was {old.kept}, now unknown: {new.reason}",
        )
    if old.kept == "unknown":
        return "evidence-found", new.code, f"kept was unknown, now {new.kept}"
    return (
        ("policy-kept", old.code, f"was not kept: {old.reason}")
        if new.kept == "yes"
        else ("policy-lost", new.code, new.reason)
    )


def _other_notifier(old: Promise, new: Promise) -> str:
    """Return which notifier keeps the policy, if it is another one, and libvirt does not say."""
    if old.changes or new.changes:
        return ""
    if old.notifier == new.notifier:
        return ""
    return f"notifier: {old.notifier or 'none'} before, {new.notifier or 'none'} now"


def _difference(old: DomainChanges, new: DomainChanges) -> str:
    """Return how what libvirt is given differs; of the notes only those that one of them has."""
    first, second = ([note.code for note in one.notes] for one in (old, new))
    parts = {
        "<on_crash>": (old.on_crash, new.on_crash),
        "<panic model>": (old.panic, new.panic),
        "QEMU's arguments": (" ".join(old.arguments), " ".join(new.arguments)),
        "notes": (
            " ".join(code for code in first if code not in second),
            " ".join(code for code in second if code not in first),
        ),
    }
    return "; ".join(
        f"{name}: {before or 'none'} before, {after or 'none'} now"
        for name, (before, after) in parts.items()
        if before != after
    )
