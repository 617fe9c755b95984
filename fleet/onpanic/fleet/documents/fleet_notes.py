"""What may make an answer about a fleet wrong: clocks, old documents, and hosts that may be the same."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta

from onpanic.core.untrusted import printable
from onpanic.fleet.documents.fleet import FleetNote, FleetNoteCode
from onpanic.fleet.documents.found_document import FoundDocument

__all__ = ("CLOCK_TOLERANCE", "notes_on")

#: How far a host's clock may be ahead before a note says so.
CLOCK_TOLERANCE = timedelta(minutes=5)


def notes_on(
    hosts: Sequence[tuple[FoundDocument, str]],
    undecided: Iterable[FoundDocument],
    now: datetime,
    max_age: timedelta | None,
) -> Iterator[FleetNote]:
    """Yield the notes on hosts that count.

    :param hosts: Their documents, and what they are called.
    :param undecided: Those of them beside which there is a different document of the same time.
    """
    by_name, by_id = defaultdict(list), defaultdict(list)
    for one, label in hosts:
        by_name[printable(one.host.name, 100)].append(label)
        if one.host.id:
            by_id[one.host.id].append(label)
    for found in by_name.values():
        if len(found) > 1:
            yield FleetNote("same-name", "several hosts have the same name", tuple(found))
    for found in by_id.values():
        if len(found) > 1:
            reason = "several hosts have the same machine ID; clones of one image do"
            yield FleetNote("same-id", reason, tuple(found))
    doubtful = {id(one) for one in undecided}
    kinds: tuple[tuple[FleetNoteCode, str, list[str]], ...] = (
        (
            "same-time",
            "another record, of the same time or without one, differs",
            [label for one, label in hosts if id(one) in doubtful],
        ),
        (
            "no-time",
            "the record does not say when it was made",
            [label for one, label in hosts if one.at is None],
        ),
        (
            "clock-ahead",
            "the record is from the future: a clock is wrong",
            [label for one, label in hosts if one.at and one.at > now + CLOCK_TOLERANCE],
        ),
        (
            "document-old",
            "the record is older than --max-age",
            [label for one, label in hosts if max_age is not None and one.at and now - one.at > max_age],
        ),
    )
    for code, reason, names in kinds:
        if names:
            yield FleetNote(code, reason, tuple(names))
