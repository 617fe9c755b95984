"""What all hosts of a fleet can promise: a pure function from the fleet."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Literal

import msgspec

from onpanic.fleet.documents.fleet import Fleet, FleetNote, HostClass
from onpanic.fleet.hosts.host_record import HostEmulator, HostLibvirt
from onpanic.fleet.judging.host_promise import Promise
from onpanic.fleet.judging.judged_policies import POLICIES, policy_name
from onpanic.fleet.judging.promise import promise_of
from onpanic.fleet.verdict.fleet_verdict import (
    ArchitectureVerdict,
    FailurePart,
    FailurePlace,
    FleetFailure,
    FleetVerdict,
    MachineVerdict,
    PolicyNeed,
    PolicyVerdict,
)
from onpanic.fleet.verdict.host_notes import host_notes
from onpanic.fleet.verdict.natural_order import natural
from onpanic.fleet.verdict.verdict_rows import (
    ArchitectureRows,
    architecture_rows,
    common_machines,
    versions,
)
from onpanic.probe.decision.catalogue import CATALOGUE
from onpanic.probe.decision.policy import Policy

__all__ = ("verdict_of",)


def verdict_of(
    fleet: Fleet,
    *,
    policies: Sequence[Policy] | None = None,
    architectures: Sequence[str] = (),
    machines: Sequence[str] = (),
    everything: bool = False,
    answered_only: bool = False,
) -> FleetVerdict:
    """Return what a fleet can promise.

    Over which hosts the verdict about an architecture and a hypervisor holds, and which rows it has, is
    decided in `verdict_rows`.

    :param policies: The policies to judge; None for all that the hypervisor may keep: without a grace period,
        and on QEMU without an ``<on_crash>``.
    :param architectures: libvirt's names of the architectures; empty for those of the hosts.
    :param machines: Machine types or aliases; empty for the usual ones.
    :param everything: All architectures and machine types that hosts were asked about.
    :param answered_only: Judge the hosts that answered, whatever was not counted.
    """
    rows = architecture_rows(fleet, architectures, machines, everything=everything)
    missing = 0 if answered_only else fleet.missing_count
    judging = _Judging(policies, missing)
    found = [_architecture(fleet, one, judging) for one in rows]
    answers = {policy.everywhere for one in found for machine in one.machines for policy in machine.policies}
    return FleetVerdict(
        hosts=fleet.host_count,
        classes=len(fleet.classes),
        missing=fleet.missing_count,
        answered_only=answered_only,
        everywhere="no" if "no" in answers else "unknown" if "unknown" in answers or not answers else "yes",
        architectures=found,
        failures=_failures(judging.failed["no"]),
        unknowns=_failures(judging.failed["unknown"]),
        watch=judging.watch.needs(),
        help=judging.help.needs(),
        watched=judging.watch.host_count(),
        uncounted=sorted(fleet.uncounted, key=lambda one: (one.why, natural(one.name), natural(one.source))),
        notes=sorted(
            map(_sorted, [*fleet.notes, *host_notes(fleet)]),
            key=lambda note: (note.code, -len(note.hosts), [*map(natural, note.hosts)], note.reason),
        ),
    )


def _sorted(note: FleetNote) -> FleetNote:
    return msgspec.structs.replace(note, hosts=tuple(sorted(note.hosts, key=natural)))


def _architecture(fleet: Fleet, rows: ArchitectureRows, judging: "_Judging") -> ArchitectureVerdict:
    count = sum(len(one.hosts) for one, _ in rows.classes)
    classes = _alike(rows)
    machines = [
        MachineVerdict(machine, versions(rows, machine), judging.machine(classes, rows, machine))
        for machine in rows.machines
    ]
    others = fleet.host_count - count
    return ArchitectureVerdict(
        rows.architecture, count, others, machines, rows.further, common_machines(rows), rows.hypervisor
    )


def _alike(rows: ArchitectureRows) -> list[list[HostClass]]:
    """Return classes together that promise the same for guests of an architecture."""
    found: dict[tuple[bytes, HostLibvirt | None, str], list[HostClass]] = defaultdict(list)
    for one, emulator in rows.classes:
        key = _digest(emulator) if emulator else b""
        host = one.record
        found[key, host.libvirt, host.libvirt_found].append(one)
    return list(found.values())


def _digest(emulator: HostEmulator) -> bytes:
    """Return what emulators have in common that promise the same: not when they were probed."""
    record = emulator.record
    parts = (record.emulator, record.facts, record.machines) if record else ()
    data = msgspec.json.encode((msgspec.structs.replace(emulator, record=None), parts))
    return blake2b(data, digest_size=32).digest()


class _FailureKey(msgspec.Struct, frozen=True):
    code: str
    remedy: str


class _ClassFailure(msgspec.Struct):
    """Why policies fail on the hosts of a class.

    :param places: The policies, by architecture and machine type.
    """

    hosts: HostClass
    reason: str
    places: dict[tuple[str, str], list[str]]


#: The failures of classes, by the index of the class.
_Failed = dict[_FailureKey, dict[int, _ClassFailure]]


class _Needs:
    """What policies need that are kept: the hosts and the policies, by code."""

    def __init__(self) -> None:
        self._hosts: dict[str, dict[int, int]] = defaultdict(dict)
        self._policies: dict[str, dict[str, None]] = defaultdict(dict)

    def add(self, code: str, hosts: HostClass, policy: str) -> None:
        """Note that a policy needs something on some hosts."""
        self._hosts[code][id(hosts)] = len(hosts.hosts)
        self._policies[code][policy] = None

    def needs(self) -> list[PolicyNeed]:
        """Return what is needed, that of most hosts first."""
        found = [
            PolicyNeed(
                code,
                CATALOGUE[code].reason,
                CATALOGUE[code].remedy,
                sum(hosts.values()),
                [*self._policies[code]],
            )
            for code, hosts in self._hosts.items()
        ]
        return sorted(found, key=lambda one: (-one.hosts, one.code))

    def host_count(self) -> int:
        """Return how many hosts need something."""
        hosts: dict[int, int] = {}
        for found in self._hosts.values():
            hosts |= found
        return sum(hosts.values())


class _Judging:
    """The promises that were looked at so far, and what came of them.

    :ivar failed: The failures, apart from what is not known.
    :ivar watch: What a watcher is needed for.
    :ivar help: What an emulator without libvirt must be told.
    """

    def __init__(self, policies: Sequence[Policy] | None, missing: int) -> None:
        self.failed: dict[Literal["no", "unknown"], _Failed] = {
            "no": defaultdict(dict),
            "unknown": defaultdict(dict),
        }
        self._policies = policies
        self._missing = missing
        self.watch = _Needs()
        self.help = _Needs()

    def machine(
        self, classes: Sequence[Sequence[HostClass]], rows: ArchitectureRows, machine: str
    ) -> list[PolicyVerdict]:
        """Judge each policy for one machine type.

        :param classes: The hosts; those together that promise the same.
        """
        policies = POLICIES[rows.hypervisor] if self._policies is None else self._policies
        return [self._judge(classes, rows, machine, one) for one in policies]

    def _judge(
        self, classes: Sequence[Sequence[HostClass]], rows: ArchitectureRows, machine: str, policy: Policy
    ) -> PolicyVerdict:
        name = policy_name(policy)
        count: Counter[str] = Counter()
        for alike in classes:
            promise = promise_of(alike[0].record, rows.architecture, machine, policy, rows.hypervisor)
            for one in alike:
                count[promise.kept] += len(one.hosts)
                if promise.kept == "yes":
                    count[self._keeper(one, promise, name)] += len(one.hosts)
                else:
                    self._add(one, promise, (rows.architecture, machine), name)
        return PolicyVerdict(
            name,
            "no" if count["no"] else "unknown" if count["unknown"] or self._missing else "yes",
            count["yes"],
            count["no"],
            count["unknown"],
            count["libvirt"],
            count["watch"],
            count["nothing"],
        )

    def _keeper(self, hosts: HostClass, promise: Promise, name: str) -> str:
        """Return what carries a policy out that is kept, and note what is needed for it."""
        if promise.changes is None:
            if promise.help:
                self.help.add(promise.help, hosts, name)
            return "nothing"
        codes = promise.changes.watch_codes
        for code in codes:
            self.watch.add(code, hosts, name)
        return "watch" if codes else "libvirt"

    def _add(self, hosts: HostClass, promise: Promise, place: tuple[str, str], name: str) -> None:
        kept: Literal["no", "unknown"] = "no" if promise.kept == "no" else "unknown"
        failed = self.failed[kept][_FailureKey(promise.code, promise.remedy)]
        found = failed.setdefault(id(hosts), _ClassFailure(hosts, promise.reason, {}))
        found.places.setdefault(place, []).append(name)


def _failures(failed: _Failed) -> list[FleetFailure]:
    """Return the reasons of failures, that of most hosts first."""
    found = []
    for key, classes in failed.items():
        parts = _parts(classes)
        hosts = sum(len(part.hosts) for part in parts)
        found.append(FleetFailure(key.code, _most_common(classes.values()), key.remedy, hosts, parts))
    return sorted(found, key=lambda one: (-one.hosts, one.code, one.remedy))


def _parts(classes: Mapping[int, _ClassFailure]) -> list[FailurePart]:
    """Return hosts on which the same policies fail, the most hosts first."""
    names: dict[tuple[FailurePlace, ...], list[str]] = defaultdict(list)
    for one in classes.values():
        places = tuple(FailurePlace(*place, tuple(policies)) for place, policies in one.places.items())
        names[places] += (host.name for host in one.hosts.hosts)
    parts = [FailurePart(sorted(hosts, key=natural), [*places]) for places, hosts in names.items()]
    return sorted(parts, key=lambda part: (-len(part.hosts), part.places))


def _most_common(failures: Iterable[_ClassFailure]) -> str:
    count: Counter[str] = Counter()
    for one in failures:
        count[one.reason] += len(one.hosts.hosts)
    return min(count, key=lambda reason: (-count[reason], reason))
