"""``onpanic host`` in a real dom0, and what fleets read in its record."""

import io
import tarfile
from pathlib import Path

import msgspec
import qemu.qmp

from onpanic.fleet import HostDocument, HostRecord, PlainGuest, migration_of, read_fleet, verdict_of
from onpanic.probe.decision.policy import Policy

from ..fleet.fleets import NOW, host
from ..running.xen_lab import XenLab

ROOT = Path(__file__).parents[2]
PARTS = ("core", "qmp", "probe", "check", "shims", "fleet", "cli")


def installed(xen: XenLab) -> str:
    """Copy what the command needs into dom0, and return the folder: one archive, as many files are slow.

    What this Python has compiled is of use there if it has the same one.
    """
    folders = {f"onpanic/{path.name}": path for name in PARTS for path in ROOT.glob(f"*/onpanic/{name}")}
    folders |= {"msgspec": Path(msgspec.__file__).parent, "qemu/qmp": Path(qemu.qmp.__file__).parent}
    files = {f"onpanic/{path.name}": path for path in ROOT.glob("*/onpanic/*.py")}
    with io.BytesIO() as buffer:
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            for name, path in (folders | files).items():
                tar.add(path, name)
        archive = xen.put("onpanic.tar", buffer.getvalue())
    done = xen.run(f"mkdir /tmp/onpanic && tar -xf {archive} -C /tmp/onpanic")
    assert done.returncode == 0, done.stderr
    return "/tmp/onpanic"


def test_record_of_a_dom0(xen: XenLab) -> None:
    """A dom0's record has its Xen, as libvirt's driver describes it, and a fleet judges the host by it."""
    done = xen.run(f"PYTHONPATH={installed(xen)} python3 -m onpanic host --name xen1 --format json")
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
