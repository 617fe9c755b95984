"""Play an emulator: ``python -m onpanic.probe.testing DESCRIPTION QEMU-OPTIONS``."""

import json
import signal
import sys
from typing import Any

from onpanic.probe.testing.faults import go_wrong
from onpanic.probe.testing.played_monitor import CommandRefused, answer, start
from onpanic.probe.testing.wire import messages, send


def main(argv: list[str]) -> None:
    """Play the emulator until ``quit``, or until a fault ends it."""
    like = json.loads(argv[0])
    fault = like["fault"] or {"kind": "", "at": "", "words": ""}
    if like["stubborn"]:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
    if fault["at"] == "start":
        go_wrong(fault, {})
    machine = start(like, argv[1:])
    major, minor, micro = like["version"]
    version = {"qemu": {"major": major, "minor": minor, "micro": micro}, "package": like["package"]}
    send({"QMP": {"version": version, "capabilities": []}})
    for message in messages():
        arguments = message.get("arguments", {})
        word = arguments.get("command-line", "").partition(" ")[0]
        if fault["at"] in (message["execute"], word):
            go_wrong(fault, message)
            if fault["kind"] in ("wrong-shape", "silence"):
                continue
        reply: dict[str, Any] = {"id": message["id"]} if "id" in message else {}
        try:
            reply["return"] = answer(machine, message["execute"], arguments)
        except CommandRefused as refusal:
            reply["error"] = {"class": refusal.args[0], "desc": refusal.args[1]}
        send(reply)
        if machine.quit:
            return


main(sys.argv[1:])
