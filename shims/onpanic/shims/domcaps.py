"""libvirt's domain capabilities with ``<on_panic>`` in them: what may be promised, where apps look for it.

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

An enum lists what its attribute, or the element itself, may say, as libvirt's own do.  As
with libvirt, a missing block means that nothing is known, not that nothing is supported.
"""

from lxml import etree

from onpanic.probe.decision import ON_PANIC, Capabilities, Policy, decide
from onpanic.probe.record import CapabilityRecord

from .domain import Machine, check_target, hypervisor_of
from .emulators import Recorder
from .errors import DocumentError

__all__ = ("described_machine", "with_on_panic")


def described_machine(xml: str) -> Machine:
    """Return the machine that domain capabilities are about.

    :param xml: What ``virConnectGetDomainCapabilities`` returned.
    :raise DocumentError: When it is something else.
    """
    root = _parsed(xml)
    kind = root.findtext("domain") or ""
    words = {name: root.findtext(name) or None for name in ("arch", "machine", "path")}
    return Machine(
        hypervisor=hypervisor_of(kind),
        kind=kind,
        arch=words["arch"],
        machine=words["machine"],
        emulator=words["path"],
        notifiers=(),
        acpi=True,
    )


def with_on_panic(xml: str, record: CapabilityRecord | Recorder) -> str:
    """Return domain capabilities with ``<on_panic>`` for their emulator, machine type and domain type.

    :param xml: What ``virConnectGetDomainCapabilities`` returned.
    :param record: What the emulator can do, or a function that finds out; not used for Xen.
    :raise DocumentError: When the XML is something else.
    :raise RefusedError: When the record is of another architecture.
    :raise RecordError: When the record does not have the machine type.
    """
    machine = described_machine(xml)
    if machine.hypervisor is None:
        return xml  # nothing is known of it
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


def _parsed(xml: str) -> etree._Element:
    try:
        root = etree.fromstring(xml.encode(), etree.XMLParser(resolve_entities=False, no_network=True))
    except etree.XMLSyntaxError as error:
        raise DocumentError(f"not well-formed XML: {error.msg}", "it has to be what libvirt says") from error
    if root.tag != "domainCapabilities":
        raise DocumentError(f"<{root.tag!s}> is no <domainCapabilities>", "it has to be what libvirt says")
    return root
