# Copyright (c) The onpanic developers
# MIT License (see LICENSE in the collection's root, or https://spdx.org/licenses/MIT.html)
"""What the module domain_policy reads in a domain's XML, and the two elements that it writes.

Everything else about the XML is decided by onpanic to-libvirt and onpanic from-libvirt.  Only these two are
replaced in the text, so that the rest of the document keeps every byte.
"""

from __future__ import annotations

import re
from xml.etree import ElementTree
from xml.parsers import expat

#: The namespaces in which onpanic stores a policy: today's, and that of its version 0.1.0.
NAMESPACES = (
    "urn:uuid:ae79e4ab-53c8-4ed2-aab8-40f241372412",
    "https://onpanic.example/xmlns/domain/1",
)

_QEMU = "http://libvirt.org/schemas/domain/qemu/1.0"
_PASSWORD = re.compile(r"(\spasswd=)(?:'[^']*'|\"[^\"]*\")")


def stored_policy(xml):
    """Return the policy that a domain's metadata store, as the module's options have it; None for none."""
    root = ElementTree.fromstring(xml)
    for namespace in NAMESPACES:
        policy = root.find("metadata/{%s}policy" % namespace)
        if policy is not None:
            return _policy_in(policy, "{%s}" % namespace)
    return None


def stated_policy(xml):
    """Return the policy that a domain's own elements state; None for none."""
    root = ElementTree.fromstring(xml)
    return None if root.find("on_panic") is None else _policy_in(root, "")


def _policy_in(parent, prefix):
    found = {"on_panic": "", "coredump": False, "grace": None, "on_crash": None, "on_crash_coredump": False}
    on_panic, on_crash = parent.find(prefix + "on_panic"), parent.find(prefix + "on_crash")
    if on_panic is not None:
        found["on_panic"] = (on_panic.text or "").strip()
        found["coredump"] = on_panic.get("coredump") == "yes"
        found["grace"] = _number(on_panic.get("grace"))
    if on_crash is not None:
        found["on_crash"] = (on_crash.text or "").strip() or None
        found["on_crash_coredump"] = on_crash.get("coredump") == "yes"
    return found


def _number(text):
    try:
        return None if text is None else float(text)
    except ValueError:  # compared as it is: no number is equal to it
        return text


def with_policy(xml, policy):
    """Return a domain's XML that states a policy.

    :param xml: The XML, as text.
    :param policy: The policy; if its on_crash is None, the domain's own is kept.
    """
    grace = policy["grace"]
    words = " coredump='yes'" if policy["coredump"] else ""
    words += "" if grace is None else " grace='%g'" % grace
    written = {"on_panic": "<on_panic%s>%s</on_panic>" % (words, policy["on_panic"])}
    if policy["on_crash"] is not None:  # the attribute shows that it is no translation's
        dumped = "yes" if policy["on_crash_coredump"] else "no"
        written["on_crash"] = "<on_crash coredump='%s'>%s</on_crash>" % (dumped, policy["on_crash"])
    return _replaced(xml, written)


def without_policy(xml):
    """Return a domain's XML without the policy that it states, and with libvirt's own <on_crash>."""
    policy = stated_policy(xml)
    written = {"on_panic": ""}
    if policy and policy["on_crash_coredump"]:
        value = policy["on_crash"]
        prefix = "coredump-" if value in ("destroy", "restart") else ""
        written["on_crash"] = "<on_crash>%s%s</on_crash>" % (prefix, value)
    return _replaced(xml, written)


def panic_parts(xml):
    """Return all in a domain's XML that decides what a panic does, to compare a running guest with it."""
    root = ElementTree.fromstring(xml)
    vmcoreinfo = root.find("features/vmcoreinfo")
    arguments = root.iterfind("{%s}commandline/{%s}arg" % (_QEMU, _QEMU))
    return {
        "policy": stored_policy(xml),
        "on_crash": (root.findtext("on_crash") or "destroy").strip(),
        "panic": [panic.get("model", "isa") for panic in root.iterfind("devices/panic")],
        "vmcoreinfo": vmcoreinfo is not None and vmcoreinfo.get("state", "on") == "on",
        "arguments": [argument.get("value", "") for argument in arguments],
    }


def without_passwords(xml):
    """Return a domain's XML with its passwords replaced, to be shown."""
    return _PASSWORD.sub(r"\1'********'", xml)


def _replaced(xml, written):
    """Return a document with elements of its root replaced by texts; an empty one removes the element.

    An element that is not there is added before <on_crash>, else at the end.
    """
    source = xml.encode("utf-8")
    spans, end = _spans(source, ("on_panic", "on_crash"))
    edits = []
    for name, text in written.items():
        data = text.encode("utf-8")
        if name in spans:
            start, stop = spans[name]
            if not data:  # with its line
                start = len(source[:start].rstrip(b" \t"))
                stop += source[stop : stop + 1] == b"\n"
            edits.append((start, stop, data))
        elif data:
            at = spans.get("on_crash", (end, end))[0]
            edits.append((at, at, data + b"\n  "))
    for start, stop, data in sorted(edits, reverse=True):
        source = source[:start] + data + source[stop:]
    return source.decode("utf-8")


def _spans(source, names):
    """Return where children of the root begin and end, by name, and where the root's end tag begins."""
    spans, path, starts = {}, [], []
    ends = [len(source)]
    parser = expat.ParserCreate()

    def start(name, _attributes):
        path.append(name)
        starts.append(parser.CurrentByteIndex)

    def stop(name):
        path.pop()
        begins = starts.pop()
        if not path:
            ends[0] = parser.CurrentByteIndex
        elif len(path) == 1 and name in names:
            spans[name] = (begins, source.index(b">", parser.CurrentByteIndex) + 1)

    parser.StartElementHandler = start
    parser.EndElementHandler = stop
    parser.Parse(source, True)
    return spans, ends[0]
