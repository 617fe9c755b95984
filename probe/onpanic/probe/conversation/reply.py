"""A QMP command with its answer."""

from collections.abc import Mapping
from typing import Any, Self

import msgspec

from onpanic.core.untrusted import printable
from onpanic.probe.conversation.reply_types import fits

__all__ = ("Refusal", "Reply")


class Refusal(msgspec.Struct, frozen=True):
    """A QMP error: its class (``CommandNotFound``, ``GenericError``, …) and description."""

    error_class: str
    desc: str

    @property
    def unknown_command(self) -> bool:
        """True if the emulator does not have the command."""
        return self.error_class == "CommandNotFound"


class Reply(msgspec.Struct, frozen=True):
    """A QMP command with its answer.  `Reply.of` makes one, and validates it.

    :param command: For example ``qom-list``.
    :param arguments: The command's arguments.
    :param value: What ``return`` held; None where the command was refused, was not answered, or
        was answered with something other than the command returns.
    :param refusal: The error, if the command was refused.
    :param sent: Index of the command among the conversation's entries.
    :param received: Index of the answer; -1 where none came.
    :param malformed: What the answer held where it is not what the command returns, as text.
    """

    command: str
    arguments: Mapping[str, Any]
    value: Any
    refusal: Refusal | None
    sent: int
    received: int
    malformed: str = ""

    @classmethod
    def unanswered(cls, command: str, arguments: Mapping[str, Any], sent: int) -> Self:
        """Return the reply to a command that has no answer (yet)."""
        return cls(command, arguments, None, None, sent, -1)

    @classmethod
    def of(
        cls, command: str, arguments: Mapping[str, Any], answer: Mapping[str, Any], sent: int, received: int
    ) -> Self:
        """Return a reply; an answer that is not what the command returns counts as none.

        :param answer: The message that held ``return`` or ``error``.
        """
        error, value = answer.get("error"), answer.get("return")
        if "error" in answer and ("return" in answer or not isinstance(error, dict)):
            return cls(command, arguments, None, None, sent, received, printable(repr(dict(answer)), 60))
        if isinstance(error, dict):
            refusal = Refusal(str(error.get("class", "")), str(error.get("desc", "")))
            return cls(command, arguments, None, refusal, sent, received)
        if not fits(command, arguments, value):
            return cls(command, arguments, None, None, sent, received, printable(repr(value), 60))
        return cls(command, arguments, value, None, sent, received)

    @property
    def ok(self) -> bool:
        """True if the command was carried out and answered as it should be."""
        return self.received >= 0 and self.refusal is None and not self.malformed

    @property
    def items(self) -> list[dict[str, Any]]:
        """The items of an answer that is a list of objects; empty if it is not one."""
        return self.value if isinstance(self.value, list) else []

    def member(self, name: str) -> str:
        """Return a member of an answer that is an object, as text; empty if it has none."""
        return str(self.value.get(name, "")) if isinstance(self.value, dict) else ""
