"""Xen hosts in fleets: verdicts, migrations, translations and drift, with hosts of QEMU and without."""

from pathlib import Path

import msgspec
import pytest
from jsonschema import Draft202012Validator

from onpanic.cli import main
from onpanic.fleet import (
    DomainGuest,
    Fleet,
    FleetVerdict,
    HostDocument,
    HostRecord,
    PlainGuest,
    drift_of,
    migration_of,
    read_fleet,
    translate_for_fleet,
    verdict_of,
)
from onpanic.fleet.hosts.host_record import HostEmulator
from onpanic.fleet.judging.promise import promise_of
from onpanic.probe.decision.policy import Policy

from .fleets import NOW, fleet, host
from .xen_hosts import REFUSED, xen_emulator, xen_host

WEB = """<domain type='xen'>
  <name>web</name>
  <os><type{}>linux</type></os>
  {}
</domain>
"""
RESTART = "<on_panic>crash</on_panic><on_crash>restart</on_crash>"
CRASH_RESTART = Policy("crash", on_crash="restart")

UNASKED = HostEmulator(
    path="xen",
    found_in=[],
    runs=[],
    domain_types=[],
    machine_types=[],
    aliases={},
    record=None,
    problem="xl: No such file or directory",
)


def mixed() -> Fleet:
    return fleet(host("kvm1"), host("kvm2", qemu="10.0"), xen_host("xen1"))


def kept(verdict: FleetVerdict, hypervisor: str, machine: str) -> dict[str, tuple[int, int]]:
    """Return on how many hosts each policy is kept, and on how many it is not."""
    (rows,) = (one for one in verdict.architectures if one.hypervisor == hypervisor)
    (row,) = (one for one in rows.machines if one.machine == machine)
    return {one.policy: (one.kept, one.refused) for one in row.policies}


# Documents


def test_document() -> None:
    """A record is read as it was written, and fits the schema; an older one has no Xen."""
    found = xen_host()
    assert HostRecord.from_json(found.to_json()) == found
    Draft202012Validator(HostRecord.json_schema()).validate(msgspec.json.decode(found.to_json()))
    old = msgspec.json.decode(host().to_json())
    del old["xen"]
    assert HostRecord.from_json(msgspec.json.encode(old)) == host()


def test_classes() -> None:
    """Xen hosts that can do the same are one class, whenever they were asked; others are not."""
    alike = xen_host("xen1"), xen_host("xen2", at="2026-11-26T11:00:00Z")
    other = xen_host("xen3", xen=xen_emulator("4.20"))
    found = fleet(*alike, other, host("kvm1", emulators=[]))
    assert [[one.name for one in found.hosts] for found in found.classes] == [
        *(["xen1", "xen2"], ["xen3"], ["kvm1"])
    ]


# Verdicts


def test_verdict() -> None:
    """Each hypervisor has its rows and its policies; the hosts of the other one are counted apart."""
    found = verdict_of(mixed())
    assert [(one.hypervisor, one.hosts, one.others) for one in found.architectures] == [
        *(("qemu", 2, 1), ("xen", 1, 2))
    ]
    assert kept(found, "qemu", "q35")["restart+coredump"] == (2, 0)
    for machine in ("xenpv", "xenpvh", "xenfv"):
        assert kept(found, "xen", machine) == dict.fromkeys(
            (
                *("default", "crash", "crash-destroy", "crash-destroy+coredump", "crash-restart"),
                *("crash-restart+coredump", "crash-preserve", "crash-rename-restart"),
            ),
            (1, 0),
        )
    Draft202012Validator(FleetVerdict.json_schema()).validate(msgspec.json.decode(found.to_json()))


@pytest.mark.parametrize(
    ("value", "code", "hosts"),
    [("crash", "crash-needs-xen", ["kvm1", "kvm2"]), ("restart", "xen-only-crash", ["xen1"])],
)
def test_policy_of_the_other_hypervisor(value: str, code: str, hosts: list[str]) -> None:
    """QEMU refuses ``crash``, and Xen whatever else acts."""
    found = verdict_of(mixed(), policies=[Policy(value)])
    assert found.everywhere == "no"
    assert [(one.code, one.parts[0].hosts) for one in found.failures] == [(code, hosts)]


@pytest.mark.parametrize(
    ("machine", "policy", "hosts"),
    [("xenpv", CRASH_RESTART, 1), ("pvh", Policy("crash"), 1), ("pc-q35-7.2", Policy("restart"), 1)],
)
def test_machine_type_of_one_hypervisor(machine: str, policy: Policy, hosts: int) -> None:
    """A machine type that only one hypervisor has is judged on its hosts, though a QEMU lists Xen's names."""
    found = verdict_of(fleet(host("kvm1"), xen_host()), policies=[policy], machines=[machine])
    (rows,) = found.architectures
    assert (rows.hosts, rows.others, found.everywhere) == (hosts, 1, "yes")


def test_refused_word() -> None:
    """A crash action that one toolstack refuses is not kept there, with the toolstack's words."""
    words = {"coredump-restart": REFUSED}
    found = verdict_of(fleet(xen_host("xen1"), xen_host("xen2", xen=xen_emulator(words=words))))
    assert kept(found, "xen", "xenpv")["crash-restart+coredump"] == (1, 1)
    (failure,) = (one for one in found.failures if one.code == "crash-action-refused")
    assert "unknown on_crash action" in failure.reason
    assert failure.parts[0].hosts == ["xen2"]


def test_guest_type() -> None:
    """Xen without hardware virtualization keeps policies for PV guests only."""
    pv_only = xen_host(xen=xen_emulator(capabilities="xen-3.0-x86_64"))
    assert promise_of(pv_only, "x86_64", "xenpv", CRASH_RESTART, "xen").kept == "yes"
    assert promise_of(pv_only, "x86_64", "hvm", CRASH_RESTART, "xen").code == "xen-guest-type-missing"


@pytest.mark.parametrize(
    ("found", "code"),
    [
        (xen_host(xen=UNASKED), "toolstack-inconclusive"),
        (msgspec.structs.replace(xen_host(libvirt=None), libvirt_found="unknown"), "libvirt-not-asked"),
        (host(), "other-hypervisor"),
    ],
)
def test_no_promise(found: HostRecord, code: str) -> None:
    """What is not known of Xen or of its libvirt is unknown, and a host of QEMU runs no such guests."""
    promise = promise_of(found, "x86_64", "xenpv", Policy("crash"), "xen")
    assert (promise.code, promise.kept) == (code, "no" if code == "other-hypervisor" else "unknown")


def test_without_libvirt() -> None:
    """xl alone decides, and it does rename; a note says so."""
    found = verdict_of(fleet(xen_host(libvirt=None)))
    assert kept(found, "xen", "xenpv")["crash-rename-restart"] == (1, 0)
    assert [note.reason for note in found.notes] == ["no libvirt: Xen's xl alone decides"]


def test_screen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The screen has a table for each hypervisor."""
    for one in (host("kvm1"), xen_host()):
        (tmp_path / f"{one.host.name}.json").write_bytes(one.to_json())
    assert main(["fleet", "verdict", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert "x86_64: 1 host; 1 other cannot run such guests" in text
    assert "x86_64 on Xen: 1 host; 1 other cannot run such guests" in text
    assert main(["fleet", "verdict", str(tmp_path), "--machine", "xenpv", "--policy", "crash"]) == 0
    assert "x86_64 on Xen  xenpv  1 host" in capsys.readouterr().out


# Migration and translation


@pytest.mark.parametrize(
    ("policy", "machine", "way"),
    [("crash", "xenpv", ("xen1", "kvm1")), ("restart", "pc-q35-7.2", ("kvm1", "xen1"))],
)
def test_migration_between_hypervisors(policy: str, machine: str, way: tuple[str, str]) -> None:
    """No guest migrates between QEMU and Xen."""
    found = migration_of(mixed(), PlainGuest(Policy(policy), machine), between=way).pair
    assert found is not None
    assert (found.answer, [one.code for one in found.hindrances]) == ("no", ["other-hypervisor"])


@pytest.mark.parametrize("form", ["", " machine='xenpv'", " arch='x86_64'", " arch='x86_64' machine='xenpv'"])
def test_translation(form: str) -> None:
    """A domain of Xen is translated for the Xen hosts; its OS type stands for its machine type."""
    found = translate_for_fleet(WEB.format(form, RESTART), mixed())
    assert (found.hosts, found.others) == (1, 2)
    assert found.translation is not None
    assert "<on_crash>restart</on_crash>" in found.translation.xml
    guest = DomainGuest.from_xml(found.translation.xml)
    assert (guest.policy, guest.machine) == (CRASH_RESTART, "xenpv")
    answer = migration_of(mixed(), guest)
    assert [(one.hosts, one.on_crash, one.domain_type) for one in answer.classes] == [
        (("xen1",), "restart", "xen")
    ]


@pytest.mark.parametrize(
    ("hosts", "code"),
    [
        ([xen_host(xen=xen_emulator(words={"restart": REFUSED}))], "crash-action-refused"),
        ([xen_host(xen=xen_emulator(capabilities="hvm-3.0-x86_64"))], "xen-guest-type-missing"),
        ([xen_host(libvirt=None)], "no-libvirt"),
        ([host()], "other-hypervisor"),
    ],
)
def test_refused_translation(hosts: list[HostRecord], code: str) -> None:
    """The refusal names what stands in the way, and where."""
    found = translate_for_fleet(WEB.format("", RESTART), fleet(*hosts))
    assert found.translation is None
    assert [(one.code, one.hosts) for one in found.hindrances] == [(code, (hosts[0].host.name,))]


def test_migration_with_another_word() -> None:
    """Whether a toolstack accepts a crash action that it was not asked about is not known."""
    guest = DomainGuest.from_xml(WEB.format("", "<on_crash>preserve-running</on_crash>"))
    (hindrance,) = migration_of(mixed(), guest).excluded
    assert (hindrance.answer, hindrance.code) == ("unknown", "toolstack-inconclusive")


def test_migration_of_a_domain_that_is_not_renamed() -> None:
    """A domain that was not translated has libvirt's own word, which renames no guest on any host."""
    guest = DomainGuest.from_xml(WEB.format("", "<on_crash>rename-restart</on_crash>"))
    (alike,) = migration_of(mixed(), guest).classes
    assert [note.code for note in alike.notes] == ["xen-does-not-rename"]


def test_translation_for_qemu() -> None:
    """A domain of QEMU is not for Xen hosts, and not valid where there are no others."""
    xml = "<domain type='kvm'><os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type></os></domain>"
    stated = xml.replace("</domain>", "<on_panic>restart</on_panic></domain>")
    found = translate_for_fleet(stated, fleet(host("kvm1"), xen_host()))
    assert (found.translation is not None, found.hosts, found.others) == (True, 1, 1)
    (hindrance,) = translate_for_fleet(stated, fleet(xen_host())).hindrances
    assert hindrance.code == "other-hypervisor"


# Drift


def drift(old: HostRecord, new: HostRecord) -> list[tuple[str, str]]:
    """Return the changes of a host: kinds and details."""
    sides = [read_fleet([HostDocument("xen1.json", one.to_json())], NOW) for one in (old, new)]
    return [(one.kind, one.detail) for group in drift_of(*sides).changed for one in group.changes]


def test_upgrade() -> None:
    """Another Xen and libvirt are told once, and no feature of libvirt's QEMU driver is."""
    found = drift(xen_host(), xen_host(libvirt="11.3.0", xen=xen_emulator("4.20", "11.3.0")))
    assert found == [
        ("libvirt", "was libvirt 9.0.0, now 11.3.0"),
        ("emulator", "was Xen 4.17, x86_64, now Xen 4.20, x86_64"),
    ]


def test_lost_word() -> None:
    """A toolstack that no longer accepts an action loses the policy, too."""
    found = drift(xen_host(), xen_host(xen=xen_emulator(words={"restart": REFUSED})))
    assert [kind for kind, _ in found] == ["policy-lost", "behaviour-lost"]
    assert "accepts <on_crash>restart</on_crash>: was yes, now no" in found[1][1]


@pytest.mark.parametrize(
    ("old", "new", "kinds"),
    [
        (xen_host(), xen_host(xen=xen_emulator(capabilities="xen-3.0-x86_64")), {"behaviour-lost"}),
        (xen_host(), xen_host(xen=UNASKED), {"evidence-lost"}),
        (xen_host(xen=UNASKED), xen_host(), {"evidence-found"}),
        (xen_host(), xen_host(libvirt=None), {"libvirt", "emulator"}),
        (host("xen1"), xen_host(), {"emulator", "kvm"}),
    ],
)
def test_changes(old: HostRecord, new: HostRecord, kinds: set[str]) -> None:
    """What Xen no longer runs, what is not known any more, and another hypervisor are changes."""
    assert kinds <= {kind for kind, _ in drift(old, new)}
