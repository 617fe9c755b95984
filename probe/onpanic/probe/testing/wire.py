"""The wire of a played emulator: QMP on stdin and stdout."""

import json
import os
import sys
from collections.abc import Iterator
from typing import Any

__all__ = ("die", "event", "messages", "raw", "send")


def messages() -> Iterator[dict[str, Any]]:
    """Yield what is said to the monitor: JSON objects, which QMP clients need not end with a newline."""
    decoder, text = json.JSONDecoder(), ""
    while data := _read():
        text += data.decode()
        while text := text.lstrip():
            try:
                message, end = decoder.raw_decode(text)
            except json.JSONDecodeError:
                break  # the rest is still to come
            text = text[end:]
            yield message


def _read() -> bytes:
    try:
        return os.read(0, 65536)
    except OSError:
        return b""  # whoever was talking has gone


def event(name: str, **data: Any) -> None:
    send({"event": name, "timestamp": {"seconds": 0, "microseconds": 0}} | ({"data": data} if data else {}))


def send(message: dict[str, Any]) -> None:
    raw(json.dumps(message).encode() + b"\r\n")


def raw(data: bytes) -> None:
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except OSError:
        os._exit(1)  # whoever was listening has gone


def die(words: str) -> None:
    print(f"qemu-system-played: {words}", file=sys.stderr)
    sys.exit(1)
