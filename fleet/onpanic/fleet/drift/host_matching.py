"""Which hosts of two collections are the same: by their identifiers, or else by their names.

An identifier is derived from the machine ID, which a new installation changes and a new name does not.  So a
host is the same one if

1. its name and its identifier are the same;
2. or its identifier is, and no other host of either collection has it: the host was *renamed*;
3. or its name is, among the hosts that are left: it was *reinstalled* if it has another identifier now.

Clones of one image have the same identifier, which tells nothing about them; only their names do.

Rejected: by name first.  When two hosts exchange their names, each would look as if it had changed all over.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from typing import NamedTuple

from onpanic.fleet.documents.fleet import Fleet, FleetHost

__all__ = ("HostPair", "MatchedHost", "MatchedHosts", "matched_hosts")


class MatchedHost(NamedTuple):
    """A host of a collection.

    :param number: The index of its class.
    """

    number: int
    host: FleetHost


class HostPair(NamedTuple):
    """A host that both collections have."""

    old: MatchedHost
    new: MatchedHost

    @property
    def renamed(self) -> bool:
        """Whether it has another name now."""
        return self.old.host.host.name != self.new.host.host.name

    @property
    def reinstalled(self) -> bool:
        """Whether it has another identifier now, and its old name."""
        before, after = self.old.host.host.id, self.new.host.host.id
        return bool(before and after and before != after)


class MatchedHosts(NamedTuple):
    """The hosts of two collections.

    :param pairs: Those of both.
    :param gone: Those of the old one only.
    :param added: Those of the new one only.
    """

    pairs: list[HostPair]
    gone: list[FleetHost]
    added: list[FleetHost]


def matched_hosts(old: Fleet, new: Fleet) -> MatchedHosts:
    """Return which hosts of two collections are the same."""
    before, after = _numbered(old), _numbered(new)
    pairs: list[HostPair] = []
    unique = _unique(before, _identifier).keys() & _unique(after, _identifier).keys()
    for key in (
        _name_and_identifier,
        lambda one: _identifier(one) if _identifier(one) in unique else None,
        _name,
    ):
        first, second = _unique(before, key), _unique(after, key)
        found = [HostPair(one, second[name]) for name, one in first.items() if name in second]
        pairs += found
        before = _without(before, (pair.old for pair in found))
        after = _without(after, (pair.new for pair in found))
    return MatchedHosts(pairs, [one.host for one in before], [one.host for one in after])


def _numbered(fleet: Fleet) -> list[MatchedHost]:
    return [MatchedHost(number, host) for number, found in enumerate(fleet.classes) for host in found.hosts]


def _without(hosts: Iterable[MatchedHost], taken: Iterable[MatchedHost]) -> list[MatchedHost]:
    numbers = {id(one) for one in taken}
    return [one for one in hosts if id(one) not in numbers]


def _unique(
    hosts: Iterable[MatchedHost], key: Callable[[MatchedHost], Hashable | None]
) -> dict[Hashable, MatchedHost]:
    """Return hosts by a key, without those that have none and those that share one."""
    found: dict[Hashable, list[MatchedHost]] = defaultdict(list)
    for one in hosts:
        value = key(one)
        if value is not None:
            found[value].append(one)
    return {value: alike[0] for value, alike in found.items() if len(alike) == 1}


def _name(one: MatchedHost) -> str:
    return one.host.host.name


def _identifier(one: MatchedHost) -> str | None:
    return one.host.host.id or None


def _name_and_identifier(one: MatchedHost) -> tuple[str, str | None]:
    return one.host.host.name, one.host.host.id or None
