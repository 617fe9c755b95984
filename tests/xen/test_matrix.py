"""The record of libvirt's Xen driver: collected in dom0, and equal to the published one.

By default a few of its guests run.  With ``ONPANIC_XEN=all`` the command collects the whole record, as users
do, which takes a minute or two.
"""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

from onpanic.matrix import LibvirtRecord, published
from onpanic.matrix.libvirts.libvirt_table import libvirt_changes
from onpanic.matrix.lint import lint_libvirt

from ..running.dom0_onpanic import copy_onpanic
from ..running.xen_lab import XenLab

Run = Callable[..., subprocess.CompletedProcess[str]]

# What `FEW` needs
PARTS = ("core", "probe", "shims", "matrix")

COMMAND = "-m onpanic matrix collect -q --libvirt xen:///system -o /run/records"

# Both types of guests, and each thing that a crash can end in
FEW = """
from pathlib import Path
from onpanic.matrix.libvirts.collect_libvirt import record_libvirt
from onpanic.matrix.libvirts.libvirt_files import keep_libvirt_record
guests = ["coredump-restart pv", "destroy pv", "preserve pvh", "rename-restart pvh"]
wanted = lambda plan: plan.persistent and f"{plan.on_crash} {plan.guest_type}" in guests
keep_libvirt_record(Path("/run/records"), record_libvirt("xen:///system", wanted=wanted))
"""


def test_xen_is_collected(xen: XenLab) -> None:
    """What is seen is what is published.  Nothing of the guests is left."""
    everything = os.environ.get("ONPANIC_XEN") == "all"
    python = copy_onpanic(xen) if everything else copy_onpanic(xen, PARTS)
    script = COMMAND if everything else xen.put("few.py", FEW.encode())
    shown = "basename -s .json /run/records/*; cat /run/records/*"
    done = xen.run(f"{python} {script} && {{ {shown}; }}", seconds=600)
    assert done.returncode == 0, done.stderr
    name, content = done.stdout.split("\n", 1)
    record = LibvirtRecord.from_json(content.encode())
    assert len([guest for guest in record.guests if guest.end]) >= 4
    assert {problem.rule for problem in lint_libvirt(name, record)} <= {"unobserved-word"}
    assert libvirt_changes(published().libvirts[name], record) == []
    left = "virsh -q list --all --name; find /tmp /var/lib/libvirt /var/log/libvirt -name 'onpanic-*'"
    assert xen.run(left).stdout.split() == ["Domain-0"]


def test_xen_is_not_collected_from_elsewhere(xen: XenLab, onpanic: Run, tmp_path: Path) -> None:
    """dom0's libvirt could not read the images of guests that are written here."""
    done = onpanic("matrix", "collect", "-q", "-o", str(tmp_path / "out"), "--libvirt", xen.uri)
    assert done.returncode == 2
    assert "on another host" in done.stderr
