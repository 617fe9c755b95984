"""What a policy becomes on a real Xen: libvirt keeps what is written, and Xen does it."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from onpanic import shims
from onpanic.cli import main
from onpanic.core.errors import RefusedError
from onpanic.core.libvirt_api import silence_libvirt
from onpanic.probe import CapabilityRecord
from onpanic.probe.decision.policy import Policy
from onpanic.shims import Libvirt, from_libvirt, to_libvirt
from onpanic.shims.translation.domain_emulator import prober_for

from ..running.xen_lab import XenLab

libvirt = pytest.importorskip("libvirt")
etree = pytest.importorskip("lxml.etree")

#: The image that guests start with, which is replaced before they are restarted.
IMAGE, HVM_IMAGE = "/tmp/guest.elf", "/usr/lib/xen-4.17/boot/hvmloader"
DUMPS = "/var/lib/libvirt/libxl/dump"

CRASHED = [libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_CRASHED]

SYSTEMS = {
    "pv": f"<type arch='x86_64' machine='xenpv'>linux</type><kernel>{IMAGE}</kernel>",
    "pvh": f"<type arch='x86_64' machine='xenpvh'>xenpvh</type><kernel>{IMAGE}</kernel>",
    "hvm": "<type arch='x86_64' machine='xenfv'>hvm</type>",
}


def described(policy: str, kind: str = "pv", **parts: str) -> str:
    system = parts.get("system", SYSTEMS[kind])
    return (
        f"<domain type='{parts.get('type', 'xen')}'><name>guest</name><memory unit='MiB'>32</memory>"
        f"<os>{system}</os>{policy}{parts.get('more', '')}</domain>"
    )


@pytest.fixture(scope="module")
def connection(xen: XenLab) -> Iterator[Any]:
    silence_libvirt()
    opened = libvirt.open(xen.uri)
    yield opened
    opened.close()


@pytest.fixture(autouse=True)
def ended(connection: Any) -> Iterator[None]:
    """End the guests of each test."""
    yield
    for domain in connection.listAllDomains():
        if domain.name() != "Domain-0":
            persistent = domain.isPersistent()
            if domain.isActive():
                domain.destroy()
            if persistent:
                domain.undefine()


class Row(NamedTuple):
    """What a policy's ``<on_crash>`` becomes.

    :param kind: The guest's type.
    :param policy: The ``<on_crash>`` of the policy; with ``+dump`` for a coredump.
    :param written: libvirt's ``<on_crash>``.
    :param end: ``ended``, ``restarted``, or ``kept`` for a crashed guest that is still there.
    :param notes: The codes of the notes.
    """

    kind: str
    policy: str
    written: str
    end: str
    notes: str = ""


ROWS = [
    Row("pv", "", "destroy", "ended"),
    Row("pv", "restart", "restart", "restarted", "xen-restarts-without-limit"),
    Row("pv", "rename-restart", "preserve", "kept", "watch-renames xen-preserved-shows-shut-off"),
    Row("pv", "preserve", "preserve", "kept", "xen-preserved-shows-shut-off"),
    Row("pv", "destroy+dump", "coredump-destroy", "ended", "xen-failed-dump-ends-guest"),
    Row(
        "pv",
        "restart+dump",
        "coredump-restart",
        "restarted",
        "xen-failed-dump-ends-guest xen-restarts-without-limit",
    ),
    Row("pvh", "destroy", "destroy", "ended"),
    Row("pvh", "preserve", "preserve", "kept", "xen-preserved-shows-shut-off"),
    Row("hvm", "preserve", "preserve", "kept", "xen-preserved-shows-shut-off"),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.kind}-{row.policy or 'none'}")
def test_what_is_written_is_kept_and_done(row: Row, xen: XenLab, connection: Any) -> None:
    """libvirt's definition has the word, Xen does what it says, and the policy is read from it again."""
    action, _, dump = row.policy.partition("+")
    element = f"<on_crash{' coredump=' + repr('yes') if dump else ''}>{action}</on_crash>" if action else ""
    done = to_libvirt(
        described(f"<on_panic>crash</on_panic>{element}", row.kind),
        prober_for(connection),
        libvirt=Libvirt.of_connection(connection),
    )
    assert " ".join(note.code for note in done.notes) == row.notes
    image = HVM_IMAGE if row.kind == "hvm" else IMAGE
    guest = "pv" if row.kind == "pv" else "pvh"
    xen.run(f"rm -rf {DUMPS}/* {image}; cp {xen.guests}/{guest}-crash.elf {image}")
    domain = connection.defineXML(done.xml)
    assert etree.fromstring(domain.XMLDesc()).findtext("on_crash") == row.written
    domain.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED)  # it runs when its next kernel is in place
    first = domain.ID()
    xen.run(f"cp {xen.guests}/{guest}-wait.elf {image}.new && mv {image}.new {image}")
    domain.resume()
    until(connection, row.end, first)
    listed = xen.run("xl list").stdout.splitlines()[2:]
    assert [line.split()[0] for line in listed] == [] if row.end == "ended" else ["guest"]
    magic = xen.run(f"for f in {DUMPS}/guest-*; do [ -e $f ] && head -c 4 $f; done").stdout
    assert magic == ("\x7fELF" if dump else "")
    assert from_libvirt(domain.XMLDesc()).policy == done.policy


def until(connection: Any, end: str, first: int) -> None:
    """Wait until the guest that was started as a domain of Xen has ended as it should."""

    def has_ended() -> bool:
        found = connection.lookupByName("guest")
        if end == "restarted":
            return bool(found.state()[0] == libvirt.VIR_DOMAIN_RUNNING and found.ID() > first)
        return bool(found.state() == CRASHED and found.ID() == (first if end == "kept" else -1))

    deadline = time.monotonic() + 100
    while not has_ended():
        assert time.monotonic() < deadline, connection.lookupByName("guest").state()
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("element", "code"),
    [
        ("<on_crash coredump='yes'>preserve</on_crash>", "xen-coredump-on-crash"),
        ("<on_crash coredump='yes'>rename-restart</on_crash>", "xen-coredump-on-crash"),
        ("<on_crash>preserve-running</on_crash>", "unknown-on-crash"),
        ("<on_crash>soft-reset</on_crash>", "unknown-on-crash"),
        ("<on_crash>ignore</on_crash>", "unknown-on-crash"),
    ],
)
def test_what_is_refused_is_not_kept(element: str, code: str, connection: Any) -> None:
    """libvirt drops the attribute without a word, and refuses a word that it does not know."""
    with pytest.raises(RefusedError) as caught:
        to_libvirt(described(f"<on_panic>crash</on_panic>{element}"), prober_for(connection), libvirt="9.0.0")
    assert caught.value.decision.code == code
    if "coredump" in element:
        assert "coredump" not in connection.defineXML(described(element)).XMLDesc()
    else:
        with pytest.raises(libvirt.libvirtError, match="unknown on_crash action"):
            connection.defineXML(described(element))


def test_the_rest_of_a_domain(xen: XenLab, connection: Any) -> None:
    """libvirt accepts what the translation does; a panic device and arguments for QEMU change nothing."""
    plain = described("<on_panic>crash</on_panic><on_crash>preserve</on_crash>")
    parts = [
        {},
        {"system": "<type>linux</type><kernel>/k</kernel>"},
        {"system": "<type>xen</type><kernel>/k</kernel>"},
        {"system": "<type>xenpvh</type><kernel>/k</kernel>"},
        {"system": "<type>hvm</type>"},
        {"more": "<on_reboot>preserve</on_reboot><on_poweroff>rename-restart</on_poweroff>"},
        {"more": "<devices><panic/></devices>"},
        {"more": "<devices><panic model='s390'><address type='pci'/></panic></devices>"},
        {"more": "<features><vmcoreinfo state='on'/></features>"},
        {
            "more": "<qemu:commandline xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>"
            "<qemu:arg value='-no-reboot'/></qemu:commandline>"
        },
    ]
    known = prober_for(connection)
    record = known(machine_of_plain())
    for more in parts:
        xml = described("<on_panic>crash</on_panic><on_crash>preserve</on_crash>", **more)
        done = to_libvirt(xml, record, libvirt=Libvirt.of_connection(connection))
        codes = [note.code for note in done.notes]
        assert ("xen-has-no-panic-device" in codes) == ("<panic" in xml)
        domain = connection.defineXML(done.xml)
        assert from_libvirt(domain.XMLDesc()).policy == Policy("crash", on_crash="preserve")
        domain.undefine()
    xen.run(f"cp {xen.guests}/pv-wait.elf {IMAGE}")
    transient = shims.extend(connection).createXML(plain)
    assert from_libvirt(transient.XMLDesc()).policy == Policy("crash", on_crash="preserve")


def machine_of_plain() -> Any:
    from onpanic.shims.domain_xml.domain_machine import machine_of

    return machine_of(etree.fromstring(described("")))


def test_a_domain_of_another_hypervisor(connection: Any, tmp_path: Path, xen: XenLab, capsys: Any) -> None:
    """A policy for QEMU is not translated by what a Xen said."""
    path = tmp_path / "guest.xml"
    path.write_text(described("<on_panic>restart</on_panic>", type="kvm", system="<type>hvm</type>"), "utf-8")
    assert main(["to-libvirt", "--connect", xen.uri, str(path)]) == 1
    assert "record-of-another-hypervisor" in capsys.readouterr().err


@pytest.mark.parametrize("machine", ["xenpv", "xenpvh", "xenfv"])
def test_domain_capabilities(machine: str, xen: XenLab, capsysbinary: Any) -> None:
    """What libvirt prints has the two values that mean something on Xen."""
    words = ["domcaps", "--connect", xen.uri, "--machine", machine, "--virttype", "xen", "--arch", "x86_64"]
    assert main(words) == 0
    root = etree.fromstring(capsysbinary.readouterr().out)
    assert root.findtext("machine") == machine
    (block,) = root.findall("on_panic")
    values = {enum.get("name"): [value.text for value in enum] for enum in block.findall("enum")}
    assert (block.get("supported"), values) == ("yes", {"value": ["default", "crash"], "coredump": ["no"]})


def test_the_commands(xen: XenLab, tmp_path: Path, capsysbinary: Any) -> None:
    """libvirt and a record of it say the same; a record of what it is not is refused."""
    path, record = tmp_path / "guest.xml", tmp_path / "record.json"
    path.write_text(described("<on_panic>crash</on_panic><on_crash>restart</on_crash>"), "utf-8")
    assert main(["probe", "--connect", xen.uri, "--format", "json"]) == 0
    record.write_bytes(capsysbinary.readouterr().out)
    assert CapabilityRecord.from_json(record.read_bytes()).hypervisor == "xen"
    assert main(["to-libvirt", "--connect", xen.uri, str(path)]) == 0
    asked = capsysbinary.readouterr()
    assert b"xen-restarts-without-limit" in asked.err
    assert main(["to-libvirt", "--record", str(record), str(path)]) == 0
    assert capsysbinary.readouterr() == asked
