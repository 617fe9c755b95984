"""Builds a matrix from a folder of records, and reports what is wrong with them."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from onpanic.cli.output import complain
from onpanic.core.errors import RecordError
from onpanic.matrix.lint import Problem, lint_matrix, lint_record
from onpanic.matrix.model.building import build
from onpanic.matrix.model.matrix import Matrix
from onpanic.matrix.records.record_files import read_records
from onpanic.probe.record.capability_record import CapabilityRecord

__all__ = ("build_folder", "print_problems")


def build_folder(folder: Path) -> tuple[Matrix, list[Problem], int]:
    """Build the matrix from a folder of records; print an error for each one that cannot be read.

    :return: The matrix, the violations of rules, and the number of records that cannot be read.
    :raise RecordError: When the folder cannot be read, or none of its records can.
    """
    problems: list[Problem] = []
    unreadable = 0

    def readable() -> Iterator[tuple[str, CapabilityRecord]]:
        nonlocal unreadable
        for name, record in read_records(folder):
            if isinstance(record, RecordError):
                complain(record.message, record.hint)
                unreadable += 1
            else:
                problems.extend(lint_record(name, record))
                yield name, record

    matrix = build(readable())
    if not matrix.builds:
        raise RecordError(
            f"{folder}: none of its records can be read", "onpanic matrix collect writes records"
        )
    return matrix, sorted([*problems, *lint_matrix(matrix)]), unreadable


def print_problems(problems: Sequence[Problem]) -> None:
    """Print violations of rules on stderr, one line each."""
    for problem in problems:
        complain(f"{problem.rule}: {problem.where}: {problem.what}")
