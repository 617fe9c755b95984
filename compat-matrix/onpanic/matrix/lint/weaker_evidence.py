"""A newer record of a build, from the same source, knows no less than an older one."""

from collections.abc import Iterator

from ..model import Matrix, rank
from .pairs import common, same_build


def check(matrix: Matrix) -> Iterator[tuple[str, str]]:
    """Yield what the newer of two records knows by weaker evidence."""
    for older, newer in same_build(matrix):
        if older.source != newer.source:
            continue
        for what, before, after in common(matrix, older, newer):
            if rank(after.how) > rank(before.how):
                said = f"{what} was {before.how}, and is {after.how or 'unknown'} in the newer record"
                yield f"{older.id}, {newer.id}", said
