"""A policy in a domain's XML: as a user writes it, and as it is kept in the metadata.

A user writes what was proposed in 2013 (RFC v2, "Start fixing the pvpanic mess")::

    <on_panic coredump='yes'>restart</on_panic>
    <on_crash>destroy</on_crash>

libvirt drops the first without a word, so the exact policy is kept where libvirt keeps
everything, in ``<metadata>`` below a namespace of its own, with a note of what was written
for it elsewhere in the document::

    <onpanic:policy xmlns:onpanic='…'>
      <onpanic:on_panic coredump='yes'>restart</onpanic:on_panic>
      <onpanic:on_crash>destroy</onpanic:on_crash>
      <onpanic:wrote on_crash='coredump-restart' panic='isa'/>
    </onpanic:policy>

Considered and left: a namespaced ``<onpanic:on_panic>`` beside ``<on_crash>`` (libvirt
drops that as well), and keeping the policy outside libvirt (it would not move with the
domain).  Reading says what is written and judges nothing but contradictions: whether a
value exists, and is accepted, is `onpanic.probe.decide`'s to say.
"""

from xml.sax.saxutils import escape

import msgspec
from lxml import etree

from onpanic.probe.decision import Policy
from onpanic.probe.foreign import printable

from .elements import child, children, local_name, text_of
from .errors import DocumentError

__all__ = ("NAMESPACE", "Kept", "Written", "kept_policy", "policy_elements", "policy_of", "stated_policy")

#: The namespace of the policy in ``<metadata>``.
NAMESPACE = "https://onpanic.example/xmlns/domain/1"

_POLICY = f"{{{NAMESPACE}}}policy"
_WROTE = f"{{{NAMESPACE}}}wrote"


class Written(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was written into a domain for its policy's sake, so that it can be told from what was there.

    :param on_crash: libvirt's word in ``<on_crash>``; None if nothing was written.
    :param panic: The model of the ``<panic>`` that was added; None if none was.
    :param arguments: The arguments that were added for QEMU's command line, in one string.
    :param empty: Elements that were there already, with nothing in them, in one string.
    :param blank: Elements that were there already, with a line break in them, in one string.
    """

    on_crash: str | None = None
    panic: str | None = None
    arguments: str | None = None
    empty: str | None = None
    blank: str | None = None


class Kept(msgspec.Struct, frozen=True):
    """A policy that was found in the metadata, with what was written for it."""

    policy: Policy
    written: Written
    element: etree._Element


def policy_of(xml: str | bytes) -> Policy | None:
    """Return the policy that a domain's XML states, or keeps in its metadata; None if it does neither.

    :param xml: The domain's XML.
    :raise DocumentError: When it cannot be read, or contradicts itself.
    """
    from .document import Document

    root = Document(xml).root
    kept = kept_policy(root)
    return stated_policy(root) or (kept.policy if kept else None)


def stated_policy(root: etree._Element) -> Policy | None:
    """Return the policy that ``<on_panic>`` and ``<on_crash>`` state; None if they just are libvirt's.

    ``<on_crash>`` alone is libvirt's own, unless it has the attribute that libvirt lacks.

    :param root: The element ``<domain>``.
    :raise DocumentError: When they contradict themselves.
    """
    on_panic, on_crash = _only(root, "on_panic"), _only(root, "on_crash")
    if on_panic is None and (on_crash is None or "coredump" not in on_crash.attrib):
        return None
    return _policy(on_panic, on_crash)


def kept_policy(root: etree._Element) -> Kept | None:
    """Return the policy that the metadata keeps, None if they keep none.

    :param root: The element ``<domain>``.
    :raise DocumentError: When there are two, or what is there is none.
    """
    found = list(children(root, "metadata", _POLICY))
    if not found:
        return None
    if len(found) > 1:
        raise DocumentError("the metadata keep the policy twice", "leave one of them")
    element = found[0]
    on_panic, on_crash = (_only(element, f"{{{NAMESPACE}}}{name}") for name in ("on_panic", "on_crash"))
    if on_panic is None:
        raise DocumentError("the policy in the metadata has no <on_panic>", "take it out, and state it again")
    wrote = child(element, _WROTE)
    notes = {} if wrote is None else {str(name): str(value) for name, value in wrote.attrib.items()}
    written = Written(**{name: notes[name] for name in Written.__struct_fields__ if name in notes})
    return Kept(_policy(on_panic, on_crash), written, element)


def policy_elements(policy: Policy, prefix: str = "") -> dict[str, str]:
    """Return ``<on_panic>`` and, where the policy has one, ``<on_crash>``, each as XML by its name.

    :param policy: A policy.
    :param prefix: Before each name, with its colon.
    """
    elements = {"on_panic": _element(f"{prefix}on_panic", policy.on_panic, policy.coredump)}
    if policy.on_crash is not None:
        elements["on_crash"] = _element(f"{prefix}on_crash", policy.on_crash, policy.on_crash_coredump)
    return elements


def kept_element(policy: Policy, written: Written) -> str:
    """Return the policy as it goes into the metadata."""
    lines = [f"<onpanic:policy xmlns:onpanic='{NAMESPACE}'>"]
    lines += [f"  {xml}" for xml in policy_elements(policy, "onpanic:").values()]
    notes = msgspec.to_builtins(written)
    if notes:
        attributes = "".join(f" {name}='{value}'" for name, value in notes.items())
        lines.append(f"  <onpanic:wrote{attributes}/>")
    return "\n".join([*lines, "</onpanic:policy>"])


def _element(name: str, value: str, coredump: bool) -> str:
    attribute = " coredump='yes'" if coredump else ""
    return f"<{name}{attribute}>{escape(value)}</{name}>"


def _only(parent: etree._Element, tag: str) -> etree._Element | None:
    found = list(children(parent, tag))
    if len(found) > 1:
        name = local_name(found[0])
        raise DocumentError(f"there is more than one <{name}>", "leave the one that is meant")
    return found[0] if found else None


def _policy(on_panic: etree._Element | None, on_crash: etree._Element | None) -> Policy:
    value, coredump = _word(on_panic)
    crash, crash_coredump = _word(on_crash)
    action = crash
    if crash in ("coredump-destroy", "coredump-restart"):  # libvirt's spelling
        action = crash.removeprefix("coredump-")
        if crash_coredump is False:
            raise DocumentError(f"<on_crash coredump='no'> contradicts its {crash}", "say one of both")
        crash_coredump = True
    if action == "preserve-running" and value in ("", "default", "ignore"):
        action = ""  # libvirt's word for ignoring a panic, not a crash
    return Policy(value or "default", bool(coredump), action or None, bool(crash_coredump))


def _word(element: etree._Element | None) -> tuple[str, bool | None]:
    """Return an element's value and its coredump attribute; empty, like an absent one, means the default."""
    if element is None:
        return "", None
    if any(isinstance(inner.tag, str) for inner in element):
        name = local_name(element)
        raise DocumentError(f"<{name}> has elements in it", f"it is <{name}>VALUE</{name}>")
    unknown = [str(attribute) for attribute in element.keys() if attribute != "coredump"]  # noqa: SIM118
    if unknown:
        other = printable(min(unknown), 60)
        raise DocumentError(
            f"<{local_name(element)}> has no attribute {other}", "there is coredump='yes' or 'no'"
        )
    coredump = element.get("coredump")
    if coredump not in (None, "yes", "no"):
        raise DocumentError(f"<{local_name(element)} coredump='{coredump}'>", "coredump is 'yes' or 'no'")
    return text_of(element), None if coredump is None else coredump == "yes"
