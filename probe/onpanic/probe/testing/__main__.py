"""Play an emulator: ``python -m onpanic.probe.testing DESCRIPTION QEMU-OPTIONS``."""

import json
import os
import re
import signal
import socket
import sys
import threading

from onpanic.probe.testing.faults import go_wrong
from onpanic.probe.testing.played_emulator import PlayedEmulator
from onpanic.probe.testing.played_machine import StartRefused
from onpanic.probe.testing.played_monitor import PlayedMonitor
from onpanic.probe.testing.played_qtest import PlayedQtestServer
from onpanic.probe.testing.wire import messages, send

_lock = threading.Lock()


def main(argv: list[str]) -> None:
    """Play the emulator until ``quit``, or until a panic or a fault ends it."""
    like = PlayedEmulator.of(json.loads(argv[0]))
    fault = like.fault
    if like.stubborn:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
    if fault and fault.at == "start":
        go_wrong(fault, {})
    try:
        monitor = PlayedMonitor(like, argv[1:])
    except StartRefused as refused:
        print(f"qemu-system-played: {refused.words}", file=sys.stderr)
        sys.exit(1)
    serve_qtest(monitor, argv[1:])
    send(monitor.greeting)
    for message in messages():
        word = message.get("arguments", {}).get("command-line", "").partition(" ")[0]
        if fault and fault.at in (message["execute"], word):
            go_wrong(fault, message)
            if fault.kind in ("wrong-shape", "silence"):
                continue
        with _lock:
            for said in monitor.handle(message):
                send(said)
            if monitor.ended:
                os._exit(monitor.machine.exit_status or 0)


def serve_qtest(monitor: PlayedMonitor, options: list[str]) -> None:
    """Answer the lines of the qtest protocol in a thread, if there is a channel."""
    found = re.search(r"id=qtest,fd=(\d+)", " ".join(options))
    if found:
        channel = socket.socket(fileno=int(found[1]))
        threading.Thread(target=_answer_lines, args=(monitor, channel), daemon=True).start()


def _answer_lines(monitor: PlayedMonitor, channel: socket.socket) -> None:
    server = PlayedQtestServer(monitor.machine)
    with channel, channel.makefile("rw") as lines:
        for line in lines:
            with _lock:
                answer = server.answer(line)
                for said in monitor.said():
                    send(said)
                if monitor.machine.exit_status is not None:
                    os._exit(monitor.machine.exit_status)
            lines.write(f"{answer}\n")
            lines.flush()


main(sys.argv[1:])
