"""The lab itself."""

import pytest

from ..running.xen_lab import XenLab


def test_lab(xen: XenLab) -> None:
    """A guest crashes under a real Xen, and ``xl`` and libvirt both see it."""
    config = f"""
name = "crashed"
type = "pv"
kernel = "{xen.guests}/pv-crash.elf"
memory = 32
on_crash = "preserve"
"""
    created = xen.run("xl", "create", xen.put("crashed.cfg", config.encode()))
    assert created.returncode == 0, created.stderr
    listed = xen.run("sleep 1; xl list crashed")
    assert listed.stdout.split()[-2].endswith("c-"), listed
    libvirt = pytest.importorskip("libvirt")
    assert libvirt.open(xen.uri).getType() == "Xen"
