"""libvirt's domain capabilities with ``<on_panic>`` added, where applications look for what is supported.

::

    <on_panic supported='yes'>
      <enum name='value'>
        <value>default</value>
        …
      </enum>
      <enum name='coredump'>
        <value>no</value>
        <value>yes</value>
      </enum>
    </on_panic>

As in libvirt's own blocks, an enum lists the values of the attribute with its name, or of the element
itself.  A missing block means that nothing is known, not that nothing is supported.
"""

from onpanic.core.errors import DocumentError
from onpanic.probe.decision.policy import ON_PANIC, Policy
from onpanic.probe.decision.rules import Capabilities, decide
from onpanic.probe.record.capability_record import CapabilityRecord
from onpanic.shims.domain_xml.domain_machine import DomainMachine, check_target, hypervisor_of
from onpanic.shims.domain_xml.elements import Element
from onpanic.shims.domain_xml.xml_parser import parse_xml
from onpanic.shims.translation.domain_emulator import Prober

__all__ = ("described_machine", "with_on_panic")


def described_machine(xml: str) -> DomainMachine:
    """Return the machine that domain capabilities describe.

    :param xml: What ``virConnectGetDomainCapabilities`` returned.
    :raise DocumentError: When it is something else.
    """
    root = _parse(xml)
    kind = root.findtext("domain") or ""
    words = {name: root.findtext(name) or None for name in ("arch", "machine", "path")}
    return DomainMachine(
        hypervisor=hypervisor_of(kind),
        kind=kind,
        arch=words["arch"],
        machine=words["machine"],
        emulator=words["path"],
        notifiers=(),
        acpi=True,
    )


def with_on_panic(xml: str, record: CapabilityRecord | Prober) -> str:
    """Return domain capabilities with ``<on_panic>`` for their emulator, machine type and domain type.

    :param xml: What ``virConnectGetDomainCapabilities`` returned.
    :param record: What the emulator can do, or a `Prober`; not used for Xen.
    :raise DocumentError: When the XML is something else.
    :raise RefusedError: When the record is about an emulator for another architecture.
    :raise RecordError: When the record does not have the machine type.
    :raise OnpanicError: What the `Prober` raises.
    """
    machine = described_machine(xml)
    if machine.hypervisor is None:
        return xml  # nothing is known about it
    capabilities = Capabilities({})
    if machine.hypervisor == "qemu":
        found = record if isinstance(record, CapabilityRecord) else record(machine)
        check_target(found, machine)
        capabilities = found.capabilities(machine.machine)
    accepted = [v for v in ON_PANIC if decide(Policy(v), machine.hypervisor, capabilities)]
    dumped = any(decide(Policy(v, coredump=True), machine.hypervisor, capabilities) for v in accepted)
    lines = [
        "<on_panic supported='yes'>",
        *_enum("value", accepted),
        *_enum("coredump", ["no", "yes"] if dumped else ["no"]),
        "</on_panic>",
    ]
    block = "\n".join(f"  {line}" for line in lines)
    head, end, tail = xml.rpartition("</domainCapabilities>")
    return f"{head}{block}\n{end}{tail}"


def _enum(name: str, values: list[str]) -> list[str]:
    return [f"  <enum name='{name}'>", *(f"    <value>{value}</value>" for value in values), "  </enum>"]


def _parse(xml: str) -> Element:
    root = parse_xml(xml.encode())
    if root.tag != "domainCapabilities":
        raise DocumentError(
            f"<{root.tag!s}> is not <domainCapabilities>", "it must be what virsh domcapabilities prints"
        )
    return root
