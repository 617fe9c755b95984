"""A folder of records of libvirts, one file for each; records of emulators may be beside them.

The names of the files start with `PREFIX`, so that the two kinds can share a folder.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from onpanic.core.errors import RecordError
from onpanic.core.files import read_at_most, write_atomically
from onpanic.matrix.libvirts.libvirt_record import GuestQemu, LibvirtRecord
from onpanic.matrix.records.record_files import PREFIX, layout, locked

__all__ = ("keep_libvirt_record", "libvirt_files", "libvirt_name", "read_libvirt", "read_libvirts")

_LIMIT = 16 * 2**20  # bytes; a record takes 40 KiB
_HINT = "onpanic matrix collect --libvirt URI writes one"


def libvirt_name(record: LibvirtRecord) -> str:
    """Return the name of a record's file, without its extension: ``libvirt-9.0.0-qemu-7.2.22``."""
    kind = "qemu" if isinstance(record.ran_on, GuestQemu) else "xen"
    parts = (record.libvirt.version, record.libvirt.package, kind, record.ran_on.version)
    words = [re.sub(r"[^A-Za-z0-9_.+~]+", "-", part).strip("-") for part in parts if part]
    return PREFIX + "-".join(words)


def libvirt_files(folder: Path) -> list[Path]:
    """Return the files of a folder that hold records of libvirts, by name.

    :raise RecordError: When the folder cannot be read.
    """
    try:
        files = (path for path in folder.iterdir() if path.suffix == ".json" and path.is_file())
        return sorted(path for path in files if path.name.startswith(PREFIX))
    except OSError as error:
        raise RecordError(f"{folder}: {error.strerror}", f"name a folder of records; {_HINT}") from error


def read_libvirts(folder: Path) -> Iterator[tuple[str, LibvirtRecord | RecordError]]:
    """Yield the name of each record in a folder, with the record or the reason why it cannot be read.

    :raise RecordError: When the folder cannot be read.
    """
    for path in libvirt_files(folder):
        try:
            yield path.stem, read_libvirt(path)
        except RecordError as error:
            yield path.stem, error


def read_libvirt(path: Path) -> LibvirtRecord:
    """Read a record.

    :raise RecordError: When the file cannot be read, or is not a record of a libvirt.
    """
    try:
        data = read_at_most(path, _LIMIT)
    except OSError as error:
        raise RecordError(f"{path}: {error.strerror}", _HINT) from error
    try:
        return LibvirtRecord.from_json(data)
    except RecordError as error:
        raise RecordError(f"{path}: {error.message}", error.hint) from error


def keep_libvirt_record(folder: Path, record: LibvirtRecord) -> tuple[str, bool]:
    """Write a record, unless the folder has one of the same libvirt that knows more.

    :return: The name of the record, and whether it was written.
    :raise OSError: When it cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    name = libvirt_name(record)
    path = folder / f"{name}.json"
    with locked(folder):
        try:
            known = _known(read_libvirt(path)) if path.exists() else 0
        except RecordError:
            known = 0
        if _known(record) < known:
            return name, False
        write_atomically(path, layout(record))
    return name, True


def _known(record: LibvirtRecord) -> int:
    """Return how many guests a record has an end for."""
    return sum(guest.end is not None for guest in record.guests)
