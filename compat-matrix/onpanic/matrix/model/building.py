"""Builds the matrix from records.

Each record is taken apart and dropped before the next one is read.  What records have in common is
stored once, so that memory grows with the differences, not with the number of records.
"""

import shlex
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from onpanic.core.errors import RecordError
from onpanic.core.untrusted import wellformed
from onpanic.matrix.libvirts.libvirt_files import read_libvirts
from onpanic.matrix.libvirts.libvirt_record import LibvirtRecord
from onpanic.matrix.model.matrix import (
    Build,
    Matrix,
    MatrixFact,
    MatrixMachine,
    MatrixNotifier,
    Profile,
    Statement,
)
from onpanic.matrix.model.ranges import derive
from onpanic.matrix.model.versions import era_of, order_of
from onpanic.matrix.records.build_identity import emulator_name, line_of, target_name
from onpanic.matrix.records.record_files import read_records
from onpanic.probe.facts import QUESTIONS, Fact
from onpanic.probe.record.capability_record import CapabilityRecord, MachineRecord, Notifier, OnPanic

__all__ = ("build",)

_Key = TypeVar("_Key")
_Record = TypeVar("_Record", CapabilityRecord, LibvirtRecord)
_Part = TypeVar("_Part", bound=msgspec.Struct)


def build(
    records: str | Path | Iterable[tuple[str, CapabilityRecord]],
    libvirts: str | Path | Iterable[tuple[str, LibvirtRecord]] = (),
) -> Matrix:
    """Build the matrix.

    :param records: A folder of records, or records with their names.  The names must differ; their order
        decides where nothing else orders the matrix.
    :param libvirts: A folder of records of libvirts, or such records with their names.
    :raise RecordError: When a folder, or a record in it, cannot be read.
    """
    builder = _Builder()
    if isinstance(records, str | Path):
        records = _readable(read_records(Path(records)))
    for name, record in records:
        builder.add(name, record)
    if isinstance(libvirts, str | Path):
        libvirts = _readable(read_libvirts(Path(libvirts)))
    return msgspec.structs.replace(builder.matrix(), libvirts=_in_order(dict(libvirts)))


def _readable(records: Iterable[tuple[str, _Record | RecordError]]) -> Iterator[tuple[str, _Record]]:
    for name, record in records:
        if isinstance(record, RecordError):
            raise record
        yield name, record


def _in_order(libvirts: Mapping[str, LibvirtRecord]) -> dict[str, LibvirtRecord]:
    """Return records of libvirts by driver and version, then by the version of QEMU or Xen."""

    def key(item: tuple[str, LibvirtRecord]) -> tuple[object, ...]:
        name, record = item
        versions = (order_of(record.libvirt.version), order_of(record.ran_on.version))
        return (record.libvirt.driver, *versions, name)

    ordered = sorted(libvirts.items(), key=key)
    return {wellformed(name): record for name, record in ordered}


class _Builder:
    """The parts of all records so far, each stored once."""

    def __init__(self) -> None:
        self._builds: list[Build] = []
        self.profiles: _Pool[Profile] = _Pool()
        self.notifiers: _Pool[MatrixNotifier] = _Pool()
        self.statements: dict[Statement, int] = {}
        self.evidence: dict[tuple[str, ...], int] = {}

    def add(self, name: str, record: CapabilityRecord) -> None:
        """Add a record."""
        emulator, probed = record.emulator, record.probed
        parts = _RecordParts(self, record)
        self._builds.append(
            Build(
                id=wellformed(name),
                emulator=emulator_name(emulator),
                target=target_name(emulator),
                version=emulator.version,
                package=emulator.package,
                line=line_of(emulator.package),
                era=era_of(emulator.version),
                source=wellformed(probed.source),
                reproduce=wellformed(_reproduce(record)),
                at=probed.at,
                by=probed.by,
                facts=parts.facts(record.facts),
                machines=[
                    MatrixMachine(m.name, parts.profile(m), list(m.aliases), m.default)
                    for m in record.machines
                ],
            )
        )

    def matrix(self) -> Matrix:
        """Return the matrix of all records that were added."""
        builds = sorted(
            self._builds, key=lambda b: (b.target, b.emulator, order_of(b.version), b.line, b.package, b.id)
        )
        profiles, notifiers, statements = self.profiles.items, self.notifiers.items, list(self.statements)
        return Matrix(
            facts=[MatrixFact(question.name, question.scope, question.asks) for question in QUESTIONS],
            builds=builds,
            ranges=derive(builds, profiles, notifiers, statements),
            profiles=profiles,
            notifiers=notifiers,
            statements=statements,
            evidence=[list(lines) for lines in self.evidence],
        )


class _Pool(Generic[_Part]):
    """Parts, each stored once."""

    def __init__(self) -> None:
        self.items: list[_Part] = []
        self._indexes: dict[bytes, int] = {}

    def index(self, part: _Part) -> int:
        """Return the index of a part, which is added if it is new."""
        index = _index(self._indexes, msgspec.json.encode(part))
        if index == len(self.items):
            self.items.append(part)
        return index


class _RecordParts:
    """Adds the parts of one record to a builder, and returns their indexes.

    Most machine types of a record are equal except for their names, and so are most notifiers.  Each is
    therefore looked up as a whole before its facts are.
    """

    def __init__(self, builder: _Builder, record: CapabilityRecord) -> None:
        self._builder = builder
        self._excerpts = record.evidence if isinstance(record.evidence, list) else []
        self._known: dict[bytes, int] = {}

    def profile(self, machine: MachineRecord) -> int:
        """Return the index of a machine type's profile."""
        key = msgspec.json.encode(msgspec.structs.replace(machine, name="", aliases=[], default=False))
        if key not in self._known:
            accepted, refused = _decided(machine.on_panic)
            profile = Profile(
                facts=self.facts(machine.facts),
                accepted=accepted,
                refused=refused,
                notifier=machine.notifier,
                notifiers=[self._notifier(one) for one in machine.notifiers],
                builtin=machine.builtin,
                started=machine.started,
                problem=machine.problem,
            )
            self._known[key] = self._builder.profiles.index(profile)
        return self._known[key]

    def facts(self, facts: Mapping[str, Fact]) -> dict[str, int]:
        """Return the indexes of facts' statements, in the order of the questions."""
        return {q.name: self._statement(facts[q.name]) for q in QUESTIONS if q.name in facts}

    def _notifier(self, notifier: Notifier) -> int:
        key = msgspec.json.encode(notifier)
        if key not in self._known:
            accepted, refused = _decided(notifier.on_panic)
            facts = self.facts(notifier.facts)
            found = MatrixNotifier(
                notifier.model, facts, accepted, refused, notifier.type, notifier.event_mask
            )
            self._known[key] = self._builder.notifiers.index(found)
        return self._known[key]

    def _statement(self, fact: Fact) -> int:
        evidence = None
        if isinstance(fact.evidence, int) and 0 <= fact.evidence < len(self._excerpts):
            evidence = _index(self._builder.evidence, tuple(self._excerpts[fact.evidence]))
        return _index(self._builder.statements, Statement(fact.answer, fact.how, fact.detail, evidence))


def _decided(decision: OnPanic) -> tuple[dict[str, bool], dict[str, str]]:
    """Return accepted values, each with whether coredump is, and refused ones, each with its code."""
    accepted = {value: how.coredump for value, how in decision.accepted.items()}
    return accepted, {value: refusal.code for value, refusal in decision.refused.items()}


def _index(indexes: dict[_Key, int], key: _Key) -> int:
    """Return the index of a key, which is added if it is new."""
    return indexes.setdefault(key, len(indexes))


def _reproduce(record: CapabilityRecord) -> str:
    """Return the command that asks the emulator again, or reads its recording or replies again."""
    kind, _, where = record.probed.source.partition(" ")
    name, command = emulator_name(record.emulator), record.emulator.command
    if kind == "Debian":
        run = f"python3 -m onpanic.matrix.debian {shlex.quote(where)} --run {shlex.quote(name)}"
        return f"onpanic probe --machine {{machine}} -- {run}"
    if kind == "recording":
        return f"onpanic probe --machine {{machine}} --recording {shlex.quote(where)}"
    if kind == "libvirt":
        return f"onpanic matrix collect -o records --libvirt-replies {shlex.quote(where)}"
    if not command:
        return ""
    return "onpanic probe --machine {machine} " + ("-- " if len(command) > 1 else "") + shlex.join(command)
