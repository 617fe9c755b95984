"""Whether a host has what a domain names, as far as its record says."""

import msgspec
import pytest

from onpanic.core.errors import RefusedError
from onpanic.fleet.judging.domain_on_host import emulator_of
from onpanic.fleet.judging.hindrance import hindrance_answer
from onpanic.fleet.judging.plain_guest import plain_document
from onpanic.shims.domain_xml.document import Document
from onpanic.shims.domain_xml.domain_machine import machine_of

from .fleets import emulator, host


@pytest.mark.parametrize(
    ("path", "answer", "code"),
    [
        ("/usr/bin/qemu-system-x86_64", "no", "no-emulator-at-path"),
        ("/usr/libexec/qemu-kvm", "no", "no-emulator-at-path"),
        ("/opt/kvm/qemu-system-x86_64", "no", "no-emulator-at-path"),
        ("/opt/qemu/qemu-system-x86_64", "unknown", "emulator-path-not-asked"),
        ("/usr/bin/our-wrapper", "unknown", "emulator-path-not-asked"),
    ],
)
def test_where_onpanic_host_does_not_look_an_emulator_may_be(path: str, answer: str, code: str) -> None:
    """It looks in folders of its own and in those of the PATH, for programs with QEMU's name."""
    there = host("b", emulators=[msgspec.structs.replace(emulator("7.2.22"), path="/opt/kvm/kvm")])
    machine = machine_of(Document(plain_document("kvm", "x86_64", "pc", path)).root)
    with pytest.raises(RefusedError) as refused:
        emulator_of(there, machine)
    found = refused.value.decision.code
    assert (hindrance_answer(found), found) == (answer, code)


def test_a_domain_without_an_architecture_has_the_hosts_own() -> None:
    """libvirt calls it i686, and Linux may call it i586."""
    there = host("b", emulators=[emulator("7.2.22", "i386", ["pc"])])
    there = msgspec.structs.replace(there, system=msgspec.structs.replace(there.system, architecture="i586"))
    xml = "<domain type='kvm'><os><type machine='pc'>hvm</type></os></domain>"
    assert emulator_of(there, machine_of(Document(xml).root)).path == "/usr/bin/qemu-system-i386"
