"""Machine types: their names and aliases."""

import re
from collections.abc import Sequence
from typing import Any

from onpanic.probe.conversation import Conversation

__all__ = ("Machines", "is_made", "running_machine", "target_of")


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
        """All names without aliases, by family and then by version."""
        return sorted(self._listed, key=_natural)

    @property
    def default(self) -> str | None:
        """The machine type that is started if none is named."""
        return next((name for name, item in self._listed.items() if item.get("is-default") is True), None)

    def aliases(self, name: str) -> list[str]:
        """Return other names of a machine type, e.g. ``["pc"]``."""
        alias = self._listed.get(name, {}).get("alias")
        return [alias] if isinstance(alias, str) else []

    def resolve(self, name_or_alias: str) -> str:
        """Return the machine type's name; a name that is not listed is returned unchanged."""
        names = (name for name in self._listed if name_or_alias in (name, *self.aliases(name)))
        return next(names, name_or_alias)

    def canonical(self, conversation: Conversation) -> str | None:
        """Return the name of the machine type that a conversation is about, None if that is unknown."""
        running = running_machine(conversation)
        if running:
            return running
        return self.resolve(conversation.machine) if conversation.machine else self.default


def running_machine(conversation: Conversation) -> str:
    """Return the name of the machine type that is running, according to QOM; empty if it was not asked."""
    reply = conversation.reply("qom-get", path="/machine", property="type")
    name = str(reply.value) if reply and reply.ok else ""
    return name.removesuffix("-machine") if name.endswith("-machine") else ""


def _natural(name: str) -> list[tuple[int, str]]:
    """Sort 10.0 after 9.2: of two numbers the longer one is greater."""
    return [(len(part) if part[:1] in "0123456789" else 0, part) for part in re.split("([0-9]+)", name)]


def is_made(conversation: Conversation) -> bool:
    """Return whether the machine exists; with ``-preconfig`` it is made later."""
    status = conversation.reply("query-status")
    refused = [reply.refusal.desc for reply in conversation.replies if reply.refusal]
    later = any("machine initialization" in words for words in refused)  # QEMU's monitor/qmp-cmds-control.c
    return not later and (status is None or status.member("status") != "preconfig")


def target_of(conversation: Conversation) -> str:
    """Return the emulator's target, e.g. ``x86_64``; empty if it did not say."""
    reply = conversation.reply("query-target")
    return reply.member("arch") if reply else ""
