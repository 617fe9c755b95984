"""Machine types: their names and aliases, and what an architecture brings of itself."""

import re
from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from .conversation import Conversation

__all__ = ("Machines", "architectural_notifier", "target_of")


class Machines:
    """The machine types that an emulator lists.

    :param conversations: Conversations with one emulator.
    """

    def __init__(self, conversations: Sequence[Conversation]) -> None:
        self._listed: dict[str, dict[str, Any]] = {}
        for conversation in conversations:
            for reply in conversation.all_replies("query-machines"):
                self._listed = {item["name"]: item for item in reply.items} or self._listed

    @property
    def names(self) -> list[str]:
        """All names, aliases not among them, by family and then by version."""
        return sorted(self._listed, key=_natural)

    @property
    def default(self) -> str | None:
        """The machine type that is started if none is named."""
        return next((name for name, item in self._listed.items() if item.get("is-default") is True), None)

    def aliases(self, name: str) -> list[str]:
        """Return other names of a machine type, e.g. ``["pc"]``."""
        alias = self._listed.get(name, {}).get("alias")
        return [alias] if isinstance(alias, str) else []

    def named(self, word: str) -> str:
        """Return the name that a name or alias stands for."""
        return next((name for name in self._listed if word in (name, *self.aliases(name))), word)

    def canonical(self, conversation: Conversation) -> str | None:
        """Return the name of the machine type that was running, None if nothing tells."""
        reply = conversation.reply("qom-get", path="/machine", property="type")
        name = str(reply.value) if reply and reply.ok else ""
        if name.endswith("-machine"):
            return name.removesuffix("-machine")
        if conversation.machine:
            return self.named(conversation.machine)
        return self.default


def _natural(name: str) -> list[tuple[int, str]]:
    """Sort 10.0 behind 9.2: of two numbers the longer one is greater."""
    return [(len(part) if part[:1] in "0123456789" else 0, part) for part in re.split("([0-9]+)", name)]


class Architectural(msgspec.Struct, frozen=True):
    """A panic notifier that is part of the architecture.

    :param model: libvirt's name for it.
    :param detail: What it is, and by which specification.
    """

    model: Literal["s390", "pseries"]
    detail: str


_S390 = Architectural(
    "s390", "a disabled wait PSW ends in GUEST_PANICKED (z/Architecture Principles of Operation)"
)
_PSERIES = Architectural(
    "pseries", "the RTAS call ibm,os-term ends in GUEST_PANICKED (Power Architecture Platform Reference)"
)


def architectural_notifier(target: str, machine: str) -> Architectural | None:
    """Return the notifier that a machine type always has by its architecture, None for most."""
    if target == "s390x" and machine != "none":
        return _S390
    if target.startswith("ppc64") and machine.startswith("pseries"):
        return _PSERIES
    return None


def target_of(conversation: Conversation) -> str:
    """Return the emulator's target, e.g. ``x86_64``; empty if it did not say."""
    reply = conversation.reply("query-target")
    return reply.member("arch") if reply else ""
