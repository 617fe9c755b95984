"""The evidence: a folder of capability records, one file a build.

A file holds one record, a machine type and an excerpt a line, so that a change is
reviewed by its lines.
"""

import fcntl
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from onpanic.probe.errors import RecordError
from onpanic.probe.foreign import wellformed
from onpanic.probe.record import CapabilityRecord
from onpanic.probe.recording import write_whole

__all__ = ("WRITING", "alone", "layout", "read_record", "read_records", "record_files", "write_record")

#: Held while a file of a folder is written: who ends this process at once waits for it.
WRITING = threading.Lock()

_LIMIT = 64 * 2**20  # bytes; a record of all machine types has 200 KiB
_HINT = "onpanic matrix collect writes records"


def record_files(folder: Path) -> list[Path]:
    """Return the files that hold records, by name.

    :raise RecordError: When the folder cannot be read, or has none.
    """
    try:
        files = (path for path in folder.iterdir() if path.suffix == ".json" and path.is_file())
        found = sorted(path for path in files if not path.name.startswith("."))
    except OSError as error:
        raise RecordError(f"{folder}: {error.strerror}", f"name a folder of records; {_HINT}") from error
    if not found:
        raise RecordError(f"{folder}: holds no record", _HINT)
    return found


def read_records(folder: Path) -> Iterator[tuple[str, CapabilityRecord | RecordError]]:
    """Yield the name of each record in a folder with the record, or with why it cannot be read.

    :raise RecordError: When the folder cannot be read, or has none.
    """
    for path in record_files(folder):
        try:
            yield path.stem, read_record(path)
        except RecordError as error:
            yield path.stem, error


def read_record(path: Path) -> CapabilityRecord:
    """Read a record.

    :raise RecordError: When it is not there, or not one.
    """
    try:
        if path.exists() and not path.is_file():
            raise RecordError(f"{path}: is no file", _HINT)
        with path.open("rb") as file:
            data = file.read(_LIMIT + 1)
    except OSError as error:
        raise RecordError(f"{path}: {error.strerror}", _HINT) from error
    if len(data) > _LIMIT:
        raise RecordError(f"{path}: more than {_LIMIT >> 20} MiB", "records are small; is this one?")
    try:
        return CapabilityRecord.from_json(data)
    except RecordError as error:
        raise RecordError(f"{path}: {error.message}", error.hint) from error


def write_record(folder: Path, name: str, record: CapabilityRecord) -> Path:
    """Write a record, whole or not at all, and return where.

    :raise OSError: When that cannot be done.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    write_whole(path, layout(record))
    return path


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Let nobody else write in the folder: two subjects may be of one build."""
    with WRITING:
        place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(place, fcntl.LOCK_EX)
            yield
        finally:
            os.close(place)


def layout(record: CapabilityRecord) -> bytes:
    """Return a record as JSON with a fact, a machine type or an excerpt a line."""
    members = msgspec.to_builtins(record)
    lines = [f"{_text(name)}: {_block(value)}" for name, value in members.items()]
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode()


def _block(value: Any) -> str:
    """Return a list or an object over several lines, what is in it in one line each."""
    if isinstance(value, list) and value:
        return "[\n" + ",\n".join(f" {_text(item)}" for item in value) + "\n]"
    if isinstance(value, Mapping) and value:
        return "{\n" + ",\n".join(f" {_text(n)}: {_text(item)}" for n, item in value.items()) + "\n}"
    return _text(value)


def _text(value: Any) -> str:
    try:
        return msgspec.json.encode(value).decode()
    except UnicodeEncodeError:
        return msgspec.json.encode(wellformed(value)).decode()
