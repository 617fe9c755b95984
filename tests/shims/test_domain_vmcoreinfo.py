"""Switching the vmcoreinfo device on, and noting where it is off."""

import re
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from onpanic.cli import main
from onpanic.probe import CapabilityRecord, probe
from onpanic.probe.facts import Answer, Fact
from onpanic.shims import Libvirt, from_libvirt, to_libvirt

from ..running.libvirtd import EVERY

Domain = Callable[..., str]

QEMU = "xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'"
ON = "<vmcoreinfo state='on'/>"
RESTART = "<on_panic>restart</on_panic>"
MEMORY = "<memory unit='MiB'>16</memory>"
BARE = "<controller type='usb' model='none'/><memballoon model='none'/>"
SEV = "<launchSecurity type='sev'><policy>0x1</policy></launchSecurity>"


def knowing(record: CapabilityRecord, answer: Answer, detail: str = "as the test says") -> CapabilityRecord:
    """Return a record with an answer to whether the guest can have the device."""
    (machine,) = record.machines
    facts = machine.facts | {"vmcoreinfo-attachable": Fact(answer, "introspected", detail)}
    return replace(record, machines=[replace(machine, facts=facts)])


@pytest.fixture
def able(record: CapabilityRecord) -> CapabilityRecord:
    """Return the record of an emulator whose machine type can have the device."""
    return knowing(record, "yes")


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        ("<features><acpi/></features>", f"<features><acpi/>{ON}</features>"),
        ("<features/>", f"<features>\n    {ON}\n  </features>"),
        ("<features></features>", f"<features>\n    {ON}\n  </features>"),
        ("<features>\n    <acpi/>\n  </features>", f"<features>\n    <acpi/>\n    {ON}\n  </features>"),
        ("<clock/>", f"<clock/>\n  <features>\n    {ON}\n  </features>"),
    ],
)
@pytest.mark.parametrize("policy", [RESTART, "<on_panic>ignore</on_panic>"])
def test_it_is_switched_on_in_place(
    policy: str, features: str, expected: str, domain: Domain, able: CapabilityRecord
) -> None:
    """Nothing else differs from the translation without it; a second time changes nothing."""
    xml = domain(features, policy, acpi=False)
    plain = to_libvirt(xml, able, libvirt="9.0.0").xml
    written = to_libvirt(xml, able, libvirt="9.0.0", vmcoreinfo=True)
    assert written.xml.count(ON) == 1
    if "<clock/>" in features:  # libvirt prints the features behind <os>
        assert re.sub(rf"\s*<features>\s*{ON}\s*</features>", "", written.xml) == plain
        assert written.xml.index("</os>") < written.xml.index("<features>") < written.xml.index("<clock/>")
    else:
        assert written.xml == plain.replace(features, expected)
    assert not {note.code for note in written.notes} & {"vmcoreinfo-off", "vmcoreinfo-not-added"}
    for again in (True, False):
        assert to_libvirt(written.xml, able, libvirt="9.0.0", vmcoreinfo=again).xml == written.xml


def test_a_domain_that_was_translated_before_gets_it_too(domain: Domain, able: CapabilityRecord) -> None:
    before = to_libvirt(domain(RESTART), able, libvirt="9.0.0").xml
    written = to_libvirt(before, able, libvirt="9.0.0", vmcoreinfo=True).xml
    assert written == before.replace("<acpi/>", f"<acpi/>\n    {ON}")
    assert written == to_libvirt(domain(RESTART), able, libvirt="9.0.0", vmcoreinfo=True).xml


def test_the_way_back_leaves_it(domain: Domain, able: CapabilityRecord) -> None:
    written = to_libvirt(domain(RESTART).encode(), able, libvirt="9.0.0", vmcoreinfo=True).xml
    back = from_libvirt(written)
    assert back.xml == domain(RESTART).replace("<acpi/>", f"<acpi/>\n    {ON}").encode()
    assert (back.policy, back.notes) == (from_libvirt(domain(RESTART)).policy, ())


@pytest.mark.parametrize(
    ("features", "more", "state"),
    [
        (ON, "", "on"),
        ("<vmcoreinfo/>", "", "on"),
        ("<vmcoreinfo state='off'/><vmcoreinfo state='on'/>", "", "on"),
        ("", "<qemu:arg value='-device'/><qemu:arg value='vmcoreinfo'/>", "on"),
        ("", "<qemu:arg value='-device'/><qemu:arg value='{\"driver\":\"vmcoreinfo\"}'/>", "on"),
        ("<vmcoreinfo state='off'/>", "", "off"),
        ("<vmcoreinfo state='on'/><vmcoreinfo state='off'/>", "", "off"),
    ],
)
def test_what_the_user_has_said_stays(
    features: str, more: str, state: str, domain: Domain, able: CapabilityRecord
) -> None:
    """libvirt uses the last of several; a device that was switched off stays off, and that is noted."""
    xml = domain(f"<features><acpi/>{features}</features>", RESTART, acpi=False)
    xml = xml.replace("<domain ", f"<domain {QEMU} ")
    own = f"<qemu:commandline>{more}</qemu:commandline>" if more else ""
    xml = xml.replace("</domain>", f"{own}</domain>")
    plain = to_libvirt(xml, able, libvirt="9.0.0")
    asked = to_libvirt(xml, able, libvirt="9.0.0", vmcoreinfo=True)
    assert asked.xml == plain.xml
    assert plain.notes == ()
    says = "the domain has <vmcoreinfo state='off'/>"
    assert [(note.code, says in note.reason) for note in asked.notes] == [("vmcoreinfo-not-added", True)] * (
        state == "off"
    )


@pytest.mark.parametrize(
    ("answer", "libvirt", "security", "reason"),
    [
        ("no", "9.0.0", "", "(no DMA)"),
        ("unknown", "9.0.0", "", "(not known: no DMA)"),
        ("yes", "4.3.0", "", "libvirt 4.3.0, by its version lacks it"),
        ("yes", "9.0.0", SEV, "its memory is encrypted"),
    ],
)
def test_a_guest_that_cannot_have_it_is_not_given_it(
    answer: Answer, libvirt: str, security: str, reason: str, domain: Domain, record: CapabilityRecord
) -> None:
    """With it, the guest would not start, or have nothing of it; the policy is translated all the same."""
    known = knowing(record, answer, "no DMA")
    xml = domain(security, RESTART)
    plain = to_libvirt(xml, known, libvirt=libvirt)
    asked = to_libvirt(xml, known, libvirt=libvirt, vmcoreinfo=True)
    assert asked.xml == plain.xml
    assert "vmcoreinfo-off" not in [note.code for note in plain.notes]
    (note,) = [note for note in asked.notes if note not in plain.notes]
    assert note.code == "vmcoreinfo-not-added"
    assert reason in note.reason


def test_a_record_that_does_not_have_the_fact_says_nothing(domain: Domain, record: CapabilityRecord) -> None:
    (machine,) = record.machines
    facts = {name: fact for name, fact in machine.facts.items() if name != "vmcoreinfo-attachable"}
    old = replace(record, machines=[replace(machine, facts=facts)])
    assert to_libvirt(domain(RESTART), old, libvirt="9.0.0").notes == ()
    (note,) = to_libvirt(domain(RESTART), old, libvirt="9.0.0", vmcoreinfo=True).notes
    assert "(not known: not asked)" in note.reason


@pytest.mark.parametrize(
    ("value", "noted"),
    [
        *product(["restart", "destroy", "preserve", "rename-restart", "pause"], [True]),
        *product(["ignore", "default"], [False]),
    ],
)
def test_that_it_is_off_is_noted_last_for_a_policy_that_acts(
    value: str, noted: bool, domain: Domain, able: CapabilityRecord
) -> None:
    notes = to_libvirt(domain(f"<on_panic>{value}</on_panic>"), able, libvirt="12.6.0").notes
    assert [note.code for note in notes].count("vmcoreinfo-off") == noted
    assert not noted or notes[-1].code == "vmcoreinfo-off"


def test_a_xen_domain_is_not_given_it(domain: Domain) -> None:
    xml = domain("<on_panic>crash</on_panic>", kind="xen")
    asked = to_libvirt(xml, libvirt="9.0.0", vmcoreinfo=True)
    assert "vmcoreinfo" not in asked.xml
    assert [note.code for note in asked.notes] == ["vmcoreinfo-not-added"]


def test_the_command_takes_the_option(
    domain: Domain, able: CapabilityRecord, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The note is on stderr, and the exit status is 0 with it and without."""
    xml, known = tmp_path / "domain.xml", tmp_path / "record.json"
    xml.write_text(domain(RESTART), "utf-8")
    known.write_bytes(able.to_json())
    words = ["to-libvirt", "--record", str(known), "--libvirt-version", "9.0.0", str(xml)]
    assert main(words) == 0
    plain = capsys.readouterr()
    assert plain.err.startswith("onpanic: note: vmcoreinfo-off: ")
    assert "--with-vmcoreinfo" in plain.err
    assert main([*words, "--with-vmcoreinfo"]) == 0
    asked = capsys.readouterr()
    assert (asked.out.count(ON), asked.err) == (1, "")


@pytest.mark.libvirt
@pytest.mark.libvirts(*EVERY)
@pytest.mark.parametrize(
    ("features", "there"),
    [
        ("", 1),
        ("<features/>", 1),
        ("<features><acpi/><apic/></features>", 1),
        ("<features><vmcoreinfo/></features>", 1),
        ("<features><vmcoreinfo state='off'/></features>", 0),
        ("<features><vmcoreinfo state='off'/><vmcoreinfo state='on'/></features>", 1),
        ("<features><vmcoreinfo state='on'/></features><features><vmcoreinfo state='off'/></features>", 0),
    ],
)
def test_libvirt_reads_it_as_meant(
    features: str, there: int, domain: Domain, able: CapabilityRecord, connection: Any
) -> None:
    """libvirt adds the device where the translation says so, and keeps it through a definition."""
    xml = domain(MEMORY, features, RESTART, devices=BARE, kind="qemu", acpi=False)
    libvirt = Libvirt.of_connection(connection)
    assert libvirt.vmcoreinfo
    written = to_libvirt(xml, able, libvirt=libvirt, vmcoreinfo=True).xml
    argv = connection.domainXMLToNative("qemu-argv", written)
    assert argv.count("vmcoreinfo") == there
    from onpanic.shims import extend  # needs libvirt's Python module

    shown = extend(connection, able, vmcoreinfo=True).defineXML(xml).XMLDesc()
    printed = re.sub(r"pc-i440fx-[\d.]+", "pc", shown)  # the machine type of the record
    assert printed.count(ON) == there
    assert to_libvirt(printed, able, libvirt=libvirt, vmcoreinfo=True).xml.count(ON) == there


@pytest.mark.emulators
@pytest.mark.libvirt
@pytest.mark.libvirts(*EVERY)
def test_a_guest_starts_with_it(domain: Domain, connection: Any, domcaps_emulator: str) -> None:
    """The record is that of libvirt's own emulator."""
    xml = domain(MEMORY, RESTART, devices=BARE, kind="qemu")
    from onpanic.shims import extend  # needs libvirt's Python module

    extended = extend(connection, probe(domcaps_emulator), vmcoreinfo=True)
    paused = 1  # VIR_DOMAIN_START_PAUSED
    started = extended.createXML(xml, paused)
    assert ON in started.XMLDesc()
    started.destroy()
