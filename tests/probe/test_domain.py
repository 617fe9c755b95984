"""A libvirt domain's monitor: what it reports, that the guest is not disturbed, and what goes wrong.

The daemon is a real one, started for these tests alone, with its own session.
"""

import os
import queue
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from onpanic.probe import CapabilityRecord, SourceError
from onpanic.probe.api import record_from
from onpanic.probe.live import ask_domain

from ..played.constants import LIBVIRT
from ..played.libvirt import PlayedLibvirt
from ..running.libvirtd import HOST
from .conftest import EMULATOR

XML = """\
<domain type="qemu">
  <name>{name}</name>
  <memory unit="MiB">16</memory>
  <os><type arch="x86_64" machine="pc">hvm</type></os>
  <features><acpi/></features>
  <on_crash>preserve</on_crash>
  <devices>{devices}</devices>
</domain>
"""
# Commands that change nothing; those that begin with `query-` are allowed, too
READ_ONLY = {"qom-list", "qom-get", "device-list-properties"}

MACHINE = (
    "builtin-pvpanic",
    "pvpanic-attachable",
    "panic-reported",
    "panic-stops-guest",
    "cont-after-panic",
    "acpi-exposes-pvpanic",
)

pytestmark = [pytest.mark.libvirt, pytest.mark.libvirts(HOST)]


Run = Callable[..., subprocess.CompletedProcess[str]]
Complaint = Callable[..., str]


@pytest.fixture
def running(connection: Any) -> Any:
    """A running domain with a panic device, and nothing to boot."""
    return connection.createXML(XML.format(name="onpanic", devices="<panic model='isa'/>"))


def record(output: str) -> dict[str, str]:
    machine = CapabilityRecord.from_json(output).machine()
    assert machine.name.startswith("pc-")
    return {name: machine.facts[name].answer for name in MACHINE}


def test_what_can_be_known_is_told(running: Any, connection: Any, uri: str, onpanic: Run) -> None:
    connection.createXML(XML.format(name="bare", devices=""))
    command = ("probe", "--format", "json", "--connect", uri, "--domain")
    unknown = dict.fromkeys(
        ("panic-reported", "panic-stops-guest", "cont-after-panic", "acpi-exposes-pvpanic"), "unknown"
    )
    for name, attachable in (("onpanic", "yes"), ("bare", "unknown")):
        done = onpanic(*command, name)
        assert (done.returncode, done.stderr) == (0, "")
        known = {"builtin-pvpanic": "no", "pvpanic-attachable": attachable}
        assert record(done.stdout) == known | unknown


async def test_answers_belong_to_their_questions(running: Any, uri: str) -> None:
    """libvirt replaces the ids."""
    held = await ask_domain("onpanic", uri, 60)
    assert [entry.dir for entry in held.entries] == ["recv"] + ["send", "recv"] * (len(held.entries) // 2)
    facts = record_from([held], [], 0).facts
    assert {name: facts[name].answer for name in EMULATOR} == EMULATOR


@pytest.mark.parametrize("status", ["running", "paused", "crashed"])
async def test_the_guest_does_not_notice(
    status: str, running: Any, connection: Any, libvirt: Any, uri: str
) -> None:
    seen: queue.Queue[int] = queue.Queue()

    def on_event(_connection: Any, _domain: Any, event: int, _detail: int, _opaque: Any) -> None:
        seen.put(event)

    def before(event: int) -> list[int]:
        """Wait for an event and return those that came before it."""
        return list(iter(lambda: seen.get(timeout=60), event))

    number = connection.domainEventRegisterAny(running, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, on_event, None)
    if status == "paused":
        running.suspend()
        before(libvirt.VIR_DOMAIN_EVENT_SUSPENDED)
    if status == "crashed":
        human = sys.modules["libvirt_qemu"].VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP
        sys.modules["libvirt_qemu"].qemuMonitorCommand(running, "o /b 0x505 1", human)
        before(libvirt.VIR_DOMAIN_EVENT_CRASHED)
    state = running.state()
    held = await ask_domain("onpanic", uri, 60)
    assert running.state() == state
    # the registered callback does receive events, in order
    if status == "running":
        running.suspend()
        assert before(libvirt.VIR_DOMAIN_EVENT_SUSPENDED) == []
    else:
        running.resume()
        assert before(libvirt.VIR_DOMAIN_EVENT_RESUMED) == []
    connection.domainEventDeregisterAny(number)
    asked = {entry.msg["execute"] for entry in held.entries if entry.dir == "send"}
    assert "query-status" in asked
    assert [name for name in asked - READ_ONLY if not name.startswith("query-")] == []


async def test_it_goes_by_name_uuid_and_id(running: Any, uri: str) -> None:
    for name in (running.name(), running.UUIDString(), str(running.ID())):
        assert (await ask_domain(name, uri, 60)).greeting is not None


@pytest.mark.parametrize("name", ["none", "4242", "9" * 5000, "", "d5367502-df28-4712-a077-6b5e748ea598"])
async def test_no_such_domain(name: str, uri: str, libvirt: Any) -> None:
    with pytest.raises(SourceError) as caught:
        await ask_domain(name, uri, 60)
    said = f"domain {name}: " if len(name) < 100 else f"domain {name[:100]}...: "
    assert caught.value.message.startswith(f"{said}Domain not found: no domain with matching name")
    assert len(str(caught.value).splitlines()) == 2


def test_a_domain_that_is_not_running(connection: Any, uri: str, complaint: Complaint) -> None:
    connection.defineXML(XML.format(name="off", devices=""))
    said = complaint("--domain", "off", "--connect", uri)
    assert said == "domain off: Requested operation is not valid: domain is not running"


async def test_a_read_only_connection(played_libvirt: PlayedLibvirt) -> None:
    """A monitor command is more than reading, and the hint says so."""
    played_libvirt.add(XML.format(name="guest", devices=""))
    said = "operation forbidden: read only access prevents virDomainQemuMonitorCommand"
    played_libvirt.fail("qemuMonitorCommand", LIBVIRT["VIR_ERR_OPERATION_DENIED"], said)
    with pytest.raises(SourceError) as caught:
        await ask_domain("guest", "qemu:///system", 60)
    assert caught.value.message == f"domain guest: {said}"
    assert "not read-only" in caught.value.hint


async def test_qemu_does_not_answer(running: Any, uri: str, complaint: Complaint) -> None:
    """Its monitor is asked again once it does."""
    pid = int(_pid_file(uri, "onpanic").read_text())
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(SourceError, match="domain onpanic: libvirt did not answer in time"):
            await ask_domain("onpanic", uri, 1)
        said = complaint("--timeout", "1", "--domain", "onpanic", "--connect", uri)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert said == "domain onpanic: libvirt did not answer in time"
    assert (await ask_domain("onpanic", uri, 60)).greeting is not None


def _pid_file(uri: str, name: str) -> Path:
    return Path(uri.partition("socket=")[2]).parent / f"qemu/run/{name}.pid"


def test_libvirt_does_not_answer(libvirt: Any, complaint: Complaint) -> None:
    with tempfile.TemporaryDirectory(prefix="onpanic-") as name, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{name}/x")
        listener.listen()
        silent = f"qemu+unix:///system?socket={name}/x"
        said = complaint("--timeout", "1", "--domain", "x", "--connect", silent)
    assert said == "domain x: libvirt did not answer in time"


@pytest.mark.parametrize(
    ("domain", "uri", "words"),
    [
        ("test", "test:///default", "domain test: this function is not supported by the connection driver: "),
        ("none", "test:///default", "domain none: Domain not found"),
        ("x", "nonsense:///x", "libvirt: "),
        ("x", "qemu+unix:///system?socket=/none", "libvirt: Failed to connect socket to '/none': No such"),
        ("x", "qemu+tcp://localhost:1/system", "libvirt: unable to connect to server at 'localhost:1': "),
        ("x", "qemu:///nonsense", "libvirt: "),
        ("x", "::", "libvirt: "),
    ],
)
def test_a_connection_without_qemu_domains(
    domain: str, uri: str, words: str, libvirt: Any, complaint: Complaint
) -> None:
    assert complaint("--domain", domain, "--connect", uri).startswith(words)


@pytest.mark.parametrize("name", ["libvirt", "libvirt_qemu"])
def test_without_the_python_module(name: str, tmp_path: Path, complaint: Complaint) -> None:
    pytest.importorskip("libvirt")
    (tmp_path / f"{name}.py").write_text("raise ImportError('its library is\\nof another version')\n")
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    said = complaint("--domain", "x", "--connect", "test:///default", PYTHONPATH=path)
    assert said == "libvirt-python is not installed: its library is of another version"
