"""A question with everything that is known about it: the one place where a fact is defined."""

from collections.abc import Callable, Sequence
from typing import Literal

import msgspec

from onpanic.probe.conversation import Conversation
from onpanic.probe.facts.fact import Answer, Fact

__all__ = ("Change", "Excerpt", "Question", "Requirement", "Scope")

Scope = Literal["emulator", "machine"]

#: What another answer of a newer build means: the guest has other hardware, or the host another behaviour.
Change = Literal["guest-visible", "behaviour"]


class Excerpt(msgspec.Struct, frozen=True):
    """Which lines of a conversation are shown as a fact's evidence.

    :param commands: QMP commands, with their answers.
    :param names: Which items of a list in an answer are kept.
    :param monitor: How lines of the human monitor begin.
    :param events: QMP events.
    :param registers: Whether accesses through qtest, and by the guest, are shown.
    :param starts: Whether it is shown how the emulator was started and how it ended.
    :param tables: Whether a summary of the guest's ACPI tables is shown, which are too long themselves.
    """

    commands: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    monitor: tuple[str, ...] = ()
    events: tuple[str, ...] = ()
    registers: bool = False
    starts: bool = False
    tables: bool = False


class Requirement(msgspec.Struct, frozen=True):
    """The answer that is required of a panic notifier that works.

    :param answer: The answer.
    :param refusal: The code of the refusal if the answer is the opposite one.
    :param architectural: True if this is required of a notifier that the architecture brings; False if
        it is required of a device.
    """

    answer: Answer
    refusal: str
    architectural: bool = False


class Question(msgspec.Struct, frozen=True):
    """A question with everything that is known about it.

    :param name: The fact's name, in lower case with dashes; it never changes its meaning.
    :param scope: ``emulator`` if it is answered once, ``machine`` if once for each machine type.
    :param asks: The question, in one sentence.
    :param known_from: How the answer is obtained.
    :param read: Reads the answer from conversations: all of them for an emulator, those with the machine
        type otherwise.  Where they do not hold it, the fact is ``unknown`` and its detail says what
        would settle it.
    :param shows: The lines that are shown as its evidence.
    :param change: What another answer of a newer build means.
    :param requires: The answer that the decision needs; None if the decision does not look at it.
    :param on_request: True if it is asked only on request (``--acpi``), so that an unknown answer is normal.
    """

    name: str
    scope: Scope
    asks: str
    known_from: str
    read: Callable[[Sequence[Conversation]], Fact]
    shows: Excerpt
    change: Change = "behaviour"
    requires: Requirement | None = None
    on_request: bool = False
