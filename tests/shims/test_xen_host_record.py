"""Translating a domain of Xen with the record of a Xen host."""

import pytest

from onpanic.core.errors import RefusedError
from onpanic.shims import to_libvirt

from ..fleet.fleets import record
from ..fleet.xen_hosts import REFUSED, xen_emulator

DOMAIN = """<domain type='xen'>
  <name>web</name>
  <os>{}</os>
  <on_panic>crash</on_panic>
  <on_crash>{}</on_crash>
</domain>
"""
PV = "<type>linux</type>"


@pytest.mark.parametrize(
    ("capabilities", "system", "action", "code"),
    [
        ("xen-3.0-x86_64 hvm-3.0-x86_64", PV, "restart", ""),
        ("xen-3.0-x86_64 hvm-3.0-x86_64", PV, "preserve", "crash-action-refused"),
        ("xen-3.0-x86_64", "<type>hvm</type>", "restart", "xen-guest-type-missing"),
        ("xen-3.0-x86_64", "<type>xenpvh</type>", "restart", "xen-guest-type-missing"),
        ("xen-3.0-x86_64", "<type machine='xenpv'>xen</type>", "restart", ""),
        ("hvm-3.0-x86_64", "<type>hvm</type>", "restart", ""),
        ("hvm-3.0-x86_64", PV, "restart", "xen-guest-type-missing"),
        ("", PV, "restart", "probe-inconclusive"),
    ],
)
def test_xen_host(capabilities: str, system: str, action: str, code: str) -> None:
    """The host must run such guests, which the OS type tells, and accept the crash action."""
    known = xen_emulator(capabilities=capabilities, words={"preserve": REFUSED}).record
    xml = DOMAIN.format(system, action)
    if code:
        with pytest.raises(RefusedError) as refused:
            to_libvirt(xml, known, libvirt="9.0.0")
        assert refused.value.decision.code == code
    else:
        assert f"<on_crash>{action}</on_crash>" in to_libvirt(xml, known, libvirt="9.0.0").xml


def test_record_of_qemu() -> None:
    """The record of an emulator says nothing about Xen: the rules alone decide."""
    xml = DOMAIN.format(PV, "preserve")
    assert to_libvirt(xml, record("7.2.22"), libvirt="9.0.0").xml == to_libvirt(xml, libvirt="9.0.0").xml
