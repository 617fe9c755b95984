"""What a policy is written as in a document, and taken out of it again."""

from collections.abc import Sequence

from lxml import etree

from onpanic.probe.decision import Policy

from .document import Document
from .domain import ARG, COMMANDLINE, QEMU_NAMESPACE
from .elements import child, children, text_of
from .libvirt_versions import Libvirt
from .mapping import Note, Plan
from .policy import Kept, Written, kept_element, kept_policy, policy_elements

__all__ = ("drift", "state", "untranslated", "write")

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
    new = () if _arguments(root, planned.arguments) else planned.arguments
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


def _arguments(root: etree._Element, words: Sequence[str]) -> list[etree._Element]:
    """Return the arguments that say these words one after the other, nothing if none do."""
    there = list(children(root, COMMANDLINE, ARG))
    values = [element.get("value", "") for element in there]
    runs = (i for i in range(len(values)) if words and values[i : i + len(words)] == list(words))
    at = next(runs, None)
    return [] if at is None else there[at : at + len(words)]


def _add_arguments(document: Document, words: Sequence[str]) -> None:
    place = child(document.root, COMMANDLINE)
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
    notes = drift(root, kept)
    if child(root, "on_panic") is None:
        ours = bool(text_of(on_crash) or written.on_crash or kept.policy.on_crash)
        state(document, kept.policy, on_crash_too=ours)
    elif on_crash is not None and not _changed(on_crash, written):
        crash = policy_elements(kept.policy).get("on_crash")
        document.replace(on_crash, crash) if crash else document.remove(on_crash)
    _remove_written(document, kept)
    return Document(document.edited()), notes


def drift(root: etree._Element, kept: Kept) -> tuple[Note, ...]:
    """Note what somebody has changed of what was written for a policy, so that it is not honoured.

    An ``<on_crash>`` beside a policy that was stated anew belongs to that one, and is none of these.

    :param root: The element ``<domain>``.
    """
    written, on_crash = kept.written, child(root, "on_crash")
    notes: tuple[Note, ...] = ()
    panic_gone = written.panic is not None and not _panics(root, written)
    words = _words(written)
    if panic_gone or (words and not _arguments(root, words)):
        notes = (Note.of("notifier-drifted"),)
    if child(root, "on_panic") is None and on_crash is not None and _changed(on_crash, written):
        said = f"{text_of(on_crash)}, not {written.on_crash or 'destroy'}"
        notes = (*notes, Note.of("on-crash-drifted", said))
    return notes


def _changed(on_crash: etree._Element, written: Written) -> bool:
    """Say if an ``<on_crash>`` is not the one that was written.

    The attribute is none of libvirt's, so whoever wrote it means it.
    """
    word = text_of(on_crash) or "destroy"
    return word != (written.on_crash or "destroy") or "coredump" in on_crash.attrib


def _panics(root: etree._Element, written: Written) -> list[etree._Element]:
    """Return the ``<panic>`` elements that can be the one that was added."""
    return [p for p in children(root, "devices", "panic") if p.get("model", "isa") == written.panic]


def _words(written: Written) -> list[str]:
    return (written.arguments or "").split()


def _remove_written(document: Document, kept: Kept) -> None:
    """Take out what was written for a policy, and what is left empty by it unless it was empty before."""
    root, written = document.root, kept.written
    _remove(document, [kept.element], written)
    for panic in _panics(root, written):
        # One with an address of libvirt's is the guest's hardware by now, and stays
        if all(inner.tag == "alias" or inner.get("iobase") == "0x505" for inner in panic):
            _remove(document, [panic], written)
            break
    arguments = _arguments(root, _words(written))
    if arguments:
        _remove(document, arguments, written)


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
