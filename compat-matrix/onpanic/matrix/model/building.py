"""Builds the matrix from records.

Each record is taken apart and dropped before the next one is read.  What records have in common is
stored once, so that memory grows with the differences, not with the number of records.
"""

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from onpanic.core.errors import RecordError
from onpanic.core.untrusted import wellformed
from onpanic.matrix.model.matrix import Build, Matrix, MatrixFact, MatrixMachine, Profile, Statement
from onpanic.matrix.model.ranges import derive
from onpanic.matrix.model.versions import era_of, order_of
from onpanic.matrix.records.build_identity import emulator_name, line_of, target_name
from onpanic.matrix.records.record_files import read_records
from onpanic.probe.facts import EMULATOR_QUESTIONS, MACHINE_QUESTIONS, QUESTIONS, Fact, Question
from onpanic.probe.record.capability_record import CapabilityRecord, MachineRecord

__all__ = ("build",)


def build(records: str | Path | Iterable[tuple[str, CapabilityRecord]]) -> Matrix:
    """Build the matrix.

    :param records: A folder of records, or records with their names.  The names must differ; their order
        decides where nothing else orders the matrix.
    :raise RecordError: When the folder, or a record in it, cannot be read.
    """
    builder = _Builder()
    for name, record in _readable(Path(records)) if isinstance(records, str | Path) else records:
        builder.add(name, record)
    return builder.matrix()


def _readable(folder: Path) -> Iterator[tuple[str, CapabilityRecord]]:
    for name, record in read_records(folder):
        if isinstance(record, RecordError):
            raise record
        yield name, record


class _Builder:
    """The parts of all records so far, each stored once with its index."""

    def __init__(self) -> None:
        self._builds: list[Build] = []
        self._profiles: list[Profile] = []
        self._profile_indexes: dict[bytes, int] = {}
        self._statements: dict[Statement, int] = {}
        self._evidence: dict[tuple[str, ...], int] = {}

    def add(self, name: str, record: CapabilityRecord) -> None:
        """Add a record."""
        emulator, probed = record.emulator, record.probed
        excerpts = record.evidence if isinstance(record.evidence, list) else []
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
                facts=self._facts(record.facts, EMULATOR_QUESTIONS, excerpts),
                machines=[
                    MatrixMachine(m.name, self._profile(m, excerpts), list(m.aliases), m.default)
                    for m in record.machines
                ],
            )
        )

    def matrix(self) -> Matrix:
        """Return the matrix of all records that were added."""
        builds = sorted(
            self._builds, key=lambda b: (b.target, b.emulator, order_of(b.version), b.line, b.package, b.id)
        )
        statements = list(self._statements)
        return Matrix(
            facts=[MatrixFact(question.name, question.scope, question.asks) for question in QUESTIONS],
            builds=builds,
            ranges=sorted(
                derive(builds, self._profiles, statements),
                key=lambda r: (r.fact, r.emulator, r.machine, r.line, order_of(r.first), r.answer),
            ),
            profiles=self._profiles,
            statements=statements,
            evidence=[list(lines) for lines in self._evidence],
        )

    def _facts(
        self, facts: Mapping[str, Fact], questions: Mapping[str, Question], excerpts: Sequence[list[str]]
    ) -> dict[str, int]:
        return {name: self._statement(facts[name], excerpts) for name in questions if name in facts}

    def _statement(self, fact: Fact, excerpts: Sequence[list[str]]) -> int:
        evidence = None
        if isinstance(fact.evidence, int) and 0 <= fact.evidence < len(excerpts):
            evidence = _index(self._evidence, tuple(excerpts[fact.evidence]))
        return _index(self._statements, Statement(fact.answer, fact.how, fact.detail, evidence))

    def _profile(self, machine: MachineRecord, excerpts: Sequence[list[str]]) -> int:
        profile = Profile(
            facts=self._facts(machine.facts, MACHINE_QUESTIONS, excerpts),
            accepted={value: how.coredump for value, how in machine.on_panic.accepted.items()},
            refused={value: refusal.code for value, refusal in machine.on_panic.refused.items()},
            notifier=machine.notifier.model if machine.notifier else None,
            event_mask=machine.notifier.event_mask if machine.notifier else None,
            started=machine.started,
            problem=machine.problem,
        )
        index = _index(self._profile_indexes, msgspec.json.encode(profile))
        if index == len(self._profiles):
            self._profiles.append(profile)
        return index


_Key = TypeVar("_Key")


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
