"""Removes incomplete dumps, but none that is still being written, or about to get its name.

QEMU continues a dump when the watcher has ended.  Whether a file is open for writing is learned by a read
lease (``F_SETLEASE`` of fcntl(2)), which the kernel grants only if it is not.  A watcher locks the file
(flock(2)) until it has renamed it.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from onpanic.watch.rules.dump_files import PARTIAL, guest_of

__all__ = ("locked", "remove_incomplete", "remove_incomplete_in")

_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def remove_incomplete_in(folder: Path) -> None:
    """Remove the incomplete dumps of a directory that nothing writes, as far as this is permitted."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(PARTIAL) and guest_of(entry.name.removesuffix(PARTIAL)):
                remove_incomplete(Path(entry.path))


def remove_incomplete(path: Path) -> bool:
    """Remove an incomplete dump unless something still writes it; return whether it is gone.

    It stays where the kernel does not tell: on a file system of another host, or for a file of another user.
    """
    try:
        with _open(path) as descriptor:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
            path.unlink()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep other watchers from removing a file, if it is there; a context."""
    try:
        descriptor = os.open(path, _FLAGS)
    except OSError:  # on another host, or of another user
        yield
        return
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _open(path: Path) -> Iterator[int]:
    descriptor = os.open(path, _FLAGS)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
