"""A policy in a domain's XML: as a user states it, and as the metadata store it.

A user states the elements that were proposed in 2013 (RFC v2, "Start fixing the pvpanic mess")::

    <on_panic coredump='yes' grace='30'>restart</on_panic>
    <on_crash>destroy</on_crash>

The attribute ``grace`` is onpanic's own: the grace period in seconds, see `Policy`.

libvirt silently drops the first element.  The exact policy is therefore stored in ``<metadata>``,
which libvirt preserves, in a namespace of its own, together with what else was written into the
document for the policy::

    <onpanic:policy xmlns:onpanic='urn:uuid:…'>
      <onpanic:on_panic coredump='yes' grace='30'>restart</onpanic:on_panic>
      <onpanic:on_crash>destroy</onpanic:on_crash>
      <onpanic:wrote on_crash='preserve' panic='isa'/>
    </onpanic:policy>

Alternatives considered: a namespaced ``<onpanic:on_panic>`` beside ``<on_crash>`` (libvirt drops
that, too), and storing the policy outside libvirt (it would not migrate with the domain).

Only contradictions are errors here.  Whether a value exists and is accepted is decided by
`onpanic.probe.decide`.
"""

import msgspec

from onpanic.core.errors import DocumentError
from onpanic.core.untrusted import printable
from onpanic.probe.decision.policy import LONGEST_GRACE, Hypervisor, Policy, is_grace
from onpanic.shims.domain_xml.document import Document
from onpanic.shims.domain_xml.domain_machine import hypervisor_of
from onpanic.shims.domain_xml.elements import Element, child, local_name, text_of

__all__ = (
    "NAMESPACE",
    "OLD_NAMESPACE",
    "StoredPolicy",
    "WrittenChanges",
    "policy_elements",
    "policy_of",
    "stated_policy",
    "stored_policy",
    "stored_policy_xml",
)

#: The namespace of a stored policy.  It is in users' domains and must never change, so it is a UUID
#: (RFC 9562) that was generated once: nobody has to own or renew a domain name for it.
NAMESPACE = "urn:uuid:ae79e4ab-53c8-4ed2-aab8-40f241372412"

#: The namespace that version 0.1.0 wrote.  It is still read, and replaced by the next translation.
OLD_NAMESPACE = "https://onpanic.example/xmlns/domain/1"

_POLICY_TAGS = (f"{{{NAMESPACE}}}policy", f"{{{OLD_NAMESPACE}}}policy")

# What XML would not read again as it is: the characters with a meaning, and white space that it normalises
_REFERENCES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;", "\n": "&#10;"})


class WrittenChanges(msgspec.Struct, frozen=True):
    """What `to_libvirt` wrote into a document, so that it can be removed again.

    The parameters are attributes of ``<onpanic:wrote>``.

    :param on_crash: The value of ``<on_crash>``; None if none was written.
    :param panic: The model of the ``<panic>`` that was added; None if none was.
    :param arguments: What was added to QEMU's command line, separated by spaces.
    :param empty: The elements that were there before as ``<name/>``, separated by spaces.
    :param open: The elements that were there before as ``<name></name>``.
    :param blank: The elements that were there before with nothing but white space in them.
    """

    on_crash: str | None = None
    panic: str | None = None
    arguments: str | None = None
    empty: str | None = None
    open: str | None = None
    blank: str | None = None


class StoredPolicy(msgspec.Struct, frozen=True):
    """A policy that was found in the metadata.

    :param policy: The policy.
    :param written: What was written into the document for it.
    :param element: The element ``<onpanic:policy>``.
    """

    policy: Policy
    written: WrittenChanges
    element: Element

    @property
    def is_current(self) -> bool:
        """Whether it is stored in today's namespace."""
        return self.element.tag == _POLICY_TAGS[0]


def policy_of(xml: str | bytes) -> Policy | None:
    """Return the policy that a domain's XML states, else the one that its metadata store, else None.

    :param xml: The domain's XML.
    :raise DocumentError: When it cannot be read, or contradicts itself.
    """
    root = Document(xml).root
    stored = stored_policy(root)
    return stated_policy(root) or (stored.policy if stored else None)


def stated_policy(root: Element) -> Policy | None:
    """Return the policy that ``<on_panic>`` and ``<on_crash>`` state, None if they state none.

    ``<on_crash>`` alone states a policy only with the attribute ``coredump``, which libvirt does not have.

    :param root: The element ``<domain>``.
    :raise DocumentError: When they contradict each other.
    """
    on_panic, on_crash = _only(root, "on_panic", "on_crash")
    if on_panic is None and (on_crash is None or "coredump" not in on_crash.attrib):
        return None
    return _read_policy(on_panic, on_crash, hypervisor_of(str(root.get("type", ""))))


def stored_policy(root: Element) -> StoredPolicy | None:
    """Return the policy that the metadata store, None if they store none.

    :param root: The element ``<domain>``.
    :raise DocumentError: When they store more than one, or one that cannot be read.
    """
    found = [
        policy
        for metadata in root.iterchildren("metadata")
        for policy in metadata.iterchildren(*_POLICY_TAGS)
    ]
    if not found:
        return None
    if len(found) > 1:
        raise DocumentError("the metadata store the policy twice", "remove one of them")
    element = found[0]
    namespace = str(element.tag).rpartition("}")[0] + "}"
    on_panic, on_crash = _only(element, f"{namespace}on_panic", f"{namespace}on_crash")
    if on_panic is None:
        raise DocumentError("the policy in the metadata has no <on_panic>", "remove it, and state it again")
    wrote = child(element, f"{namespace}wrote")
    values = {} if wrote is None else {str(name): str(value) for name, value in wrote.attrib.items()}
    written = WrittenChanges(
        **{name: values[name] for name in WrittenChanges.__struct_fields__ if name in values}
    )
    return StoredPolicy(_read_policy(on_panic, on_crash), written, element)


def policy_elements(policy: Policy, prefix: str = "") -> dict[str, str]:
    """Return ``<on_panic>`` and, if the policy has one, ``<on_crash>``, as XML by their names.

    :param policy: A policy.
    :param prefix: What is written before each name, with its colon.
    """
    attributes = "" if policy.grace is None else f" grace='{repr(policy.grace).removesuffix('.0')}'"
    elements = {"on_panic": _element(f"{prefix}on_panic", policy.on_panic, policy.coredump, attributes)}
    if policy.on_crash is not None:
        elements["on_crash"] = _element(f"{prefix}on_crash", policy.on_crash, policy.on_crash_coredump)
    return elements


def stored_policy_xml(policy: Policy, written: WrittenChanges) -> str:
    """Return the element that stores a policy in the metadata."""
    lines = [f"<onpanic:policy xmlns:onpanic='{NAMESPACE}'>"]
    lines += [f"  {xml}" for xml in policy_elements(policy, "onpanic:").values()]
    values = {name: getattr(written, name) for name in WrittenChanges.__struct_fields__}
    attributes = "".join([f" {name}='{value}'" for name, value in values.items() if value is not None])
    if attributes:
        lines.append(f"  <onpanic:wrote{attributes}/>")
    return "\n".join([*lines, "</onpanic:policy>"])


def _element(name: str, value: str, coredump: bool, attributes: str = "") -> str:
    attributes = f" coredump='yes'{attributes}" if coredump else attributes
    return f"<{name}{attributes}>{value.translate(_REFERENCES)}</{name}>"


def _only(parent: Element, *tags: str) -> tuple[Element | None, ...]:
    """Return the child with each of these tags, None where there is none."""
    found: dict[str, Element] = {}
    for element in parent.iterchildren(*tags):
        if element.tag in found:
            raise DocumentError(f"there is more than one <{local_name(element)}>", "leave only one of them")
        found[element.tag] = element
    return tuple([found.get(tag) for tag in tags])


def _read_policy(
    on_panic: Element | None, on_crash: Element | None, hypervisor: Hypervisor | None = None
) -> Policy:
    value, coredump, grace = _value_and_attributes(on_panic)
    crash, crash_coredump, _ = _value_and_attributes(on_crash)
    action = crash
    if crash in ("coredump-destroy", "coredump-restart"):  # libvirt's values
        action = crash.removeprefix("coredump-")
        if crash_coredump is False:
            raise DocumentError(
                f"<on_crash coredump='no'> contradicts its value {crash}", "remove the attribute"
            )
        crash_coredump = True
    if action == "preserve-running" and value in ("", "default", "ignore") and hypervisor != "xen":
        action = ""  # libvirt's value for ignoring a panic; it is not about crashes, but on Xen
    seconds = None if grace is None else _seconds(grace)
    return Policy(value or "default", bool(coredump), action or None, bool(crash_coredump), seconds)


def _value_and_attributes(element: Element | None) -> tuple[str, bool | None, str | None]:
    """Return an element's value and its attributes ``coredump`` and ``grace``, None for one that is absent.

    An empty value, like an absent element, means the default.
    """
    if element is None:
        return "", None, None
    name = local_name(element)
    if len(element) and any(isinstance(inner.tag, str) for inner in element):
        raise DocumentError(f"<{name}> has elements in it", f"write <{name}>VALUE</{name}>")
    coredump = grace = None
    for attribute, text in element.items():
        if attribute == "coredump":
            coredump = str(text)
        elif attribute == "grace" and name == "on_panic":
            grace = str(text)
        else:
            has = "it has coredump and grace" if name == "on_panic" else "it has coredump"
            raise DocumentError(f"<{name}> has no attribute {printable(str(attribute), 60)}", has)
    if coredump not in (None, "yes", "no"):
        raise DocumentError(
            f"<{name} coredump='{printable(coredump, 60)}'>", "use coredump='yes' or coredump='no'"
        )
    return text_of(element), None if coredump is None else coredump == "yes", grace


def _seconds(grace: str) -> float:
    try:
        seconds = float(grace) if grace.isascii() and "_" not in grace else -1.0  # Python's own spellings
    except ValueError:
        seconds = -1.0
    if not is_grace(seconds):
        raise DocumentError(
            f"<on_panic grace='{printable(grace, 60)}'>",
            f"use a number of seconds from 0 to {LONGEST_GRACE:.0f}; 0 means no grace period",
        )
    return seconds
