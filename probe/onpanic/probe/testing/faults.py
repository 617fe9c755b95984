"""The faults of a played emulator, see `Fault`."""

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from onpanic.probe.testing.played_emulator import Fault
from onpanic.probe.testing.wire import raw, send

__all__ = ("go_wrong",)


def go_wrong(fault: Fault, message: dict[str, Any]) -> None:
    """Carry out a fault; return only if the conversation goes on after it."""
    if fault.words:
        print(fault.words, file=sys.stderr, flush=True)
    kind = fault.kind
    if kind == "exit":
        sys.exit(1)
    elif kind == "abort":
        os.abort()
    elif kind == "hang":
        _for_ever(lambda: None)
    elif kind == "hang-up":
        os.close(0)
        os.close(1)
        _for_ever(lambda: None)
    elif kind == "junk":
        raw(b"this is not QMP\n")
    elif kind == "endless-junk":
        _for_ever(lambda: raw(b"x" * 65536), 0)
    elif kind == "babble":
        _for_ever(lambda: raw(b"babble\n" * 1000), 0)
    elif kind == "long-line":
        raw(b'{"return": "' + b"x" * (64 * 2**20) + b'"}\n')
    elif kind == "flood":
        event = json.dumps({"event": "RTC_CHANGE", "data": {"offset": 1}}).encode() + b"\r\n"
        _for_ever(lambda: raw(event * 1000), 0)
    elif kind == "wrong-shape":
        send({"return": 42, "id": message.get("id")})
    elif kind == "nesting":
        raw(b"[" * 100_000 + b"\n")
    elif kind == "stray":
        if os.fork() == 0:
            os.setsid()
            _for_ever(lambda: None)
        sys.exit(1)


def _for_ever(act: Callable[[], None], pause: float = 1.0) -> None:
    while True:
        act()
        time.sleep(pause)
