"""A plain guest: a domain without a notifier, without arguments, and with libvirt's default actions."""

from functools import lru_cache
from html import escape

from onpanic.fleet.hosts.host_record import XEN, HostEmulator
from onpanic.probe.decision.policy import Hypervisor
from onpanic.shims.domain_xml.domain_machine import XEN_MACHINES, DomainMachine, machine_of
from onpanic.shims.domain_xml.xml_parser import parse_xml

__all__ = ("domain_type", "plain_document", "plain_machine")

_PLAIN = """\
<domain type="{}">
  <name>guest</name>
  <os>
    <type arch="{}" machine="{}">hvm</type>
  </os>
  <features>
    <acpi/>
  </features>
  <devices>
    <emulator>{}</emulator>
  </devices>
</domain>
"""


# The OS type that libvirt writes for each of Xen's machine types; it reads xen, too
_OS_TYPES = {machine: kind for kind, machine in XEN_MACHINES.items() if kind != "xen"}

_XEN = """\
<domain type="xen">
  <name>guest</name>
  <os>
    <type arch="{}" machine="{}">{}</type>
  </os>
</domain>
"""


def domain_type(emulator: HostEmulator | None, hypervisor: Hypervisor) -> str:
    """Return the type of such a guest's domain.

    For QEMU it is KVM's if the host's libvirt has it for the emulator.

    :param emulator: The host's emulator for the guest; None if it has none.
    :param hypervisor: The guest's.
    """
    if hypervisor == "xen":
        return XEN
    return "kvm" if emulator and "kvm" in emulator.domain_types else "qemu"


def plain_document(kind: str, architecture: str, machine: str, emulator: str) -> str:
    """Return the domain of such a guest, as libvirt has it when it is defined.

    :param kind: The domain type.
    :param architecture: libvirt's name of the architecture.
    :param machine: The machine type; empty for the emulator's default one.
    :param emulator: The emulator's path, which libvirt writes into every domain of QEMU.
    """
    if kind == XEN:
        return _XEN.format(*map(escape, (architecture, machine, _OS_TYPES.get(machine, "hvm"))))
    return _PLAIN.format(*map(escape, (kind, architecture, machine, emulator)))


@lru_cache(maxsize=4096)
def plain_machine(kind: str, architecture: str, machine: str) -> DomainMachine:
    """Return the machine of such a guest whose domain names no emulator.

    :raise DocumentError: When no document can have the names.
    """
    return machine_of(parse_xml(plain_document(kind, architecture, machine, "").encode()))
