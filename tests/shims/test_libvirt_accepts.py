"""A real libvirt accepts translated domains, understands them as meant, and preserves the policy."""

import json
import os
import shlex
import sys
from collections.abc import Callable
from contextlib import closing
from functools import cache
from itertools import pairwise, product
from pathlib import Path
from typing import Any, NoReturn

import pytest
from lxml import etree
from msgspec.structs import replace

from onpanic.matrix.debian import Root
from onpanic.probe import CapabilityRecord
from onpanic.probe.decision.policy import Policy
from onpanic.shims import Libvirt, from_libvirt, policy_of, to_libvirt
from onpanic.shims.domain_xml.domain_machine import DomainMachine

from ..running.emulators import FULL_SUITE
from ..running.libvirtd import EVERY, HOST, folder_of

pytestmark = [pytest.mark.libvirt, pytest.mark.libvirts(*EVERY)]

Recorded = Callable[..., CapabilityRecord]
SCHEMA = "usr/share/libvirt/schemas/domain.rng"
PASSIVE = ("default", "ignore")
ACTING = ("restart", "destroy", "preserve", "rename-restart", "pause")
POLICIES = [*product(PASSIVE, [False]), *product(ACTING, [False, True])]
QEMU = "xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'"
# isapc has no PCI, where libvirt would put both
BARE = "<devices>\n  <controller type='usb' model='none'/>\n  <memballoon model='none'/>\n</devices>"
OWN_ARGUMENTS = "<qemu:commandline>\n  <qemu:arg value='-msg'/>\n  <qemu:arg value='guest-name=on'/>\n"
OWN_ARGUMENTS += "  <qemu:env name='A' value='b'/>\n</qemu:commandline>"
OWN_DEVICE = "<qemu:commandline><qemu:arg value='-device'/><qemu:arg value='pvpanic'/></qemu:commandline>"

# Documents, with the panic devices that are there already
DOCUMENTS: dict[str, tuple[dict[str, str], list[str]]] = {
    "pc": ({}, []),
    "q35": ({"machine": "q35"}, []),
    "isapc": ({"machine": "isapc", "devices": BARE}, []),
    "microvm": ({"machine": "microvm", "devices": BARE}, []),
    "no devices": ({"devices": ""}, []),
    "a notifier": ({"devices": "<devices><panic model='isa'/></devices>"}, ["pvpanic"]),
    "a notifier with its address": (
        {"devices": "<devices>\n<panic model='isa'><address type='isa' iobase='0x505'/></panic>\n</devices>"},
        ["pvpanic"],
    ),
    "a notifier without its model": ({"devices": "<devices>\n    <panic/>\n  </devices>"}, ["pvpanic"]),
    "arguments": ({"more": OWN_ARGUMENTS, "attributes": QEMU}, []),
    "a notifier among the arguments": ({"more": OWN_DEVICE, "attributes": QEMU}, ["pvpanic"]),
    "no arguments": ({"more": "<qemu:commandline/>", "attributes": QEMU}, []),
    "metadata": ({"more": "<metadata>\n  <x:y xmlns:x='urn:x'>z</x:y>\n</metadata>"}, []),
    "empty metadata": ({"more": "<metadata/>"}, []),
    "on_crash": ({"more": "<on_crash>coredump-destroy</on_crash>"}, []),
    "on_crash with the attribute": ({"more": "<on_crash coredump='yes'>restart</on_crash>"}, []),
    "on_crash that libvirt lacks": ({"more": "<on_crash>rename-restart</on_crash>"}, []),
    "on_crash among others": (
        {"more": "<on_poweroff>destroy</on_poweroff>\n<on_crash>preserve</on_crash>"},
        [],
    ),
}
#: QEMU has it since 6.0.
HAVE_THE_PCI_NOTIFIER = [name for name in EVERY if name != "bullseye"]
OTHER_ARCHITECTURES = [
    ("aarch64", "virt", "pvpanic"),
    ("riscv64", "virt", "pvpanic"),
    ("s390x", "s390-ccw-virtio", "s390"),
    ("ppc64", "pseries", "pseries"),
]


def described(
    *policy: str,
    kind: str = "qemu",
    arch: str = "x86_64",
    machine: str = "pc",
    devices: str = "<devices/>",
    more: str = "",
    attributes: str = "",
) -> str:
    lines = (
        f'<domain type="{kind}" {attributes}>',
        "  <name>guest</name>",
        "  <uuid>6d0e1b0c-4b5f-4b4f-8a3e-0f2c9e8f3a11</uuid>",
        '  <memory unit="MiB">16</memory>',
        f'  <os><type arch="{arch}" machine="{machine}">hvm</type></os>',
        "  <features><acpi/></features>",
        *policy,
        devices,
        more,
        "</domain>",
        "",
    )
    return "\n".join(lines)


def stated(value: str, coredump: bool = False) -> str:
    return f"  <on_panic coredump='yes'>{value}</on_panic>" if coredump else f"  <on_panic>{value}</on_panic>"


def devices(connection: Any, xml: str) -> list[str]:
    """Return the panic devices on the command line that libvirt would start the domain with."""
    words = shlex.split(connection.domainXMLToNative("qemu-argv", xml))
    found = [value for option, value in pairwise(words) if option == "-device"]
    drivers = [json.loads(v)["driver"] if v.startswith("{") else v.split(",")[0] for v in found]
    return [driver for driver in drivers if "pvpanic" in driver]


def without_policy(xml: str) -> bytes:
    """Return a domain without its policy and without white space, in canonical form."""
    root = etree.fromstring(xml)
    for element in root.findall("*"):
        if element.tag in ("on_panic", "on_crash") or (element.tag == "metadata" and not len(element)):
            root.remove(element)
    for element in root.iter():
        element.tail = None
        element.text = (element.text or "").strip() or None
    return etree.tostring(root, method="c14n", exclusive=True)


@pytest.fixture(scope="module")
def schema(
    libvirt_name: str, debian_root: Callable[[str], Root], unavailable: Callable[[str], NoReturn]
) -> etree.RelaxNG:
    """Return libvirt's schema of domains."""
    path = (Path("/") if libvirt_name == HOST else debian_root(libvirt_name).path) / SCHEMA
    if not path.exists():
        unavailable(f"libvirt has no schemas: {path}")
    return etree.RelaxNG(etree.parse(path))


@pytest.fixture(scope="module")
def target(uri: str, libvirt: Any) -> Libvirt:
    """Return what this libvirt supports."""
    with closing(libvirt.open(uri)) as connection:
        return Libvirt.of_connection(connection)


@pytest.fixture(scope="module")
def emulator_of(
    uri: str,
    libvirt_name: str,
    domcaps_emulator: str,
    debian_root: Callable[[str], Root],
    unavailable: Callable[[str], NoReturn],
) -> Callable[[str], str]:
    """Return a function from an architecture to the path of an emulator that libvirt can start."""
    root = debian_root(FULL_SUITE)
    if libvirt_name == FULL_SUITE:
        return lambda arch: str(Path(domcaps_emulator).parent / f"qemu-system-{arch}")
    folder = folder_of(uri).parent
    if os.geteuid() == 0 and not all(place.stat().st_mode & 1 for place in (root.path, *root.path.parents)):
        unavailable(f"{root.path}: root's libvirtd does not run as root, and cannot read it")

    @cache
    def path(arch: str) -> str:
        *command, emulator = root.command(f"qemu-system-{arch}")
        script = folder / Path(emulator).name
        words = shlex.join([*command, "--bind", str(folder), str(folder), emulator])
        script.write_text(f'#!/bin/sh\nexec {words} "$@"\n', "utf-8")
        script.chmod(0o755)
        return str(script)

    return path


@pytest.mark.parametrize(
    ("value", "coredump", "layout"),
    [
        *((value, coredump, "lines") for value, coredump in POLICIES),
        ("ignore", False, "one line"),
        ("restart", True, "one line"),
    ],
)
@pytest.mark.parametrize("document", DOCUMENTS)
def test_libvirt_takes_it_and_keeps_the_policy(
    value: str,
    coredump: bool,
    document: str,
    layout: str,
    recorded: Recorded,
    target: Libvirt,
    schema: etree.RelaxNG,
    connection: Any,
    libvirt: Any,
) -> None:
    """A translated domain is valid, starts with the intended panic device, and shows its policy again."""
    words, there = DOCUMENTS[document]
    xml = described(stated(value, coredump), **words)
    if layout == "one line":
        xml = "".join(line.strip() + " " * line.startswith("<domain") for line in xml.splitlines())
    written = to_libvirt(xml, recorded(words.get("machine", "pc")), libvirt=target).xml
    schema.assertValid(etree.fromstring(written))
    defined = connection.defineXMLFlags(written, libvirt.VIR_DOMAIN_DEFINE_VALIDATE)
    assert devices(connection, written) == (there or ["pvpanic"] * (value in ACTING))
    back = from_libvirt(defined.XMLDesc())
    assert back.policy == policy_of(back.xml) == policy_of(xml)
    assert back.notes == ()


@pytest.mark.parametrize("value", ACTING)
@pytest.mark.parametrize("action", ["destroy", "restart"])
def test_a_guest_lives_until_it_is_dumped(
    action: str,
    value: str,
    recorded: Recorded,
    target: Libvirt,
    connection: Any,
) -> None:
    """QEMU does not end when the guest panics, so that libvirt or the watcher can dump its memory."""
    xml = described(stated(value, coredump=True), more=f"<on_reboot>{action}</on_reboot>")
    written = to_libvirt(xml, recorded(), libvirt=target).xml
    assert "-no-shutdown" in shlex.split(connection.domainXMLToNative("qemu-argv", written))


@pytest.mark.parametrize("document", DOCUMENTS)
@pytest.mark.parametrize("value", ["ignore", "destroy"])
def test_the_rest_of_the_domain_is_what_it_is_without_a_policy(
    value: str, document: str, recorded: Recorded, target: Libvirt, connection: Any
) -> None:
    words, _ = DOCUMENTS[document]
    plain = {**words, "more": words.get("more", "").replace("rename-restart", "restart")}
    without = connection.defineXML(described(**plain)).XMLDesc()
    written = to_libvirt(
        described(stated(value), **words), recorded(words.get("machine", "pc")), libvirt=target
    )
    back = from_libvirt(connection.defineXML(written.xml).XMLDesc())
    assert without_policy(back.xml) == without_policy(without)


@pytest.mark.parametrize("first", ["ignore", "restart"])
@pytest.mark.parametrize("then", ["default", "destroy", "pause"])
@pytest.mark.parametrize("model", ["isa", "pvpanic"])
def test_another_policy_takes_the_place_of_the_first(
    model: str, then: str, first: str, recorded: Recorded, target: Libvirt, connection: Any
) -> None:
    """A domain as libvirt prints it can be given another policy."""

    def known(machine: DomainMachine) -> CapabilityRecord:
        return recorded(machine.machine, model=model)

    xml = described(stated(first), more=OWN_ARGUMENTS, attributes=QEMU)
    shown = from_libvirt(connection.defineXML(to_libvirt(xml, known, libvirt=target).xml).XMLDesc()).xml
    edited = shown.replace(stated(first).strip(), stated(then).strip())
    written = to_libvirt(edited, known, libvirt=target).xml
    defined = connection.defineXML(written)
    driver = "pvpanic-pci" if model == "pvpanic" else "pvpanic"
    assert devices(connection, written) == [driver] * (then in ACTING)
    assert from_libvirt(defined.XMLDesc()).policy == Policy(then)
    assert to_libvirt(defined.XMLDesc(), known, libvirt=target).policy == Policy(then)


@pytest.mark.parametrize("value", ["restart", "ignore"])
@pytest.mark.parametrize("machine", ["pc", "q35"])
def test_the_pci_notifier(
    machine: str,
    value: str,
    recorded: Recorded,
    target: Libvirt,
    schema: etree.RelaxNG,
    connection: Any,
) -> None:
    """If libvirt has no model for it, it is added to the arguments, and only once."""
    xml = described(stated(value), machine=machine)
    record = recorded(machine, model="pvpanic")
    written = to_libvirt(xml, record, libvirt=target)
    again = to_libvirt(written, record, libvirt=target)
    schema.assertValid(etree.fromstring(again.xml))
    assert devices(connection, again.xml) == ["pvpanic-pci"] * (value in ACTING)
    assert from_libvirt(connection.defineXML(again.xml).XMLDesc()).policy == Policy(value)


def test_the_hyperv_notifier(
    recorded: Recorded, target: Libvirt, schema: etree.RelaxNG, connection: Any
) -> None:
    """libvirt makes a flag of the CPU of it, whatever the domain's type; onpanic adds it with KVM only."""
    written = to_libvirt(described(stated("restart"), kind="kvm"), recorded(model="hyperv"), libvirt=target)
    schema.assertValid(etree.fromstring(written.xml))
    with_tcg = written.xml.replace('type="kvm"', 'type="qemu"')
    assert "hv-crash" in connection.domainXMLToNative("qemu-argv", with_tcg)
    assert devices(connection, with_tcg) == []
    assert from_libvirt(connection.defineXML(with_tcg).XMLDesc()).policy == Policy("restart")


def test_the_isa_notifier_by_another_name(
    recorded: Recorded, target: Libvirt, schema: etree.RelaxNG, connection: Any
) -> None:
    def named(asked: DomainMachine) -> CapabilityRecord:
        record = recorded(asked.machine)
        (machine,) = record.machines
        isa = replace(machine.notifiers[0], type="isa-pvpanic")
        return replace(record, machines=[replace(machine, notifiers=[isa, *machine.notifiers[1:]])])

    written = to_libvirt(described(stated("restart")), named, libvirt=target)
    schema.assertValid(etree.fromstring(written.xml))
    assert devices(connection, written.xml) == ["isa-pvpanic"]
    defined = connection.defineXML(written.xml).XMLDesc()
    assert to_libvirt(defined, named, libvirt=target).xml == defined
    assert from_libvirt(defined).policy == Policy("restart")


@pytest.mark.parametrize(
    ("panic", "on_crash", "policy"),
    [
        ("", "", Policy("ignore", on_crash="destroy")),
        ("<panic model='isa'/>", "", Policy("destroy", on_crash="destroy")),
        ("<panic/>", "<on_crash>preserve</on_crash>", Policy("preserve", on_crash="preserve")),
        (
            "<panic/>",
            "<on_crash>coredump-restart</on_crash>",
            Policy("restart", coredump=True, on_crash="restart", on_crash_coredump=True),
        ),
    ],
)
def test_a_domain_of_libvirts_own_means_the_same_with_the_policy_that_it_amounts_to(
    panic: str, on_crash: str, policy: Policy, recorded: Recorded, target: Libvirt, connection: Any
) -> None:
    own: str = connection.defineXML(described(on_crash, devices=f"<devices>{panic}</devices>")).XMLDesc()
    shown = from_libvirt(own)
    assert shown.policy == policy
    written = to_libvirt(shown, lambda machine: recorded(machine.machine), libvirt=target)
    after = connection.defineXML(written.xml).XMLDesc()
    value = etree.fromstring(after).findtext("on_crash")
    assert value == etree.fromstring(own).findtext("on_crash")
    assert without_policy(from_libvirt(after).xml) == without_policy(own)


@pytest.mark.parametrize(("arch", "machine", "model"), OTHER_ARCHITECTURES)
@pytest.mark.parametrize(("value", "coredump"), POLICIES)
def test_other_architectures_by_the_schema(
    value: str,
    coredump: bool,
    arch: str,
    machine: str,
    model: str,
    recorded: Recorded,
    target: Libvirt,
    schema: etree.RelaxNG,
) -> None:
    """The PCI notifier is added by its model if libvirt has it; an architecture's own needs none."""
    xml = described(stated(value, coredump), kind="kvm", arch=arch, machine=machine)
    written = to_libvirt(xml, recorded(machine, arch, model), libvirt=target).xml
    root = etree.fromstring(written)
    schema.assertValid(root)
    added = [element.get("model") for element in root.iterfind("devices/panic")]
    arguments = [element.get("value") for element in root.iterfind("{*}commandline/{*}arg")]
    pci = model == "pvpanic" and value in ACTING
    assert added == [model] * (pci and target.pci)
    assert len([word for word in arguments if "pvpanic-pci" in str(word)]) == (pci and not target.pci)
    assert from_libvirt(written).policy == policy_of(xml)


@pytest.mark.parametrize(("arch", "machine", "model"), OTHER_ARCHITECTURES)
@pytest.mark.parametrize(("value", "coredump"), POLICIES)
def test_other_architectures_by_the_test_driver(
    value: str, coredump: bool, arch: str, machine: str, model: str, recorded: Recorded, test_driver: Any
) -> None:
    """The policy survives in a driver that needs no emulator."""
    xml = described(stated(value, coredump), kind="test", arch=arch, machine=machine)
    written = to_libvirt(xml, recorded(machine, arch, model), libvirt=Libvirt()).xml
    assert from_libvirt(test_driver.defineXML(written).XMLDesc()).policy == policy_of(xml)


@pytest.mark.emulators
@pytest.mark.libvirts(HOST, FULL_SUITE)
@pytest.mark.parametrize(("arch", "machine", "model"), OTHER_ARCHITECTURES)
def test_other_architectures_by_their_emulators(
    arch: str,
    machine: str,
    model: str,
    recorded: Recorded,
    target: Libvirt,
    emulator_of: Callable[[str], str],
    connection: Any,
    libvirt: Any,
) -> None:
    """libvirt shows an architecture's own notifier, which is not a device."""
    emulator = f"<devices><emulator>{emulator_of(arch)}</emulator></devices>"
    for value in ("restart", "ignore"):
        xml = described(stated(value), arch=arch, machine=machine, devices=emulator)
        xml = xml.replace("<acpi/>", "")  # theirs comes with a firmware, which is not there
        written = to_libvirt(xml, recorded(machine, arch, model), libvirt=target).xml
        defined = connection.defineXMLFlags(written, libvirt.VIR_DOMAIN_DEFINE_VALIDATE)
        root = etree.fromstring(defined.XMLDesc())
        shown = [element.get("model") for element in root.iterfind("devices/panic")]
        added = ["pvpanic-pci"] * (model == "pvpanic" and value == "restart")
        assert devices(connection, written) == added
        assert shown == ([model] if model != "pvpanic" else [model] * (bool(added) and target.pci))
        assert from_libvirt(defined.XMLDesc()).policy == Policy(value)


def started_with_the_pci_notifier(
    connection: Any, xml: str, record: CapabilityRecord, target: Libvirt
) -> int:
    """Start a guest, and return how many PCI notifiers it has."""
    written = to_libvirt(xml, record, libvirt=target).xml
    started = connection.createXML(written, sys.modules["libvirt"].VIR_DOMAIN_START_PAUSED)
    qemu = sys.modules["libvirt_qemu"]
    seen = qemu.qemuMonitorCommand(started, "info pci", qemu.VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP)
    return str(seen).count("1b36:0011")


@pytest.mark.emulators
@pytest.mark.libvirts(*HAVE_THE_PCI_NOTIFIER)
@pytest.mark.parametrize("machine", ["pc", "q35"])
def test_a_guest_starts_with_the_pci_notifier(
    machine: str, recorded: Recorded, target: Libvirt, connection: Any
) -> None:
    """The notifier gets a slot that libvirt has not given to another device."""
    xml = described(stated("pause"), machine=machine)
    record = recorded(machine, model="pvpanic")
    assert started_with_the_pci_notifier(connection, xml, record, target) == 1


@pytest.mark.emulators
@pytest.mark.libvirts(HOST, FULL_SUITE)
def test_a_guest_of_another_architecture_starts_with_the_pci_notifier(
    recorded: Recorded, target: Libvirt, emulator_of: Callable[[str], str], connection: Any
) -> None:
    emulator = f"<devices><emulator>{emulator_of('riscv64')}</emulator></devices>"
    xml = described(stated("pause"), arch="riscv64", machine="virt", devices=emulator)
    record = recorded("virt", "riscv64", "pvpanic")
    assert started_with_the_pci_notifier(connection, xml, record, target) == 1
