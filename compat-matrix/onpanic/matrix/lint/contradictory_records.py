"""Records of one build do not contradict each other."""

from collections.abc import Iterator

from ..model import Matrix
from .pairs import common, same_build


def check(matrix: Matrix) -> Iterator[tuple[str, str]]:
    """Yield what one record of a build answers with yes and another with no."""
    for one, other in same_build(matrix):
        for what, mine, theirs in common(matrix, one, other):
            if {mine.answer, theirs.answer} == {"yes", "no"}:
                yield (
                    f"{one.id}, {other.id}",
                    f"{what} is {mine.answer} and {theirs.answer}: leave the record that is wrong out",
                )
