"""A folder of records, built into a matrix, with what is wrong in it said on the way."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from onpanic.cli import complain
from onpanic.matrix.building import build
from onpanic.matrix.lint import Problem, lint_matrix, lint_record
from onpanic.matrix.model import Matrix
from onpanic.matrix.records import read_records
from onpanic.probe.errors import RecordError
from onpanic.probe.record import CapabilityRecord

__all__ = ("built_from", "complain_of")


def built_from(folder: Path) -> tuple[Matrix, list[Problem], int]:
    """Build the matrix from a folder of records, one at a time; complain of those that cannot be read.

    :return: The matrix, what the rules found, and how many records are missing from it.
    :raise RecordError: When the folder cannot be read, or none of its records can.
    """
    problems: list[Problem] = []
    missing = 0

    def readable() -> Iterator[tuple[str, CapabilityRecord]]:
        nonlocal missing
        for name, record in read_records(folder):
            if isinstance(record, RecordError):
                complain(record.message, record.hint)
                missing += 1
            else:
                problems.extend(lint_record(name, record))
                yield name, record

    matrix = build(readable())
    if not matrix.builds:
        raise RecordError(
            f"{folder}: none of its records can be read", "onpanic matrix collect writes records"
        )
    return matrix, sorted([*problems, *lint_matrix(matrix)]), missing


def complain_of(problems: Sequence[Problem]) -> None:
    """Say what the rules found, a line each."""
    for problem in problems:
        complain(f"{problem.rule}: {problem.where}: {problem.what}")
