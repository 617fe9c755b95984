"""What rules about two records of one build share: who they are, and what both speak of."""

from collections.abc import Iterator
from itertools import combinations

from ..model import Build, Matrix, Statement

__all__ = ("common", "same_build")


def same_build(matrix: Matrix) -> Iterator[tuple[Build, Build]]:
    """Yield pairs of records of one build, the older first."""
    groups: dict[tuple[str, ...], list[Build]] = {}
    for build in matrix.builds:
        key = (build.emulator, build.target, build.version, build.package)
        groups.setdefault(key, []).append(build)
    for group in groups.values():
        yield from combinations(sorted(group, key=lambda b: (b.at, b.id)), 2)


def common(matrix: Matrix, one: Build, other: Build) -> Iterator[tuple[str, Statement, Statement]]:
    """Yield what both records speak of, in words, with what each says."""
    for name in one.facts.keys() & other.facts.keys():
        yield name, matrix.statements[one.facts[name]], matrix.statements[other.facts[name]]
    machines = {machine.name: matrix.profiles[machine.profile] for machine in other.machines}
    for machine in one.machines:
        if machine.name in machines:
            mine, theirs = matrix.profiles[machine.profile].facts, machines[machine.name].facts
            for name in mine.keys() & theirs.keys():
                yield (
                    f"{name} on {machine.name}",
                    matrix.statements[mine[name]],
                    matrix.statements[theirs[name]],
                )
