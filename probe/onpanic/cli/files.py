"""What commands read from files and write to them; "-" is stdin."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from onpanic.probe import CapabilityRecord, OnpanicError, RecordError
from onpanic.probe.recording import write_whole

__all__ = ("naming", "read_bounded", "read_record", "write_result")

_RECORD_LIMIT = 64 * 2**20  # bytes; a record of all machine types has half a MiB
_WRITES_ONE = "onpanic probe --format json writes one"


def read_bounded(path: Path, limit: int) -> bytes:
    """Read a file, or as much of it as shows that it is longer than a limit.

    :raise OnpanicError: When it cannot be read.
    """
    try:
        if str(path) == "-" and sys.stdin:  # None if it was closed
            return sys.stdin.buffer.read(limit + 1)
        with path.open("rb") as file:
            return file.read(limit + 1)
    except OSError as error:
        raise OnpanicError(f"{path}: {error.strerror}", "name a file, or - for standard input") from error


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Name the file in what is said of its contents."""
    from onpanic.shims.errors import DocumentError

    try:
        yield
    except DocumentError as error:
        name = "standard input" if str(path) == "-" else path
        raise DocumentError(f"{name}: {error.message}", error.hint) from error


def read_record(path: Path) -> CapabilityRecord:
    """Read a capability record.

    :raise RecordError: When it is not there, or not one record.
    """
    try:
        data = read_bounded(path, _RECORD_LIMIT)
    except OnpanicError as error:
        raise RecordError(error.message, _WRITES_ONE) from error
    if data.strip().count(b"\n{"):
        raise RecordError(f"{path}: holds more than one record", "leave one line of it")
    return CapabilityRecord.from_json(data)


def write_result(path: Path | None, data: bytes) -> None:
    """Write a result to a file, whole or not at all, or to stdout.

    :raise OnpanicError: When the file cannot be written.
    """
    if path is None or str(path) == "-":
        if not sys.stdout:
            raise OnpanicError("standard output is closed", "name a file with -o FILE")
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        return
    try:
        write_whole(path, data)
    except OSError as error:
        raise OnpanicError(f"{path}: cannot be written: {error.strerror}", "name another file") from error
