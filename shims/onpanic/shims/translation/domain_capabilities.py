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

libvirt's own block ``<panic>`` lists models by the emulator's types and architecture: hyperv for every x86
guest, even with TCG, which ignores it.  Models through which a guest cannot report a panic are removed.
"""

import re
from collections.abc import Sequence

from onpanic.core.errors import DocumentError
from onpanic.probe.decision.policy import ON_PANIC, Policy
from onpanic.probe.decision.rules import Decision, decide, refusal_of_policy
from onpanic.probe.emulator.notifier_models import NOTIFIER_MODELS
from onpanic.probe.record.capability_record import CapabilityRecord
from onpanic.shims.domain_xml.domain_machine import DomainMachine, check_target, hypervisor_of
from onpanic.shims.domain_xml.elements import Element
from onpanic.shims.domain_xml.xml_parser import parse_xml
from onpanic.shims.translation.domain_emulator import Prober
from onpanic.shims.translation.domain_notifiers import can_report, domain_notifiers, usable_notifier
from onpanic.shims.translation.libvirt_features import Libvirt

__all__ = ("described_machine", "with_on_panic")

# libvirt's block, and a value in it; libvirt prints each on lines of its own
_PANIC = re.compile(r"(?P<indent>[ \t]*)<panic supported='yes'>.*?</panic>", re.DOTALL)
_VALUE = re.compile(r"\s*<value>([^<]*)</value>")


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

    The models in ``<panic>`` are limited to those through which a guest may report a panic.

    :param xml: What ``virConnectGetDomainCapabilities`` returned.
    :param record: What the emulator, or the Xen, can do, or a `Prober`.
    :raise DocumentError: When the XML is something else.
    :raise RefusedError: When the record is about another hypervisor, or another architecture.
    :raise RecordError: When the record does not have the machine type.
    :raise OnpanicError: What the `Prober` raises.
    """
    machine = described_machine(xml)
    if machine.hypervisor is None:
        return xml  # nothing is known about it
    found = record if isinstance(record, CapabilityRecord) else record(machine)
    check_target(found, machine)
    if machine.hypervisor == "qemu":
        xml = _with_models(xml, [m for m in NOTIFIER_MODELS if can_report(m, machine, found)])
        unusable = usable_notifier(machine, found, Libvirt(), domain_notifiers(machine, found))
        refused = unusable if isinstance(unusable, Decision) else None
        accepted = [v for v in ON_PANIC if _is_accepted(Policy(v), refused)]
        dumped = any(_is_accepted(Policy(v, coredump=True), refused) for v in accepted)
    else:
        accepted = [v for v in ON_PANIC if decide(Policy(v), "xen", found.capabilities(machine.guest_type))]
        dumped = False
    lines = [
        "<on_panic supported='yes'>",
        *_enum("value", accepted),
        *_enum("coredump", ["no", "yes"] if dumped else ["no"]),
        "</on_panic>",
    ]
    block = "\n".join(f"  {line}" for line in lines)
    head, end, tail = xml.rpartition("</domainCapabilities>")
    return f"{head}{block}\n{end}{tail}"


def _is_accepted(policy: Policy, refused: Decision | None) -> bool:
    """Return whether QEMU can honour a policy.

    :param refused: Why no panic notifier can be used, None if one can be.
    """
    if refusal_of_policy(policy, "qemu") is not None:
        return False
    return refused is None or policy.on_panic in ("default", "ignore")


def _with_models(xml: str, usable: Sequence[str]) -> str:
    """Remove the models from ``<panic>`` that are not usable; a model that onpanic does not know stays."""

    def limited(block: re.Match[str]) -> str:
        unusable = set(NOTIFIER_MODELS) - set(usable)
        left = _VALUE.sub(lambda value: "" if value[1] in unusable else value[0], block[0])
        return left if _VALUE.search(left) else f"{block['indent']}<panic supported='no'/>"

    return _PANIC.sub(limited, xml, count=1)


def _enum(name: str, values: list[str]) -> list[str]:
    return [f"  <enum name='{name}'>", *(f"    <value>{value}</value>" for value in values), "  </enum>"]


def _parse(xml: str) -> Element:
    root = parse_xml(xml.encode())
    if root.tag != "domainCapabilities":
        raise DocumentError(
            f"<{root.tag!s}> is not <domainCapabilities>", "it must be what virsh domcapabilities prints"
        )
    return root
