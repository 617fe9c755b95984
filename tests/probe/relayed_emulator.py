"""A real QEMU with some of its answers changed: ``python relayed_emulator.py FILE QEMU-OPTIONS``.

FILE is JSON: options to ``add``, events to ``drop`` or to ``delay`` by a tenth of a second, texts to
``replace`` in what it says, and a type to ``rename``, in what it is told and in what it says: the old name
is then refused.  Commands are relayed line by line.
"""

import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

__all__ = ("relayed",)

_DELAY = 0.1  # seconds


def relayed(folder: Path, changes: dict[str, Any], emulator: str = "qemu-system-x86_64") -> list[str]:
    """Return the command of a real emulator whose answers are changed.

    :param folder: Where the changes are written.
    :param changes: See the module.
    :param emulator: The emulator.
    """
    file = folder / "changes.json"
    file.write_text(json.dumps(changes | {"emulator": emulator}), encoding="utf-8")
    return [sys.executable, str(Path(__file__)), str(file)]


def main(changes: dict[str, Any], options: list[str]) -> int:
    """Run the emulator, and relay what it says, until it ends."""
    old, new = changes.get("rename", ["", ""])
    devices = [value for flag, value in zip(options, options[1:], strict=False) if flag == "-device"]
    for value in devices:
        if old and value.split(",")[0] == old:
            print(f"-device {value}: '{old}' is not a valid device model name", file=sys.stderr)
            return 1
    command = [word.replace(f"{new},", f"{old},") if new else word for word in options]
    argv = [changes["emulator"], *changes.get("add", []), *command]
    # The qtest channel is a descriptor that it inherits
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, close_fds=False) as process:
        threading.Thread(target=relay_commands, args=(process,), daemon=True).start()
        assert process.stdout
        for line in process.stdout:
            said = changed(line.decode(), changes)
            if any(f'"event": "{name}"' in said for name in changes.get("delay", [])):
                threading.Timer(_DELAY, os.write, (1, said.encode())).start()
            elif said:
                os.write(1, said.encode())
        return process.wait(10)


def relay_commands(process: "subprocess.Popen[bytes]") -> None:
    assert process.stdin
    while line := sys.stdin.buffer.readline():
        process.stdin.write(line)
        process.stdin.flush()
    process.stdin.close()


def changed(line: str, changes: dict[str, Any]) -> str:
    """Return a line that the emulator said, as it is relayed; empty for nothing."""
    if any(f'"event": "{name}"' in line for name in changes.get("drop", [])):
        return ""
    for text, other in changes.get("replace", {}).items():
        line = line.replace(text, other)
    if "rename" in changes:
        old, new = changes["rename"]
        line = re.sub(rf"(dev: |child<|\"name\": \"){old}(?=[>,\"])", rf"\g<1>{new}", line)
    return line


if __name__ == "__main__":
    # No clean-up: the thread may be reading stdin still
    status = main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")), sys.argv[2:])
    sys.stdout.flush()
    os._exit(status)
