"""What is decided about a guest: what the journal keeps, what is logged, and the one next step."""

from typing import Any

import msgspec
from msgspec.structs import replace

from onpanic.watch.rules.incident import Incident
from onpanic.watch.rules.line_contents import LineContent
from onpanic.watch.rules.policy_steps import Step

__all__ = ("Draft", "NextAction")


class NextAction(msgspec.Struct, frozen=True):
    """What is decided about a guest that was observed.

    :param incident: What the journal keeps from now on; None if there is nothing to keep.
    :param step: The step to take now; None if none is due.
    :param before: The incident if that step turns out not to have been taken.
    :param wait: Seconds after which the guest is observed again, unless an event comes first; None if
        nothing is in progress.
    :param revisit: Seconds after which it is observed again although nothing is in progress; None for never.
    :param lines: What is logged.
    :param handled: How many of the reports were concluded, the oldest ones.
    :param concluded: Whether the result of the last step was concluded.
    :param considered: Whether what the observation says of events was taken into account; otherwise the next
        observation says it again.
    """

    incident: Incident | None
    step: Step | None = None
    before: Incident | None = None
    wait: float | None = None
    revisit: float | None = None
    lines: tuple[LineContent, ...] = ()
    handled: int = 0
    concluded: bool = False
    considered: bool = True


class Draft:
    """The next action in the making.

    :param incident: The guest's incident; None if there is none.
    :ivar incident: The same, as it is to be kept.
    :ivar lines: What is logged so far.
    :ivar handled: How many reports were concluded.
    :ivar concluded: Whether the result of the last step was.
    """

    def __init__(self, incident: Incident | None) -> None:
        self.incident = incident
        self.lines: list[LineContent] = []
        self.handled = 0
        self.concluded = False

    def log(self, line: LineContent) -> None:
        """Add a line to the log."""
        self.lines.append(line)

    def change(self, **changes: Any) -> Incident:
        """Change the incident, of which there must be one, and return it."""
        assert self.incident
        self.incident = replace(self.incident, **changes)
        return self.incident

    def take(self, step: Step, /, **changes: Any) -> NextAction:
        """Return the action to take a step.

        :param changes: What the incident says from the beginning of the step on.
        """
        before = self.incident
        self.change(**changes)
        return self._decide(step=step, before=before)

    def wait(self, seconds: float, *, considered: bool = False) -> NextAction:
        """Return the action to observe the guest again after some seconds."""
        return self._decide(wait=seconds, considered=considered)

    def leave(self, *, considered: bool = True, revisit: float | None = None) -> NextAction:
        """Return the action to do nothing until the next event.

        :param revisit: See `NextAction`.
        """
        return self._decide(considered=considered, revisit=revisit)

    def _decide(self, **members: Any) -> NextAction:
        return NextAction(
            self.incident,
            lines=tuple(self.lines),
            handled=self.handled,
            concluded=self.concluded,
            **members,
        )
