"""A `PolicyConnection` on real drivers, and `onpanic domcaps` and `to-libvirt` with the same libvirt."""

import asyncio
import queue
import re
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from onpanic import shims
from onpanic.probe import CapabilityRecord, OnpanicError, SourceError, probe
from onpanic.probe.xen.record_of_xen import unasked_xen
from onpanic.shims import policy_of
from onpanic.shims.domain_xml.domain_machine import DomainMachine
from onpanic.shims.domain_xml.policy_xml import NAMESPACE, OLD_NAMESPACE
from onpanic.shims.translation.domain_capabilities import with_on_panic

from ..running.libvirtd import folder_of

pytestmark = pytest.mark.libvirt

Run = Callable[..., subprocess.CompletedProcess[str]]
Socket = Callable[[], AbstractContextManager[str]]
# Stand for what libvirt itself uses
EMULATOR, CANONICAL_PC = "its emulator", "its canonical name of the machine type pc"
# A guest that reads these event masks reports no panic
SILENT = ("-global", "pvpanic.events=2", "-global", "pvpanic-pci.events=2")
VALUES = ["default", "ignore", "restart", "destroy", "preserve", "rename-restart", "pause"]
XML = """\
<domain type="{kind}">
  <name>guest</name>
  <memory unit="MiB">16</memory>
  <os><type arch="{arch}" machine="{machine}">hvm</type></os>
  <features><acpi/></features>
  {policy}
  <devices>{devices}</devices>
</domain>
"""
# Numbers of libvirt's remote procedures
QUESTIONS = {"open": 1, "version": 157, "domain capabilities": 342}


def described(
    policy: str, kind: str = "qemu", arch: str = "x86_64", machine: str = "pc", devices: str = ""
) -> str:
    return XML.format(policy=policy, kind=kind, arch=arch, machine=machine, devices=devices)


def stated(value: str) -> str:
    return f"<on_panic>{value}</on_panic>"


def enums(xml: str) -> dict[str, list[str]] | None:
    """Return the enums of <on_panic> in domain capabilities, None without <on_panic>."""
    root = etree.fromstring(xml)
    block = root.find("on_panic")
    if block is None:
        return None
    assert block.get("supported") == "yes"
    return {str(e.get("name")): [str(v.text) for v in e.iterfind("value")] for e in block.iterfind("enum")}


@pytest.fixture
def extended(connection: Any) -> Any:
    return shims.extend(connection)


def without_panic_models(xml: str) -> str:
    return re.sub("<panic .*?(/>|</panic>)", "<panic/>", xml, flags=re.DOTALL)


def panic_models(xml: str) -> list[str | None]:
    return [value.text for value in etree.fromstring(xml).iterfind("devices/panic/enum/value")]


@pytest.fixture(scope="module")
def emulator(uri: str) -> Callable[[str, str], str]:
    """Return a function that writes a shell script as an emulator that libvirt can start."""
    folder = folder_of(uri).parent

    def write(name: str, script: str) -> str:
        path = folder / name
        path.write_text(f"#!/bin/sh\n{script}\n", "utf-8")
        path.chmod(0o755)
        return str(path)

    return write


@pytest.fixture(scope="module")
def refusing(domcaps_emulator: str) -> CapabilityRecord:
    """Return the capability record of an emulator whose devices report no panic."""
    return probe([domcaps_emulator, *SILENT], machines=["pc"])


# Domain capabilities


@pytest.mark.parametrize(
    "words",
    [
        (),
        (None, None, "q35"),
        (None, "x86_64", "isapc", "qemu"),
        (EMULATOR, "x86_64", CANONICAL_PC, "qemu"),
        (EMULATOR,),
    ],
)
def test_the_domain_capabilities_say_what_may_be_promised(
    words: tuple[str | None, ...], extended: Any, connection: Any, domcaps_emulator: str
) -> None:
    """The accepted values are listed; the rest is what libvirt returns, without models that do not work."""
    canonical = etree.fromstring(connection.getDomainCapabilities(machine="pc")).findtext("machine")
    known = {EMULATOR: domcaps_emulator, CANONICAL_PC: canonical}
    words = tuple(known.get(word or "", word) for word in words)
    own = connection.getDomainCapabilities(*words)
    said = extended.getDomainCapabilities(*words)
    assert enums(said) == {"value": VALUES, "coredump": ["no", "yes"]}
    start, end = said.index("  <on_panic"), said.index("</on_panic>\n") + len("</on_panic>\n")
    assert without_panic_models(said[:start] + said[end:]) == without_panic_models(own)
    assert set(panic_models(said)) <= set(panic_models(own))


def test_they_take_the_words_that_libvirt_takes(extended: Any) -> None:
    assert enums(extended.getDomainCapabilities(machine="q35", virttype="qemu")) is not None
    assert enums(extended.getDomainCapabilities(flags=0)) is not None


def test_an_emulator_that_does_not_work(refusing: CapabilityRecord, connection: Any) -> None:
    said = shims.extend(connection, refusing).getDomainCapabilities(machine="pc")
    assert enums(said) == {"value": ["default", "ignore"], "coredump": ["no"]}


@pytest.mark.emulators
def test_it_is_the_emulator_that_libvirt_names_which_is_asked(
    emulator: Callable[[str, str], str], domcaps_emulator: str, extended: Any, libvirt: Any
) -> None:
    path = emulator("qemu-silent", f'exec {domcaps_emulator} "$@" {" ".join(SILENT)}')
    said = extended.getDomainCapabilities(path)
    assert etree.fromstring(said).findtext("path") == path
    assert enums(said) == {"value": ["default", "ignore"], "coredump": ["no"]}
    domain = described(stated("restart"), devices=f"<emulator>{path}</emulator>")
    with pytest.raises(libvirt.libvirtError, match="panic-not-reported"):
        extended.defineXML(domain)


def test_xen(connection: Any) -> None:
    """Xen's values do not depend on an emulator."""
    said = connection.getDomainCapabilities()
    xen = said.replace("<domain>qemu</domain>", "<domain>xen</domain>")
    assert enums(with_on_panic(xen, unasked_xen())) == {"value": ["default", "crash"], "coredump": ["no"]}


@pytest.mark.parametrize("kind", ["lxc", "bhyve", "vz"])
def test_a_hypervisor_that_nothing_is_known_of(
    kind: str, connection: Any, refusing: CapabilityRecord
) -> None:
    said = connection.getDomainCapabilities().replace("<domain>qemu</domain>", f"<domain>{kind}</domain>")
    assert with_on_panic(said, refusing) == said


@pytest.mark.parametrize(
    "words", [(None, "ia64"), ("/nonexistent",), (None, None, "none"), (None, None, None, "nonsense")]
)
def test_what_libvirt_refuses_it_refuses_in_its_own_words(
    words: tuple[str | None, ...], extended: Any, connection: Any, libvirt: Any
) -> None:
    with pytest.raises(libvirt.libvirtError) as own:
        connection.getDomainCapabilities(*words)
    with pytest.raises(libvirt.libvirtError) as caught:
        extended.getDomainCapabilities(*words)
    assert type(caught.value) is type(own.value)
    assert str(caught.value) == str(own.value)


def test_a_driver_without_domain_capabilities(test_driver: Any, libvirt: Any) -> None:
    with suppress(libvirt.libvirtError):  # newer ones have them
        test_driver.getDomainCapabilities()
        return
    with pytest.raises(libvirt.libvirtError) as caught:
        shims.extend(test_driver).getDomainCapabilities()
    assert caught.value.get_error_code() == libvirt.VIR_ERR_NO_SUPPORT


def test_an_emulator_on_another_host(
    connection: Any,
    domcaps_emulator: str,
    libvirt: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(connection, "getURI", lambda: "qemu+ssh://elsewhere/system")
    far = shims.extend(connection)
    assert enums(far.getDomainCapabilities()) is None
    assert "elsewhere" in caplog.text
    with pytest.raises(libvirt.libvirtError, match="the emulator is on another host") as caught:
        far.defineXML(described(stated("restart")))
    assert caught.value.get_error_code() == libvirt.VIR_ERR_CONFIG_UNSUPPORTED
    known = shims.extend(connection, probe(domcaps_emulator, machines=["pc"]))
    assert enums(known.getDomainCapabilities()) is not None
    assert known.defineXML(described(stated("restart"))).name() == "guest"


# Domains


@pytest.mark.parametrize("method", ["defineXML", "defineXMLFlags", "createXML"])
def test_a_policy_is_taken_and_shown_again(method: str, extended: Any, libvirt: Any) -> None:
    xml = described("<on_panic coredump='yes'>restart</on_panic><on_crash>preserve</on_crash>")
    domain = getattr(extended, method)(xml)
    flags = [0, libvirt.VIR_DOMAIN_XML_SECURE]
    flags += [] if method == "createXML" else [libvirt.VIR_DOMAIN_XML_INACTIVE]
    for found in (domain, extended.lookupByName("guest"), *extended.listAllDomains()):
        for flag in flags:
            shown = found.XMLDesc(flag)
            assert policy_of(shown) == policy_of(xml)
            assert NAMESPACE not in shown


def test_a_running_domain_shows_the_policy_that_it_has(extended: Any, libvirt: Any) -> None:
    domain = extended.defineXML(described(stated("pause")))
    domain.create()
    extended.defineXML(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE).replace("pause", "destroy"))
    shown = [policy_of(domain.XMLDesc(flags)) for flags in (0, libvirt.VIR_DOMAIN_XML_INACTIVE)]
    assert [policy and policy.on_panic for policy in shown] == ["pause", "destroy"]


def test_validation_is_of_what_libvirt_gets(extended: Any, libvirt: Any) -> None:
    flags = libvirt.VIR_DOMAIN_DEFINE_VALIDATE
    assert extended.defineXMLFlags(described(stated("preserve")), flags).name() == "guest"
    with pytest.raises(libvirt.libvirtError) as caught:
        extended.defineXMLFlags(described(stated("preserve") + "<nonsense/>"), flags)
    assert caught.value.get_error_code() == libvirt.VIR_ERR_XML_INVALID_SCHEMA


def test_xml_for_a_migration_is_libvirts(extended: Any, connection: Any, libvirt: Any) -> None:
    domain = extended.defineXML(described(stated("preserve")))
    flags = libvirt.VIR_DOMAIN_XML_MIGRATABLE
    assert domain.XMLDesc(flags) == connection.lookupByName("guest").XMLDesc(flags)


@pytest.mark.parametrize("method", ["defineXML", "defineXMLFlags", "createXML"])
@pytest.mark.parametrize(
    ("policy", "number", "reason"),
    [
        (stated("crash"), 67, "crash-needs-xen: crash means to do what <on_crash> says"),
        (stated("explode"), 67, "unknown-value: this is not a value of <on_panic> ('explode')"),
        ("<on_panic coredump='yes'>ignore</on_panic>", 67, "coredump-needs-action: a coredump is valid only"),
        (stated("pause") + "<on_crash>explode</on_crash>", 67, "unknown-on-crash: "),
        ("<on_panic dump='yes'>pause</on_panic>", 27, "<on_panic> has no attribute dump"),
        (stated("pause") * 2, 27, "there is more than one <on_panic>"),
    ],
)
def test_a_bad_policy_is_refused_as_libvirt_refuses(
    policy: str, number: int, reason: str, method: str, extended: Any, libvirt: Any
) -> None:
    with suppress(libvirt.libvirtError):
        extended.lookupByName("none")  # what went wrong before is not what is wrong now
    with pytest.raises(libvirt.libvirtError) as caught:
        getattr(extended, method)(described(policy))
    assert caught.value.get_error_code() == number
    assert reason in str(caught.value)
    assert caught.value.get_error_message() == str(caught.value)
    assert isinstance(caught.value.cause, OnpanicError)
    assert extended.listAllDomains() == []


@pytest.mark.parametrize("kind", ["xen", "lxc"])
def test_a_policy_for_another_hypervisor(kind: str, extended: Any, libvirt: Any) -> None:
    with pytest.raises(libvirt.libvirtError, match="refused: ") as caught:
        extended.defineXML(described(stated("restart"), kind=kind))
    assert caught.value.get_error_code() == libvirt.VIR_ERR_CONFIG_UNSUPPORTED


def test_an_error_says_what_is_wrong_now(connection: Any, libvirt: Any) -> None:
    """The message is not libvirt's last error, which is about something else."""

    def unknown(_machine: DomainMachine) -> CapabilityRecord:
        with suppress(libvirt.libvirtError):
            connection.lookupByName("none")
        raise SourceError("the emulator is not known", "name it")

    with pytest.raises(libvirt.libvirtError) as caught:
        shims.extend(connection, unknown).defineXML(described(stated("restart")))
    assert str(caught.value) == "unsupported configuration: the emulator is not known"


@pytest.mark.parametrize(
    ("arch", "machine", "devices", "reason"),
    [
        ("ia64", "virt", "", "unable to find any emulator to serve 'ia64'"),
        ("x86_64", "nonsense", "", "the machine 'nonsense' is not supported"),
        ("x86_64", "pc", "<emulator>/nonexistent</emulator>", "/nonexistent: no such file"),
    ],
)
def test_an_emulator_that_is_not_there(
    arch: str, machine: str, devices: str, reason: str, extended: Any, libvirt: Any
) -> None:
    with pytest.raises(libvirt.libvirtError) as caught:
        extended.defineXML(described(stated("restart"), arch=arch, machine=machine, devices=devices))
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "words", ["", "<on_crash>restart</on_crash>", "<metadata><x:y xmlns:x='urn:x'/></metadata>"]
)
def test_a_domain_without_a_policy_goes_through_as_it_is(
    words: str, connection: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No record is needed, and no byte is changed in either direction."""
    xml = described(words, devices="<panic model='isa'/>")
    got: list[str] = []
    define = connection.defineXML

    def listen(text: str) -> Any:
        got.append(text)
        return define(text)

    monkeypatch.setattr(connection, "defineXML", listen)

    def no_record(_machine: DomainMachine) -> CapabilityRecord:
        raise AssertionError

    domain = shims.extend(connection, no_record).defineXML(xml)
    assert got == [xml]
    assert domain.XMLDesc() == connection.lookupByName("guest").XMLDesc()


def test_the_test_driver(test_driver: Any, record: CapabilityRecord) -> None:
    own = test_driver.lookupByName("test")
    extended = shims.extend(test_driver, record)
    assert extended.lookupByName("test").XMLDesc() == own.XMLDesc()
    xml = described("<on_panic coredump='yes'>rename-restart</on_panic>", kind="test", arch="i686")
    assert policy_of(extended.defineXML(xml).XMLDesc()) == policy_of(xml)


def test_a_policy_in_the_old_namespace(test_driver: Any, record: CapabilityRecord) -> None:
    """A domain that version 0.1.0 has defined shows its policy; defined again, it has the new one."""
    connection = shims.extend(test_driver, record)
    connection.defineXML(described(stated("pause"), kind="test", arch="i686"))
    stored = test_driver.lookupByName("guest").XMLDesc()
    assert NAMESPACE in stored
    old = stored.replace(NAMESPACE, OLD_NAMESPACE)
    test_driver.defineXML(old)
    shown = connection.lookupByName("guest").XMLDesc()
    assert "<on_panic>pause</on_panic>" in shown
    assert OLD_NAMESPACE not in shown
    for document in (old, shown):
        connection.defineXML(document)
        again = test_driver.lookupByName("guest").XMLDesc()
        assert NAMESPACE in again
        assert OLD_NAMESPACE not in again


# What is wrapped stays what it is


def test_libvirts_own_functions_work_with_what_is_wrapped(
    extended: Any, connection: Any, libvirt: Any
) -> None:
    qemu = sys.modules["libvirt_qemu"]
    assert isinstance(extended, libvirt.virConnect)
    domain = extended.createXML(described(stated("pause")))
    assert isinstance(domain, libvirt.virDomain)
    assert domain.connect() is extended
    assert '"running"' in qemu.qemuMonitorCommand(domain, '{"execute":"query-status"}', 0)
    assert domain.info()[:4] == connection.lookupByName("guest").info()[:4]  # the fifth is its CPU time
    assert domain.listAllSnapshots() == []
    with pytest.raises(libvirt.libvirtError, match="snapshot"):
        domain.snapshotCreateXML("<domainsnapshot/>")
    ((found, _),) = extended.domainListGetStats([domain])
    assert found.name() == "guest"
    assert [number.name() for number in extended.listAllDomains()] == ["guest"]


def test_events_arrive(extended: Any, libvirt: Any) -> None:
    received: queue.Queue[tuple[str, Any]] = queue.Queue()
    domain = extended.createXML(described(stated("preserve")))
    qemu = sys.modules["libvirt_qemu"]

    def lifecycle(_connection: Any, found: Any, event: int, _detail: int, _opaque: Any) -> None:
        received.put((found.name(), event))

    def monitor(_connection: Any, found: Any, event: str, *_details: Any) -> None:
        received.put((found.name(), event))

    number = extended.domainEventRegisterAny(domain, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, lifecycle, None)
    other = qemu.qemuMonitorEventRegister(extended, domain, "GUEST_PANICKED", monitor, None)
    qemu.qemuMonitorCommand(domain, "o /b 0x505 1", qemu.VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP)
    wanted = {("guest", libvirt.VIR_DOMAIN_EVENT_CRASHED), ("guest", "GUEST_PANICKED")}
    while wanted:
        wanted -= {received.get(timeout=60)}
    extended.domainEventDeregisterAny(number)
    qemu.qemuMonitorEventDeregister(extended, other)


def test_a_connection_is_a_context_as_libvirts_is(libvirt: Any) -> None:
    with shims.extend(libvirt.open("test:///default")) as connection:
        assert connection.isAlive()


def test_domains_with_statistics_show_their_policy_too(extended: Any) -> None:
    extended.defineXML(described(stated("pause")))
    ((domain, _),) = extended.getAllDomainStats()
    assert "<on_panic>pause</on_panic>" in domain.XMLDesc()


async def test_in_an_event_loop(extended: Any) -> None:
    assert asyncio.get_running_loop()
    assert enums(extended.getDomainCapabilities()) is not None
    assert extended.defineXML(described(stated("pause"))).name() == "guest"


# The commands


def complaint(done: subprocess.CompletedProcess[str]) -> str:
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    said = done.stderr.splitlines()
    assert len(said) in (1, 2)
    assert said[0].startswith("onpanic: ")
    assert all(line.startswith("onpanic: hint: ") for line in said[1:])
    return said[0].removeprefix("onpanic: ")


def test_domcaps(uri: str, domcaps_emulator: str, onpanic: Run, connection: Any) -> None:
    done = onpanic("domcaps", "--connect", uri)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == shims.extend(connection).getDomainCapabilities()
    words = ("--machine", "q35", "--arch", "x86_64", "--virttype", "qemu", "--emulator", domcaps_emulator)
    done = onpanic("domcaps", "--connect", uri, *words)
    assert (done.returncode, done.stderr) == (0, "")
    own = etree.fromstring(connection.getDomainCapabilities(machine="q35"))
    assert etree.fromstring(done.stdout.encode()).findtext("machine") == own.findtext("machine")
    assert enums(done.stdout) == {"value": VALUES, "coredump": ["no", "yes"]}


def test_domcaps_by_a_record(uri: str, onpanic: Run, refusing: CapabilityRecord, tmp_path: Path) -> None:
    (tmp_path / "record").write_bytes(refusing.to_json())
    done = onpanic("domcaps", "--connect", uri, "--record", str(tmp_path / "record"))
    assert (done.returncode, done.stderr) == (0, "")
    assert enums(done.stdout) == {"value": ["default", "ignore"], "coredump": ["no"]}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--connect", "nonsense:///x"), "libvirt: "),
        (("--connect", "qemu+unix:///session?socket=/none"), "libvirt: Failed to connect socket to '/none'"),
        (("--connect", "::"), "libvirt: "),
        (("--connect", "test:///default"), "libvirt: "),
        (("--emulator", "/nonexistent"), "libvirt: Cannot check QEMU binary /nonexistent: No such file"),
        (("--machine", "nonsense"), "libvirt: invalid argument: the machine 'nonsense' is not supported"),
        (("--arch", "nonsense"), "libvirt: invalid argument: unknown architecture: nonsense"),
        (("--virttype", "nonsense"), "libvirt: invalid argument: unknown virttype: nonsense"),
        (("--record", "/nonexistent"), "/nonexistent: No such file or directory"),
    ],
)
def test_domcaps_cannot_be_had(words: tuple[str, ...], message: str, uri: str, onpanic: Run) -> None:
    connect = () if "--connect" in words else ("--connect", uri)
    assert complaint(onpanic("domcaps", *connect, *words)).startswith(message)


@pytest.mark.emulators
def test_domcaps_of_an_emulator_that_is_gone(
    uri: str, emulator: Callable[[str, str], str], domcaps_emulator: str, onpanic: Run
) -> None:
    """libvirt has cached what the emulator can do."""
    script = (
        f'case "$*" in *"-machine none"*) exec {domcaps_emulator} "$@";; esac; echo it is gone >&2; exit 3'
    )
    said = complaint(onpanic("domcaps", "--connect", uri, "--emulator", emulator("qemu-gone", script)))
    assert "it is gone" in said


@contextmanager
def between(path: str, procedure: int, hang: bool) -> Iterator[tuple[str, threading.Event]]:
    """Relay between libvirt and its client until the client calls a certain procedure.

    Then the connection is closed, or nothing is answered any more, and an event is set.
    """
    with tempfile.TemporaryDirectory(prefix="onpanic-") as name, socket.socket(socket.AF_UNIX) as listener:
        listener.settimeout(60)
        listener.bind(f"{name}/x")
        listener.listen()
        asked, done = threading.Event(), threading.Event()

        def serve() -> None:
            client, _ = listener.accept()
            with client, socket.socket(socket.AF_UNIX) as server, client.makefile("rb") as requests:
                server.connect(path)
                threading.Thread(target=answer, args=(server, client), daemon=True).start()
                while head := requests.read(16):
                    length, _program, _version, number = struct.unpack(">4I", head)
                    if number == procedure:
                        asked.set()
                        break
                    server.sendall(head + requests.read(length - 16))
                if hang:
                    done.wait(120)
                for one in (server, client):
                    with suppress(OSError):
                        one.shutdown(socket.SHUT_RDWR)

        def answer(server: socket.socket, client: socket.socket) -> None:
            with suppress(OSError):
                while data := server.recv(65536):
                    client.sendall(data)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield f"qemu+unix:///session?socket={name}/x", asked
        finally:
            done.set()
            thread.join(60)
            assert not thread.is_alive()


@pytest.mark.parametrize("hang", [False, True])
@pytest.mark.parametrize("command", ["domcaps", "to-libvirt"])
@pytest.mark.parametrize("question", QUESTIONS)
def test_libvirt_goes_away_in_the_middle(
    question: str, command: str, hang: bool, uri: str, onpanic: Run, tmp_path: Path
) -> None:
    """If libvirt does not answer, the command fails instead of guessing."""
    (tmp_path / "domain.xml").write_text(described(stated("restart")), "utf-8")
    words = [command, str(tmp_path / "domain.xml")] if command == "to-libvirt" else [command]
    too_late, reached, seconds = "libvirt did not answer in time", False, 1 if hang else 20
    while not reached and seconds < 100:  # on a busy host it takes longer until this is asked
        with between(uri.partition("socket=")[2], QUESTIONS[question], hang) as (middle, asked):
            done = onpanic(*words, "--connect", middle, "--timeout", str(seconds))
            reached, seconds = asked.is_set() or too_late not in done.stderr, 4 * seconds
    if not asked.is_set():
        assert done.returncode == 0
        return
    assert complaint(done).startswith(too_late if hang else "libvirt: ")


def test_to_libvirt_asks_the_libvirt_that_it_is_for(
    uri: str, onpanic: Run, tmp_path: Path, connection: Any
) -> None:
    (tmp_path / "domain.xml").write_text(described("<on_panic coredump='yes'>destroy</on_panic>"), "utf-8")
    done = onpanic("to-libvirt", "--connect", uri, "-q", str(tmp_path / "domain.xml"))
    assert (done.returncode, done.stderr) == (0, "")
    assert "<on_crash>coredump-destroy</on_crash>" in done.stdout
    shown = shims.extend(connection).defineXML(done.stdout).XMLDesc()
    assert "<on_panic coredump='yes'>destroy</on_panic>" in shown


def test_to_libvirt_by_a_policy_that_is_refused(uri: str, onpanic: Run, tmp_path: Path) -> None:
    (tmp_path / "domain.xml").write_text(described(stated("crash")), "utf-8")
    done = onpanic("to-libvirt", "--connect", uri, str(tmp_path / "domain.xml"))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("onpanic: refused: crash-needs-xen: ")


def test_the_daemon_ends(libvirtd: Socket, libvirt: Any) -> None:
    """If the daemon ends between two calls, libvirt's own error is raised."""
    with libvirtd() as found:
        connection = shims.extend(libvirt.open(found))
    for call in (
        connection.getDomainCapabilities,
        lambda: connection.defineXML(described(stated("restart"))),
    ):
        with pytest.raises(libvirt.libvirtError):
            call()
