"""A fact: the answer to one question, and how it is known."""

from typing import Literal

import msgspec

__all__ = ("Answer", "Fact", "How", "no", "unknown", "yes")

#: The last four are answers of ``panic-action`` only.
Answer = Literal["yes", "no", "unknown", "pause", "poweroff", "run", "exit"]

#: How a fact is known, strongest first.
How = Literal["observed", "introspected", "recorded", "documented"]


class Fact(msgspec.Struct, frozen=True):
    """The answer to one question.

    :param answer: ``yes``, ``no`` or ``unknown``; of ``panic-action`` what a panic ends in.
    :param how: ``observed`` (made to happen and watched), ``introspected`` (the emulator said so
        over QMP, or Xen's toolstack when it was asked), ``recorded`` (a recording said so), ``documented``
        (true of the architecture by its specification); None for ``unknown``.
    :param detail: What was seen, or what would settle it, in one line.
    :param evidence: Index in the record's ``evidence`` of the lines that it was read from; unset where
        they were not kept.
    """

    answer: Answer
    how: How | None = None
    detail: str = ""
    evidence: int | msgspec.UnsetType = msgspec.UNSET


def yes(how: How, detail: str) -> Fact:
    """Return a fact with the answer ``yes``."""
    return Fact("yes", how, detail)


def no(how: How, detail: str) -> Fact:
    """Return a fact with the answer ``no``."""
    return Fact("no", how, detail)


def unknown(detail: str) -> Fact:
    """Return a fact with the answer ``unknown``; the detail says what would settle it."""
    return Fact("unknown", None, detail)
