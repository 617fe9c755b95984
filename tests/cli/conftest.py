"""What tests of the commands share: running one in this process, records, and a monitor."""

import json
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from onpanic.cli import main
from onpanic.probe import CapabilityRecord
from onpanic.probe.testing.wire import decoded

RECORDS = Path(__file__).parent.parent.parent / "compat-matrix" / "records"


class Done(NamedTuple):
    """How a command ended, and what it printed."""

    status: int
    out: str
    err: str


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Done]:
    """Return a function that runs a command in this process, away from any terminal."""
    monkeypatch.setenv("COLUMNS", "120")

    def run(*words: str | Path) -> Done:
        status = main([str(word) for word in words])
        return Done(status, *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def record() -> Callable[[str], Path]:
    """Return a function from a version to the record of that QEMU for x86_64."""

    def find(version: str) -> Path:
        (found,) = RECORDS.glob(f"qemu-system-x86_64-{version}*.json")
        return found

    return find


@pytest.fixture(scope="session")
def current(record: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function that writes the same record as it is written today, into a new file."""

    @cache
    def written(version: str) -> bytes:
        return CapabilityRecord.from_json(record(version).read_bytes()).to_json()

    def find(version: str) -> Path:
        path = tmp_path_factory.mktemp("records") / "record.json"
        path.write_bytes(written(version))
        return path

    return find


class Monitor:
    """A guest's QMP monitor, played by a thread; it serves one client after the other.

    :param state: The guest's run state.
    :param stubborn: Whether ``cont`` is refused until a reset, as by QEMU 1.6.
    """

    def __init__(self, path: Path, state: str, *, stubborn: bool = False) -> None:
        self.path = str(path)
        self.state = state
        self.stubborn = stubborn
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.path)
        self._listener.listen()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with client, suppress(OSError):  # the client has closed its end
                version = {"qemu": {"major": 7, "minor": 2, "micro": 22}, "package": ""}
                client.sendall(_line({"QMP": {"version": version, "capabilities": []}}))
                for message in decoded(iter(partial(client.recv, 65536), b"")):
                    reply = {"id": message["id"]} if "id" in message else {}
                    client.sendall(_line(reply | self._answer(message["execute"])))

    def _answer(self, name: str) -> dict[str, Any]:
        if name == "query-status":
            running = self.state == "running"
            return {"return": {"status": self.state, "singlestep": False, "running": running}}
        if name == "cont":
            if self.stubborn and self.state == "guest-panicked":
                words = "Resetting the Virtual Machine is required"
                return {"error": {"class": "GenericError", "desc": words}}
            self.state = "running"
        elif name == "system_reset":
            self.state = "paused"
        elif name not in ("qmp_capabilities", "quit"):
            return {"error": {"class": "CommandNotFound", "desc": f"The command {name} has not been found"}}
        return {"return": {}}


def _line(message: dict[str, Any]) -> bytes:
    return json.dumps(message).encode() + b"\r\n"


@pytest.fixture
def monitor(folder: Path) -> Iterator[Callable[..., Monitor]]:
    """Return a function that plays a guest's monitor."""
    started: list[Monitor] = []

    def start(state: str, *, stubborn: bool = False) -> Monitor:
        started.append(Monitor(folder / f"{len(started)}.qmp", state, stubborn=stubborn))
        return started[-1]

    yield start
    for one in started:
        one.close()


@pytest.fixture
def missing(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that makes libraries look as if they were not installed."""

    def remove(*names: str) -> None:
        for name in list(sys.modules):
            if name.startswith(("onpanic.cli.matrix", "onpanic.matrix", "onpanic.shims", "onpanic.watch")):
                monkeypatch.delitem(sys.modules, name)
        for name in names:
            for loaded in [m for m in sys.modules if m == name or m.startswith(f"{name}.")]:
                monkeypatch.delitem(sys.modules, loaded)
            monkeypatch.setitem(sys.modules, name, None)

    return remove
