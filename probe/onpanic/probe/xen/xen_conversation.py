"""What a Xen host said: the answers of its toolstack, whichever it is."""

from collections.abc import Mapping

import msgspec

from onpanic.probe.facts.xen_questions import ON_CRASH_WORDS

__all__ = ("ASKED_WORDS", "CONTROL_WORD", "GUEST_TYPES", "XenAnswer", "XenConversation")

#: A word that no toolstack knows: its refusal shows how one looks.
CONTROL_WORD = "onpanic"

#: The words that are asked about; the empty one stands for a guest without a crash action.
ASKED_WORDS = ("", CONTROL_WORD, *ON_CRASH_WORDS)

#: libvirt's machine types for Xen, with xl's name of the guest type (xl.cfg(5)).
GUEST_TYPES: Mapping[str, str] = {"xenpv": "pv", "xenpvh": "pvh", "xenfv": "hvm"}


class XenAnswer(msgspec.Struct, frozen=True):
    """The toolstack's answer to a guest with a crash action.

    :param accepted: Whether it accepts the guest.
    :param said: Why not, in its own words; empty if it does.
    """

    accepted: bool
    said: str = ""


class XenConversation(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a Xen host said.

    :param toolstack: ``xl``, or libvirt with its version: ``libvirt 9.0.0``.
    :param version: Xen's version, such as ``4.17.7``; libvirt reports ``4.17``.
    :param target: The architecture of the host, such as ``x86_64``.
    :param guest_types: Whether it runs guests of each type, by machine type; None if it did not say.
    :param types_from: What `guest_types` was read from, in the other side's words.
    :param words: Its answers, by the words of `ASKED_WORDS`.
    :param problems: What could not be asked, each with the other side's own words.
    """

    toolstack: str
    version: str
    target: str
    guest_types: Mapping[str, bool] | None
    types_from: str
    words: Mapping[str, XenAnswer]
    problems: tuple[str, ...] = ()
