"""Addresses of QMP monitors, and connecting to them."""

import asyncio
import os
import socket
import threading
from concurrent.futures import Future
from typing import Any

from onpanic.core.errors import UsageError
from onpanic.core.untrusted import printable

__all__ = ("ADDRESS_HINT", "IN_USE", "IN_USE_HINT", "Address", "connect", "parse_address")

#: A UNIX socket's path, or host and port.
Address = str | tuple[str, int]

#: What to do about an address that is invalid, or at which nothing listens.
ADDRESS_HINT = "name a UNIX socket's path or HOST:PORT, as in QEMU's -qmp unix:PATH,server=on,wait=off"

#: What a monitor that sends no greeting is, and what to do about it.
IN_USE = "is in use by another client, or its QEMU hangs"
IN_USE_HINT = "QEMU serves one client of a monitor at a time: end the other one, or give QEMU another -qmp"

_BACKLOG_POLL = 0.05  # seconds


def parse_address(text: str) -> Address:
    """Return the address that a text names.  A text with a slash, or that names an existing file, is a path.

    :param text: For example ``/run/vm.qmp``, ``localhost:4444`` or ``[::1]:4444``.
    :raise UsageError: When it is neither.
    """
    host, colon, port = text.rpartition(":")
    if not colon or "/" in text or os.path.exists(text):  # noqa: PTH110
        return text
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) < 2**16):
        raise UsageError(f"{printable(text, 100)}: {printable(port, 40)!r} is not a port", ADDRESS_HINT)
    return (host.removeprefix("[").removesuffix("]") or "localhost", int(port))


async def connect(address: Address) -> socket.socket:
    """Connect to a monitor and return the socket.

    Each address that a host name stands for is tried in turn, since QEMU may listen on only one of
    ``::1`` and ``127.0.0.1``.  Waits while too many clients wait for the monitor at a path already.

    :raise OSError: When no address accepts the connection; it is the last one's error.
    """
    if isinstance(address, str):
        return await _connect_to(socket.AF_UNIX, address)
    host, port = address
    error = OSError(0, "no address")
    try:
        addresses = await _resolve(host, port)
    except UnicodeError as failure:  # a label of more than 63 characters, for example
        raise OSError(f"no host has this name: {failure}") from failure
    for family, _, _, _, place in addresses:
        try:
            return await _connect_to(family, place)
        except OSError as failure:
            error = failure
    raise error


async def _resolve(host: str, port: int) -> list[tuple[Any, ...]]:
    """Return what getaddrinfo(3) does.

    It is called in a daemon thread: asyncio's own threads keep the loop from ending until it returns.
    """
    found: Future[list[tuple[Any, ...]]] = Future()

    def run() -> None:
        if found.set_running_or_notify_cancel():
            try:
                found.set_result(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
            except Exception as error:  # noqa: BLE001
                found.set_exception(error)

    threading.Thread(target=run, name="resolve a host name", daemon=True).start()
    return await asyncio.wrap_future(found)


async def _connect_to(family: int, address: object) -> socket.socket:
    channel = socket.socket(family, socket.SOCK_STREAM)
    try:
        channel.setblocking(False)
        if family == socket.AF_UNIX:
            await _connect_to_path(channel, str(address))
        else:
            await asyncio.get_running_loop().sock_connect(channel, address)  # type: ignore[arg-type]
    except BaseException:
        channel.close()
        raise
    return channel


async def _connect_to_path(channel: socket.socket, path: str) -> None:
    """Connect, as soon as the backlog has room.

    The kernel refuses a non-blocking connection with EAGAIN meanwhile (connect(2)), and nothing reports when
    it would not.  asyncio takes that for a connection in progress.
    """
    while True:
        try:
            channel.connect(path)
        except BlockingIOError:
            await asyncio.sleep(_BACKLOG_POLL)
        else:
            return
