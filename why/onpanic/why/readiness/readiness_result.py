"""Whether a panic of a guest would be reported and could be read: the result."""

from typing import Literal

import msgspec

__all__ = ("Readiness", "ReadinessAnswer")


class ReadinessAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to one question.

    :param name: The question: ``memory``, ``note``, ``kernel``, ``log``, ``notifier``, ``driver`` or
        ``kdump``.
    :param answer: ``yes`` if all is well.
    :param how: What shows it, or why it is not known, in a sentence.
    :param remedy: What to do about it; empty if there is nothing to do.
    :param matters: Whether ``no`` means that a panic would not be reported, or could not be read.
    """

    name: str
    answer: Literal["yes", "no", "unknown"]
    how: str
    remedy: str = ""
    matters: bool = True


class Readiness(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a panic of a guest would be reported and could be read.

    What is read from the guest's memory is the guest's word, and a malicious one may say anything.

    :param schema_version: The version of this document's format.
    :param guest: What kind of guest it is: ``linux``, ``windows`` or ``unknown``.
    :param architecture: As QEMU names it, e.g. ``x86_64``; empty if it is not known.
    :param release: The running kernel's release; empty if it is not known.
    :param answers: The questions in the order in which they depend on each other.
    :param settings: The kernel's ``panic_timeout`` and ``panic_on_oops``, where they are known.
    """

    schema_version: Literal[1] = 1
    guest: Literal["linux", "windows", "unknown"] = "unknown"
    architecture: str = ""
    release: str = ""
    answers: tuple[ReadinessAnswer, ...]
    settings: dict[str, int] = {}

    @property
    def fails(self) -> bool:
        """True if a panic would not be reported, or could not be read."""
        return any(answer.answer == "no" and answer.matters for answer in self.answers)

    def answer(self, name: str) -> ReadinessAnswer | None:
        """Return the answer to a question; None if it was not asked."""
        return next((answer for answer in self.answers if answer.name == name), None)
