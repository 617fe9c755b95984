"""Which panic notifiers a domain has or can be given, and whether they work: pure functions from a record."""

from collections.abc import Sequence

import msgspec

from onpanic.core.untrusted import printable
from onpanic.probe.decision.rules import Capabilities, Decision, refusal, refusal_of_notifier
from onpanic.probe.emulator.notifier_models import NotifierModel
from onpanic.probe.facts import NOTIFIER_QUESTIONS, Fact
from onpanic.probe.facts.fact import no, unknown
from onpanic.probe.observations.notifiers import architectural_notifier
from onpanic.probe.record.capability_record import CapabilityRecord
from onpanic.shims.domain_xml.domain_machine import (
    DEVICES,
    LIBVIRT_TYPES,
    DomainMachine,
    has_model,
    has_pci,
)
from onpanic.shims.domain_xml.qemu_arguments import PANICKED_EVENT
from onpanic.shims.translation.libvirt_features import Libvirt
from onpanic.shims.translation.mapping import AddedNotifier

__all__ = (
    "DomainNotifier",
    "can_report",
    "domain_notifiers",
    "notifier_to_add",
    "refusal_of_notifiers",
    "usable_notifier",
)

# The order in which they are tried where the user names none: libvirt's default, then what guests need a
# newer driver for, then what needs KVM
_PREFERRED: tuple[NotifierModel, ...] = ("isa", "pvpanic", "hyperv")
_ACTS = ("pause", "poweroff", "exit")


class DomainNotifier(msgspec.Struct, frozen=True):
    """A panic notifier of a domain, and what is known about it.

    :param model: libvirt's name of it.
    :param capabilities: What the emulator can do with it.
    :param event_mask: The event bits that it offers to the guest; None if they were not read.
    :param implied: Nothing in the domain names it, but the guest can use it: Hyper-V's, see
        `DomainMachine.hyperv`.  A guest that has not been told of it does not.
    """

    model: str
    capabilities: Capabilities
    event_mask: int | None = None
    implied: bool = False

    @property
    def is_idle(self) -> bool:
        """Whether a guest can have it, and nothing happens when the guest panics."""
        answers = {name: self.capabilities.fact(name).answer for name in NOTIFIER_QUESTIONS}
        if answers["pvpanic-attachable"] == "no" or answers["panic-reported"] != "no":
            return False
        if self.event_mask is not None and not self.event_mask & PANICKED_EVENT:
            return True
        return answers["panic-stops-guest"] != "yes" and answers["panic-action"] not in _ACTS


def domain_notifiers(machine: DomainMachine, record: CapabilityRecord) -> list[DomainNotifier]:
    """Return the panic notifiers that a domain has, those of its architecture included.

    :raise RecordError: When the record does not have the domain's machine type.
    """
    name = record.machine(machine.machine).name
    architectural = architectural_notifier(record.emulator.target, name)
    models = list(machine.notifiers)
    if architectural and architectural not in models:  # the document names no architecture
        models.insert(0, architectural)
    found = [_known(record, machine, DEVICES[device], device) for device in machine.devices]
    present = {notifier.model for notifier in found}
    found = [_known(record, machine, model) for model in models if model not in present] + found
    if machine.hyperv:
        hyperv = msgspec.structs.replace(_known(record, machine, "hyperv"), implied=True)
        if hyperv.capabilities.fact("pvpanic-attachable").answer != "no":  # this KVM may not have it
            found.append(hyperv)
    return found


def refusal_of_notifiers(notifiers: Sequence[DomainNotifier]) -> Decision | None:
    """Return why a guest with these notifiers allows no policy that acts on a panic; None if it does.

    A guest may report a panic through any of its notifiers, so each that reports must work.  One that is
    known to do nothing does not matter, as long as another one works.

    :param notifiers: At least one.
    """
    acting = [notifier for notifier in notifiers if not notifier.is_idle]
    found = [refusal_of_notifier(notifier.capabilities) for notifier in acting or notifiers]
    refused = [decision for decision in found if decision is not None]
    definite = [decision for decision in refused if decision.code != "probe-inconclusive"]
    return next(iter(definite or refused), None)


def notifier_to_add(
    machine: DomainMachine,
    record: CapabilityRecord,
    libvirt: Libvirt,
    model: NotifierModel | None = None,
) -> AddedNotifier | Decision:
    """Return the notifier to add to a domain that has none, or why none can be added.

    :param machine: The domain's machine.
    :param libvirt: What libvirt supports.
    :param model: The model to add; None for the best that works: the record's own, or else ISA, PCI, Hyper-V.
    :raise RecordError: When the record does not have the domain's machine type.
    """
    recorded = record.machine(machine.machine)
    if model is None and recorded.notifier is None:
        refused = refusal_of_notifier(record.capabilities(recorded.name))
        return refusal("panic-device-missing", "the record names none") if refused is None else refused
    own = () if recorded.notifier is None else (recorded.notifier,)
    reasons: list[Decision] = []
    for candidate in dict.fromkeys((*own, *_PREFERRED) if model is None else (model,)):
        checks = (
            _refused_by_libvirt(candidate, machine),
            _refused_by_arguments(candidate, machine),
            refusal_of_notifier(_known(record, machine, candidate).capabilities),
            _refused_by_version(candidate, libvirt),
        )
        refused = next((decision for decision in checks if decision is not None), None)
        if refused is None:
            return AddedNotifier(candidate, _device_to_add(candidate, record, machine, libvirt))
        reasons.append(refused)
    return reasons[0]


def usable_notifier(
    machine: DomainMachine,
    record: CapabilityRecord,
    libvirt: Libvirt,
    notifiers: Sequence[DomainNotifier],
    model: NotifierModel | None = None,
) -> AddedNotifier | Decision | None:
    """Return the notifier to add for a policy that acts; None if those that the domain has work.

    Takes the parameters of `notifier_to_add`, and:

    :param notifiers: What `domain_notifiers` returns.
    :return: A refusal if neither is possible.
    :raise RecordError: When the record does not have the domain's machine type.
    """
    named = [notifier for notifier in notifiers if not notifier.implied]
    implied = [notifier for notifier in notifiers if notifier.implied and not notifier.is_idle]
    refused = refusal_of_notifiers(named) if named else None
    if refused is None and implied:
        refused = refusal_of_notifiers(implied)
        refused = None if refused is not None and refused.code == "probe-inconclusive" else refused
    if named or refused is not None:
        return refused
    return notifier_to_add(machine, record, libvirt, model)


def can_report(model: str, machine: DomainMachine, record: CapabilityRecord) -> bool:
    """Return whether a guest can report a panic through a ``<panic>`` of this model; True if that is unknown.

    :raise RecordError: When the record does not have the domain's machine type.
    """
    if model == "hyperv" and machine.kind != "kvm":
        return False  # TCG ignores the flag, and other accelerators do not have it
    known = _known(record, machine, model, LIBVIRT_TYPES.get(model, "")).capabilities
    return "no" not in [known.fact(name).answer for name in ("pvpanic-attachable", "panic-reported")]


def _known(record: CapabilityRecord, machine: DomainMachine, model: str, device: str = "") -> DomainNotifier:
    """Return what a record says about a notifier.

    :param device: The QEMU type that the domain has it as; empty for the one that works.
    """
    recorded = record.machine(machine.machine)
    capabilities = record.capabilities(recorded.name)
    if device and capabilities.fact(f"{device}-type").answer == "no" and device != "isa-pvpanic":
        return _answered_alike(model, capabilities, no("introspected", f"the emulator has no type {device}"))
    entry = recorded.notifier_named(model)
    if entry is None:
        detail = f"the record says nothing about the notifier {printable(model, 60)}"
        return _answered_alike(model, capabilities, unknown(detail))
    renamed = device == "isa-pvpanic" and capabilities.fact("isa-pvpanic-type").answer != "yes"
    if device and entry.type and entry.type != device and not renamed:  # onpanic-qemu renames it
        detail = f"the record is of {entry.type}, the domain has {device}"
        return _answered_alike(model, capabilities, unknown(detail))
    if entry.model != recorded.notifier:
        capabilities = record.capabilities(recorded.name, entry.model)
    found = DomainNotifier(model, capabilities, entry.event_mask)
    device = device or entry.type or ""
    if device in machine.unreachable:
        return _silent(found, f"the domain puts {device} at port 0, where no guest finds it", 0)
    mask = machine.arguments.event_masks.get(device)
    return found if mask is None else _with_event_mask(found, device, mask)


def _with_event_mask(notifier: DomainNotifier, device: str, mask: int) -> DomainNotifier:
    """Return a notifier whose event bits the domain's own arguments set."""
    if not mask & PANICKED_EVENT:
        return _silent(notifier, f"the domain's arguments set events={mask:#x} of {device}", mask)
    return msgspec.structs.replace(notifier, event_mask=mask)


def _silent(notifier: DomainNotifier, why: str, mask: int) -> DomainNotifier:
    """Return a notifier that reports no panic because of what the domain says.

    :param mask: The event bits that it offers to the guest.
    """
    known = notifier.capabilities
    facts = {**known.facts, "panic-reported": no("documented", why)}
    silent = msgspec.structs.replace(known, facts=facts)
    return msgspec.structs.replace(notifier, capabilities=silent, event_mask=mask)


def _answered_alike(model: str, capabilities: Capabilities, fact: Fact) -> DomainNotifier:
    """Return a notifier about which all questions have the same answer."""
    facts = {**capabilities.facts, **dict.fromkeys(NOTIFIER_QUESTIONS, fact)}
    return DomainNotifier(model, msgspec.structs.replace(capabilities, facts=facts))


def _refused_by_libvirt(model: NotifierModel, machine: DomainMachine) -> Decision | None:
    """Return why libvirt has no such model for a domain, whatever its version; None if it has."""
    if model in ("pseries", "s390") or not has_model(machine, model):
        return refusal("no-such-panic-model", f"{model} on {machine.arch or 'this architecture'}")
    if model == "hyperv" and machine.kind != "kvm":
        return refusal("notifier-needs-kvm", printable(machine.kind, 60))
    return None


def _refused_by_arguments(model: NotifierModel, machine: DomainMachine) -> Decision | None:
    """Return why the domain's own arguments keep a notifier from being added; None if they do not."""
    if model == "hyperv" and machine.arguments.replaces_cpu and not machine.arguments.hyperv:
        return refusal("panic-not-reported", "<qemu:commandline> has -cpu without hv-crash")
    return None


def _refused_by_version(model: NotifierModel, libvirt: Libvirt) -> Decision | None:
    """Return why libvirt is too old for a notifier, whatever adds it; None if it is not."""
    if libvirt.device and (libvirt.models or model != "hyperv"):
        return None
    lacking = libvirt.lacking("models" if libvirt.device else "device")
    return refusal("libvirt-too-old", f"{lacking}: <panic model='{model}'>")


def _device_to_add(
    model: NotifierModel, record: CapabilityRecord, machine: DomainMachine, libvirt: Libvirt
) -> str:
    """Return the QEMU type to add through ``<qemu:commandline>``; empty if ``<panic>`` adds it."""
    if model not in LIBVIRT_TYPES:
        return ""
    recorded = record.machine(machine.machine).notifier_named(model)
    device = (recorded.type if recorded else None) or LIBVIRT_TYPES[model]
    pci = libvirt.pci and has_pci(machine)
    added_by_libvirt = device == LIBVIRT_TYPES[model] and (pci or model != "pvpanic")
    return "" if added_by_libvirt else device
