"""Reading files that arguments name, and writing results; ``-`` is stdin or stdout."""

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from onpanic.core.errors import DocumentError, FileError, RecordError
from onpanic.probe.record.capability_record import CapabilityRecord

__all__ = ("add_document", "naming", "read_bounded", "read_domain", "read_record", "write_result")

#: A file as an argument names it.
FileName = str | os.PathLike[str]

_RECORD_LIMIT = 64 * 2**20  # bytes; a record of all machine types has half a MiB
_WRITES_ONE = "onpanic probe --format json writes one"


def read_bounded(path: FileName, limit: int) -> bytes:
    """Return a file's contents, or the first ``limit + 1`` bytes of a longer file.

    :param path: The file, ``-`` for stdin.
    :param limit: Bytes.
    :raise FileError: When the file cannot be read.
    """
    try:
        if str(path) == "-":
            return _stdin().read(limit + 1)
        with open(path, "rb") as file:  # noqa: PTH123  onpanic.core.files takes long to import
            return file.read(limit + 1)
    except OSError as error:
        raise FileError(f"{path}: {error.strerror}", "name a file, or - for standard input") from error
    except ValueError as error:
        raise FileError(f"{path!r} is not a file's name: {error}", "name a file") from error


@contextmanager
def naming(path: FileName) -> Iterator[None]:
    """Put the file's name in front of the message of a `DocumentError`."""
    try:
        yield
    except DocumentError as error:
        name = "standard input" if str(path) == "-" else path
        raise DocumentError(f"{name}: {error.message}", error.hint) from error


def add_document(parser: argparse.ArgumentParser) -> None:
    """Add the option ``--document`` of a command that reads a domain's XML, see `read_domain`."""
    parser.add_argument(
        "--document",
        type=_number,
        metavar="N",
        help="which domain, if the file has several: virt-install --print-xml prints two",
    )


def read_domain(path: FileName, number: int | None) -> bytes:
    """Return the XML of a domain in a file: see `onpanic.shims.domain_in`.

    :param path: The file, ``-`` for stdin.
    :param number: Which of its domains, counted from 1; None for the only one.
    :raise FileError: When the file cannot be read.
    :raise DocumentError: When there is no such domain in it, or there are several and no number.
    """
    from onpanic.shims.domain_xml.domain_sources import FILE_LIMIT, domain_in

    with naming(path):
        return domain_in(read_bounded(path, FILE_LIMIT), number)


def read_record(path: FileName) -> CapabilityRecord:
    """Return the capability record in a file.

    :raise RecordError: When the file cannot be read, or does not hold exactly one record.
    """
    try:
        data = read_bounded(path, _RECORD_LIMIT)
    except FileError as error:
        raise RecordError(error.message, _WRITES_ONE) from error
    if len(data) > _RECORD_LIMIT:
        raise RecordError(f"{path}: longer than {_RECORD_LIMIT >> 20} MiB", _WRITES_ONE)
    if data.strip().count(b"\n{"):
        raise RecordError(f"{path}: holds more than one record", "leave one line of it")
    try:
        return CapabilityRecord.from_json(data)
    except RecordError as error:
        raise RecordError(f"{path}: {error.message}", error.hint) from error


def write_result(path: FileName | None, data: bytes) -> None:
    """Write a result to stdout, or to a file.  A file is written completely or not at all.

    :param path: The file; None or ``-`` for stdout.
    :raise FileError: When the file cannot be written, or stdout is closed.
    """
    if path is None or str(path) == "-":
        if not sys.stdout:
            raise FileError("standard output is closed", "name a file with -o FILE")
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        return
    from pathlib import Path

    from onpanic.core.files import write_atomically

    try:
        write_atomically(Path(path), data)
    except FileNotFoundError as error:
        import shlex

        make = shlex.join(["mkdir", "-p", str(Path(path).resolve().parent)])
        raise FileError(f"{path}: cannot be written: its folder does not exist", make) from error
    except OSError as error:
        raise FileError(f"{path}: cannot be written: {error.strerror}", "name another file") from error
    except ValueError as error:
        raise FileError(f"{str(path)!r} is not a file's name: {error}", "name another file") from error


def _number(value: str) -> int:
    """Return the value of ``--document``."""
    number = int(value) if value.isascii() and value.isdigit() and len(value) < 10 else 0
    if not number:
        raise argparse.ArgumentTypeError("a number; the first document is 1")
    return number


def _stdin() -> BinaryIO:
    if not sys.stdin:
        raise FileError("standard input is closed", "name a file")
    return sys.stdin.buffer
