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

import msgspec

from onpanic.core.errors import RefusedError, UsageError
from onpanic.core.untrusted import printable
from onpanic.fleet.documents.fleet import Fleet, FleetHost, HostClass
from onpanic.fleet.hosts.host_record import HostRecord
from onpanic.fleet.judging.hindrance import is_unsettled, sorted_hindrances
from onpanic.fleet.migration.migrating_guest import Arrival, MigratingGuest, arrival, guest_of
from onpanic.fleet.migration.migration_answer import (
    AskedPair,
    Crossing,
    CrossingAnswer,
    ExchangeClass,
    MigrationAnswer,
)
from onpanic.probe.decision.policy import Policy
from onpanic.probe.decision.rules import Decision, refusal
from onpanic.shims.translation.mapping import Note

__all__ = ("canonical_machine", "migration_between", "migration_of")


class _Members(msgspec.Struct):
    """The hosts of an exchange class, by the fleet's class that they are in."""

    guest: MigratingGuest
    hosts: list[HostClass]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(host.name for one in self.hosts for host in one.hosts)


def canonical_machine(fleet: Fleet, architecture: str, word: str) -> str:
    """Return the own name of a machine type: a guest migrates with it, not with an alias.

    :param word: The machine type, or an alias.
    :raise UsageError: When the word is an alias that stands for different machine types on the hosts.
    """
    names: dict[str, int] = defaultdict(int)
    for one in fleet.classes:
        emulator = one.record.emulator_for(architecture)
        if emulator is not None and word in emulator.aliases:
            names[emulator.aliases[word]] += len(one.hosts)
    if len(names) > 1:
        found = ", ".join(f"{printable(name, 60)} ({count:,})" for name, count in sorted(names.items()))
        raise UsageError(
            f"{printable(word, 60)} is not one machine type on all hosts, but an alias of {found}",
            "name one of them: a guest migrates with the one that it was defined with",
        )
    return next(iter(names), word)


def migration_of(fleet: Fleet, architecture: str, machine: str, policy: Policy) -> MigrationAnswer:
    """Return between which hosts of a fleet guests may migrate.

    :param architecture: libvirt's name of the guests' architecture.
    :param machine: The machine type; an alias if it stands for one machine type on all hosts.
    :raise UsageError: See `canonical_machine`.
    """
    machine = canonical_machine(fleet, architecture, machine)
    found: dict[tuple[object, ...], _Members] = {}
    barred: dict[Decision, list[str]] = defaultdict(list)
    for one in fleet.classes:
        try:
            guest = guest_of(one.record, architecture, machine, policy)
        except RefusedError as error:
            barred[_decision(error)] += [host.name for host in one.hosts]
            continue
        found.setdefault((guest.document, guest.view), _Members(guest, [])).hosts.append(one)
    groups = sorted(found.values(), key=lambda one: -len(one.names))
    return MigrationAnswer(
        architecture=architecture,
        machine=machine,
        policy=policy,
        hosts=fleet.host_count,
        missing=fleet.missing_count,
        classes=tuple(_exchange_class(number, one) for number, one in enumerate(groups, 1)),
        barred=sorted_hindrances(barred),
        crossings=tuple(_crossings(groups, policy)),
        uncounted=fleet.uncounted,
        notes=fleet.notes,
    )


def migration_between(
    fleet: Fleet, source: str, target: str, architecture: str, machine: str, policy: Policy
) -> MigrationAnswer:
    """Return whether a guest may migrate from one host to another one.

    The answer holds over these two hosts; the parameters are those of `migration_of`.

    :param source: The name of a host of the fleet, counted or not.
    :param target: Another one, or the same.
    :raise UsageError: When there is no such host; see `canonical_machine`, too.
    """
    machine = canonical_machine(fleet, architecture, machine)
    chosen = _only(fleet, (source, target))
    records = {name: _record(fleet, name) for name in (source, target)}
    refused: dict[Decision, list[str]] = defaultdict(list)
    for name, record in records.items():
        if record is None:
            refused[refusal("host-not-counted", _why_uncounted(chosen, name))].append(name)
    here, there = records[source], records[target]
    arrived = Arrival(None)
    if here is not None and there is not None:
        try:
            arrived = arrival(guest_of(here, architecture, machine, policy), policy, there)
        except RefusedError as error:
            refused[_decision(error)].append(source)
        if arrived.refused is not None:
            refused[arrived.refused].append(target)
    hindrances = sorted_hindrances(refused)
    pair = AskedPair(
        source=source,
        target=target,
        answer="unknown"
        if any(one.answer == "unknown" for one in hindrances)
        else "no"
        if hindrances
        else "yes",
        hindrances=hindrances,
        notes=arrived.notes,
    )
    return msgspec.structs.replace(migration_of(chosen, architecture, machine, policy), pair=pair)


def _exchange_class(number: int, members: _Members) -> ExchangeClass:
    guest = members.guest
    return ExchangeClass(
        number=number,
        hosts=members.names,
        emulator=guest.machine.emulator or "",
        domain_type=guest.machine.kind,
        on_crash=guest.changes.on_crash,
        panic=guest.changes.panic,
        arguments=guest.changes.arguments,
        view=guest.view,
        notes=guest.changes.notes,
    )


def _crossings(groups: Sequence[_Members], policy: Policy) -> Iterable[Crossing]:
    """Yield every pair of classes, in both directions."""
    for source, here in enumerate(groups, 1):
        for target, there in enumerate(groups, 1):
            if source != target:
                arrived = [(arrival(here.guest, policy, one.record), one) for one in there.hosts]
                yield _crossing(source, target, arrived)


def _crossing(source: int, target: int, arrived: Sequence[tuple[Arrival, HostClass]]) -> Crossing:
    refused: dict[Decision, list[str]] = defaultdict(list)
    notes: dict[Note, None] = {}
    answers: set[CrossingAnswer] = set()
    for one, hosts in arrived:
        notes.update(dict.fromkeys(one.notes))
        if one.refused is None:
            answers.add("yes")
        else:
            answers.add("unknown" if is_unsettled(one.refused.code) else "no")
            refused[one.refused] += [host.name for host in hosts.hosts]
    answer: CrossingAnswer = "unknown" if "unknown" in answers else "no"
    if "yes" in answers:
        answer = "some" if refused else "yes"
    return Crossing(
        source=source,
        target=target,
        answer=answer,
        hindrances=sorted_hindrances(refused),
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
            f"there is no document about a host {printable(unknown[0], 60)!r}",
            f"name a host as its record does: {some}",
        )
    notes = [
        msgspec.structs.replace(note, hosts=tuple(name for name in note.hosts if name in names))
        for note in fleet.notes
    ]
    return Fleet(tuple(classes), uncounted, tuple(note for note in notes if note.hosts))


def _first(fleet: Fleet, count: int) -> list[tuple[FleetHost, HostRecord]]:
    return [found for _, found in zip(range(count), fleet.hosts(), strict=False)]


def _record(fleet: Fleet, name: str) -> HostRecord | None:
    return next((record for host, record in fleet.hosts() if host.name == name), None)


def _why_uncounted(fleet: Fleet, name: str) -> str:
    return next((printable(one.detail, 100) for one in fleet.uncounted if one.name == name), "")
