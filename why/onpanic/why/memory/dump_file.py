"""A file with a dump, opened for reading."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from onpanic.core.errors import FileError

__all__ = ("OpenDump", "open_dump")


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

    :raise FileError: When it cannot be opened.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise FileError(f"{path}: {error.strerror}", "name a dump of a guest's memory") from error
    try:
        yield OpenDump(descriptor)
    finally:
        os.close(descriptor)
