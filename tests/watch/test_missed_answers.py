"""Steps whose answer the watcher has missed: what is seen of the guest afterwards says how they ended."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from onpanic.core.errors import LostError, UnansweredError
from onpanic.probe.decision.policy import Policy
from onpanic.watch.guests.guest import DumpProgress, DumpResult
from onpanic.watch.rules.incident import Incident
from onpanic.watch.rules.observation import Assignment, GuestState, Observation, StepResult
from onpanic.watch.rules.policy_steps import Action, Condition, Step
from onpanic.watch.rules.reconcile import reconcile
from onpanic.watch.rules.reconcile_settings import ReconcileSettings
from onpanic.watch.rules.restart_limit import RestartLimit

from .played_guest import PlayedGuest, Watch

SETTINGS = ReconcileSettings(RestartLimit(5, 300.0))


def observed(action: str, condition: Condition, instance: str = "1") -> Observation:
    policy = Policy(action)
    return Observation(
        GuestState(condition, instance), at=20.0, since=20.0, key="guest", assignment=Assignment(policy)
    )


def begun(action: str, step: Step) -> Incident:
    """Return the incident of a watcher that was killed, or has lost its connection, during a step."""
    ends = step not in ("coredump", "continue")
    return Incident(
        "guest",
        "guest",
        "panicked",
        Action(action),
        "1",
        found=10.0,
        step=step,
        begun=ends,
        finished=False,
        resolved=False,
    )


@pytest.mark.parametrize(
    ("action", "step", "condition", "outcome"),
    [
        ("restart", "restart", "healthy", ("restart", "done")),
        ("destroy", "destroy", "off", ("destroy", "done")),
        ("ignore", "continue", "healthy", ("continue", "done")),
        ("rename-restart", "start", "healthy", ("start", "done")),
        ("restart", "restart", "gone", None),
        ("restart", "coredump", "off", ("coredump", "failed")),
        ("rename-restart", "destroy", "healthy", None),
    ],
)
def test_a_step_whose_answer_was_missed_is_logged(
    action: str, step: Step, condition: Condition, outcome: tuple[str, str] | None
) -> None:
    """It is done if the guest is as the step promises; else something else has handled the guest."""
    decided = reconcile(begun(action, step), observed(action, condition), SETTINGS, 20.0)
    (line,) = decided.lines
    if outcome:
        assert (line.event, line.members["action"], line.members["outcome"]) == ("action", *outcome)
    else:
        assert line.event == "over"
    assert decided.incident is None or decided.incident.resolved


def test_another_start_of_the_guest_does_not_show_that_a_step_was_taken() -> None:
    """Somebody has ended it and started it again."""
    decided = reconcile(begun("ignore", "continue"), observed("ignore", "healthy", "2"), SETTINGS, 20.0)
    assert [line.event for line in decided.lines] == ["over"]


def test_another_start_of_the_guest_is_not_continued() -> None:
    """The watcher would find at each attempt that the guest is another one, without end."""
    decided = reconcile(begun("restart", "restart"), observed("restart", "reset", "2"), SETTINGS, 20.0)
    assert decided.step is None
    assert decided.wait is None
    assert decided.incident is None or decided.incident.finished


async def test_an_event_during_a_step_whose_connection_is_lost_is_not_lost(tmp_path: Path) -> None:
    """The emulator ends in the middle of a dump, and that is known before the step has failed."""

    class EndingGuest(PlayedGuest):
        async def dump(self, incident: Incident, progress: DumpProgress) -> DumpResult:  # noqa: ARG002
            self.condition = "off"
            watch.supervisor.trigger()
            raise LostError("the connection was closed")

    guest = EndingGuest(Policy("restart", coredump=True))
    async with Watch(guest, tmp_path) as watch:
        await watch.reconcile()
        guest.panic()
        await watch.panicked()
        assert watch.events == [("panicked",), ("action", "coredump", "failed")]
        assert watch.journal.get(guest.key) is None


async def test_a_command_that_is_not_answered_is_named(tmp_path: Path) -> None:
    """The connection is closed then, and the log says why."""

    class HangingGuest(PlayedGuest):
        def _destroy(self, incident: Incident) -> None:  # noqa: ARG002
            raise UnansweredError("/run/qmp does not answer quit")

    guest = HangingGuest(Policy("destroy"))
    async with Watch(guest, tmp_path) as watch:
        await watch.reconcile()
        guest.panic()
        await watch.panicked()
        assert watch.events == [("panicked",), ("problem",)]
        assert "does not answer quit" in watch.lines[-1].detail


def test_a_guest_that_is_continued_after_its_reset_is_not_reset_again() -> None:
    """It was paused when its grace period ended; that was over when the reset began."""
    incident = replace(begun("restart", "continue"), begun=True, grace_until=15.0)
    observation = replace(observed("restart", "healthy"), result=StepResult("continue", 19.0))
    decided = reconcile(incident, observation, SETTINGS, 20.0)
    assert decided.step is None
    assert [line.members for line in decided.lines] == [
        {"action": "continue", "outcome": "done", "seconds": 1.0, "coredump": "", "detail": ""}
    ]
    assert decided.incident is None or decided.incident.resolved


async def test_a_failure_is_kept_when_the_connection_is_lost_before_its_first_step(tmp_path: Path) -> None:
    """The guest that is found panicked when the connection is there again is in the same failure."""

    class LosingGuest(PlayedGuest):
        async def dump_path(self, at: float) -> str:
            self.lost = not self.lost and not self.log
            return await super().dump_path(at)

    guest = LosingGuest(Policy("preserve", coredump=True))
    async with Watch(guest, tmp_path) as watch:
        await watch.reconcile()
        guest.panic()
        await watch.panicked()
        assert guest.lost
        guest.lost, guest.log = False, ["connected"]
        await watch.reconcile(retry=True)
        assert watch.events.count(("panicked",)) == 1
        assert ("action", "coredump", "done") in watch.events
