"""Ports that a test gives to a program which cannot choose one by itself."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ("reserved_port",)


@contextmanager
def reserved_port() -> Iterator[int]:
    """Reserve a port of localhost for a server that sets SO_REUSEADDR: no other program is given it."""
    with socket.socket() as reservation:
        reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reservation.bind(("localhost", 0))
        yield reservation.getsockname()[1]
