"""Rules about all records: each takes the matrix, and yields names of records with what is wrong."""

from collections.abc import Callable, Iterator
from itertools import combinations

from onpanic.matrix.model.matrix import Build, Matrix, Statement
from onpanic.matrix.model.ranges import overlaps
from onpanic.matrix.records.comparison import weakness

__all__ = ("MATRIX_RULES",)


def contradictory_records(matrix: Matrix) -> Iterator[tuple[str, str]]:
    """Yield facts that one record of a build answers with yes and another with no."""
    for one, other in _same_build(matrix):
        for what, first, second in _shared_statements(matrix, one, other):
            if {first.answer, second.answer} == {"yes", "no"}:
                yield (
                    f"{one.id}, {other.id}",
                    f"{what} is {first.answer} and {second.answer}: remove the record that is wrong",
                )


def overlapping_ranges(matrix: Matrix) -> Iterator[tuple[str, str]]:
    """Yield ranges with different answers that share a version, with the builds of that version."""
    for before, after in overlaps(matrix.ranges):
        builds = [
            build.id
            for build in matrix.builds
            if build.emulator == after.emulator and build.line == after.line and build.version == after.first
        ]
        where = f" on {after.machine}" if after.machine else ""
        answers = f"{before.answer} up to {before.last} and {after.answer} from {after.first}"
        yield ", ".join(builds), f"{after.fact}{where} is {answers}"


def weaker_evidence(matrix: Matrix) -> Iterator[tuple[str, str]]:
    """Yield facts for which the newer of two records from one source has weaker evidence."""
    for older, newer in _same_build(matrix):
        if older.source != newer.source:
            continue
        for what, before, after in _shared_statements(matrix, older, newer):
            if weakness(after.how) > weakness(before.how):
                text = f"{what} was {before.how}, and is {after.how or 'unknown'} in the newer record"
                yield f"{older.id}, {newer.id}", text


def _same_build(matrix: Matrix) -> Iterator[tuple[Build, Build]]:
    """Yield pairs of records of one build, the older one first."""
    groups: dict[tuple[str, ...], list[Build]] = {}
    for build in matrix.builds:
        key = (build.emulator, build.target, build.version, build.package)
        groups.setdefault(key, []).append(build)
    for group in groups.values():
        yield from combinations(sorted(group, key=lambda b: (b.at, b.id)), 2)


def _shared_statements(
    matrix: Matrix, one: Build, other: Build
) -> Iterator[tuple[str, Statement, Statement]]:
    """Yield the facts that both records have: a description, and the statement of each."""
    for name in one.facts.keys() & other.facts.keys():
        yield name, matrix.statements[one.facts[name]], matrix.statements[other.facts[name]]
    profiles = {machine.name: matrix.profiles[machine.profile] for machine in other.machines}
    for machine in one.machines:
        if machine.name in profiles:
            first, second = matrix.profiles[machine.profile].facts, profiles[machine.name].facts
            for name in first.keys() & second.keys():
                description = f"{name} on {machine.name}"
                yield description, matrix.statements[first[name]], matrix.statements[second[name]]


#: The rules by name.
MATRIX_RULES: dict[str, Callable[[Matrix], Iterator[tuple[str, str]]]] = {
    "contradictory-records": contradictory_records,
    "overlapping-ranges": overlapping_ranges,
    "weaker-evidence": weaker_evidence,
}
