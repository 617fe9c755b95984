"""What a case says about its guest."""

import time
from collections.abc import Callable
from typing import Any

from onpanic.probe.decision import Policy
from onpanic.shims.policy import policy_elements

from .guest import Guest
from .report import Level, Line, now

__all__ = ("Voice",)


class Voice:
    """Says lines about a guest.

    :param guest: The guest.
    :param say: Takes lines.
    :ivar policy: The guest's policy, as far as it is known.
    """

    def __init__(self, guest: Guest, say: Callable[[Line], None]) -> None:
        self._guest = guest
        self._say = say
        self._progress_at = time.monotonic()
        self.policy: Policy | None = None

    def say(self, event: str, level: Level = "info", *, at: str = "", **members: Any) -> None:
        """Say a line.

        :param event: What it is; see `Line`.
        :param at: When it was; empty for now.
        :param members: Other members of `Line`.
        """
        policy = " ".join(policy_elements(self.policy).values()) if self.policy else ""
        guest = self._guest
        self._say(
            Line(event, level, at=at or now(), domain=guest.name, uuid=guest.uuid, policy=policy, **members)
        )

    def action(self, action: str, outcome: str, **members: Any) -> None:
        """Say what was done, or was not."""
        bad = outcome in ("failed", "start-limit-hit")
        self.say("action", "error" if bad else "notice", action=action, outcome=outcome, **members)

    def over(self, condition: str) -> None:
        """Say that somebody else has acted."""
        self.say("over", detail=f"the guest is {condition}: somebody else has seen to it")

    def dumping(self) -> None:
        """Note that a dump begins."""
        self._progress_at = time.monotonic()

    def progress(self, done: int, total: int, every: float, *, by: str = "") -> None:
        """Say how far a dump is, if it was not said for a while.

        :param every: Seconds between lines.
        """
        if time.monotonic() - self._progress_at >= every:
            self._progress_at = time.monotonic()
            self.say("progress", action="coredump", by=by, done=done, total=total)
