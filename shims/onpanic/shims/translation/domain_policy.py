"""The policy that a domain has without being translated, and what has changed since it was."""

from msgspec.structs import replace

from onpanic.core.errors import DocumentError
from onpanic.core.untrusted import printable
from onpanic.probe.decision.policy import ON_CRASH, ON_PANIC, Policy
from onpanic.shims.domain_xml.domain_machine import DEVICES, DomainMachine, machine_of
from onpanic.shims.domain_xml.elements import Element, child, text_of
from onpanic.shims.domain_xml.policy_xml import StoredPolicy
from onpanic.shims.domain_xml.qemu_arguments import PANICKED_EVENT
from onpanic.shims.domain_xml.strip_translation import on_crash_changed, panic_or_arguments_missing
from onpanic.shims.translation.libvirt_features import Libvirt
from onpanic.shims.translation.notes import Note
from onpanic.shims.translation.xen_notes import notes_of_libvirt

__all__ = ("effective_policy", "unhonoured_changes")

# libvirt's values of <on_crash> beside those of the policy
_OTHER_VALUES = ("coredump-destroy", "coredump-restart", "preserve-running")


def effective_policy(root: Element, libvirt: Libvirt | None = None) -> tuple[Policy, tuple[Note, ...]]:
    """Return the policy that libvirt carries out on a domain that was not translated, and notes on it.

    It is what really happens on a panic, which is not always what ``<on_crash>`` says: the rest of the domain
    may keep libvirt from it.

    :param root: The element ``<domain>``.
    :param libvirt: What libvirt supports; None for the libvirt that is installed on this host.
    :raise DocumentError: When ``<on_crash>`` has a value that libvirt does not know.
    """
    machine = machine_of(root)
    value = text_of(child(root, "on_crash"))
    _check_value(value)
    action = value.removeprefix("coredump-")
    found = Policy(
        action or "destroy",  # libvirt's default
        coredump=action != value,
        on_crash=None if value in ("", "preserve-running") else action,
        on_crash_coredump=action != value,
    )
    if machine.hypervisor == "xen":
        continues = value == "preserve-running"
        on_crash = "preserve" if continues else found.on_crash  # what Xen's driver does
        found = replace(found, on_panic="crash", coredump=False, on_crash=on_crash)
        has_device = bool(machine.notifiers)
        notes = notes_of_libvirt(found.crash_action, machine.guest_type, has_panic_device=has_device)
        return found, (*_notes("xen-does-not-continue", continues), *notes)
    if machine.hypervisor is None:
        return _ignored(found), ()
    notifiers = _reporting(machine)
    if not notifiers and not machine.hyperv:
        return _ignored(found), _without_notifier(machine, value)
    policy, notes = _carried_out(found, machine, libvirt)
    encrypted = _notes(
        "coredump-is-encrypted", policy.coredump and bool(machine.confidential), machine.confidential
    )
    unnamed = _notes("hyperv-flag-reports", not notifiers)
    return policy, (*unnamed, *notes, *encrypted, *_config_file(machine))


def _check_value(value: str) -> None:
    """Check that libvirt knows a value of ``<on_crash>``; empty for none."""
    if value in ("", *ON_CRASH, *_OTHER_VALUES):
        return
    words = f"libvirt's values are {', '.join(ON_CRASH)}, {', '.join(_OTHER_VALUES)} (12.6 and later)"
    hint = f"{value} is a value of <on_panic>; {words}" if value in ON_PANIC else words
    raise DocumentError(f"<on_crash> is {printable(value, 60)!r}, which libvirt does not know", hint)


def _ignored(policy: Policy) -> Policy:
    return replace(policy, on_panic="ignore", coredump=False)


def _reporting(machine: DomainMachine) -> list[str]:
    """Return libvirt's models of the notifiers of a domain that can report a panic."""
    reports = {True: set[str](), False: set[str]()}
    for device in machine.devices:
        mask = machine.arguments.event_masks.get(device, PANICKED_EVENT)
        reports[bool(mask & PANICKED_EVENT) and device not in machine.unreachable].add(DEVICES[device])
    return [model for model in machine.notifiers if model not in reports[False] - reports[True]]


def _without_notifier(machine: DomainMachine, value: str) -> tuple[Note, ...]:
    """Return why nothing reports a panic, if the domain looks as if something did.

    :param value: The value of ``<on_crash>``; not noted if it is libvirt's default, which every domain has.
    """
    if "hyperv" in dict(machine.panics) and machine.kind != "kvm":
        return (Note.of("hyperv-needs-kvm"),)
    acts = value not in ("", "destroy", "preserve-running")
    notes = _notes("on-crash-without-notifier", acts, value)
    return (*notes, *_config_file(machine)) if acts else ()


def _notes(code: str, applies: bool, detail: str = "") -> tuple[Note, ...]:
    return (Note.of(code, detail),) if applies else ()


def _config_file(machine: DomainMachine) -> tuple[Note, ...]:
    name = machine.arguments.config_file
    return _notes("arguments-from-file", bool(name), printable(name, 60))


def _carried_out(
    policy: Policy, machine: DomainMachine, libvirt: Libvirt | None
) -> tuple[Policy, tuple[Note, ...]]:
    """Return what libvirt's QEMU driver makes of an ``<on_crash>``, as observed on libvirt 7.0 to 12.8.

    :param policy: What ``<on_crash>`` says.
    """
    if policy.on_panic == "preserve-running":  # libvirt sets QEMU's panic action
        return _ignored(policy), ()
    action = machine.arguments.panic_action
    if action != "pause" and (libvirt or Libvirt.installed()).preserve_running:  # it overrides the arguments
        action = "pause"
    decided = Note.of("arguments-decide-panic", f"-action {printable(machine.arguments.panic_options, 60)}")
    if action in ("poweroff", "exit"):
        done = policy.on_panic == "destroy" and not policy.coredump
        return replace(policy, on_panic="destroy", coredump=False), () if done else (decided,)
    notes = _notes("qemu-does-not-rename", policy.on_panic == "rename-restart")
    if notes:
        policy = replace(policy, on_panic="preserve")
    if policy.on_panic == "preserve" and action == "run":
        return _ignored(policy), (*notes, decided)
    if policy.on_panic == "restart" and machine.reset_ends:
        return replace(policy, on_panic="destroy"), (
            *notes,
            Note.of("restart-ends-guest", machine.reset_ends),
        )
    return policy, notes


def unhonoured_changes(root: Element, stored: StoredPolicy) -> tuple[Note, ...]:
    """Note what was changed after a policy was translated, so that libvirt does not honour the policy.

    If a policy is stated again, ``<on_crash>`` belongs to that policy, and is not noted.

    :param root: The element ``<domain>``.
    :param stored: The policy that its metadata store.
    """
    written, on_crash = stored.written, child(root, "on_crash")
    notes: tuple[Note, ...] = ()
    if panic_or_arguments_missing(root, written):
        notes = (Note.of("notifier-drifted"),)
    if child(root, "on_panic") is None and on_crash_changed(on_crash, written):
        values = f"{printable(text_of(on_crash), 60)}, not {printable(written.on_crash or 'destroy', 60)}"
        notes = (*notes, Note.of("on-crash-drifted", values))
    return notes
