"""QMP on stdin and stdout, for a played emulator."""

import json
import os
import sys
from collections.abc import Iterable, Iterator
from typing import Any

__all__ = ("decoded", "messages", "raw", "send")


def messages() -> Iterator[dict[str, Any]]:
    """Yield what the monitor is sent."""
    return decoded(iter(_read, b""))


def decoded(chunks: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """Yield the JSON objects in a stream; QMP clients need not end them with a newline.

    :param chunks: The stream's bytes, as they arrive.
    """
    decoder, text = json.JSONDecoder(), ""
    for data in chunks:
        text += data.decode()
        while text := text.lstrip():
            try:
                message, end = decoder.raw_decode(text)
            except json.JSONDecodeError:
                break  # the rest has not arrived yet
            text = text[end:]
            yield message


def _read() -> bytes:
    try:
        return os.read(0, 65536)
    except OSError:
        return b""  # the client has gone


def send(message: dict[str, Any]) -> None:
    """Send a QMP message."""
    raw(json.dumps(message).encode() + b"\r\n")


def raw(data: bytes) -> None:
    """Write bytes to stdout; end if nobody reads them."""
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except OSError:
        os._exit(1)  # the client has gone
