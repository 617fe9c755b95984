"""What a domain's XML says about its policy, and about libvirt's share in it."""

from typing import Any
from xml.sax.saxutils import escape

from onpanic.core.errors import DocumentError
from onpanic.core.libvirt_api import libvirt_module
from onpanic.probe.decision.policy import Hypervisor, Policy
from onpanic.probe.decision.rules import refusal_of_policy
from onpanic.shims.domain_xml.document import Document
from onpanic.shims.domain_xml.domain_machine import machine_of
from onpanic.shims.domain_xml.elements import Element, child, text_of
from onpanic.shims.domain_xml.policy_xml import StoredPolicy, policy_elements, stored_policy
from onpanic.shims.translation.domain_policy import unhonoured_changes
from onpanic.watch.rules.observation import Assignment

__all__ = (
    "ACTIONS",
    "assignment_of",
    "changes_of",
    "descriptions",
    "later_policy",
    "valid_policy",
    "with_name",
)

#: libvirt's actions on a crash, with their numbers (``virDomainLifecycleAction``).
ACTIONS = {"destroy": 0, "restart": 1, "preserve": 3, "coredump-destroy": 4, "coredump-restart": 5}


def assignment_of(xml: str, *, overridden: bool) -> tuple[Assignment | None, list[str]]:
    """Return what the XML of a domain of QEMU says about its policy, and what is wrong with that.

    :param overridden: Whether the watcher has replaced libvirt's action, so that it differs from the policy.
    """
    try:
        root = Document(xml).root
        stored, problems = valid_policy(root, "qemu")
        if stored is None:
            return None, problems
        problems = [] if overridden else changes_of(root, stored)
    except DocumentError as error:
        return None, [f"its policy cannot be read: {error.message}; {error.hint}"]
    action = text_of(child(root, "on_crash")) or "destroy"
    acts = action in ACTIONS and action != "preserve"
    return Assignment(stored.policy, action if acts else "", machine_of(root).reset_ends), problems


def valid_policy(root: Element, hypervisor: Hypervisor) -> tuple[StoredPolicy | None, list[str]]:
    """Return the policy that a domain's metadata store, None if it has none or an invalid one, and why.

    :param root: The element ``<domain>``.
    :raise DocumentError: When it cannot be read.
    """
    stored = stored_policy(root)
    refusal = refusal_of_policy(stored.policy, hypervisor) if stored else None
    if refusal is not None:
        return None, [f"its policy is not carried out: {refusal.code}: {refusal.reason}"]
    return stored, []


def changes_of(root: Element, stored: StoredPolicy) -> list[str]:
    """Return what was changed after a policy was translated, so that libvirt does not honour it.

    :param root: The element ``<domain>``.
    :param stored: The policy that its metadata store.
    """
    return [f"{note.reason}; {note.remedy}" for note in unhonoured_changes(root, stored)]


def later_policy(policy: Policy | None, xml: str, hypervisor: Hypervisor) -> list[str]:
    """Return what is to be said about a definition with another policy than the running domain.

    :param policy: The running domain's policy as it is stored; None if it has none.
    :param xml: The definition, which takes effect when the domain is started next.
    """
    try:
        stored = stored_policy(Document(xml).root)
    except DocumentError:
        return []  # it is reported when the domain is started
    if stored is None or stored.policy == policy or refusal_of_policy(stored.policy, hypervisor) is not None:
        return []
    words = " ".join(policy_elements(stored.policy).values())
    return [f"its definition has the policy {words}, which takes effect when it is shut down and started"]


def with_name(xml: str, name: str) -> str:
    """Return a domain's XML with another name.

    :raise DocumentError: When it has none.
    """
    document = Document(xml)
    element = child(document.root, "name")
    if element is None:
        raise DocumentError("the domain has no <name>")
    document.replace(element, f"<name>{escape(name)}</name>")
    return str(document.edited())


def descriptions(domain: Any) -> tuple[str, str]:
    """Return a domain's XML, and that of its definition if it runs and has one; else an empty string.

    Called in a thread.

    :param domain: A `libvirt.virDomain`.
    :raise libvirt.libvirtError: What libvirt raises.
    """
    libvirt, now = libvirt_module(), str(domain.XMLDesc())
    if not (domain.isActive() and domain.isPersistent()):
        return now, ""
    return now, str(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
