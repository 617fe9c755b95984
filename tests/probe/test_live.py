"""A running guest's monitor: what it reports, that the guest is not disturbed, and what goes wrong.

A second monitor shows whether the guest is disturbed: QEMU sends events to all monitors, before it
answers later commands.
"""

import asyncio
import json
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from onpanic.probe import CapabilityRecord, DeadlineError
from onpanic.probe.live import ask_monitor

from .conftest import EMULATOR

pytestmark = pytest.mark.processes

GREETING = b'{"QMP": {"version": {"qemu": {"major": 7, "minor": 2, "micro": 0}}, "capabilities": []}}\n'
# Commands that change nothing; those that begin with `query-` are allowed, too
READ_ONLY = {"qmp_capabilities", "qom-list", "qom-get", "device-list-properties"}


Run = Callable[..., subprocess.CompletedProcess[str]]
Complaint = Callable[..., str]
NAMES = (
    *EMULATOR,
    "builtin-pvpanic",
    "vmcoreinfo-attachable",
    "pvpanic-attachable",
    "panic-reported",
    "panic-stops-guest",
    "cont-after-panic",
    "acpi-exposes-pvpanic",
)

Start = Callable[..., Any]  # a `Guest` of conftest.py


def facts(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    assert (done.returncode, done.stderr) == (0, "")
    record = CapabilityRecord.from_json(done.stdout)
    assert record.emulator.command == []
    assert record.emulator.target == "x86_64"
    (machine,) = record.machines
    assert machine.name.startswith("pc-")
    facts = {**record.facts, **machine.facts}
    return {name: facts[name].answer for name in NAMES}


@pytest.mark.emulators
@pytest.mark.parametrize(
    ("options", "attachable", "exposed"),
    [
        (["-device", "pvpanic"], "yes", "unknown"),
        (["-device", "pvpanic-pci,id=mine"], "yes", "no"),  # guests find it on the bus
        ([], "unknown", "unknown"),
    ],
)
@pytest.mark.parametrize("way", ["path", "port"])
def test_what_can_be_known_is_told(
    way: str, options: list[str], attachable: str, exposed: str, guest: Start, onpanic: Run
) -> None:
    running = guest(*options)
    address = str(running.path) if way == "path" else f"localhost:{running.port}"
    assert facts(onpanic("probe", "--format", "json", "--qmp", address)) == {
        **EMULATOR,
        "builtin-pvpanic": "no",
        "vmcoreinfo-attachable": "yes",
        "pvpanic-attachable": attachable,
        "panic-reported": "unknown",
        "panic-stops-guest": "unknown",
        "cont-after-panic": "unknown",
        "acpi-exposes-pvpanic": exposed,
    }
    assert running.events == []


@pytest.mark.emulators
@pytest.mark.parametrize("status", ["running", "paused", "guest-panicked"])
def test_the_guest_does_not_notice(status: str, guest: Start, folder: Path, onpanic: Run) -> None:
    running = guest("-device", "pvpanic", "-action", "panic=pause")
    if status == "paused":
        running.ask("stop")
    if status == "guest-panicked":
        running.ask("human-monitor-command", **{"command-line": "o /b 0x505 1"})
    assert running.status == status
    running.events.clear()
    recording = folder / "recording"
    done = onpanic("probe", "--qmp", str(running.path), "--save-recording", str(recording))
    assert (done.returncode, done.stderr) == (0, "")
    assert running.status == status
    assert running.events == []
    entries = [json.loads(line) for line in recording.read_text().splitlines()]
    asked = {entry["msg"]["execute"] for entry in entries if entry["dir"] == "send"}
    assert "query-status" in asked
    assert [name for name in asked - READ_ONLY if not name.startswith("query-")] == []
    assert onpanic("probe", "--recording", str(recording)).returncode == 0
    running.ask("system_reset")  # the second monitor does receive events
    running.ask("query-status")
    assert "RESET" in running.events


@pytest.mark.emulators
def test_a_monitor_that_another_client_holds(guest: Start, folder: Path, complaint: Complaint) -> None:
    """However many clients wait for it: Linux refuses those that QEMU's backlog has no room for."""
    guest()
    path = folder / "watched"
    with ExitStack() as waiting:
        for _ in range(4):
            said = complaint("--timeout", "1", "--qmp", str(path))
            assert said == f"the monitor at {path} is in use by another client, or its QEMU hangs"
            client = waiting.enter_context(socket.socket(socket.AF_UNIX))
            client.setblocking(False)
            with suppress(BlockingIOError):
                client.connect(str(path))


@pytest.mark.emulators
def test_a_human_monitor(guest: Start, folder: Path, complaint: Complaint) -> None:
    """It is named as what it is, and at once."""
    guest("-monitor", f"unix:{folder}/hmp,server=on,wait=off")
    said = complaint("--timeout", "3600", "--qmp", str(folder / "hmp"))
    assert said.startswith("the monitor answers as a human monitor (HMP), not QMP: QEMU ")


@pytest.mark.emulators
def test_the_monitor_is_free_afterwards(guest: Start, onpanic: Run) -> None:
    running = guest()
    for _ in range(3):
        assert onpanic("probe", "-q", "--qmp", str(running.path)).returncode == 0


@contextmanager
def speaker(listener: socket.socket, words: bytes, *, hang_up: bool) -> Iterator[None]:
    """Play a server that says something to its first client, and either hangs up or waits."""

    def speak() -> None:
        with suppress(OSError), listener.accept()[0] as client:
            client.sendall(words)
            while not hang_up and client.recv(65536):
                pass

    thread = threading.Thread(target=speak)
    thread.start()
    try:
        yield
    finally:
        thread.join(30)
        listener.close()


@pytest.mark.parametrize("hang_up", [True, False], ids=["hangs up", "waits"])
@pytest.mark.parametrize(
    "words",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"220 hello\r\n220 again\r\n",
        b"\x1b[31mred\n",
        b"\xff\xfe\n",
        b'{"hello": 1}\n',
        b"[]\n",
        b'{"QMP": 1}\n',
        GREETING,
        GREETING + b'{"return": {}}\nnonsense\n',
        GREETING + b'{"error": 1}\n',
        b"x" * 2**21,
    ],
    ids=lambda words: repr(words[:12]) if words != GREETING else "greeting",
)
def test_another_server_answers(words: bytes, hang_up: bool, folder: Path, complaint: Complaint) -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(folder / "x"))
    listener.listen()
    with speaker(listener, words, hang_up=hang_up):
        said = complaint("--timeout", "1", "--qmp", str(folder / "x"))
    assert said.isprintable()
    assert said.startswith(("the monitor: ", "the monitor hung up", "the monitor at ", f"{folder}/x: "))


def test_another_server_answers_over_tcp(complaint: Complaint) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    address = f"127.0.0.1:{listener.getsockname()[1]}"
    with speaker(listener, b"HTTP/1.1 400 Bad Request\r\n", hang_up=True):
        assert "not QMP" in complaint("--qmp", address)


def test_a_server_that_accepts_no_connection(folder: Path, complaint: Complaint) -> None:
    path = str(folder / "x")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        said = complaint("--qmp", path)
        assert said == f"{path}: Connection refused"
        listener.listen()
        said = complaint("--timeout", "1", "--qmp", path)
        assert said == f"the monitor at {path} is in use by another client, or its QEMU hangs"


async def test_a_deadline_is_one_for_callers_too(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "x"))
        listener.listen()
        with pytest.raises(DeadlineError, match="is in use by another client"):
            await ask_monitor(str(folder / "x"), 0.1)
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("{folder}/none", "{folder}/none: No such file or directory"),
        ("{folder}/no:4444", "{folder}/no:4444: No such file or directory"),
        ("{folder}", "{folder}: Connection refused"),
        ("/" + "x" * 200, "/" + "x" * 200 + ": AF_UNIX path too long"),
        ("none", "none: No such file or directory"),
        ("localhost:1", "localhost:1: Connection refused"),
        ("[::1]:1", "[::1]:1: "),
        (":1", ":1: Connection refused"),
        ("localhost:0", "localhost:0: '0' is not a port"),
        ("localhost:65536", "localhost:65536: '65536' is not a port"),
        ("localhost:" + "9" * 5000, "localhost:999"),
        ("localhost:-1", "localhost:-1: '-1' is not a port"),
        ("localhost:", "localhost:: '' is not a port"),
        ("localhost:²", "localhost:²: '²' is not a port"),
        ("host:notaport", "host:notaport: 'notaport' is not a port"),
        ("nosuchhost.invalid:4444", "nosuchhost.invalid:4444: "),
    ],
)
def test_an_address_where_nothing_listens(
    address: str, words: str, folder: Path, complaint: Complaint
) -> None:
    said = complaint("--qmp", address.format(folder=folder))
    assert said.startswith(words.format(folder=folder))


def test_a_port_like_name_that_is_a_socket(
    folder: Path, monkeypatch: pytest.MonkeyPatch, complaint: Complaint
) -> None:
    monkeypatch.chdir(folder)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("host:1")
        listener.listen()
        with speaker(listener, b"nonsense\n", hang_up=True):
            assert "not QMP" in complaint("--qmp", "host:1")
