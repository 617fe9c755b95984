"""Rules about all records: each takes the matrix, and yields names of records with what is wrong."""

from collections.abc import Callable, Iterator, Mapping
from itertools import combinations

from onpanic.matrix.model.matrix import Build, Matrix, Statement
from onpanic.matrix.model.ranges import overlaps
from onpanic.matrix.records.comparison import (
    HOST_DEPENDENT,
    MachineFacts,
    Shared,
    shared_by_machine,
    weakness,
)

__all__ = ("MATRIX_RULES",)


def contradictory_records(matrix: Matrix) -> Iterator[tuple[str, str]]:
    """Yield facts that one record of a build answers with yes and another with no."""
    for one, other in _same_build(matrix):
        for shared in _shared_statements(matrix, one, other):
            first, second = shared.before.answer, shared.after.answer
            if {first, second} == {"yes", "no"} and shared.model not in HOST_DEPENDENT:
                yield (
                    f"{one.id}, {other.id}",
                    f"{shared.what} is {first} and {second}: remove the record that is wrong",
                )


def overlapping_ranges(matrix: Matrix) -> Iterator[tuple[str, str]]:
    """Yield ranges with different answers that share a version, with the builds of that version."""
    for before, after in overlaps(matrix.ranges):
        if after.notifier in HOST_DEPENDENT:
            continue
        builds = [
            build.id
            for build in matrix.builds
            if build.emulator == after.emulator and build.line == after.line and build.version == after.first
        ]
        where = f" of {after.notifier}" if after.notifier else ""
        where += f" on {after.machine}" if after.machine else ""
        answers = f"{before.answer} up to {before.last} and {after.answer} from {after.first}"
        yield ", ".join(builds), f"{after.fact}{where} is {answers}"


def weaker_evidence(matrix: Matrix) -> Iterator[tuple[str, str]]:
    """Yield facts for which the newer of two records from one source has weaker evidence."""
    for older, newer in _same_build(matrix):
        if older.source != newer.source:
            continue
        for shared in _shared_statements(matrix, older, newer):
            before, after = shared.before.how, shared.after.how
            if weakness(after) > weakness(before):
                text = f"{shared.what} was {before}, and is {after or 'unknown'} in the newer record"
                yield f"{older.id}, {newer.id}", text


def _same_build(matrix: Matrix) -> Iterator[tuple[Build, Build]]:
    """Yield pairs of records of one build, the older one first."""
    groups: dict[tuple[str, ...], list[Build]] = {}
    for build in matrix.builds:
        key = (build.emulator, build.target, build.version, build.package)
        groups.setdefault(key, []).append(build)
    for group in groups.values():
        yield from combinations(sorted(group, key=lambda b: (b.at, b.id)), 2)


def _shared_statements(matrix: Matrix, one: Build, other: Build) -> Iterator[Shared[Statement]]:
    """Yield the facts that both records have."""
    for name in one.facts.keys() & other.facts.keys():
        first, second = matrix.statements[one.facts[name]], matrix.statements[other.facts[name]]
        yield Shared(name, name, "", first, second)
    profiles = {machine.name: machine.profile for machine in other.machines}
    for machine in one.machines:
        if machine.name in profiles and machine.profile != profiles[machine.name]:
            yield from shared_by_machine(
                machine.name, _facts(matrix, machine.profile), _facts(matrix, profiles[machine.name])
            )


def _facts(matrix: Matrix, index: int) -> MachineFacts[Statement]:
    profile = matrix.profiles[index]

    def stated(facts: Mapping[str, int]) -> dict[str, Statement]:
        return {name: matrix.statements[number] for name, number in facts.items()}

    notifiers = {matrix.notifiers[number].model: matrix.notifiers[number] for number in profile.notifiers}
    return MachineFacts(
        profile.notifier,
        stated(profile.facts),
        {model: stated(one.facts) for model, one in notifiers.items()},
    )


#: The rules by name.
MATRIX_RULES: dict[str, Callable[[Matrix], Iterator[tuple[str, str]]]] = {
    "contradictory-records": contradictory_records,
    "overlapping-ranges": overlapping_ranges,
    "weaker-evidence": weaker_evidence,
}
