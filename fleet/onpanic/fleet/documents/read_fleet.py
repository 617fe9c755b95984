"""Reading the records of many hosts: pure, and linear in their number.

Most hosts of a fleet are equal.  A document is first split into the parts that differ and those that do not,
and what was read once is not decoded again.

Rejected: to decode every document and to compare records, which takes ten times as long; and a hash that
``onpanic host`` writes, which a reader would have to believe.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import PurePath

import msgspec

from onpanic.core.untrusted import printable
from onpanic.fleet.documents.document_files import HostDocument
from onpanic.fleet.documents.fleet import Fleet, FleetHost, FleetNote, HostClass, Uncounted
from onpanic.fleet.hosts.host_record import HostCollected, HostName, HostRecord, HostSystem

__all__ = ("CLOCK_TOLERANCE", "read_fleet")

#: How far a host's clock may be ahead before a note says so.
CLOCK_TOLERANCE = timedelta(minutes=5)

_SCHEMA_VERSION = 1
_EMPTY = msgspec.Raw(b"")
_NEVER = datetime.min.replace(tzinfo=UTC)


class _ForeignError(ValueError):
    """The document is JSON, and not the record of a host."""


class _OtherVersionError(ValueError):
    """Another version of onpanic wrote the document."""


class _RawRecord(msgspec.Struct):
    """A capability record, but for when it was probed, and the excerpts."""

    schema_version: msgspec.Raw = _EMPTY
    emulator: msgspec.Raw = _EMPTY
    facts: msgspec.Raw = _EMPTY
    machines: msgspec.Raw = _EMPTY
    problems: msgspec.Raw = _EMPTY


class _RawEmulator(msgspec.Struct):
    """A `HostEmulator`, whose parts are not decoded."""

    path: msgspec.Raw = _EMPTY
    found_in: msgspec.Raw = _EMPTY
    runs: msgspec.Raw = _EMPTY
    domain_types: msgspec.Raw = _EMPTY
    machine_types: msgspec.Raw = _EMPTY
    aliases: msgspec.Raw = _EMPTY
    problem: msgspec.Raw = _EMPTY
    other_paths: msgspec.Raw = _EMPTY
    record: _RawRecord | None = None


class _RawHost(msgspec.Struct):
    """A `HostRecord`, whose parts are not decoded."""

    host: HostName
    schema_version: int = 0
    collected: HostCollected | None = None
    failure: str | None = None
    at: str = ""
    system: msgspec.Raw = _EMPTY
    kvm: msgspec.Raw = _EMPTY
    libvirt: msgspec.Raw = _EMPTY
    emulators: list[_RawEmulator] = []
    problems: msgspec.Raw = _EMPTY


class _Found(msgspec.Struct):
    """A document that is about a host.

    :param at: When it was made; the first moment of all if it does not say.
    :param number: The index of its class; None if the host did not answer.
    :param system: What the host runs; None if it did not answer.
    """

    host: HostName
    source: str
    at: datetime
    stamp: str
    number: int | None
    system: HostSystem | None = None
    failure: str = ""


_decoder = msgspec.json.Decoder(_RawHost)


def read_fleet(
    documents: Iterable[HostDocument],
    now: datetime,
    *,
    expected: Sequence[str] = (),
    max_age: timedelta | None = None,
) -> Fleet:
    """Return the fleet that documents describe.

    Of several documents about one host the newest counts, and of two of the same time that whose source sorts
    last: the order of the documents does not matter.  Documents are about one host if they have the same
    identifier and the same name, or the same name and one of them no identifier.

    :param documents: The records of hosts, and documents that stand for hosts that did not answer.
    :param now: The present, with a time zone.
    :param expected: Names of hosts; one that no document is about did not answer.
    :param max_age: The age from which a note says that a document is old; None for no limit.
    """
    reading = _FleetReading()
    for document in documents:
        reading.add(document)
    counted, uncounted = _newest(reading.found)
    uncounted = [*reading.uncounted, *uncounted, *_silent(expected, reading)]
    labels = _labels(counted)
    groups: dict[int, list[FleetHost]] = defaultdict(list)
    for one, label in zip(counted, labels, strict=True):
        if one.number is not None:
            assert one.system is not None
            groups[one.number].append(FleetHost(label, one.stamp, one.source, one.host, one.system))
    classes = [HostClass(tuple(hosts), reading.records[number]) for number, hosts in groups.items()]
    classes.sort(key=lambda found: -len(found.hosts))
    notes = [*_same(counted, labels), *_clocks(counted, labels, now, max_age)]
    return Fleet(tuple(classes), tuple(uncounted), tuple(notes))


class _FleetReading:
    """What was read so far.

    :ivar records: The record of each class.
    """

    def __init__(self) -> None:
        self.found: list[_Found] = []
        self.records: list[HostRecord] = []
        self.uncounted: list[Uncounted] = []
        self._numbers: dict[tuple[bytes, ...], int] = {}
        self._systems: dict[bytes, HostSystem] = {}

    def add(self, document: HostDocument) -> None:
        """Read a document."""
        if document.problem:
            self.uncounted.append(Uncounted("unreadable", document.source, "", document.problem))
            return
        try:
            self.found.append(self._read(document))
        except _OtherVersionError as error:
            self._leave_out("schema-version", document, str(error))
        except _ForeignError as error:
            self._leave_out("foreign", document, str(error))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            self._leave_out("unreadable", document, _words(error, document.data))

    def _read(self, document: HostDocument) -> _Found:
        try:
            raw = _decoder.decode(document.data)
        except msgspec.ValidationError as error:
            raise _why_foreign(document.data, error) from error
        if raw.schema_version != _SCHEMA_VERSION:
            raise _why_foreign(document.data, None)
        if raw.failure is not None:
            return _Found(
                raw.host, document.source, _time(raw.at), raw.at, None, None, printable(raw.failure, 300)
            )
        if raw.collected is None:
            raise _ForeignError("it does not say when it was made, or why the host did not answer")
        key = _key(raw)
        number = self._numbers.get(key)
        if number is None:
            try:
                record = msgspec.json.decode(document.data, type=HostRecord)
            except msgspec.ValidationError as error:
                raise _ForeignError(f"not a record of a host: {error}") from error
            number = self._numbers[key] = len(self.records)
            self.records.append(record)
        at = raw.collected.at
        return _Found(raw.host, document.source, _time(at), at, number, self._system(bytes(raw.system)))

    def _system(self, data: bytes) -> HostSystem:
        """Return what a host runs; it is decoded once."""
        found = self._systems.get(data)
        if found is None:
            try:
                found = self._systems[data] = msgspec.json.decode(data, type=HostSystem)
            except msgspec.DecodeError as error:
                raise _ForeignError(f"not a record of a host: {error} of system") from error
        return found

    def _leave_out(self, why: str, document: HostDocument, detail: str) -> None:
        uncounted = Uncounted(why, document.source, _name_in(document.data), printable(detail, 300))  # type: ignore[arg-type]
        self.uncounted.append(uncounted)


def _key(raw: _RawHost) -> tuple[bytes, ...]:
    """Return what two equal hosts have in common."""
    parts = [bytes(raw.kvm), bytes(raw.libvirt), bytes(raw.problems)]
    for one in raw.emulators:
        parts += map(bytes, (one.path, one.found_in, one.runs, one.domain_types, one.problem))
        parts += map(bytes, (one.machine_types, one.aliases, one.other_paths))
        if one.record is not None:
            found = one.record
            parts += map(bytes, (found.schema_version, found.emulator, found.facts, found.machines))
            parts.append(bytes(found.problems))
        parts.append(b"")
    return tuple(parts)


class _Head(msgspec.Struct):
    """What tells whether a document is the record of a host; anything else is allowed."""

    schema_version: msgspec.Raw = _EMPTY
    host: msgspec.Raw = _EMPTY
    emulator: msgspec.Raw = _EMPTY
    collected: msgspec.Raw = _EMPTY
    failure: msgspec.Raw = _EMPTY


def _why_foreign(data: bytes, error: Exception | None) -> Exception:
    """Return the error about a JSON document that is not the record of a host, or of another version."""
    try:
        head = msgspec.json.decode(data, type=_Head)
    except msgspec.ValidationError:
        return _ForeignError("not a JSON object")
    if head.host and (head.collected or head.failure):
        version = printable(bytes(head.schema_version).decode(errors="replace"), 20) or "none"
        if version != str(_SCHEMA_VERSION):
            return _OtherVersionError(f"schema version {version}, not {_SCHEMA_VERSION}")
        return _ForeignError(f"not a record of a host: {error}")
    if head.emulator:
        return _ForeignError("the record of an emulator, not of a host: onpanic host writes one")
    return _ForeignError("not a record of a host: onpanic host writes one")


class _NamedHost(msgspec.Struct):
    host: HostName


def _name_in(data: bytes) -> str:
    """Return the name of the host that a document is about; empty if it does not say."""
    try:
        return printable(msgspec.json.decode(data, type=_NamedHost).host.name, 100)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""


def _words(error: Exception, data: bytes) -> str:
    """Return what is wrong with a document that is not JSON."""
    if not data.strip():
        return "empty"
    if isinstance(error, RecursionError):
        return "nested too deeply"
    return "not UTF-8" if isinstance(error, UnicodeDecodeError) else f"not JSON, or truncated: {error}"


def _time(stamp: str) -> datetime:
    """Return a time stamp's moment; the first moment of all if it is none."""
    try:
        found = datetime.fromisoformat(stamp)
    except ValueError:
        return _NEVER
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _newest(found: Sequence[_Found]) -> tuple[list[_Found], list[Uncounted]]:
    """Return the newest document of each host that answered, and those that are not counted."""
    ids: dict[str, set[str | None]] = defaultdict(set)
    for one in found:
        ids[one.host.name].add(one.host.id)
    of_host: dict[tuple[str, str | None], list[_Found]] = defaultdict(list)
    for one in found:
        known = ids[one.host.name] - {None}
        sole = next(iter(known)) if len(known) == 1 else None
        of_host[one.host.name, one.host.id or sole].append(one)
    answered, uncounted = [], []
    for documents in of_host.values():
        newest = max(documents, key=lambda one: (one.at, one.source))
        name = printable(newest.host.name, 100)
        if newest.number is None:
            uncounted.append(Uncounted("no-answer", newest.source, name, newest.failure))
        else:
            answered.append(newest)
        detail = f"{newest.source} is newer"
        uncounted += [
            Uncounted("superseded", one.source, name, detail) for one in documents if one is not newest
        ]
    return answered, uncounted


def _silent(expected: Sequence[str], reading: _FleetReading) -> list[Uncounted]:
    """Return the hosts that no document is about, by its own name or that of its file."""
    known = {name for one in reading.found for name in (one.host.name, PurePath(one.source).stem)}
    known |= {name for one in reading.uncounted for name in (one.name, PurePath(one.source).stem)}
    return [
        Uncounted("no-answer", "", printable(name, 100), "there is no document of it")
        for name in dict.fromkeys(expected)
        if name not in known
    ]


def _labels(hosts: Sequence[_Found]) -> list[str]:
    """Return what hosts are called: by their names, with the source if several have the same name."""
    count: dict[str, int] = defaultdict(int)
    for one in hosts:
        count[one.host.name] += 1
    return [
        printable(one.host.name, 100) + (f" ({printable(one.source)})" if count[one.host.name] > 1 else "")
        for one in hosts
    ]


def _same(hosts: Sequence[_Found], labels: Sequence[str]) -> list[FleetNote]:
    """Return the notes on hosts that have the same name, or the same identifier."""
    by_name, by_id = defaultdict(list), defaultdict(list)
    for one, label in zip(hosts, labels, strict=True):
        by_name[one.host.name].append(label)
        if one.host.id:
            by_id[one.host.id].append(label)
    names = [
        FleetNote("same-name", "several hosts have the same name", tuple(found))
        for found in by_name.values()
        if len(found) > 1
    ]
    ids = [
        FleetNote("same-id", "several hosts have the same machine ID; clones of one image do", tuple(found))
        for found in by_id.values()
        if len(found) > 1
    ]
    return names + ids


def _clocks(
    hosts: Sequence[_Found], labels: Sequence[str], now: datetime, max_age: timedelta | None
) -> list[FleetNote]:
    """Return the notes on documents that are from the future, or too old."""
    ahead = tuple(label for one, label in zip(hosts, labels, strict=True) if one.at > now + CLOCK_TOLERANCE)
    old = tuple(
        label
        for one, label in zip(hosts, labels, strict=True)
        if max_age is not None and one.at < now - max_age
    )
    notes = []
    if ahead:
        notes.append(FleetNote("clock-ahead", "the record is from the future: a clock is wrong", ahead))
    if old:
        notes.append(FleetNote("document-old", "the record is older than the limit", old))
    return notes
