"""Checking that a domain's hypervisor, emulator and libvirt can honour a policy."""

from collections.abc import Sequence

from onpanic.core.errors import RefusedError
from onpanic.core.untrusted import printable
from onpanic.probe.decision.policy import Policy
from onpanic.probe.decision.rules import Capabilities, refusal, refusal_of_notifier, refusal_of_policy
from onpanic.probe.record.capability_record import CapabilityRecord
from onpanic.shims.domain_xml.domain_machine import DomainMachine, check_panics, check_target
from onpanic.shims.translation.domain_emulator import Prober, record_for
from onpanic.shims.translation.libvirt_features import Libvirt
from onpanic.shims.translation.mapping import TranslationContext

__all__ = ("check_requirements",)

_PASSIVE = ("default", "ignore")


def check_requirements(
    policy: Policy, machine: DomainMachine, record: CapabilityRecord | Prober | None, libvirt: Libvirt
) -> TranslationContext:
    """Check that a policy can be honoured, and return what its translation depends on.

    :param policy: The policy.
    :param machine: The domain's machine.
    :param record: What the emulator can do, or a `Prober`; None to probe the domain's emulator.  It is called
        only if the policy is not refused whatever the emulator can do.
    :param libvirt: What libvirt supports.
    :raise RefusedError: When the policy cannot be honoured.
    :raise RecordError: When the record does not have the domain's machine type.
    :raise OnpanicError: What the `Prober` raises.
    """
    if machine.hypervisor is None and policy.on_panic not in _PASSIVE:
        kind = printable(machine.kind, 60) or "no domain type"
        raise RefusedError(refusal("hypervisor-reports-no-panic", kind))
    refused = refusal_of_policy(policy, machine.hypervisor or "qemu")
    if refused is not None:
        raise RefusedError(refused)
    if machine.hypervisor != "qemu":
        return TranslationContext(
            machine.hypervisor, machine.notifiers, None, builtin=False, acpi=machine.acpi, libvirt=libvirt
        )
    if not isinstance(record, CapabilityRecord):
        record = (record or record_for)(machine)
    return _check_qemu(policy, machine, record, libvirt)


def _check_qemu(
    policy: Policy, machine: DomainMachine, record: CapabilityRecord, libvirt: Libvirt
) -> TranslationContext:
    check_target(record, machine)
    recorded = record.machine(machine.machine)
    capabilities = record.capabilities(recorded.name)
    acts = policy.on_panic not in _PASSIVE
    refused = refusal_of_notifier(capabilities) if acts else None
    if refused is not None:
        raise RefusedError(refused)
    check_panics(machine)
    _check_models(machine, libvirt)
    model = recorded.notifier.model if recorded.notifier else None
    offered = model if model == "isa" or model == "pvpanic" else None  # noqa: PLR1714
    notifiers = machine.notifiers
    if capabilities.architectural and not notifiers:  # the document names no architecture
        notifiers = (capabilities.architectural,)
    if acts:
        _check_notifier(notifiers, offered, libvirt)
        _check_panic_action(machine, libvirt)
    elif notifiers and not libvirt.preserve_running:
        _check_continuing(capabilities)
    builtin = capabilities.fact("builtin-pvpanic").answer == "yes"
    return TranslationContext("qemu", notifiers, offered, builtin, machine.acpi, libvirt)


def _check_models(machine: DomainMachine, libvirt: Libvirt) -> None:
    """Check that libvirt knows the domain's ``<panic>`` elements; a libvirt that does not drops them."""
    for model in machine.panics:
        known = libvirt.pci if model == "pvpanic" else libvirt.models or model in ("", "default", "isa")
        if not (libvirt.device and known):
            detail = f"{libvirt.name}, <panic model='{model or 'isa'}'>"
            raise RefusedError(refusal("libvirt-too-old", detail))


def _check_notifier(notifiers: Sequence[str], offered: str | None, libvirt: Libvirt) -> None:
    """Check that the domain has the notifier that works, or that it can be added."""
    if notifiers and offered and not {offered, "hyperv"} & set(notifiers):
        detail = f"the record is of the {offered} notifier, the domain has {notifiers[0]}"
        raise RefusedError(refusal("probe-inconclusive", detail))
    if not notifiers and not offered:
        raise RefusedError(refusal("panic-device-missing", "the record names none"))
    if not notifiers and not libvirt.device:
        raise RefusedError(refusal("libvirt-too-old", libvirt.name))


def _check_panic_action(machine: DomainMachine, libvirt: Libvirt) -> None:
    """Check that the domain's own arguments let a panic stop the guest; libvirt 12.6 overrides them."""
    if machine.panic_action and not libvirt.preserve_running:
        action = printable(machine.panic_action, 60)
        detail = f"<qemu:commandline> has -action panic={action}"
        raise RefusedError(refusal("panic-does-not-stop-guest", detail))


def _check_continuing(capabilities: Capabilities) -> None:
    """Check that a guest that libvirt stops because it has a notifier can be continued."""
    if capabilities.fact("cont-after-panic").answer == "no":
        detail = "so the notifier that the domain has cannot be ignored"
        raise RefusedError(refusal("cont-refused-after-panic", detail))
