"""A file with a dump, opened for reading."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from onpanic.core.errors import FileError

__all__ = ("OpenDump", "open_dump")

_HINT = "name a dump of a guest's memory"


class OpenDump:
    """An open file, read at any place; see `onpanic.why.memory.elf_dump.DumpSource`."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def at(self, offset: int, length: int) -> bytes:
        """Return bytes of the file; fewer than asked for where it ends.

        :raise FileError: When the file cannot be read.
        """
        try:
            return os.pread(self._descriptor, length, min(offset, 1 << 62))
        except OSError as error:
            raise FileError(f"the dump cannot be read: {error.strerror}") from error


@contextmanager
def open_dump(path: Path) -> Iterator[OpenDump]:
    """Open a dump.

    :raise FileError: When it cannot be opened, or cannot be read at any place, like a pipe.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a FIFO may have no writer
    except OSError as error:
        raise FileError(f"{path}: {error.strerror}", _HINT) from error
    try:
        mode = os.fstat(descriptor).st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISBLK(mode)):
            raise FileError(f"{path}: is a folder, a pipe or a device, not a file", _HINT)
        yield OpenDump(descriptor)
    finally:
        os.close(descriptor)
