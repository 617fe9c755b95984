"""What is decided about a guest: what the journal keeps, what is logged, and the one next step."""

from typing import Any, Literal

import msgspec
from msgspec.structs import replace

from onpanic.watch.rules.incident import Incident
from onpanic.watch.rules.policy_steps import Step
from onpanic.watch.rules.restart_limit import RestartLimit

__all__ = ("Draft", "LineContent", "NextAction", "ReconcileSettings", "action_line")

# How much longer than the shortest the longest wait for libvirt is
_LONGEST_WAIT = 10


class LineContent(msgspec.Struct, frozen=True):
    """What a log line about a guest says; the log adds the guest and the time, see `Line`.

    :param event: See `Line`.
    :param level: See `Line`.
    :param members: Other members of `Line`.
    :param once: Whether it is left out if the last such line about the guest said the same.
    """

    event: str
    level: Literal["info", "notice", "warning", "error"] = "info"
    members: dict[str, Any] = {}
    once: bool = False


class ReconcileSettings(msgspec.Struct, frozen=True):
    """The settings that the next action depends on.

    :param restart_limit: How often a guest is restarted.
    :param grace: Seconds that a guest has to help itself, unless its policy says otherwise; 0 for none.
    :param dry_run: Whether steps are only logged.
    :param poll: Seconds until libvirt, which is expected to act on a guest, is looked at again; later looks
        wait up to ten times as long.
    :param patience: Seconds that a guest may take to pass through a state, for example to shut down.
    """

    restart_limit: RestartLimit
    grace: float = 0.0
    dry_run: bool = False
    poll: float = 0.05
    patience: float = 60.0

    @property
    def reaction(self) -> float:
        """Seconds within which libvirt begins to act, and an event follows the state that it is about."""
        return self.poll * _LONGEST_WAIT

    def pause(self, elapsed: float) -> float:
        """Return the seconds until a guest is looked at again.

        :param elapsed: Seconds for which it has been observed without a change.
        """
        return max(self.poll, min(elapsed / 2, self.reaction))


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


def action_line(action: str, outcome: str, **members: Any) -> LineContent:
    """Return what the line says that tells that an action was taken, or why it was not.

    :param action: See `Line.action`.
    :param outcome: See `Line.outcome`.
    :param members: Other members of `Line`.
    """
    level: Literal["error", "notice"] = (
        "error" if outcome in ("failed", "lost", "start-limit-hit") else "notice"
    )
    return LineContent("action", level, {"action": action, "outcome": outcome, **members})


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
