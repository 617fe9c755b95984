"""Files, written whole or not at all, and read up to a limit."""

import errno
import os
import signal
import tempfile
from pathlib import Path

__all__ = ("read_at_most", "write_atomically")

_PART = 2**20  # bytes


def read_at_most(path: Path, limit: int) -> bytes:
    """Return a file's contents.

    :param limit: Bytes.
    :raise OSError: When the file cannot be read, or is longer than the limit.
    """
    parts, left = [], limit + 1
    with path.open("rb") as file:
        while part := file.read(min(left, _PART)):  # read() takes as much memory as it may read
            parts.append(part)
            left -= len(part)
    if left <= 0:
        raise OSError(errno.EFBIG, f"more than {limit >> 20} MiB")
    return b"".join(parts)


def write_atomically(path: Path, data: bytes, *, mode: int | None = None, replace: bool = False) -> None:
    """Write a file whole or not at all.  A path that is not a regular file, such as a pipe, is written to.

    :param mode: The file's permissions; None to keep those of an existing file, or the umask's for a new one.
    :param replace: Whether a link or a pipe is replaced instead, since others can make one there.
    :raise OSError: When the file cannot be written; it then is what it was before.
    """
    if not replace:
        if path.exists() and not path.is_file():  # before a link is followed: a pipe has no path
            path.write_bytes(data)
            return
        path = path.resolve()
    # A signal handler may end the process at once, so signals wait until the file is complete
    old = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    try:
        _write_and_rename(path, data, mode)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, old)


def _write_and_rename(path: Path, data: bytes, mode: int | None) -> None:
    fd, name = tempfile.mkstemp(dir=path.parent, prefix=".onpanic.")
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            default = path.stat().st_mode & 0o7777 if path.exists() else 0o666 & ~_umask()
            # Not by its name: whoever owns the folder may have put a link in its place
            os.fchmod(fd, default if mode is None else mode)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
