"""The played libvirt for a command that runs as a process.

The fixture ``played_libvirt_command`` gives a test a `CommandLibvirt`.  Its `environment` puts
``tests/played/site`` on PYTHONPATH, where the process finds the modules ``libvirt`` and
``libvirt_qemu`` before any that is installed::

    def test_status(played_libvirt_command: CommandLibvirt, onpanic: ...) -> None:
        played_libvirt_command.add(PRESERVE, do=["panic"])
        done = onpanic("status", "--domain", "guest", **played_libvirt_command.environment)
        assert ("resume", "guest") not in played_libvirt_command.calls()

Each process has a libvirt of its own that begins with the domains added before.  `CommandLibvirt.do`
makes something happen in a process that runs, such as a watcher.
"""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

from .libvirt import PRESERVE, Call, PlayedLibvirt

__all__ = ("CommandLibvirt", "played_by_environment")

_VARIABLE = "ONPANIC_PLAYED_LIBVIRT"


class CommandLibvirt:
    """The libvirt of a process, as the test sees it.

    :param folder: An empty folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._steps: list[dict[str, Any]] = []
        os.mkfifo(folder / "control")
        self._control = os.open(folder / "control", os.O_RDWR)  # both ends: nobody waits for the other
        site = Path(__file__).parent / "site"
        #: The environment variables for the process.
        self.environment = {
            _VARIABLE: str(folder),
            "PYTHONPATH": os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH", "")])),
        }
        self._write()

    def set(self, **attributes: Any) -> None:
        """Set attributes of the `PlayedLibvirt`, e.g. ``version``, in processes that start later."""
        self._steps.append({"set": attributes})
        self._write()

    def add(self, xml: str = PRESERVE, *, do: list[str] | None = None, **options: Any) -> None:
        """Add a domain to processes that start later.

        :param xml: Its XML.
        :param do: Methods of its `PlayedDomain` that are called then, e.g. ``panic``.
        :param options: For `PlayedLibvirt.add`.
        """
        self._steps.append({"add": xml, "options": options, "do": do or []})
        self._write()

    def fail(self, call: str, code: int, message: str, **options: Any) -> None:
        """Let a call fail in processes that start later, see `PlayedLibvirt.fail`."""
        self._steps.append({"fail": [call, code, message], "options": options})
        self._write()

    def hang(self, call: str, **options: Any) -> None:
        """Let a call block until the process ends, see `PlayedLibvirt.hang`."""
        self._steps.append({"hang": call, "options": options})
        self._write()

    def do(self, method: str, domain: str | None = None, **arguments: Any) -> None:
        """Call a method of a domain, or of the `PlayedLibvirt`, in the process that runs."""
        line = json.dumps({"call": method, "domain": domain, "arguments": arguments})
        os.write(self._control, line.encode() + b"\n")

    def calls(self) -> list[Call]:
        """Return the calls that the processes have made."""
        try:
            text = (self._folder / "calls").read_text(encoding="utf-8")
        except FileNotFoundError:
            return []
        return [Call(*json.loads(line)) for line in text.splitlines()]

    def close(self) -> None:
        """Close the control channel."""
        os.close(self._control)

    def _write(self) -> None:
        (self._folder / "steps").write_text(json.dumps(self._steps), encoding="utf-8")


class _Calls(list[Call]):
    """A list of calls that is also written to a file, a line each."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def append(self, call: Call) -> None:
        super().append(call)
        os.write(self._file, json.dumps(call).encode() + b"\n")


def played_by_environment() -> PlayedLibvirt:
    """Return the libvirt that a test has described for this process."""
    played = PlayedLibvirt()
    folder = Path(os.environ[_VARIABLE])
    for step in json.loads((folder / "steps").read_text(encoding="utf-8")):
        if "set" in step:
            vars(played).update(step["set"])
        elif "add" in step:
            domain = played.add(step["add"], **step["options"])
            for method in step["do"]:
                getattr(domain, method)()
        elif "fail" in step:
            played.fail(*step["fail"], **step["options"])
        else:
            played.hang(step["hang"], seconds=None, **step["options"])
    played.calls = _Calls(folder / "calls")

    def listen() -> None:
        with os.fdopen(os.open(folder / "control", os.O_RDWR), "rb", buffering=0) as orders:
            for line in orders:
                order = json.loads(line)
                found: list[Any] = [d for d in played.domains if d.name == order["domain"]]
                getattr(found[0] if found else played, order["call"])(**order["arguments"])

    threading.Thread(target=listen, daemon=True, name="played control").start()
    return played
