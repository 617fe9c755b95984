"""Which of several documents about one host counts, and what hosts are called.

Documents are about one host if they have the same identifier and the same name, or the same name and one of
them no identifier.  The newest counts.  Of two of the same time, or without one,

* that a host did not answer counts before a record, so that nothing is promised that may not hold;
* of two records the one whose source sorts last counts; if they differ, a note says so.

That a host did not answer, without a time, counts before records of any time: it is not known which is newer.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from onpanic.core.untrusted import printable
from onpanic.fleet.documents.fleet import Uncounted
from onpanic.fleet.documents.found_document import FoundDocument

__all__ = ("NewestDocuments", "labels", "newest")

_NEVER = datetime.min.replace(tzinfo=UTC)


class NewestDocuments(NamedTuple):
    """The documents that count, and those that do not.

    :param counted: One for each host.
    :param superseded: The others.
    :param undecided: Of `counted` those beside which there is a different document of the same time, or the
        one of the two has no time.
    """

    counted: list[FoundDocument]
    superseded: list[Uncounted]
    undecided: list[FoundDocument]


def newest(found: Sequence[FoundDocument]) -> NewestDocuments:
    """Return which documents count."""
    identifiers: dict[str, set[str]] = defaultdict(set)
    for one in found:
        if one.host.id:
            identifiers[one.host.name].add(one.host.id)
    of_host: dict[tuple[str, str], list[FoundDocument]] = defaultdict(list)
    for one in found:
        known = identifiers.get(one.host.name, set())
        sole = next(iter(known)) if len(known) == 1 else ""
        of_host[one.host.name, one.host.id or sole].append(one)
    counted, superseded, undecided = [], [], []
    for documents in of_host.values():
        if len(documents) == 1:
            counted += documents
            continue
        *older, chosen = sorted(documents, key=_rank)
        counted.append(chosen)
        if any(_undecided(one, chosen) for one in older):
            undecided.append(chosen)
        superseded += [_superseded(one, chosen) for one in older]
    return NewestDocuments(counted, superseded, undecided)


def _rank(one: FoundDocument) -> tuple[int, datetime, bool, str]:
    """Sorts documents about one host: the one that counts last."""
    silent = one.number is None
    order = 1 if one.at else 2 if silent else 0
    return order, one.at or _NEVER, silent, one.source


def _undecided(one: FoundDocument, chosen: FoundDocument) -> bool:
    same_time = one.at == chosen.at or one.at is None or chosen.at is None
    return same_time and one.number != chosen.number


def _superseded(one: FoundDocument, chosen: FoundDocument) -> Uncounted:
    if one.at and chosen.at and one.at < chosen.at:
        detail = f"{chosen.source} is newer"
    elif one.at == chosen.at and one.number == chosen.number:
        detail = f"{chosen.source} says the same"
    elif one.at == chosen.at:
        detail = f"{chosen.source} is as old"
    else:
        detail = f"{chosen.source} counts instead: one of them does not say when it was made"
    return Uncounted("superseded", one.source, printable(one.host.name, 100), detail)


def labels(hosts: Sequence[FoundDocument]) -> list[str]:
    """Return what hosts are called: by their names, with the source if several look the same."""
    names = [printable(one.host.name, 100) for one in hosts]
    count = Counter(names)
    found: list[str] = []
    taken = {name for name in count if count[name] == 1}
    for one, name in zip(hosts, names, strict=True):
        if count[name] == 1:
            found.append(name)
            continue
        label = base = f"{name} ({printable(one.source)})"
        number = 1
        while label in taken:
            number += 1
            label = f"{base} #{number}"
        taken.add(label)
        found.append(label)
    return found
