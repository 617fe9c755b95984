"""A plain guest: a domain without a notifier, without arguments, and with libvirt's default actions."""

from functools import lru_cache
from html import escape

from onpanic.fleet.hosts.host_record import HostEmulator
from onpanic.shims.domain_xml.domain_machine import DomainMachine, machine_of
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


def domain_type(emulator: HostEmulator) -> str:
    """Return the type of such a guest's domain: KVM's if the host's libvirt has it for the emulator."""
    return "kvm" if "kvm" in emulator.domain_types else "qemu"


def plain_document(kind: str, architecture: str, machine: str, emulator: str) -> str:
    """Return the domain of such a guest, as libvirt has it when it is defined.

    :param kind: The domain type.
    :param architecture: libvirt's name of the architecture.
    :param machine: The machine type; empty for the emulator's default one.
    :param emulator: The emulator's path, which libvirt writes into every domain.
    """
    return _PLAIN.format(*map(escape, (kind, architecture, machine, emulator)))


@lru_cache(maxsize=4096)
def plain_machine(kind: str, architecture: str, machine: str) -> DomainMachine:
    """Return the machine of such a guest whose domain names no emulator.

    :raise DocumentError: When no document can have the names.
    """
    return machine_of(parse_xml(plain_document(kind, architecture, machine, "").encode()))
