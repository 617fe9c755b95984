"""What a policy is written as in a document, and taken out of it again."""

from collections.abc import Sequence

from lxml import etree

from onpanic.probe.decision import Policy

from .document import Document
from .domain import QEMU_NAMESPACE, arguments
from .elements import child, children, text_of
from .libvirt_versions import Libvirt
from .mapping import Note, Plan
from .policy import Kept, Written, kept_element, kept_policy, policy_elements

__all__ = ("state", "untranslated", "write")

_COMMANDLINE = f"{{{QEMU_NAMESPACE}}}commandline"
_ARG = f"{{{QEMU_NAMESPACE}}}arg"

# What may be there before, with nothing in it
_PARENTS = ("metadata", "devices")
# What libvirt writes before <metadata>, and before <on_crash>: the first of them that is there is the place
_BEFORE_METADATA = ("description", "title", "genid", "uuid", "name")
_BEFORE_ON_CRASH = ("on_reboot", "on_poweroff", "clock", "cpu", "features", "os", "vcpu", "memory", "name")


def write(document: Document, policy: Policy, planned: Plan, target: Libvirt) -> None:
    """Write what a policy becomes in the place of the policy, and keep the policy in the metadata.

    :param document: A document that states the policy.
    :param planned: What it becomes.
    :param target: What libvirt can say.
    """
    root = document.root
    on_panic, on_crash = child(root, "on_panic"), child(root, "on_crash")
    word = f"<on_crash>{planned.on_crash}</on_crash>"
    if planned.on_crash and on_crash is None and on_panic is not None:
        document.replace(on_panic, word)
    else:
        if on_panic is not None:
            document.remove(on_panic)
        if on_crash is not None and planned.on_crash:
            document.replace(on_crash, word)
        elif on_crash is not None and text_of(on_crash):  # libvirt's word for ignoring a panic
            document.remove(on_crash)
    if planned.panic:
        _add_panic(document, planned.panic, target)
    new = planned.arguments
    if new and _has(root, new):
        new = ()
    if new:
        _add_arguments(document, new)
    empty, blank = _empty_parents(root)
    written = Written(planned.on_crash, planned.panic, " ".join(new) or None, empty or None, blank or None)
    _keep(document, kept_element(policy, written))


def _empty_parents(root: etree._Element) -> tuple[str, str]:
    """Return the parents with nothing in them, and those with a line break in them, each in one string."""
    there = [element for name in _PARENTS for element in children(root, name)]
    empty = [element for element in there if not len(element) and not text_of(element)]
    blank = [element for element in empty if "\n" in (element.text or "")]
    return (
        " ".join(str(element.tag) for element in empty if element not in blank),
        " ".join(str(element.tag) for element in blank),
    )


def _add_panic(document: Document, model: str, target: Libvirt) -> None:
    # Before 1.3 there was one model, and it had to be told its address
    plain = "<panic>\n  <address type='isa' iobase='0x505'/>\n</panic>"
    panic = f"<panic model='{model}'/>" if target.models else plain
    devices = child(document.root, "devices")
    if devices is None:
        document.append(document.root, f"<devices>\n  {panic}\n</devices>")
    else:
        document.append(devices, panic)


def _has(root: etree._Element, words: Sequence[str]) -> bool:
    there = arguments(root)
    return any(there[i : i + len(words)] == list(words) for i in range(len(there)))


def _add_arguments(document: Document, words: Sequence[str]) -> None:
    place = child(document.root, _COMMANDLINE)
    prefix = "qemu:" if place is None else f"{place.prefix}:" if place.prefix else ""
    lines = [f"<{prefix}arg value='{word}'/>" for word in words]
    if place is not None:
        document.append(place, "\n".join(lines))
        return
    opening = f"<qemu:commandline xmlns:qemu='{QEMU_NAMESPACE}'>"
    document.append(
        document.root, "\n".join([opening, *(f"  {line}" for line in lines), "</qemu:commandline>"])
    )


def _keep(document: Document, policy: str) -> None:
    metadata = child(document.root, "metadata")
    if metadata is not None:
        document.append(metadata, policy)
        return
    indented = policy.replace("\n", "\n  ")
    _insert(document, _BEFORE_METADATA, f"<metadata>\n  {indented}\n</metadata>")


def _insert(document: Document, places: Sequence[str], xml: str) -> None:
    """Insert behind the first of these elements that is there, else at the end."""
    there = (found for place in places for found in children(document.root, place))
    found = next(there, None)
    if found is None:
        document.append(document.root, xml)
    else:
        document.insert_after(found, xml)


def state(document: Document, policy: Policy, *, on_crash_too: bool = False) -> None:
    """State a policy beside ``<on_crash>``, or in its place where that is to be written too."""
    elements = policy_elements(policy)
    on_crash = child(document.root, "on_crash")
    if on_crash is None:
        _insert(document, _BEFORE_ON_CRASH, "\n".join(elements.values()))
    elif on_crash_too or (policy.on_crash is None and text_of(on_crash)):
        document.replace(on_crash, "\n".join(elements.values()))
    else:
        document.insert_before(on_crash, elements["on_panic"])


# Taking an earlier translation out again


def untranslated(source: str | bytes) -> tuple[Document, tuple[Note, ...]]:
    """Return a document without what an earlier translation has written into it, the policy stated.

    :raise DocumentError: When the document cannot be read, or contradicts itself.
    """
    document = Document(source)
    kept = kept_policy(document.root)
    if kept is None:
        return document, ()
    root, written = document.root, kept.written
    on_crash = child(root, "on_crash")
    word = text_of(on_crash)
    # The attribute is none of libvirt's, so whoever wrote it means it
    drifted = on_crash is not None and (
        (word or "destroy") != (written.on_crash or "destroy") or "coredump" in on_crash.attrib
    )
    notes = _notifier_drift(root, written)
    if child(root, "on_panic") is None:
        ours = bool(word or written.on_crash or kept.policy.on_crash)
        state(document, kept.policy, on_crash_too=ours)
        if drifted:
            notes = (*notes, Note.of("on-crash-drifted", f"{word}, not {written.on_crash or 'destroy'}"))
    elif not drifted and on_crash is not None:
        crash = policy_elements(kept.policy).get("on_crash")
        document.replace(on_crash, crash) if crash else document.remove(on_crash)
    _remove_written(document, kept)
    return Document(document.edited()), notes


def _notifier_drift(root: etree._Element, written: Written) -> tuple[Note, ...]:
    """Note that a notifier that was added is not there any more."""
    panic = written.panic is None or any(
        panic.get("model", "isa") == written.panic for panic in children(root, "devices", "panic")
    )
    words = (written.arguments or "").split()
    return () if panic and (not words or _has(root, words)) else (Note.of("notifier-drifted"),)


def _remove_written(document: Document, kept: Kept) -> None:
    """Take out what was written for a policy, and what is left empty by it unless it was empty before."""
    root, written = document.root, kept.written
    _remove(document, [kept.element], written)
    for panic in children(root, "devices", "panic"):
        # One with an address of libvirt's is the guest's hardware by now, and stays
        own = all(inner.tag == "alias" or inner.get("iobase") == "0x505" for inner in panic)
        if panic.get("model", "isa") == written.panic and own:
            _remove(document, [panic], written)
            break
    words = (written.arguments or "").split()
    there = list(children(root, _COMMANDLINE, _ARG))
    values = [element.get("value") for element in there]
    at = next((i for i in range(len(values)) if words and values[i : i + len(words)] == words), None)
    if at is not None:
        _remove(document, there[at : at + len(words)], written)


def _remove(document: Document, elements: Sequence[etree._Element], written: Written) -> None:
    """Take elements of one parent out, with the parent if it is empty then and was not there before."""
    parent = elements[0].getparent()
    assert parent is not None
    left_empty = len(parent) == len(elements) and not text_of(parent)
    if left_empty and parent.tag in (written.empty or "").split():
        document.empty(parent)
    elif left_empty and parent.tag not in (written.blank or "").split():
        document.remove(parent)
    else:
        for element in elements:
            document.remove(element)
