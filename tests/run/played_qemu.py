"""A played QEMU for `onpanic run`: a script that takes QEMU's options.

Its monitor is on a socket that it inherits.  It does what the
description in the environment says; no guest is emulated.
"""

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

__all__ = ("VARIABLE", "PlayedQemu", "event", "install")

#: The environment variable with the description.
VARIABLE = "ONPANIC_PLAYED_QEMU"

_SCRIPT = f"""\
#!{sys.executable} -S
import json, os, re, signal, socket, sys, time

played = json.loads(os.environ["{VARIABLE}"])
options = sys.argv[1:]
values = dict(zip(options, options[1:]))
devices = [value for name, value in zip(options, options[1:]) if name == "-device"]
with open(played["log"], "a") as log:
    print(json.dumps(options), file=log)
refused = [one for one in devices if one not in played["takes"]]
if refused:
    print(f"qemu: -device {{refused[0]}}: not taken", file=sys.stderr)
    sys.exit(1)
if values.get("-qmp") == "stdio":  # a question about devices
    print('{{"return": {{}}}}')
    sys.exit(0)
if played["closes"]:
    print("qemu: -readconfig: no such file", file=sys.stderr)
    sys.exit(1)

with open(values["-readconfig"]) as config:
    channel = socket.socket(fileno=int(re.search('fd = "([0-9]*)"', config.read())[1]))
def send(message):
    channel.sendall(json.dumps(message).encode() + b"\\r\\n")

def asked_to_end(number, frame):
    print(f"ended by {{signal.Signals(number).name}}", flush=True)
    os._exit(0)
if played["stubborn"]:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
else:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, asked_to_end)
version = {{"qemu": {{"major": 7, "minor": 2, "micro": 0}}, "package": ""}}
send({{"QMP": {{"version": version, "capabilities": []}}}})
begun = False
for line in channel.makefile():
    message = json.loads(line)
    name = message["execute"]
    if name == "quit":
        if played["stubborn"]:
            continue
        send({{"return": {{}}, "id": message["id"]}})
        sys.exit(played["status"])
    if name in ("qmp_capabilities", "stop", "cont", "system_reset", "set-action"):
        answer = {{"return": {{}}}}
    elif name == "query-status":
        answer = {{"return": {{"status": played["state"] if begun else "running", "running": not begun}}}}
    else:
        answer = {{"error": {{"class": "CommandNotFound", "desc": f"no {{name}}"}}}}
    send({{**answer, "id": message["id"]}} if "id" in message else answer)
    if name == "system_reset":
        send({{"event": "RESET", "data": {{"guest": False, "reason": "host-qmp-system-reset"}},
              "timestamp": {{"seconds": 0, "microseconds": 0}}}})
    if name == "query-status" and not begun:
        begun = True
        print("began", flush=True)
        for event in played["events"]:
            send(event)
        if played["dies"]:
            os.kill(os.getpid(), signal.SIGKILL)
"""


@dataclass(frozen=True)
class PlayedQemu:
    """What it does.

    :param takes: The devices that its machine type takes.
    :param events: What it sends once it is followed.
    :param state: The run state once they are sent.
    :param status: The exit status after QMP's quit.
    :param closes: Whether it does not have the socket, as behind ``ssh``.
    :param stubborn: Whether it answers neither quit nor SIGTERM.
    :param dies: Whether SIGKILL ends it after the events.
    """

    takes: Sequence[str] = ("pvpanic", "pvpanic-pci", "vmcoreinfo")
    events: Sequence[dict[str, object]] = ()
    state: str = "running"
    status: int = 0
    closes: bool = False
    stubborn: bool = False
    dies: bool = False

    def environment(self, folder: Path) -> dict[str, str]:
        """Return the environment that describes it; its command lines are logged in a folder."""
        return {**os.environ, VARIABLE: json.dumps({**asdict(self), "log": str(folder / "played.log")})}


def install(folder: Path, name: str = "qemu-system-x86_64") -> str:
    """Write the script to a folder, and return its path."""
    path = folder / name
    path.write_text(_SCRIPT)
    path.chmod(0o755)
    return str(path)


def event(name: str, **data: object) -> dict[str, object]:
    """Return an event of QEMU's."""
    return {"event": name, "data": data, "timestamp": {"seconds": 0, "microseconds": 0}}
