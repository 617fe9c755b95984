"""A folder of capability records, one file for each build.

A file holds one record, with each machine type and each excerpt on a line of its own, so that a
change can be reviewed as a diff.
"""

import fcntl
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from onpanic.core.errors import FileError, RecordError
from onpanic.core.files import read_at_most, write_atomically
from onpanic.core.untrusted import wellformed
from onpanic.probe.record.capability_record import CapabilityRecord

__all__ = (
    "PREFIX",
    "WRITING",
    "has_records",
    "layout",
    "locked",
    "read_record",
    "read_records",
    "read_versioned_record",
    "record_files",
    "write_record",
)

#: The names of files with records of libvirts start with it; see `onpanic.matrix.libvirts.libvirt_files`.
PREFIX = "libvirt-"

#: Held while this process writes a file; a thread that ends the process acquires it first.
WRITING = threading.Lock()

_LIMIT = 64 * 2**20  # bytes; a record of all machine types takes 200 KiB
_HINT = "onpanic matrix collect writes records"
_OF_XEN = "onpanic matrix collect --libvirt xen:///system records Xen's guests, and onpanic host a Xen host"


def has_records(folder: Path) -> bool:
    """Return whether a folder has files that hold records of emulators.

    :raise RecordError: When the folder cannot be read.
    """
    return bool(_record_files(folder))


def record_files(folder: Path) -> list[Path]:
    """Return the files that hold records of emulators, by name.

    :raise RecordError: When the folder cannot be read, or has none.
    """
    found = _record_files(folder)
    if not found:
        raise RecordError(f"{folder}: holds no record", _HINT)
    return found


def _record_files(folder: Path) -> list[Path]:
    try:
        files = (path for path in folder.iterdir() if path.suffix == ".json" and path.is_file())
        return sorted(path for path in files if not path.name.startswith((".", PREFIX)))
    except OSError as error:
        raise RecordError(f"{folder}: {error.strerror}", f"name a folder of records; {_HINT}") from error


def read_records(folder: Path) -> Iterator[tuple[str, CapabilityRecord | RecordError]]:
    """Yield the name of each record in a folder, with the record or the reason why it cannot be read.

    :raise RecordError: When the folder cannot be read, or has none.
    """
    for path in record_files(folder):
        try:
            yield path.stem, read_record(path)
        except RecordError as error:
            yield path.stem, error


def read_record(path: Path) -> CapabilityRecord:
    """Read a record.

    :raise RecordError: When the file cannot be read, or is not a record of an emulator.
    """
    return read_versioned_record(path)[0]


def read_versioned_record(path: Path) -> tuple[CapabilityRecord, int]:
    """Read a record, and return it in the form of the current version, with the file's schema version.

    :raise RecordError: When the file cannot be read, or is not a record of an emulator.
    """
    try:
        if path.exists() and not path.is_file():
            raise RecordError(f"{path}: not a file", _HINT)
        data = read_at_most(path, _LIMIT)
    except OSError as error:
        raise RecordError(f"{path}: {error.strerror}", _HINT) from error
    try:
        record = CapabilityRecord.from_json(data)
    except RecordError as error:
        raise RecordError(f"{path}: {error.message}", error.hint) from error
    if record.hypervisor != "qemu":  # no column and no comparison has its facts
        raise RecordError(f"{path}: the record of a Xen, not of an emulator", _OF_XEN)
    return record, msgspec.json.decode(data, type=_RecordVersion).schema_version


def write_record(folder: Path, name: str, record: CapabilityRecord) -> Path:
    """Write a record, whole or not at all, and return its path.

    :raise OSError: When it cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    write_atomically(path, layout(record))
    return path


@contextmanager
def locked(folder: Path, seconds: float = 60.0) -> Iterator[None]:
    """Lock a folder against other threads and processes that write records: two may be of one build.

    :param seconds: How long to wait for the lock, which others hold only while they write a file.
    :raise OSError: When the folder cannot be opened.
    :raise FileError: When another process does not release the lock in time.
    """
    with WRITING:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            _lock(descriptor, folder, seconds)
            yield
        finally:
            os.close(descriptor)


def layout(record: msgspec.Struct) -> bytes:
    """Return a record as JSON with a line for each item of its members: fact, machine type, excerpt."""
    members = msgspec.to_builtins(record)
    lines = [f"{_text(name)}: {_block(value)}" for name, value in members.items()]
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode()


class _RecordVersion(msgspec.Struct):
    schema_version: int


def _lock(descriptor: int, folder: Path, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() >= deadline:
                hint = "see whether another onpanic matrix collect is stopped"
                raise FileError(f"{folder}: locked by another process", hint) from error
            time.sleep(0.01)
        else:
            return


def _block(value: Any) -> str:
    """Return a list or an object as JSON, with a line for each item."""
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
