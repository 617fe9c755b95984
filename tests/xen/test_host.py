"""``onpanic host`` in a real dom0, and what fleets read in its record."""

from onpanic.fleet import HostDocument, HostRecord, PlainGuest, migration_of, read_fleet, verdict_of
from onpanic.probe.decision.policy import Policy

from ..fleet.fleets import NOW, host
from ..running.dom0_onpanic import copy_onpanic
from ..running.xen_lab import XenLab

PARTS = ("core", "qmp", "probe", "check", "shims", "fleet", "cli")


def test_record_of_a_dom0(xen: XenLab) -> None:
    """A dom0's record has its Xen, as libvirt's driver describes it, and a fleet judges the host by it."""
    done = xen.run(f"{copy_onpanic(xen, PARTS)} -m onpanic host --name xen1 --format json")
    assert (done.returncode, done.stderr) == (0, "")
    found = HostRecord.from_json(done.stdout.encode())
    assert (found.emulators, found.kvm.usable, found.problems) == ([], "no", [])
    assert found.libvirt
    assert (found.libvirt.uri, found.xen and found.xen.runs) == ("xen:///system", ["x86_64"])
    documents = [HostDocument(one.host.name, one.to_json()) for one in (found, host("kvm1"))]
    fleet = read_fleet(documents, NOW)
    verdict = verdict_of(fleet, policies=[Policy("crash", on_crash="preserve")], machines=["xenpv", "xenfv"])
    assert [(one.hypervisor, one.hosts, one.others) for one in verdict.architectures] == [("xen", 1, 1)]
    assert verdict.everywhere == "yes"
    guest = PlainGuest(Policy("crash"), "xenpv")
    pair = migration_of(fleet, guest, between=("xen1", "kvm1")).pair
    assert pair
    assert [one.code for one in pair.hindrances] == ["other-hypervisor"]
