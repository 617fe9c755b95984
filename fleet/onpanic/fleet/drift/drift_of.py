"""The drift of a fleet: a pure function of two collections.

Records are compared for each two classes that have a host in common, never for each host.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

from onpanic.fleet.documents.fleet import Fleet, FleetHost, Uncounted
from onpanic.fleet.documents.found_document import file_names, moment
from onpanic.fleet.drift.drift_changes import DriftChange
from onpanic.fleet.drift.fleet_drift import ChangedHosts, DriftSide, FleetDrift, RenamedHost, SystemChange
from onpanic.fleet.drift.host_changes import host_changes
from onpanic.fleet.drift.host_matching import HostPair, matched_hosts
from onpanic.fleet.verdict.natural_order import natural

__all__ = ("drift_of",)


def drift_of(old: Fleet, new: Fleet) -> FleetDrift:
    """Return what has changed from one collection of a fleet to the next."""
    found = matched_hosts(old, new)
    of_classes: dict[tuple[int, int], list[str]] = defaultdict(list)
    for pair in found.pairs:
        of_classes[pair.old.number, pair.new.number].append(pair.new.host.name)
    same = 0
    reworded: list[str] = []
    groups: dict[tuple[DriftChange, ...], list[str]] = defaultdict(list)
    for (first, second), hosts in of_classes.items():
        before, after = old.classes[first].record, new.classes[second].record
        if before.comparable() == after.comparable():
            same += len(hosts)
        elif changes := host_changes(before, after):
            groups[changes] += hosts
        else:
            reworded += hosts
    changed = [ChangedHosts(tuple(sorted(hosts, key=natural)), changes) for changes, hosts in groups.items()]
    changed.sort(key=lambda one: (one.changes[0].rank, -len(one.hosts), one.hosts))
    gone, no_longer_counted = _left_out(found.gone, new.uncounted)
    added, counted_again = _left_out(found.added, old.uncounted)
    return FleetDrift(
        old=_side(old),
        new=_side(new),
        same=same,
        reworded=tuple(sorted(reworded, key=natural)),
        changed=tuple(changed),
        gone=gone,
        no_longer_counted=no_longer_counted,
        added=added,
        counted_again=counted_again,
        renamed=tuple(
            RenamedHost(pair.old.host.name, pair.new.host.name) for pair in found.pairs if pair.renamed
        ),
        reinstalled=_names(pair for pair in found.pairs if pair.reinstalled),
        not_newer=_names(pair for pair in found.pairs if _is_stale(pair)),
        system=tuple(_system(found.pairs)),
    )


def _names(pairs: Iterable[HostPair]) -> tuple[str, ...]:
    return tuple(sorted((pair.new.host.name for pair in pairs), key=natural))


def _is_stale(pair: HostPair) -> bool:
    before, after = moment(pair.old.host.at), moment(pair.new.host.at)
    return before is not None and after is not None and after <= before


def _side(fleet: Fleet) -> DriftSide:
    return DriftSide(fleet.host_count, fleet.uncounted, fleet.notes)


def _left_out(
    hosts: Iterable[FleetHost], uncounted: Sequence[Uncounted]
) -> tuple[tuple[str, ...], tuple[Uncounted, ...]]:
    """Return the hosts that a collection does not have, and those that it has and leaves out.

    A document that does not say whose it is counts as that of the host that its file is named after, or whose
    document in the other collection is in a file of that name.
    """
    reasons: dict[str, Uncounted] = {}
    for one in uncounted:
        if one.why != "superseded":
            for name in (one.name,) if one.name else file_names(one.source):
                reasons.setdefault(name, one)
    missing, known = [], []
    for host in hosts:
        names = (host.host.name, host.name, *sorted(file_names(host.source)))
        reason = next((reasons[name] for name in names if name in reasons), None)
        if reason:
            known.append(msgspec.structs.replace(reason, name=host.name))
        else:
            missing.append(host.name)
    return tuple(sorted(missing, key=natural)), tuple(sorted(known, key=lambda one: natural(one.name)))


def _system(pairs: Iterable[HostPair]) -> list[SystemChange]:
    """Return what hosts run instead of what they ran, the most frequent first."""
    systems = Counter((pair.old.host.system, pair.new.host.system) for pair in pairs)
    counts: Counter[tuple[Literal["os", "kernel", "architecture"], str, str]] = Counter()
    for (before, after), hosts in systems.items():
        counts["os", before.os, after.os] += hosts
        counts["kernel", before.kernel, after.kernel] += hosts
        counts["architecture", before.architecture, after.architecture] += hosts
    return [
        SystemChange(what, before, after, hosts)
        for (what, before, after), hosts in counts.most_common()
        if before != after
    ]
