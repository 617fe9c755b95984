"""Notices when a file in a folder is opened, created or written, by any process: inotify(7)."""

import ctypes
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ("Watch", "watched")

_EVENTS = 0x00000020 | 0x00000100 | 0x00000002 | 0x00000200  # IN_OPEN, IN_CREATE, IN_MODIFY, IN_DELETE
_HEADER = struct.Struct("iIII")


class Watch:
    """A folder that is watched."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def names(self) -> set[str]:
        """Return the names of files that something was done with since the last call."""
        found = set()
        try:
            data = os.read(self._descriptor, 65536)
        except BlockingIOError:
            data = b""
        while data:
            length = _HEADER.unpack_from(data)[3]
            found.add(data[_HEADER.size : _HEADER.size + length].rstrip(b"\0").decode())
            data = data[_HEADER.size + length :]
        return found - {""}


@contextmanager
def watched(folder: Path) -> Iterator[Watch]:
    """Watch a folder, without the folders in it."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if descriptor < 0 or libc.inotify_add_watch(descriptor, os.fsencode(folder), _EVENTS) < 0:
            raise OSError(ctypes.get_errno(), "inotify")
        yield Watch(descriptor)
    finally:
        os.close(descriptor)
