"""Builds a matrix from folders of records, and reports what is wrong with them."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from onpanic.cli.output import complain
from onpanic.core.errors import RecordError
from onpanic.matrix.libvirts.libvirt_files import libvirt_files, read_libvirts
from onpanic.matrix.libvirts.libvirt_record import LibvirtRecord
from onpanic.matrix.lint import Problem, lint_libvirt, lint_matrix, lint_record
from onpanic.matrix.model.building import build
from onpanic.matrix.model.matrix import Matrix
from onpanic.matrix.records.record_files import has_records, read_records
from onpanic.probe.record.capability_record import CapabilityRecord

__all__ = ("build_folders", "print_problems")

_Record = TypeVar("_Record", CapabilityRecord, LibvirtRecord)


def build_folders(folders: Sequence[Path]) -> tuple[Matrix, list[Problem], int]:
    """Build the matrix from folders of records; print an error for each one that cannot be read.

    :param folders: Each holds records of emulators, of libvirts, or both.
    :return: The matrix, the violations of rules, and the number of records that cannot be read.
    :raise RecordError: When a folder cannot be read or has no record, or none of the records can be read.
    """
    problems: list[Problem] = []
    unreadable = 0

    def readable(
        records: Iterable[tuple[str, _Record | RecordError]], lint: Callable[[str, _Record], list[Problem]]
    ) -> Iterator[tuple[str, _Record]]:
        nonlocal unreadable
        for name, record in records:
            if isinstance(record, RecordError):
                complain(record.message, record.hint)
                unreadable += 1
            else:
                problems.extend(lint(name, record))
                yield name, record

    of_libvirts = [folder for folder in folders if libvirt_files(folder)]
    of_emulators = [folder for folder in folders if folder not in of_libvirts or has_records(folder)]
    matrix = build(
        readable((one for folder in of_emulators for one in read_records(folder)), lint_record),
        readable((one for folder in of_libvirts for one in read_libvirts(folder)), lint_libvirt),
    )
    if not matrix.builds and not matrix.libvirts:
        names = ", ".join(map(str, folders))
        raise RecordError(
            f"{names}: none of its records can be read", "onpanic matrix collect writes records"
        )
    return matrix, sorted([*problems, *lint_matrix(matrix)]), unreadable


def print_problems(problems: Sequence[Problem]) -> None:
    """Print violations of rules on stderr, one line each."""
    for problem in problems:
        complain(f"{problem.rule}: {problem.where}: {problem.what}")
