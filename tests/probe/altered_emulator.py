"""Play a QEMU 7.2 that gives some answers of its own: ``python altered_emulator.py FILE QEMU-OPTIONS``.

FILE is JSON: a place with what is done there.  A place is ``start``, a QMP command, a
command with its path (``qom-list /machine``), a monitor line's first word or the whole
line; ``#2`` behind it means the second time.  What is done: ``sleep`` seconds, ``signal``
or ``exit``, raw text ``before`` and ``after``, and instead of the answer the text of its
``return`` or of the ``whole`` message, where ``$ID`` stands for the id.  ``like`` changes
what is played, ``qtest`` is what every line of that protocol is answered with.
"""

import collections
import json
import os
import re
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

from onpanic.probe.testing import QEMU_7_2
from onpanic.probe.testing.played_emulator import PlayedEmulator
from onpanic.probe.testing.played_machine import StartRefused
from onpanic.probe.testing.played_monitor import PlayedMonitor
from onpanic.probe.testing.wire import messages, raw, send


def say(text: str) -> None:
    raw(text.encode("utf-8", "surrogateescape"))


def places(message: dict[str, Any], seen: collections.Counter[str]) -> list[str]:
    """Return the names of the place where a conversation is, the most particular one last."""
    arguments = message.get("arguments", {})
    line = arguments.get("command-line", "")
    path = f"{message['execute']} {arguments.get('path', '')}".strip()
    names = list(dict.fromkeys([message["execute"], path, line.partition(" ")[0], line]))
    seen.update(names)
    return [*names, *(f"{name}#{seen[name]}" for name in names)]


def do(change: dict[str, Any]) -> None:
    time.sleep(change.get("sleep", 0))
    if "signal" in change:
        os.kill(os.getpid(), change["signal"])
    if "exit" in change:
        os._exit(change["exit"])
    for _ in range(change.get("times", 1)):
        say(change.get("before", ""))


def serve_qtest(options: list[str], reply: str) -> None:
    found = re.search(r"id=qtest,fd=(\d+)", " ".join(options))
    if found:
        with socket.socket(fileno=int(found[1])) as channel, channel.makefile("rw") as lines:
            for _ in lines:
                lines.write(reply)
                lines.flush()


def main(changes: dict[str, Any], options: list[str]) -> None:
    like = PlayedEmulator.of(QEMU_7_2.described() | changes.get("like", {}))
    begin = changes.get("start", {})
    try:
        monitor = PlayedMonitor(like, options)
    except StartRefused as refused:
        sys.exit(refused.words)
    if "qtest" in changes:
        threading.Thread(target=serve_qtest, args=(options, changes["qtest"]), daemon=True).start()
    do(begin)
    say(begin.get("whole") or json.dumps(monitor.greeting) + "\r\n")
    say(begin.get("after", ""))
    seen: collections.Counter[str] = collections.Counter()
    for message in messages():
        change: dict[str, Any] = {}
        for name in places(message, seen):
            change = changes.get(name, change)
        do(change)
        identity = json.dumps(message.get("id"))
        if "whole" in change:
            say(change["whole"].replace("$ID", identity) + "\r\n")
        elif "return" in change:
            say(f'{{"return": {change["return"]}, "id": {identity}}}\r\n')
        else:
            for said in monitor.handle(message):
                send(said)
        say(change.get("after", ""))
        if monitor.ended:
            sys.exit(monitor.machine.exit_status or 0)


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()), sys.argv[2:])
