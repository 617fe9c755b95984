"""Reading the records of many hosts: pure, and linear in their number.

Most hosts of a fleet are equal.  A document is first split into the parts that differ and those that do not,
and what was read once is not decoded again.

Rejected: to decode every document and to compare records, which takes ten times as long; and a hash that
``onpanic host`` writes, which a reader would have to believe.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

import msgspec

from onpanic.core.untrusted import printable
from onpanic.fleet.documents.document_files import HostDocument
from onpanic.fleet.documents.fleet import Fleet, FleetHost, HostClass, Uncounted
from onpanic.fleet.documents.fleet_notes import notes_on
from onpanic.fleet.documents.found_document import FoundDocument, file_names, moment
from onpanic.fleet.documents.newest_document import labels, newest
from onpanic.fleet.documents.raw_document import (
    BytesKey,
    ForeignError,
    OtherVersionError,
    bytes_key,
    decode_record,
    meaning_key,
    name_in,
    split_document,
)
from onpanic.fleet.hosts.host_record import HostRecord, HostSystem

__all__ = ("read_fleet",)


def read_fleet(
    documents: Iterable[HostDocument],
    now: datetime,
    *,
    expected: Sequence[str] = (),
    max_age: timedelta | None = None,
) -> Fleet:
    """Return the fleet that documents describe.

    Which document of a host counts is decided in `newest`; it does not depend on their order.

    :param documents: The records of hosts, and documents that stand for hosts that did not answer.
    :param now: The present, with a time zone.
    :param expected: Names of hosts; one that no document is about did not answer.
    :param max_age: The age from which a note says that a document is old; None for no limit.
    """
    reading = _FleetReading()
    for document in documents:
        reading.add(document)
    counted, superseded, undecided = newest(reading.found)
    silent = [
        Uncounted("no-answer", one.source, printable(one.host.name, 100), one.failure)
        for one in counted
        if one.number is None
    ]
    answered = [one for one in counted if one.number is not None]
    named = labels(answered)
    groups: dict[int, list[FleetHost]] = defaultdict(list)
    for one, label in zip(answered, named, strict=True):
        assert one.number is not None
        assert one.system is not None
        groups[one.number].append(FleetHost(label, one.stamp, one.source, one.host, one.system))
    classes = [HostClass(tuple(hosts), reading.records[number]) for number, hosts in groups.items()]
    classes.sort(key=lambda found: -len(found.hosts))
    uncounted = [*reading.uncounted, *superseded, *silent, *_missing(expected, reading, counted)]
    notes = notes_on(list(zip(answered, named, strict=True)), undecided, now, max_age)
    return Fleet(tuple(classes), tuple(uncounted), tuple(notes))


class _FleetReading:
    """What was read so far.

    :ivar records: The record of each class.
    """

    def __init__(self) -> None:
        self.found: list[FoundDocument] = []
        self.records: list[HostRecord] = []
        self.uncounted: list[Uncounted] = []
        self._by_bytes: dict[BytesKey, int] = {}
        self._parts: dict[bytes, bytes] = {}
        self._by_meaning: dict[bytes, int] = {}
        self._systems: dict[HostSystem, HostSystem] = {}

    def add(self, document: HostDocument) -> None:
        """Read a document."""
        if document.problem:
            self.uncounted.append(
                Uncounted("unreadable", document.source, "", printable(document.problem, 300))
            )
            return
        try:
            self.found.append(self._read(document))
        except OtherVersionError as error:
            self._leave_out("schema-version", document, str(error))
        except ForeignError as error:
            self._leave_out("foreign", document, str(error))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            self._leave_out("unreadable", document, _words(error, document.data))

    def _read(self, document: HostDocument) -> FoundDocument:
        raw = split_document(document.data)
        if raw.failure is not None:
            stamp, failure = printable(raw.at, 40), printable(raw.failure, 300) or "it does not say why"
            return FoundDocument(raw.host, document.source, moment(raw.at), stamp, failure=failure)
        assert raw.collected is not None
        assert raw.system is not None
        key = bytes_key(raw)
        number = self._by_bytes.get(key)
        if number is None:
            number = self._by_bytes[self._shared(key)] = self._class_of(decode_record(document.data))
        stamp = raw.collected.at
        system = self._systems.setdefault(raw.system, raw.system)
        return FoundDocument(raw.host, document.source, moment(stamp), printable(stamp, 40), number, system)

    def _shared(self, key: BytesKey) -> BytesKey:
        """Return a key whose parts are those of earlier keys, where they are equal: most parts are large."""
        shared = self._parts.setdefault
        return tuple(
            tuple(shared(one, one) for one in part) if isinstance(part, tuple) else part for part in key
        )

    def _class_of(self, record: HostRecord) -> int:
        """Return the number of a record's class: a new one, or that of a record that says the same."""
        number = self._by_meaning.setdefault(meaning_key(record), len(self.records))
        if number == len(self.records):
            self.records.append(record)
        return number

    def _leave_out(self, why: str, document: HostDocument, detail: str) -> None:
        uncounted = Uncounted(why, document.source, name_in(document.data), printable(detail, 300))  # type: ignore[arg-type]
        self.uncounted.append(uncounted)


def _words(error: Exception, data: bytes) -> str:
    """Return what is wrong with a document that is not JSON."""
    if not data.strip():
        return "empty"
    if isinstance(error, RecursionError):
        return "nested too deeply"
    if isinstance(error, UnicodeDecodeError) or data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "not UTF-8"
    return f"not JSON, or truncated: {error}"


def _missing(
    expected: Sequence[str], reading: _FleetReading, counted: Sequence[FoundDocument]
) -> list[Uncounted]:
    """Return the hosts that no document is about, by its own name or that of its file.

    The file of a document that does not count says nothing: a host's record may have been written to the file
    of another one.
    """
    known = {one.host.name for one in reading.found} | {one.name for one in reading.uncounted}
    for source in (one.source for found in (counted, reading.uncounted) for one in found):
        known |= file_names(source)
    return [
        Uncounted("no-answer", "", printable(name, 100), "there is no record of it")
        for name in dict.fromkeys(expected)
        if name not in known
    ]
