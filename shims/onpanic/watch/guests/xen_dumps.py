"""Dumps of Xen's guests by libvirt: whether a file is a complete one, and which file is the latest.

libvirt's Xen driver does not notice that its own dump (``<on_crash>coredump-…``) has failed: it
destroys or restarts the guest all the same.  The file is then empty, or ends too early.
"""

import os
import re
import stat
import struct
from collections.abc import Collection
from pathlib import Path

__all__ = ("DUMP_FOLDER", "incompleteness", "latest_dump")

#: Where libvirt's Xen driver dumps crashed guests to, which no setting changes.
DUMP_FOLDER = "/var/lib/libvirt/libxl/dump"

_HEAD = 64  # bytes of an ELF64 header
_SECTION = 64  # bytes of an ELF64 section header
_STAMP = re.compile(r"-\d{4}-\d\d-\d\d-\d\d:\d\d:\d\d\Z", re.ASCII)
_NOBITS = 8  # a section without bytes in the file


def incompleteness(path: Path) -> str:
    """Return why a file is no complete dump; empty if it is one.

    A dump is an ELF file whose section headers precede the memory, so they say how long it is
    (xen.git, docs/misc/dump-core-format.txt).

    :param path: The file.
    """
    try:
        about = path.lstat()
        if not stat.S_ISREG(about.st_mode):
            return "it is no regular file"
        if not about.st_size:
            return "it is empty"
        with path.open("rb") as file:
            head = file.read(_HEAD)
            if head[:6] != b"\x7fELF\x02\x01" or len(head) < _HEAD:
                return "it is no ELF file"
            (start,) = struct.unpack_from("<Q", head, 40)
            size, count = struct.unpack_from("<HH", head, 58)
            file.seek(start)
            table = file.read(_SECTION * count)
    except OSError as error:
        return f"{error.strerror}"
    if size != _SECTION or not count or len(table) < _SECTION * count:
        return "its section headers are incomplete"
    end = max(_end_of_section(table, index) for index in range(count))
    return f"it has {about.st_size} of {end} bytes" if about.st_size < end else ""


def _end_of_section(table: bytes, index: int) -> int:
    kind, offset, size = struct.unpack_from("<4xI16xQQ", table, index * _SECTION)
    return 0 if kind == _NOBITS else offset + size


def latest_dump(folder: Path, name: str, since: float, known: Collection[str]) -> Path | None:
    """Return the latest dump that libvirt has made of a guest by itself; None if there is none.

    :param folder: The directory.
    :param name: The guest's name.
    :param since: When it may have been written last at the earliest, in seconds since the epoch.
    :param known: Names of files that are other dumps.
    :raise OSError: When the directory cannot be read.
    """
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            stamp = _STAMP.search(entry.name)
            if stamp is None or entry.name[: stamp.start()] != name or entry.name in known:
                continue
            modified = entry.stat(follow_symlinks=False).st_mtime
            if modified >= since:
                found.append((modified, entry.name))
    return folder / max(found)[1] if found else None
