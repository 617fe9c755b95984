"""Writing what a policy becomes into a document, and stating a policy in it."""

from collections.abc import Sequence

from onpanic.probe.decision.policy import Policy
from onpanic.shims.domain_xml.document import Document
from onpanic.shims.domain_xml.elements import Element, child, children, first_children, local_name, text_of
from onpanic.shims.domain_xml.policy_xml import WrittenChanges, policy_elements, stored_policy_xml
from onpanic.shims.domain_xml.qemu_arguments import ARG, COMMANDLINE, QEMU_NAMESPACE

__all__ = ("add_arguments", "add_vmcoreinfo", "apply_translation", "arguments_in_sequence", "state_policy")

# libvirt prints these before <metadata>, <on_crash> and <features>: the first one that exists is the place
_BEFORE_METADATA = ("description", "title", "genid", "uuid", "name")
_BEFORE_ON_CRASH = ("on_reboot", "on_poweroff", "clock", "cpu", "features", "os", "vcpu", "memory", "name")
_BEFORE_FEATURES = ("os", "vcpu", "memory", "name")

# Before libvirt 1.3 there was one model, and it needed its address
_PANIC_WITHOUT_MODEL = "<panic>\n  <address type='isa' iobase='0x505'/>\n</panic>"


def apply_translation(
    document: Document,
    policy: Policy,
    *,
    on_crash: str | None,
    panic: str | None,
    arguments: Sequence[str],
    models: bool,
    address: str = "",
) -> None:
    """Replace a stated policy by what it becomes on libvirt, and store the policy in the metadata.

    :param document: A document that states the policy and has no stored one.
    :param policy: The policy.
    :param on_crash: The value of ``<on_crash>``; None to have none.
    :param panic: The model of the ``<panic>`` to add; None to add none.
    :param arguments: Arguments that QEMU's command line must have, added if it does not have them.
    :param models: Whether libvirt has the attribute ``model`` of ``<panic>``.
    :param address: The ``<address>`` that the ``<panic>`` gets; empty to leave it to libvirt.
    """
    root = document.root
    found = first_children(root, "on_panic", "on_crash", "metadata", "devices", COMMANDLINE)
    metadata, devices, commandline = (found.get(tag) for tag in ("metadata", "devices", COMMANDLINE))
    added = () if arguments_in_sequence(root, arguments) else tuple(arguments)
    before = _contents(document, metadata, devices if panic else None, commandline if added else None)
    written = WrittenChanges(on_crash, panic, " ".join(added) or None, **before)
    _replace_policy(document, found.get("on_panic"), found.get("on_crash"), on_crash)
    stored = stored_policy_xml(policy, written)
    if metadata is None:
        _insert_after_first(document, _BEFORE_METADATA, _wrapped("<metadata>", stored, "</metadata>"))
    else:
        document.append(metadata, stored)
    if panic:
        _add_panic(document, devices, _panic(panic, address) if models else _PANIC_WITHOUT_MODEL)
    if added:
        _add_arguments(document, commandline, added)


def add_vmcoreinfo(document: Document) -> None:
    """Switch the vmcoreinfo device on.

    libvirt reads all ``<features>``, and the last ``<vmcoreinfo>`` in them counts.

    :param document: A document that says nothing of the device.
    """
    features, xml = child(document.root, "features"), "<vmcoreinfo state='on'/>"
    if features is None:
        _insert_after_first(document, _BEFORE_FEATURES, _wrapped("<features>", xml, "</features>"))
    else:
        document.append(features, xml)


def add_arguments(document: Document, words: Sequence[str]) -> None:
    """Add arguments to QEMU's command line, as a user would: they are no part of a translation.

    :param words: Arguments without characters that have a meaning in XML.
    """
    _add_arguments(document, first_children(document.root, COMMANDLINE).get(COMMANDLINE), words)


def state_policy(document: Document, policy: Policy, *, replace_on_crash: bool = False) -> None:
    """State a policy beside ``<on_crash>``.

    :param document: A document that states no policy.
    :param replace_on_crash: Replace ``<on_crash>``, which was written for the policy.
    """
    elements = policy_elements(policy)
    on_crash = child(document.root, "on_crash")
    xml = "\n".join(elements.values())
    if on_crash is None:
        _insert_after_first(document, _BEFORE_ON_CRASH, xml)
    elif replace_on_crash or (policy.on_crash and text_of(on_crash) == "preserve-running"):
        document.replace(on_crash, xml)  # Xen's driver does something else than the word says
    elif policy.on_crash is None and text_of(on_crash):
        document.remove(on_crash)  # libvirt's default, or its value for ignoring a panic
        _insert_after_first(document, _BEFORE_ON_CRASH, xml)
    else:
        document.insert_before(on_crash, elements["on_panic"])


def arguments_in_sequence(root: Element, words: Sequence[str]) -> list[Element]:
    """Return the elements ``<qemu:arg>`` that add these arguments one after the other; empty if none do.

    :param root: The element ``<domain>``.
    """
    if not words:
        return []
    found = list(children(root, COMMANDLINE, ARG))
    values = [element.get("value", "") for element in found]
    for start in range(len(values)):
        if values[start : start + len(words)] == list(words):
            return found[start : start + len(words)]
    return []


def _replace_policy(
    document: Document, on_panic: Element | None, on_crash: Element | None, value: str | None
) -> None:
    """Replace ``<on_panic>`` and ``<on_crash>`` by libvirt's ``<on_crash>``."""
    xml = f"<on_crash>{value}</on_crash>" if value else ""
    if xml and on_crash is None and on_panic is not None:
        document.replace(on_panic, xml)
        return
    if on_panic is not None:
        document.remove(on_panic)
    if on_crash is not None and xml:
        document.replace(on_crash, xml)
    elif on_crash is not None and text_of(on_crash):  # preserve-running: libvirt's value for ignoring a panic
        document.remove(on_crash)


def _contents(document: Document, *parents: Element | None) -> dict[str, str]:
    """Return the names of parents without content, by how the document writes that: see `WrittenChanges`."""
    found: dict[str, str] = {}
    for parent in parents:
        if parent is not None and not len(parent) and not text_of(parent):
            content = document.content_of(parent)
            kind = "empty" if content is None else "blank" if content else "open"
            found[kind] = f"{found.get(kind, '')} {local_name(parent)}".strip()
    return found


def _panic(model: str, address: str) -> str:
    return f"<panic model='{model}'>\n  {address}\n</panic>" if address else f"<panic model='{model}'/>"


def _add_panic(document: Document, devices: Element | None, xml: str) -> None:
    if devices is None:
        document.append(document.root, _wrapped("<devices>", xml, "</devices>"))
    else:
        document.append(devices, xml)


def _add_arguments(document: Document, commandline: Element | None, words: Sequence[str]) -> None:
    prefix = "qemu:" if commandline is None else f"{commandline.prefix}:" if commandline.prefix else ""
    xml = "\n".join([f"<{prefix}arg value='{word}'/>" for word in words])
    if commandline is None:
        start = f"<qemu:commandline xmlns:qemu='{QEMU_NAMESPACE}'>"
        document.append(document.root, _wrapped(start, xml, "</qemu:commandline>"))
    else:
        document.append(commandline, xml)


def _insert_after_first(document: Document, names: Sequence[str], xml: str) -> None:
    """Insert XML after the first of these children of ``<domain>`` that exists, else at the end."""
    found = first_children(document.root, *names)
    for name in names:
        if name in found:
            document.insert_after(found[name], xml)
            return
    document.append(document.root, xml)


def _wrapped(start: str, xml: str, end: str) -> str:
    """Return XML as the content of an element, indented."""
    content = xml.replace("\n", "\n  ")
    return f"{start}\n  {content}\n{end}"
