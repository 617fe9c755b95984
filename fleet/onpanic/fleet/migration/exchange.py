"""Hosts in classes that can exchange a guest, and what keeps guests from going from class to class.

Two hosts are in one class if a guest with the policy has the same document on both, and sees the same
notifiers.  So the classes are found in one pass over the fleet's classes, without a look at pairs, and a
guest may go from host to host within its class as often as it likes.

Rejected: a class for hosts that may migrate guests to each other.  That is no equivalence: a host that has
two notifiers may exchange guests with one that has only the first and with one that has only the second, and
these two may not.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import TypeAlias

import msgspec
from msgspec.structs import replace

from onpanic.core.errors import RefusedError, UsageError
from onpanic.core.untrusted import printable
from onpanic.fleet.documents.fleet import Fleet, FleetHost, HostClass
from onpanic.fleet.hosts.host_record import HostRecord
from onpanic.fleet.judging.guest_view import GuestView
from onpanic.fleet.judging.hindrance import hindrance_answer, sorted_hindrances
from onpanic.fleet.migration.asked_guest import DomainGuest, PlainGuest
from onpanic.fleet.migration.migrating_guest import Arrival, MigratingGuest, arrival
from onpanic.fleet.migration.migration_answer import (
    AskedPair,
    ClassPair,
    ExchangeClass,
    MigrationAnswer,
    PairAnswer,
)
from onpanic.fleet.verdict.natural_order import natural
from onpanic.fleet.verdict.verdict_rows import architecture_rows, versions
from onpanic.probe.decision.rules import Decision, refusal
from onpanic.shims.translation.mapping import Note

__all__ = ("CLASSES_COMPARED", "AskedGuest", "migration_of")


#: The guest that is asked about.
AskedGuest: TypeAlias = PlainGuest | DomainGuest

#: So many classes are compared, the greatest ones: nobody reads more, and the number of pairs is squared.
CLASSES_COMPARED = 50


class _Members(msgspec.Struct):
    """The hosts of an exchange class, by the fleet's class that they are in."""

    guest: MigratingGuest
    hosts: list[HostClass]

    @property
    def count(self) -> int:
        """How many hosts they are."""
        return sum(len(one.hosts) for one in self.hosts)

    @property
    def first(self) -> str:
        """The name of the first host that was read."""
        return self.hosts[0].hosts[0].name


def migration_of(
    fleet: Fleet, guest: AskedGuest, *, between: tuple[str, str] | None = None
) -> MigrationAnswer:
    """Return between which hosts of a fleet guests may migrate.

    A guest migrates with its machine type's own name.  An alias is replaced if it stands for one machine type
    on all hosts.

    :param guest: The guest.
    :param between: The names of the host that it comes from, and of the one that it goes to, counted or not:
        the answer then holds over these two.  None for all hosts.
    :raise UsageError: When no host has the machine type, or several architectures have it, or it is an alias
        of several; and when there is no such host.
    """
    guest, classes = _named(fleet, guest)
    if between is None:
        return _answer(fleet, classes, guest)
    chosen = _only(fleet, between)
    return replace(_answer(chosen, chosen.classes, guest), pair=_pair(chosen, guest, *between))


def _pair(fleet: Fleet, guest: AskedGuest, source: str, target: str) -> AskedPair:
    """Return the answer about two hosts of a fleet."""
    records = {name: _record(fleet, name) for name in (source, target)}
    refused: dict[Decision, list[str]] = defaultdict(list)
    for name, record in records.items():
        if record is None:
            refused[refusal("host-not-counted", _why_uncounted(fleet, name))].append(name)
    here, there = records[source], records[target]
    arrived = Arrival(None)
    if here is not None and there is not None:
        try:
            arrived = arrival(guest.on(here), there)
        except RefusedError as error:
            refused[_decision(error)].append(source)
        if arrived.refused is not None:
            refused[arrived.refused].append(target)
    hindrances = sorted_hindrances(refused, natural)
    return AskedPair(
        source=source,
        target=target,
        answer=hindrances[0].answer if hindrances else "yes",
        hindrances=hindrances,
        notes=arrived.notes,
    )


def _named(fleet: Fleet, guest: AskedGuest) -> tuple[AskedGuest, list[HostClass]]:
    """Return the guest with its machine type's own name, and the hosts that the answer is about."""
    architecture, machine = guest.architecture, guest.machine
    rows = architecture_rows(fleet, [architecture] if architecture else (), [machine])
    name = printable(machine, 60)
    if not rows:
        where = f" for {printable(architecture, 60)}" if architecture else ""
        raise UsageError(f"no host has a machine type {name}{where}", "name a machine type or an alias")
    if len(rows) > 1:
        found = ", ".join(one.architecture for one in rows)
        raise UsageError(f"{name} is a machine type of several architectures: {found}", "name one of them")
    counts = versions(rows[0], machine)
    if len(counts) > 1:
        found = ", ".join(f"{printable(one, 60)} ({count:,})" for one, count in counts.items())
        raise UsageError(
            f"{name} is not one machine type on all hosts, but an alias of {found}",
            "name one of them: a guest migrates with the one that it was defined with",
        )
    named = guest.of(rows[0], next(iter(counts), machine))
    return named, [hosts for hosts, _ in rows[0].classes]


def _answer(fleet: Fleet, classes: Sequence[HostClass], asked: AskedGuest) -> MigrationAnswer:
    """Return the answer about some classes of a fleet."""
    found: dict[tuple[str, GuestView], _Members] = {}
    excluded: dict[Decision, list[str]] = defaultdict(list)
    for one in classes:
        try:
            guest = asked.on(one.record)
        except RefusedError as error:
            excluded[_decision(error)] += [host.name for host in one.hosts]
            continue
        found.setdefault((guest.document, guest.view), _Members(guest, [])).hosts.append(one)
    groups = sorted(found.values(), key=lambda one: (-one.count, natural(one.first)))
    count = sum(len(one.hosts) for one in classes)
    return MigrationAnswer(
        architecture=asked.architecture or "",
        machine=asked.machine,
        domain=asked.name,
        policy=asked.policy,
        hosts=count,
        others=fleet.host_count - count,
        missing=fleet.missing_count,
        classes=tuple(_exchange_class(number, one) for number, one in enumerate(groups, 1)),
        excluded=sorted_hindrances(excluded, natural),
        class_pairs=tuple(_class_pairs(groups[:CLASSES_COMPARED])),
        uncounted=fleet.uncounted,
        notes=fleet.notes,
    )


def _exchange_class(number: int, members: _Members) -> ExchangeClass:
    guest = members.guest
    return ExchangeClass(
        number=number,
        hosts=tuple(sorted((host.name for one in members.hosts for host in one.hosts), key=natural)),
        emulator=guest.machine.emulator or "",
        domain_type=guest.machine.kind,
        on_crash=guest.changes.on_crash,
        panic=guest.changes.panic,
        arguments=guest.changes.arguments,
        view=guest.view,
        notes=guest.changes.notes,
    )


def _class_pairs(groups: Sequence[_Members]) -> Iterable[ClassPair]:
    """Yield every pair of classes, in both directions."""
    for source, here in enumerate(groups, 1):
        for target, there in enumerate(groups, 1):
            if source != target:
                arrived = [(arrival(here.guest, one.record), one) for one in there.hosts]
                yield _class_pair(source, target, arrived)


def _class_pair(source: int, target: int, arrived: Sequence[tuple[Arrival, HostClass]]) -> ClassPair:
    refused: dict[Decision, list[str]] = defaultdict(list)
    notes: dict[Note, None] = {}
    answers: dict[PairAnswer, None] = {}
    for one, hosts in arrived:
        notes.update(dict.fromkeys(one.notes))
        answers["yes" if one.refused is None else hindrance_answer(one.refused.code)] = None
        if one.refused is not None:
            refused[one.refused] += [host.name for host in hosts.hosts]
    first, *others = answers
    return ClassPair(
        source=source,
        target=target,
        answer="some" if others else first,
        hindrances=sorted_hindrances(refused, natural),
        notes=tuple(notes),
    )


def _decision(error: RefusedError) -> Decision:
    found = error.decision
    return Decision(False, found.code, found.reason, found.remedy)


def _only(fleet: Fleet, names: Sequence[str]) -> Fleet:
    """Return the part of a fleet that is about some hosts.

    :raise UsageError: When nothing is known of one of them.
    """
    classes = []
    for one in fleet.classes:
        hosts = tuple(host for host in one.hosts if host.name in names)
        if hosts:
            classes.append(HostClass(hosts, one.record))
    uncounted = tuple(one for one in fleet.uncounted if one.name in names)
    known = {host.name for one in classes for host in one.hosts} | {one.name for one in uncounted}
    unknown = [name for name in names if name not in known]
    if unknown:
        some = ", ".join(printable(host.name, 60) for host, _ in _first(fleet, 4))
        raise UsageError(
            f"there is no record of a host named {printable(unknown[0], 60)!r}",
            f"name a host as its record does: {some}",
        )
    notes = [replace(note, hosts=tuple(name for name in note.hosts if name in names)) for note in fleet.notes]
    return Fleet(tuple(classes), uncounted, tuple(note for note in notes if note.hosts))


def _first(fleet: Fleet, count: int) -> list[tuple[FleetHost, HostRecord]]:
    return [found for _, found in zip(range(count), fleet.hosts(), strict=False)]


def _record(fleet: Fleet, name: str) -> HostRecord | None:
    return next((record for host, record in fleet.hosts() if host.name == name), None)


def _why_uncounted(fleet: Fleet, name: str) -> str:
    return next((printable(one.detail, 100) for one in fleet.uncounted if one.name == name), "")
