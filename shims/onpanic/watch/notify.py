"""What a service tells systemd about itself: the protocol of sd_notify(3), which is a datagram."""

import os
import socket
import time
from contextlib import suppress

__all__ = ("notify", "reloading")


def notify(*assignments: str) -> None:
    """Tell systemd something, for example ``READY=1``; nothing happens where nobody listens."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    if address.startswith("@"):  # an abstract one
        address = "\0" + address[1:]
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
        out.connect(address)
        out.sendall("\n".join(assignments).encode())


def reloading() -> None:
    """Tell systemd that a reload begins."""
    notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
