"""From records to the matrix: pure, one record after the other.

A record is taken apart when it comes and let go: what many have in common is kept once, so
that memory grows with what differs, not with the number of records.
"""

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from onpanic.probe.catalogue import CATALOGUE
from onpanic.probe.errors import RecordError
from onpanic.probe.facts import EMULATOR, MACHINE
from onpanic.probe.facts import Fact as Known
from onpanic.probe.foreign import wellformed
from onpanic.probe.record import CapabilityRecord, MachineRecord

from .identity import emulator_name, era_of, line_of, order_of, target_name
from .model import Build, Fact, Machine, Matrix, Profile, Statement
from .ranges import derive
from .records import read_records

__all__ = ("build",)


def build(records: str | Path | Iterable[tuple[str, CapabilityRecord]]) -> Matrix:
    """Build the matrix.

    :param records: A folder of records, or records with their names.  Names must differ, and their
        order decides on the order of what is not ordered otherwise.
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
    """What has been seen so far, each thing with its place."""

    def __init__(self) -> None:
        self._builds: list[Build] = []
        self._profiles: dict[bytes, int] = {}
        self._kept: list[Profile] = []
        self._statements: dict[Statement, int] = {}
        self._evidence: dict[tuple[str, ...], int] = {}

    def add(self, name: str, record: CapabilityRecord) -> None:
        """Take a record apart."""
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
                facts=self._facts(record.facts, EMULATOR, excerpts),
                machines=[
                    Machine(m.name, self._profile(m, excerpts), list(m.aliases), m.default)
                    for m in record.machines
                ],
            )
        )

    def matrix(self) -> Matrix:
        """Put the matrix together."""
        builds = sorted(
            self._builds, key=lambda b: (b.target, b.emulator, order_of(b.version), b.line, b.package, b.id)
        )
        statements = list(self._statements)
        return Matrix(
            facts=[*_questions(EMULATOR, "emulator"), *_questions(MACHINE, "machine")],
            builds=builds,
            ranges=sorted(
                derive(builds, self._kept, statements),
                key=lambda r: (r.fact, r.emulator, r.machine, r.line, order_of(r.first), r.answer),
            ),
            profiles=self._kept,
            statements=statements,
            evidence=[list(lines) for lines in self._evidence],
        )

    def _facts(
        self, facts: Mapping[str, Known], questions: Mapping[str, object], excerpts: Sequence[list[str]]
    ) -> dict[str, int]:
        return {name: self._statement(facts[name], excerpts) for name in questions if name in facts}

    def _statement(self, fact: Known, excerpts: Sequence[list[str]]) -> int:
        evidence = None
        if isinstance(fact.evidence, int) and 0 <= fact.evidence < len(excerpts):
            evidence = _place(self._evidence, tuple(excerpts[fact.evidence]))
        return _place(self._statements, Statement(fact.answer, fact.how, fact.detail, evidence))

    def _profile(self, machine: MachineRecord, excerpts: Sequence[list[str]]) -> int:
        profile = Profile(
            facts=self._facts(machine.facts, MACHINE, excerpts),
            accepted={value: how.coredump for value, how in machine.on_panic.accepted.items()},
            refused={value: refusal.code for value, refusal in machine.on_panic.refused.items()},
            notifier=machine.notifier.model if machine.notifier else None,
            event_mask=machine.notifier.event_mask if machine.notifier else None,
            started=machine.started,
            problem=machine.problem,
        )
        place = _place(self._profiles, msgspec.json.encode(profile))
        if place == len(self._kept):
            self._kept.append(profile)
        return place


_Key = TypeVar("_Key")


def _place(places: dict[_Key, int], key: _Key) -> int:
    return places.setdefault(key, len(places))


def _questions(names: Iterable[str], scope: Literal["emulator", "machine"]) -> list[Fact]:
    return [Fact(name, scope, CATALOGUE[name].reason) for name in names]


def _reproduce(record: CapabilityRecord) -> str:
    """Return the command that asks the emulator again, or reads again what it said."""
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
