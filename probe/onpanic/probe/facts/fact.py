"""One question's answer, and how it is known."""

from typing import Literal

import msgspec

__all__ = ("Answer", "Fact", "How", "no", "unknown", "yes")

Answer = Literal["yes", "no", "unknown"]

#: How a fact is known, strongest first.
How = Literal["observed", "introspected", "recorded", "documented"]


class Fact(msgspec.Struct, frozen=True):
    """One question's answer.

    :param answer: ``yes``, ``no`` or ``unknown``.
    :param how: ``observed`` (made to happen and watched), ``introspected`` (the emulator said so
        over QMP), ``recorded`` (a recording said so), ``documented`` (true of the architecture by
        its specification); None for ``unknown``.
    :param detail: What was seen, or what would settle it, in one line.
    :param evidence: Place in the record's ``evidence`` of the lines it was read from; unset where
        they were not kept.
    """

    answer: Answer
    how: How | None = None
    detail: str = ""
    evidence: int | msgspec.UnsetType = msgspec.UNSET


def yes(how: How, detail: str) -> Fact:
    """Return a fact that is so."""
    return Fact("yes", how, detail)


def no(how: How, detail: str) -> Fact:
    """Return a fact that is not so."""
    return Fact("no", how, detail)


def unknown(detail: str) -> Fact:
    """Return a fact that is not known; the detail says what would settle it."""
    return Fact("unknown", None, detail)
