"""A guest that was started, and the log of what happened to it."""

from collections.abc import Sequence
from typing import Any

from onpanic.matrix.libvirts.libvirt_conversation import LogEntry, LogKind
from onpanic.matrix.libvirts.libvirt_questions import GuestPlan

__all__ = ("OFF", "StartedGuest")

#: ``VIR_DOMAIN_SHUTOFF`` of virDomainState.
OFF = 5


class StartedGuest:
    """A guest, and its log so far.

    :ivar plan: What it is.
    :ivar name: Its domain's name.
    :ivar domain: The `libvirt.virDomain`; None before it is defined or started.
    :ivar entries: The log.
    """

    def __init__(self, plan: GuestPlan, name: str) -> None:
        self.plan = plan
        self.name = name
        self.domain: Any = None
        self.entries: list[LogEntry] = []

    def add(self, kind: LogKind, text: str = "", numbers: Sequence[int] = (), **more: Any) -> None:
        """Log an entry."""
        self.entries.append(LogEntry(kind, text, tuple(numbers), **more))

    def add_change(self, entry: LogEntry) -> None:
        """Log an entry, unless it is equal to the last one of its kind."""
        before = [one for one in self.entries if one.kind == entry.kind]
        if not before or before[-1] != entry:
            self.entries.append(entry)

    def has(self, kind: LogKind, first: int | None = None) -> bool:
        """Return whether the log has an entry of this kind, and with this first number."""
        return any(e.kind == kind and first in (None, *e.numbers[:1]) for e in list(self.entries))

    @property
    def panicked(self) -> bool:
        """Whether it was made to panic."""
        return self.has("panic")

    @property
    def last_state(self) -> tuple[int, ...] | None:
        """The last state; empty if the domain no longer exists, None if none is known."""
        found = (e.numbers for e in reversed(list(self.entries)) if e.kind in ("state", "absent"))
        return next(found, None)

    @property
    def ended(self) -> bool:
        """Whether the domain is shut off, or no longer exists."""
        return self.last_state is not None and self.last_state[:1] in ((), (OFF,))
