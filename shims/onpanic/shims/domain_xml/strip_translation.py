"""Removing from a document what an earlier translation wrote, and finding what has changed since."""

from collections.abc import Sequence

from onpanic.probe.decision.policy import Policy
from onpanic.shims.domain_xml.apply_translation import arguments_in_sequence, state_policy
from onpanic.shims.domain_xml.document import Document
from onpanic.shims.domain_xml.elements import Element, child, children, local_name, text_of
from onpanic.shims.domain_xml.policy_xml import StoredPolicy, WrittenChanges, policy_elements

__all__ = (
    "assigned_address",
    "on_crash_changed",
    "panic_or_arguments_missing",
    "strip_translation",
    "written_panics",
)

_ISA_PORT = 0x505


def strip_translation(document: Document, stored: StoredPolicy) -> Document:
    """Return a document without what an earlier translation wrote, and with the policy stated.

    A policy that the document states already takes precedence over the stored one.

    :param document: The document.
    :param stored: The policy that its metadata store.
    :raise DocumentError: When the result is too long.
    """
    root, written = document.root, stored.written
    on_crash = child(root, "on_crash")
    stated = child(root, "on_panic") is not None
    if stated and on_crash is not None and not on_crash_changed(on_crash, written):
        _restore_on_crash(document, on_crash, stored.policy)
    _remove_group(document, [stored.element], written)
    panic = next(filter(_is_as_written, written_panics(root, written)), None)
    if panic is not None:
        _remove_group(document, [panic], written)
    arguments = arguments_in_sequence(root, _words(written))
    if arguments:
        _remove_group(document, arguments, written)
    stripped = Document(document.edited())
    if stated:
        return stripped
    replaced = bool(written.on_crash or stored.policy.on_crash)
    state_policy(stripped, stored.policy, replace_on_crash=replaced)
    return Document(stripped.edited())


def panic_or_arguments_missing(root: Element, written: WrittenChanges) -> bool:
    """Return whether the ``<panic>`` or the arguments that were written are no longer there.

    :param root: The element ``<domain>``.
    """
    words = _words(written)
    no_panic = written.panic is not None and not written_panics(root, written)
    return no_panic or bool(words and not arguments_in_sequence(root, words))


def on_crash_changed(on_crash: Element | None, written: WrittenChanges) -> bool:
    """Return whether an ``<on_crash>`` is another one than was written.

    libvirt does not have the attribute ``coredump``, so a user has written one that has it.
    """
    if on_crash is None:
        return False
    value = text_of(on_crash) or "destroy"
    return value != (written.on_crash or "destroy") or "coredump" in on_crash.attrib


def written_panics(root: Element, written: WrittenChanges) -> list[Element]:
    """Return the ``<panic>`` elements that can be the one that was written.

    :param root: The element ``<domain>``.
    """
    if written.panic is None:
        return []
    return [
        panic for panic in children(root, "devices", "panic") if panic.get("model", "isa") == written.panic
    ]


def assigned_address(document: Document, written: WrittenChanges) -> str:
    """Return the PCI address that libvirt has assigned to the ``<panic>`` that was written, as XML.

    The notifier keeps it when the policy is replaced by another one that needs the notifier.

    :return: The element; empty if there is none.
    """
    for panic in filter(_is_as_written, written_panics(document.root, written)):
        for address in panic.iterchildren("address"):
            if address.get("type") == "pci":
                start, _, _, end = document.span(address)
                return document.text[start:end]
    return ""


def _is_as_written(panic: Element) -> bool:
    """Return whether nothing but what libvirt adds has been added to a ``<panic>``.

    libvirt gives a device an address, and one of a running domain an alias.
    """
    return all(inner.tag == "alias" or _is_assigned(inner) for inner in panic)


def _is_assigned(element: Element) -> bool:
    """Return whether an element is an address that libvirt assigns: any PCI address, but one ISA port."""
    if element.tag != "address":
        return False
    kind = element.get("type")
    return kind == "pci" or (kind == "isa" and _isa_port(element.get("iobase", "0x505")) == _ISA_PORT)


def _isa_port(text: str | None) -> int | None:
    """Read an attribute ``iobase``, as libvirt does: hexadecimal, with or without ``0x``."""
    try:
        return int(text or "", 16)
    except ValueError:
        return None


def _restore_on_crash(document: Document, on_crash: Element, policy: Policy) -> None:
    """Replace libvirt's ``<on_crash>`` by the policy's, or remove it."""
    xml = policy_elements(policy).get("on_crash")
    if xml:
        document.replace(on_crash, xml)
    else:
        document.remove(on_crash)


def _words(written: WrittenChanges) -> list[str]:
    return (written.arguments or "").split()


def _remove_group(document: Document, elements: Sequence[Element], written: WrittenChanges) -> None:
    """Remove elements, and their parent if that leaves it empty and it was not there before."""
    parent = elements[0].getparent()
    assert parent is not None
    one_parent = all(element.getparent() is parent for element in elements)  # unless it was edited
    name = local_name(parent)
    before = {kind: name in (getattr(written, kind) or "").split() for kind in ("empty", "open", "blank")}
    if not one_parent or len(parent) > len(elements) or text_of(parent) or before["blank"]:
        for element in elements:
            document.remove(element, inserted=True)
    elif before["empty"] or before["open"]:
        document.clear(parent, self_closing=before["empty"])
    else:
        document.remove(parent, inserted=True)
