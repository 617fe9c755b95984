"""Checking that a domain's hypervisor, emulator and libvirt can honour a policy."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from onpanic.core.errors import RefusedError
from onpanic.core.untrusted import printable
from onpanic.probe.decision.policy import Policy
from onpanic.probe.decision.rules import Capabilities, Decision, decide, refusal, refusal_of_policy
from onpanic.probe.emulator.notifier_models import NotifierModel
from onpanic.probe.facts import NOTIFIER_QUESTIONS, Fact
from onpanic.probe.record.capability_record import CapabilityRecord
from onpanic.shims.domain_xml.domain_machine import DomainMachine, check_target
from onpanic.shims.translation.domain_notifiers import (
    DomainNotifier,
    domain_notifiers,
    usable_notifier,
)
from onpanic.shims.translation.libvirt_features import Libvirt
from onpanic.shims.translation.libvirt_refusals import check_domain, check_panic_devices
from onpanic.shims.translation.mapping import AddedNotifier, TranslationContext

if TYPE_CHECKING:
    from onpanic.shims.translation.domain_emulator import Prober

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
    record: "CapabilityRecord | Prober | None",
    libvirt: Libvirt,
    notifier: NotifierModel | None = None,
) -> TranslationContext:
    """Check that a policy can be honoured, and return what its translation depends on.

    :param policy: The policy.
    :param machine: The domain's machine.
    :param record: What the emulator, or the Xen, can do, or a `Prober`; None to probe the domain's emulator,
        and to ask no Xen.  It is called only if the policy is not refused whatever the emulator can do.
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
    check_domain(machine, libvirt)
    if (
        machine.hypervisor == "qemu"
        and machine.confidential
        and (policy.coredump or policy.on_crash_coredump)
    ):
        raise RefusedError(refusal("coredump-of-confidential-guest", machine.confidential))
    if machine.hypervisor is None:
        return _without_emulator(machine, libvirt)
    if not isinstance(record, CapabilityRecord):
        from onpanic.shims.translation.domain_emulator import record_for  # loads all that probing needs

        record = (record or partial(record_for, notifier=notifier))(machine)
    check_target(record, machine)
    if machine.hypervisor == "xen":
        decision = decide(policy, "xen", record.capabilities(machine.guest_type))
        if not decision:
            raise RefusedError(decision)
        return _without_emulator(machine, libvirt)
    return _check_qemu(policy, machine, record, libvirt, notifier)


def _without_emulator(machine: DomainMachine, libvirt: Libvirt) -> TranslationContext:
    """Return what the translation of a domain depends on that no QEMU runs."""
    return TranslationContext(
        machine.hypervisor,
        machine.notifiers,
        None,
        builtin="",
        acpi=machine.acpi,
        libvirt=libvirt,
        without_vmcoreinfo="only QEMU has it",
        guest_type=machine.guest_type if machine.hypervisor == "xen" else "",
    )


def _check_qemu(
    policy: Policy,
    machine: DomainMachine,
    record: CapabilityRecord,
    libvirt: Libvirt,
    wanted: NotifierModel | None,
) -> TranslationContext:
    check_panic_devices(machine, record)
    notifiers = domain_notifiers(machine, record)
    capabilities = record.capabilities(record.machine(machine.machine).name)
    fatal = _fatal(machine, capabilities)
    added: AddedNotifier | None = None
    if policy.on_panic not in _PASSIVE:
        usable = usable_notifier(machine, record, libvirt, notifiers, wanted)
        if isinstance(usable, Decision):
            raise RefusedError(usable)
        added = usable
        _check_panic_action(machine, libvirt)
    elif not libvirt.preserve_running:
        _check_continuing(machine, notifiers, libvirt, fatal)
    builtin = capabilities.builtin_type if capabilities.fact("builtin-pvpanic").answer == "yes" else ""
    return TranslationContext(
        "qemu",
        tuple(dict.fromkeys(notifier.model for notifier in notifiers if not notifier.implied)),
        added,
        builtin,
        machine.acpi,
        libvirt,
        implied=tuple(notifier.model for notifier in notifiers if notifier.implied),
        fatal=fatal,
        reset_ends=machine.reset_ends,
        quits=_quits(machine, libvirt),
        config_file=machine.arguments.config_file,
        vmcoreinfo=machine.vmcoreinfo,
        without_vmcoreinfo=_without_vmcoreinfo(machine, capabilities.fact("vmcoreinfo-attachable"), libvirt),
    )


def _fatal(machine: DomainMachine, capabilities: Capabilities) -> str:
    """Return the code of the note on an end of the guest that QEMU reports as a panic; empty without.

    A guest whose CPU state is encrypted tells the host of its end: QEMU reports TDX's fatal error since 10.1,
    and SEV-ES's termination since 11.0.
    """
    if capabilities.fact("checkstop-reported").answer == "yes":
        return "checkstop-reports"
    return "" if machine.resettable else "confidential-guest-reports"


def _without_vmcoreinfo(machine: DomainMachine, attachable: Fact, libvirt: Libvirt) -> str:
    """Return why a domain that has no vmcoreinfo device is not given one; empty if it can be.

    libvirt does not ask whether the machine type can have it: such a guest does not start.
    """
    if machine.vmcoreinfo not in ("", "on"):  # the user's decision
        return f"the domain has <vmcoreinfo state='{printable(machine.vmcoreinfo, 60)}'/>"
    if machine.confidential:
        return f"{machine.confidential}: its memory is encrypted"
    if attachable.answer != "yes":
        known = "" if attachable.answer == "no" else "not known: "
        return f"{known}{attachable.detail}"
    return "" if libvirt.vmcoreinfo else f"{libvirt.lacking('vmcoreinfo')} lacks it"


def _check_panic_action(machine: DomainMachine, libvirt: Libvirt) -> None:
    """Check that the domain's own arguments let a panic pause the guest; libvirt 12.6 overrides them."""
    action, options = machine.arguments.panic_action, machine.arguments.panic_options
    if action != "pause" and not libvirt.preserve_running:
        raise RefusedError(refusal(_DEFEATED[action], _in_arguments(options, libvirt)))


def _check_continuing(
    machine: DomainMachine, notifiers: Sequence[DomainNotifier], libvirt: Libvirt, fatal: str
) -> None:
    """Check that a guest that stops because of what is reported can be continued by onpanic watch.

    :param libvirt: One that lacks ``preserve-running``.
    :param fatal: See `TranslationContext.fatal`.
    """
    for notifier in notifiers:
        code = _not_ignorable(notifier)
        if code:
            raise RefusedError(refusal(code, f"so the domain's {notifier.model} notifier cannot be ignored"))
    action, options = machine.arguments.panic_action, machine.arguments.panic_options
    reports = fatal or any(not notifier.is_idle for notifier in notifiers)
    if action in ("poweroff", "exit") and reports:
        raise RefusedError(refusal("panic-ends-emulator", _in_arguments(options, libvirt)))


def _quits(machine: DomainMachine, libvirt: Libvirt) -> bool:
    """Return whether libvirt leaves ``-no-shutdown`` out for a guest with ``coredump-destroy``.

    It did so up to 7.0 at least, and not in 9.0, if every other action is to destroy, too.
    """
    ends = machine.on_reboot == "destroy" and machine.on_poweroff in ("", "destroy")
    return ends and not libvirt.lacking("checks_actions").checks_actions


def _in_arguments(options: str, libvirt: Libvirt) -> str:
    """Return what the arguments say, and which of several libvirts does not override them."""
    said = f"<qemu:commandline> has -action {printable(options, 60)}"
    return f"{said}; {libvirt.lacking('preserve_running')}" if libvirt.targets else said


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
