"""A domain for all hosts of a fleet, or what stands in the way."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onpanic.cli import main
from onpanic.fleet import DomainGuest, Fleet, HostRecord, migration_of, translate_for_fleet
from onpanic.fleet.hosts.host_record import HostSystem
from onpanic.probe.emulator.notifier_models import NotifierModel
from onpanic.probe.facts import Fact
from onpanic.shims import Libvirt, from_libvirt, to_libvirt

from .fleets import documents, emulator, fleet, host

Q35 = "pc-q35-7.2"

DOMAIN = """\
<domain type='{kind}'>
  <name>guest</name>
  <os><type arch='{arch}' machine='{machine}'>hvm</type></os>
  <features><acpi/></features>
  <on_panic>{value}</on_panic>
  <devices>{devices}</devices>
</domain>
"""


def domain(
    value: str = "restart", machine: str = Q35, arch: str = "x86_64", devices: str = "", kind: str = "kvm"
) -> str:
    return DOMAIN.format(value=value, machine=machine, arch=arch, devices=devices, kind=kind)


def old(name: str = "old") -> HostRecord:
    return host(name, machines=[Q35, "q35"])


def new(name: str = "new") -> HostRecord:
    return host(name, qemu="11.1.3", libvirt="12.8.0", machines=[Q35, "q35"])


def codes(xml: str, one: Fleet) -> list[tuple[str, tuple[str, ...]]]:
    """Return what stands in the way, and on which hosts."""
    found = translate_for_fleet(xml, one)
    assert found.translation is None
    return [(hindrance.code, hindrance.hosts) for hindrance in found.hindrances]


def test_the_domain_is_what_every_host_would_be_given() -> None:
    found = translate_for_fleet(domain(), fleet(old(), new()))
    assert found.translation is not None
    emulators = [one.emulators[0].record for one in (old(), new())]
    for record in emulators:
        both = [Libvirt.of("9.0.0"), Libvirt.of("12.8.0")]
        assert to_libvirt(domain(), record, libvirt=both).xml == found.translation.xml
    assert [note.code for note in found.notes] == ["vmcoreinfo-off", "guest-sees-difference"]


def test_a_word_that_one_libvirt_lacks_is_not_written() -> None:
    """A guest on s390x always has a notifier; libvirt before 12.6 has no value for ignoring it."""

    def s390x(name: str, libvirt: str) -> HostRecord:
        return host(name, libvirt=libvirt, emulators=[emulator("11.1.3", "s390x", ["s390-ccw-virtio-7.2"])])

    xml = domain("ignore", "s390-ccw-virtio-7.2", "s390x")
    new_only = translate_for_fleet(xml, fleet(s390x("a", "12.8.0"))).translation
    both = translate_for_fleet(xml, fleet(s390x("a", "12.8.0"), s390x("b", "11.3.0"))).translation
    assert new_only is not None
    assert both is not None
    assert "<on_crash>preserve-running<" in new_only.xml
    assert "<on_crash>preserve<" in both.xml


def test_hosts_in_the_way_are_named_with_the_reason() -> None:
    hosts = fleet(old("a"), old("b"), host("c", qemu="5.2.0"), host("d"), host("e", libvirt=None))
    asked = host("d", machines=["pc"])
    hosts = fleet(old("a"), old("b"), host("c", qemu="5.2.0"), asked, host("e", libvirt=None))
    assert sorted(codes(domain(), hosts)) == [
        ("machine-type-not-asked", ("d",)),
        ("no-libvirt", ("e",)),
        ("no-machine-type", ("c",)),
    ]


def test_hosts_of_another_architecture_are_left_out_and_counted() -> None:
    """If there is no other host, they are the reason."""
    arm = host("arm", emulators=[emulator("11.1.3", "aarch64", ["virt"])])
    arm = msgspec.structs.replace(arm, system=HostSystem(os="", kernel="", architecture="aarch64"))
    found = translate_for_fleet(domain(), fleet(old("a"), old("b"), arm))
    assert found.translation is not None
    assert (found.hosts, found.others) == (2, 1)
    assert codes(domain(), fleet(arm)) == [("no-emulator", ("arm",))]


def test_the_hindrance_on_most_hosts_comes_first() -> None:
    hosts = fleet(old("a"), host("b", libvirt=None), *(host(name, qemu="5.2.0") for name in "cde"))
    assert codes(domain(), hosts)[0] == ("no-machine-type", ("c", "d", "e"))


def test_a_libvirt_that_refuses_the_domain_is_named() -> None:
    """The model pvpanic is new in libvirt 9.1."""
    xml = domain(devices="<panic model='pvpanic'/>")
    assert codes(xml, fleet(old(), new())) == [("libvirt-too-old", ("old",))]


def test_a_notifier_that_all_hosts_have_is_used() -> None:
    """An emulator without ISA's device would be given the PCI device alone."""
    found = emulator("11.1.3", machines=[Q35])
    assert found.record is not None
    [machine] = found.record.machines
    notifiers = [
        one if one.model != "isa" else msgspec.structs.replace(one, facts={**one.facts, **lacking(one.facts)})
        for one in machine.notifiers
    ]
    machine = msgspec.structs.replace(
        machine, notifiers=notifiers, notifier="pvpanic", facts=machine.facts | notifiers[1].facts
    )
    record = msgspec.structs.replace(found.record, machines=[machine])
    without = host("b", libvirt="12.8.0", emulators=[msgspec.structs.replace(found, record=record)])
    done = translate_for_fleet(domain(), fleet(new("a"), without)).translation
    assert done is not None
    assert "<panic model='pvpanic'/>" in done.xml


def lacking(facts: dict[str, Fact]) -> dict[str, Fact]:
    fact = facts["pvpanic-attachable"]
    return {"pvpanic-attachable": msgspec.structs.replace(fact, answer="no")}


@pytest.mark.parametrize(("model", "device"), [("isa", "pvpanic"), ("pvpanic", "pvpanic-pci")])
def test_the_events_that_all_hosts_offer_can_be_set(model: NotifierModel, device: str) -> None:
    """The argument is the domain's own afterwards: no note is left, and another translation keeps it."""
    one = fleet(old(), new())
    found = translate_for_fleet(domain(), one, notifier=model, same_events=True)
    assert found.translation is not None
    assert f"<qemu:arg value='{device}.events=3'/>" in found.translation.xml
    assert "guest-sees-difference" not in [note.code for note in found.notes]
    again = translate_for_fleet(found.translation.xml, one, notifier=model, same_events=True)
    assert again.translation is not None
    assert again.translation.xml == found.translation.xml
    assert f"{device}.events=3" in from_libvirt(found.translation.xml).xml


def test_events_are_set_only_where_every_qemu_knows_them() -> None:
    """A QEMU without the property does not start if it is set."""
    emulators = [
        emulator("4.2.0", machines=["pc-i440fx-4.2"]),
        emulator("7.2.22", machines=["pc-i440fx-4.2"]),
    ]
    hosts = [host(f"h{number}", emulators=[one]) for number, one in enumerate(emulators)]
    xml = domain(machine="pc-i440fx-4.2")
    found = translate_for_fleet(xml, fleet(*hosts), same_events=True)
    assert found.translation is not None
    assert "events" not in found.translation.xml


def test_an_alias_is_noted_if_it_stands_for_several() -> None:
    found = translate_for_fleet(domain(machine="q35"), fleet(host("a"), host("b", qemu="11.1.3")))
    assert found.translation is not None
    assert "machine-alias-differs" in [note.code for note in found.notes]


@pytest.mark.parametrize("devices", ["<emulator>/usr/bin/qemu-system-none</emulator>", ""])
def test_the_domains_own_emulator_is_judged(devices: str) -> None:
    found = translate_for_fleet(domain(devices=devices), fleet(old()))
    assert [one.code for one in found.hindrances] == (["no-emulator-at-path"] if devices else [])


@settings(max_examples=25)
@given(
    hosts=st.lists(
        st.tuples(
            st.sampled_from(["5.2.0", "7.2.22", "11.1.3"]), st.sampled_from(["7.0.0", "9.0.0", "12.8.0"])
        ),
        min_size=1,
        max_size=5,
    ),
    value=st.sampled_from(["ignore", "restart", "preserve", "rename-restart"]),
    kind=st.sampled_from(["qemu", "kvm"]),
)
def test_what_holds_for_all_holds_for_each(hosts: list[tuple[str, str]], value: str, kind: str) -> None:
    """The answer is a document, or names hosts; and each host accepts that document as its own."""
    machines = ["pc-q35-5.2"]
    records = [host(f"h{i}", qemu=q, libvirt=v, machines=machines) for i, (q, v) in enumerate(hosts)]
    xml = domain(value, machines[0], kind=kind)
    found = translate_for_fleet(xml, fleet(*records))
    assert (found.translation is None) == bool(found.hindrances)
    if found.translation is not None:
        for one in records:
            alone = translate_for_fleet(found.translation.xml, fleet(one))
            assert alone.translation is not None


def test_the_command_refuses_to_skip_a_host(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for document in documents([old("a"), new("b")]):
        (tmp_path / document.source).write_bytes(document.data)
    (tmp_path / "c.json").write_text("{")
    xml = tmp_path / "domain.xml"
    xml.write_text(domain())
    records = [f"--fleet={tmp_path / name}.json" for name in "abc"]
    assert main(["to-libvirt", str(xml), *records]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "1 of 3 hosts and documents are not counted" in said.err
    assert "c.json" in said.err
    assert main(["to-libvirt", str(xml), *records, "--answered-only"]) == 0
    said = capsys.readouterr()
    assert "<panic model='isa'/>" in said.out
    assert "2 hosts" in said.err
    for wrong in ([*records[:2], "--connect", "qemu:///system"], ["--same-events"]):
        assert main(["to-libvirt", str(xml), *wrong]) == 2
        assert "--fleet" in capsys.readouterr().err


def test_the_command_names_the_remedy_for_most_hosts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [one.data for one in documents([old("a"), host("b", qemu="5.2.0"), host("c", qemu="5.2.0")])]
    (tmp_path / "fleet.jsonl").write_bytes(b"\n".join(lines))
    (tmp_path / "domain.xml").write_text(domain())
    arguments = ["to-libvirt", str(tmp_path / "domain.xml"), "--fleet", str(tmp_path / "fleet.jsonl")]
    assert main(arguments) == 1
    said = capsys.readouterr().err
    assert "refused: not valid on 2 of 3 hosts" in said
    assert "no: no-machine-type: 2 hosts: b, c" in said


def test_what_an_older_libvirt_needed_is_left_to_the_watcher_on_a_newer_one() -> None:
    """libvirt 7.0 would let a panic end QEMU, so the domain has preserve."""
    before, after = (host(name, libvirt=name, machines=[Q35]) for name in ("7.0.0", "11.3.0"))
    ends = "<on_poweroff>destroy</on_poweroff><on_reboot>destroy</on_reboot><on_panic coredump='yes'>"
    xml = domain("destroy").replace("<on_panic>", ends)
    found = translate_for_fleet(xml, fleet(before)).translation
    assert found is not None
    answer = migration_of(fleet(before, after), DomainGuest.from_xml(found.xml), between=("7.0.0", "11.3.0"))
    assert answer.pair is not None
    assert [note.code for note in answer.pair.notes] == ["watch-destroys", "migration-continues-guest"]
