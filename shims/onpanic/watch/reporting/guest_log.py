"""The log lines about one guest."""

import time
from collections.abc import Callable
from typing import Any, Protocol

from onpanic.probe.decision.policy import Policy
from onpanic.shims.domain_xml.policy_xml import policy_elements
from onpanic.watch.reporting.lines import Level, Line, Sink, now
from onpanic.watch.rules.line_contents import LineContent

__all__ = ("GuestLog", "Identified")


class Identified(Protocol):
    """Something with a name and a UUID, both of which may change."""

    name: str
    uuid: str


class GuestLog:
    """Writes lines about a guest.

    :param guest: The guest.
    :param sink: Takes the lines.
    :param clock: Returns monotonic seconds.
    :ivar policy: The guest's policy, as far as it is known.
    """

    def __init__(self, guest: Identified, sink: Sink, clock: Callable[[], float] = time.monotonic) -> None:
        self._guest = guest
        self._sink = sink
        self._clock = clock
        self._progress_at = clock()
        self._once: set[str] = set()
        self.policy: Policy | None = None

    def write(self, event: str, level: Level = "info", *, at: str = "", **members: Any) -> None:
        """Write a line.

        :param event: What happened, see `Line`.
        :param at: When it happened, in the format of `Line.at`; empty for now.
        :param members: Other members of `Line`.
        """
        policy = " ".join(policy_elements(self.policy).values()) if self.policy else ""
        guest = self._guest
        self._sink(
            Line(event, level, at=at or now(), domain=guest.name, uuid=guest.uuid, policy=policy, **members)
        )

    def write_content(self, line: LineContent, interval: float) -> None:
        """Write what a decision logs.

        :param line: The line.
        :param interval: Seconds between lines about the progress of a dump.
        """
        if line.event == "progress":
            self.progress(interval=interval, **line.members)
            return
        if line.once:
            text = str(line.members.get("detail"))
            if text in self._once:
                return
            self._once.add(text)
        else:
            self._once.clear()
        self.write(line.event, line.level, **line.members)

    def dump_begins(self) -> None:
        """Start the interval until the first line about a dump's progress."""
        self._progress_at = self._clock()

    def progress(self, done: int, total: int, interval: float, *, by: str = "") -> None:
        """Write how far a dump is, unless a line about it was written within the interval.

        :param done: Bytes.
        :param total: Bytes.
        :param interval: Seconds.
        :param by: What makes the dump, if not the watcher.
        """
        if self._clock() - self._progress_at >= interval:
            self._progress_at = self._clock()
            self.write("progress", action="coredump", by=by, done=done, total=total)
