"""A question with everything that is known about it: the one place where a fact is defined."""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import msgspec

from onpanic.probe.conversation import Conversation
from onpanic.probe.emulator.notifier_models import NotifierModel
from onpanic.probe.facts.fact import Answer, Fact

__all__ = ("Change", "Excerpt", "Question", "Requirement", "Scope")

Scope = Literal["emulator", "machine", "notifier"]

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
    :param properties: The properties whose ``qom-get`` is shown.
    :param tables: Whether a summary of the guest's ACPI tables is shown, which are too long themselves.
    """

    commands: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    monitor: tuple[str, ...] = ()
    events: tuple[str, ...] = ()
    registers: bool = False
    starts: bool = False
    properties: tuple[str, ...] = ("ioport",)
    tables: bool = False


class Requirement(msgspec.Struct, frozen=True):
    """The answer that is required of a panic notifier that works.

    :param answer: The answer.
    :param refusal: The code of the refusal if there is another answer.
    :param refusals: The codes for particular answers.
    """

    answer: Answer
    refusal: str
    refusals: Mapping[str, str] = {}

    def refused_by(self, answer: Answer) -> str:
        """Return the code of the refusal by an answer; empty if it is the required one, or unknown."""
        return "" if answer in (self.answer, "unknown") else self.refusals.get(answer, self.refusal)


class Question(msgspec.Struct, frozen=True):
    """A question with everything that is known about it.

    :param name: The fact's name, in lower case with dashes; it never changes its meaning.
    :param scope: ``emulator`` if it is answered once, ``machine`` if once for each machine type,
        ``notifier`` if once for each notifier of a machine type.
    :param asks: The question, in one sentence.
    :param known_from: How the answer is obtained.
    :param read: Reads the answer from conversations: all of them for an emulator, those with the machine
        type otherwise.  For a notifier, its model is the second argument.  Where they do not hold the answer,
        the fact is ``unknown`` and its detail says what would settle it.
    :param shows: The lines that are shown as its evidence.
    :param change: What another answer of a newer build means.
    :param requires: The answer that the decision needs; None if the decision does not look at it.
    :param applies: Whether it is asked of an emulator's target and a machine type.
    :param on_request: True if it is asked only on request (``--acpi``), so that an unknown answer is normal.
    """

    name: str
    scope: Scope
    asks: str
    known_from: str
    read: Callable[..., Fact]
    shows: Excerpt
    change: Change = "behaviour"
    requires: Requirement | None = None
    on_request: bool = False
    applies: Callable[[str, str], bool] = lambda _target, _machine: True

    def answered_by(self, conversations: Sequence[Conversation], model: NotifierModel | None = None) -> Fact:
        """Return the fact.

        :param conversations: See `read`.
        :param model: The notifier that it is about; None unless the scope is ``notifier``.
        """
        return self.read(conversations, model) if self.scope == "notifier" else self.read(conversations)
