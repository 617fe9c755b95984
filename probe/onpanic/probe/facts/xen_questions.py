"""Facts about a Xen: what its toolstack accepts as ``<on_crash>``, and which guests it runs.

A record of a Xen has these facts and no others, and a record of a QEMU has none of them.
"""

from typing import Literal

import msgspec

__all__ = ("GUEST_TYPE", "ON_CRASH_FACTS", "ON_CRASH_WORDS", "XEN_QUESTIONS", "XenQuestion")

#: libvirt's and xl's values of ``<on_crash>`` that a policy can become.
ON_CRASH_WORDS = ("destroy", "restart", "rename-restart", "preserve", "coredump-destroy", "coredump-restart")

#: The names of the facts about them, by value.
ON_CRASH_FACTS = {word: f"on-crash-{word}" for word in ON_CRASH_WORDS}

#: The fact about a machine type.
GUEST_TYPE = "guest-type-supported"

_ASKED = "xl create -n reads a configuration with it, or libvirt's Xen driver converts a domain with it"


class XenQuestion(msgspec.Struct, frozen=True):
    """A question about a Xen.

    :param name: The fact's name, which never changes its meaning.
    :param scope: ``emulator`` if it is answered once for the host, ``machine`` if once for each machine type.
    :param asks: The question, in one sentence.
    :param known_from: How the answer is obtained.
    """

    name: str
    scope: Literal["emulator", "machine"]
    asks: str
    known_from: str


#: Every question about a Xen, in the order in which records list the facts.
XEN_QUESTIONS = (
    *(
        XenQuestion(name, "emulator", f"Does the Xen toolstack accept the crash action {word}?", _ASKED)
        for word, name in ON_CRASH_FACTS.items()
    ),
    XenQuestion(
        GUEST_TYPE,
        "machine",
        "Does this Xen run guests of this type: PV (xenpv), PVH (xenpvh), HVM (xenfv)?",
        "the capabilities that Xen reports (xen_caps of xl info), or libvirt's capabilities",
    ),
)
