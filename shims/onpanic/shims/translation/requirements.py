"""Checking that a domain's hypervisor, emulator and libvirt can honour a policy."""

from collections.abc import Sequence
from functools import partial

from onpanic.core.errors import RefusedError
from onpanic.core.untrusted import printable
from onpanic.probe.decision.policy import Policy
from onpanic.probe.decision.rules import Decision, refusal, refusal_of_policy
from onpanic.probe.emulator.notifier_models import NotifierModel
from onpanic.probe.facts import NOTIFIER_QUESTIONS
from onpanic.probe.record.capability_record import CapabilityRecord
from onpanic.shims.domain_xml.domain_machine import (
    LIBVIRT_TYPES,
    DomainMachine,
    check_panics,
    check_target,
    model_of,
)
from onpanic.shims.translation.domain_emulator import Prober, record_for
from onpanic.shims.translation.domain_notifiers import (
    DomainNotifier,
    domain_notifiers,
    usable_notifier,
)
from onpanic.shims.translation.libvirt_features import Libvirt
from onpanic.shims.translation.mapping import AddedNotifier, TranslationContext

__all__ = ("check_requirements",)

_PASSIVE = ("default", "ignore")

# The refusal of a policy that acts, by what a panic ends in because of the domain's own arguments
_DEFEATED = {
    "run": "panic-does-not-stop-guest",
    "poweroff": "panic-ends-emulator",
    "exit": "panic-ends-emulator",
    "unknown": "probe-inconclusive",
}


def check_requirements(
    policy: Policy,
    machine: DomainMachine,
    record: CapabilityRecord | Prober | None,
    libvirt: Libvirt,
    notifier: NotifierModel | None = None,
) -> TranslationContext:
    """Check that a policy can be honoured, and return what its translation depends on.

    :param policy: The policy.
    :param machine: The domain's machine.
    :param record: What the emulator can do, or a `Prober`; None to probe the domain's emulator.  It is called
        only if the policy is not refused whatever the emulator can do.
    :param libvirt: What libvirt supports.
    :param notifier: The model to add if the domain has no notifier; None for the best one.
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
            machine.hypervisor, machine.notifiers, None, builtin="", acpi=machine.acpi, libvirt=libvirt
        )
    if not isinstance(record, CapabilityRecord):
        record = (record or partial(record_for, notifier=notifier))(machine)
    return _check_qemu(policy, machine, record, libvirt, notifier)


def _check_qemu(
    policy: Policy,
    machine: DomainMachine,
    record: CapabilityRecord,
    libvirt: Libvirt,
    wanted: NotifierModel | None,
) -> TranslationContext:
    check_target(record, machine)
    check_panics(machine)
    _check_models(machine, record, libvirt)
    notifiers = domain_notifiers(machine, record)
    added: AddedNotifier | None = None
    if policy.on_panic not in _PASSIVE:
        usable = usable_notifier(machine, record, libvirt, wanted)
        if isinstance(usable, Decision):
            raise RefusedError(usable)
        added = usable
        _check_panic_action(machine, libvirt)
    elif not libvirt.preserve_running:
        _check_continuing(notifiers)
    capabilities = record.capabilities(record.machine(machine.machine).name)
    builtin = capabilities.builtin_type if capabilities.fact("builtin-pvpanic").answer == "yes" else ""
    models = tuple(dict.fromkeys(notifier.model for notifier in notifiers))
    return TranslationContext("qemu", models, added, builtin, machine.acpi, libvirt)


def _check_models(machine: DomainMachine, record: CapabilityRecord, libvirt: Libvirt) -> None:
    """Check that libvirt and the emulator have the domain's ``<panic>`` elements.

    A libvirt that does not know one drops it; one that does refuses it if the emulator lacks its device.
    """
    for model in machine.panics:
        known = libvirt.pci if model == "pvpanic" else libvirt.models or model in ("", "default", "isa")
        if not (libvirt.device and known):
            detail = f"{libvirt.name}, <panic model='{model or 'isa'}'>"
            raise RefusedError(refusal("libvirt-too-old", detail))
        device = LIBVIRT_TYPES.get(model_of(model, machine), "")
        fact = record.facts.get(f"{device}-type")
        if fact and fact.answer == "no" and machine.kind != "test":
            raise RefusedError(refusal("panic-model-without-device", device))


def _check_panic_action(machine: DomainMachine, libvirt: Libvirt) -> None:
    """Check that the domain's own arguments let a panic pause the guest; libvirt 12.6 overrides them."""
    if machine.panic_action != "pause" and not libvirt.preserve_running:
        detail = f"<qemu:commandline> has -action {printable(machine.panic_options, 60)}"
        raise RefusedError(refusal(_DEFEATED[machine.panic_action], detail))


def _check_continuing(notifiers: Sequence[DomainNotifier]) -> None:
    """Check that a guest that stops because of one of its notifiers can be continued by onpanic watch."""
    for notifier in notifiers:
        code = _not_ignorable(notifier)
        if code:
            raise RefusedError(refusal(code, f"so the domain's {notifier.model} notifier cannot be ignored"))


def _not_ignorable(notifier: DomainNotifier) -> str:
    """Return the code of the reason why the guest does not run on after a panic; empty if it may."""
    answers = {name: notifier.capabilities.fact(name).answer for name in NOTIFIER_QUESTIONS}
    if notifier.is_idle or answers["pvpanic-attachable"] == "no":
        return ""
    if answers["panic-reported"] == "no":  # it stops the guest all the same
        return "panic-not-reported"
    if answers["panic-action"] in ("poweroff", "exit"):
        return "panic-ends-emulator"
    return "cont-refused-after-panic" if answers["cont-after-panic"] == "no" else ""
