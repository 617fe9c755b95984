"""Translating a domain of Xen with the record of a Xen host."""

import pytest

from onpanic.core.errors import RefusedError
from onpanic.fleet.judging.promise import promise_of
from onpanic.probe.decision.policy import Policy
from onpanic.shims import to_libvirt

from ..fleet.fleets import record
from ..fleet.xen_hosts import REFUSED, xen_emulator, xen_host

DOMAIN = """<domain type='xen'>
  <name>web</name>
  <os>{}</os>
  <on_panic>crash</on_panic>
  <on_crash>{}</on_crash>
</domain>
"""
PV = "<type>linux</type>"
MACHINES = {PV: "xenpv", "<type>hvm</type>": "xenfv", "<type>xenpvh</type>": "xenpvh"}


@pytest.mark.parametrize(
    ("capabilities", "system", "action", "code"),
    [
        ("xen-3.0-x86_64 hvm-3.0-x86_64", PV, "restart", ""),
        ("xen-3.0-x86_64 hvm-3.0-x86_64", PV, "preserve", "crash-action-refused"),
        ("xen-3.0-x86_64 hvm-3.0-x86_64", PV, "rename-restart", "crash-action-refused"),  # becomes preserve
        ("xen-3.0-x86_64", "<type>hvm</type>", "restart", "xen-guest-type-missing"),
        ("xen-3.0-x86_64", "<type>xenpvh</type>", "restart", "xen-guest-type-missing"),
        ("xen-3.0-x86_64", "<type machine='xenpv'>xen</type>", "restart", ""),
        ("hvm-3.0-x86_64", "<type>hvm</type>", "restart", ""),
        ("hvm-3.0-x86_64", PV, "restart", "xen-guest-type-missing"),
        ("", PV, "restart", "toolstack-inconclusive"),
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


@pytest.mark.parametrize(
    ("arch", "system", "code"),
    [
        ("x86_64", PV, ""),
        ("i686", PV, "toolstack-inconclusive"),
        ("i686", "<type>hvm</type>", ""),
        ("i686", "<type>xenpvh</type>", ""),
        ("aarch64", PV, "record-of-another-target"),
    ],
)
def test_architecture(arch: str, system: str, code: str) -> None:
    """A Xen that runs PV guests of 64 bits may run none of 32 bits, and runs none of other architectures."""
    xml = DOMAIN.format(system.replace("<type", f"<type arch='{arch}'"), "restart")
    promise = promise_of(xen_host(), arch, MACHINES[system], Policy("crash", on_crash="restart"), "xen")
    assert promise.code == code
    if code:
        with pytest.raises(RefusedError) as refused:
            to_libvirt(xml, xen_emulator().record, libvirt="9.0.0")
        assert refused.value.decision.code == code
    else:
        assert to_libvirt(xml, xen_emulator().record, libvirt="9.0.0")


@pytest.mark.parametrize(("kind", "policy"), [("xen", "crash"), ("kvm", "restart")])
def test_record_of_another_hypervisor(kind: str, policy: str) -> None:
    """The record of an emulator says nothing about Xen, nor the reverse."""
    known = {"xen": record("7.2.22"), "kvm": xen_emulator().record}[kind]
    xml = f"<domain type='{kind}'><os><type>hvm</type></os><on_panic>{policy}</on_panic></domain>"
    with pytest.raises(RefusedError) as refused:
        to_libvirt(xml, known, libvirt="9.0.0")
    assert refused.value.decision.code == "record-of-another-hypervisor"
