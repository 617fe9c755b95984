"""What the XML of a domain of Xen says about its policy, and about libvirt's share in it."""

from msgspec.structs import replace

from onpanic.core.errors import DocumentError
from onpanic.shims.domain_xml.document import Document
from onpanic.shims.domain_xml.elements import child, text_of
from onpanic.shims.domain_xml.policy_xml import stored_policy
from onpanic.shims.translation.mapping import Note
from onpanic.watch.guests.domain_assignment import changes_of, later_policy, valid_policy
from onpanic.watch.rules.observation import Assignment

__all__ = ("with_on_crash", "xen_assignment")

# What libvirt's driver does for each value of <on_crash>; nothing for preserve
_ACTIONS = {
    "": "destroy",
    "destroy": "destroy",
    "restart": "restart",
    "rename-restart": "restart",
    "coredump-destroy": "coredump-destroy",
    "coredump-restart": "coredump-restart",
}


def xen_assignment(xml: str, definition: str, *, overridden: bool) -> tuple[Assignment | None, list[str]]:
    """Return what a domain's XML says about its policy, and what is wrong with that.

    :param xml: The domain as it is now.
    :param definition: Its definition, if it runs and has one; else empty.
    :param overridden: Whether the watcher has replaced libvirt's action in the definition.
    """
    try:
        root = Document(xml).root
        stored, problems = valid_policy(root, "xen")
        if stored is None:
            return None, [*problems, *later_policy(None, definition, "xen")]
        translated = Document(definition or xml).root
        if not overridden and stored_policy(translated):
            problems += changes_of(translated, stored)
    except DocumentError as error:
        return None, [f"its policy cannot be read: {error.message}; {error.hint}"]
    if definition and not problems:
        problems = later_policy(stored.policy, definition, "xen")
    on_crash = text_of(child(root, "on_crash"))
    if stored.policy.on_crash == "rename-restart" and on_crash == "rename-restart":
        note = Note.of("xen-does-not-rename")
        problems.append(f"{note.code}: {note.reason}; {note.remedy}")
    policy = stored.policy
    if policy.on_panic == "default":
        policy = replace(policy, on_panic="crash")
    return Assignment(policy, _ACTIONS.get(on_crash, ""), resettable=False, fixed=True), problems


def with_on_crash(xml: str, action: str) -> str:
    """Return a domain's definition with another ``<on_crash>``.

    :param xml: The definition.
    :param action: What libvirt is to do: a value of ``<on_crash>``.
    :raise DocumentError: When it has no ``<on_crash>``.
    """
    document = Document(xml)
    element, stored = child(document.root, "on_crash"), stored_policy(document.root)
    if element is None:
        raise DocumentError("the domain has no <on_crash>")
    renames = action == "restart" and stored is not None and stored.written.on_crash == "rename-restart"
    document.replace(element, f"<on_crash>{'rename-restart' if renames else action}</on_crash>")
    return str(document.edited())
