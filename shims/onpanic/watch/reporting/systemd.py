"""The protocols of systemd services: sd_notify(3), and ``JOURNAL_STREAM`` of systemd.exec(5)."""

import os
import socket
import time
from contextlib import suppress

__all__ = ("is_journal", "notify", "reloading")

_TIMEOUT = 1.0  # seconds; the service manager reads at once


def notify(*assignments: str) -> None:
    """Send assignments such as ``READY=1`` to the service manager; without one, do nothing."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    if address.startswith("@"):  # an abstract socket
        address = "\0" + address[1:]
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
        out.settimeout(_TIMEOUT)
        out.connect(address)
        out.send("\n".join(assignments).encode())


def reloading() -> tuple[str, str]:
    """Return the assignments that announce a reload."""
    return "RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}"


def is_journal(fd: int) -> bool:
    """Return whether a file descriptor is connected to the journal.

    ``JOURNAL_STREAM`` holds the device and inode of the service's own connection.  Children inherit the
    variable, so a descriptor that has been redirected since must not match.
    """
    try:
        status = os.fstat(fd)
    except OSError:
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"
