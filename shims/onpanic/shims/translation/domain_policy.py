"""The policy that a domain has without being translated, and what has changed since it was."""

from onpanic.core.errors import DocumentError
from onpanic.core.untrusted import printable
from onpanic.probe.decision.policy import ON_CRASH, Policy
from onpanic.shims.domain_xml.domain_machine import machine_of
from onpanic.shims.domain_xml.elements import Element, child, text_of
from onpanic.shims.domain_xml.policy_xml import StoredPolicy
from onpanic.shims.domain_xml.strip_translation import on_crash_changed, panic_or_arguments_missing
from onpanic.shims.translation.mapping import Note

__all__ = ("effective_policy", "unhonoured_changes")


def effective_policy(root: Element) -> tuple[Policy, tuple[Note, ...]]:
    """Return the policy that libvirt carries out according to a domain's ``<panic>`` and ``<on_crash>``.

    :param root: The element ``<domain>``.
    :raise DocumentError: When ``<on_crash>`` has a value that libvirt does not know.
    """
    machine = machine_of(root)
    value = text_of(child(root, "on_crash"))
    if value not in ("", *ON_CRASH, "coredump-destroy", "coredump-restart", "preserve-running"):
        raise DocumentError(
            f"<on_crash> is {printable(value, 60)!r}, which libvirt does not know",
            "use the XML of a domain that libvirt has accepted",
        )
    action = value.removeprefix("coredump-")
    dumps = action != value
    on_crash = None if value in ("", "preserve-running") else action
    if machine.hypervisor == "xen":
        return Policy("crash", on_crash=on_crash, on_crash_coredump=dumps), ()
    if machine.hypervisor is None or not machine.notifiers:
        notes = (Note.of("hyperv-needs-kvm"),) if "hyperv" in dict(machine.panics) else ()
        return Policy("ignore", on_crash=on_crash, on_crash_coredump=dumps), notes
    if value == "preserve-running":
        return Policy("ignore"), ()
    return Policy(action or "destroy", dumps, on_crash, dumps), ()


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
