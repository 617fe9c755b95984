"""A version has one answer: ranges of different answers share none."""

from collections.abc import Iterator

from ..model import Matrix
from ..ranges import overlaps


def check(matrix: Matrix) -> Iterator[tuple[str, str]]:
    """Yield ranges that overlap, with the builds at fault."""
    for before, after in overlaps(matrix.ranges):
        at_fault = [
            build.id
            for build in matrix.builds
            if build.emulator == after.emulator and build.line == after.line and build.version == after.first
        ]
        where = f" on {after.machine}" if after.machine else ""
        said = f"{before.answer} up to {before.last} and {after.answer} from {after.first}"
        yield ", ".join(at_fault), f"{after.fact}{where} is {said}"
