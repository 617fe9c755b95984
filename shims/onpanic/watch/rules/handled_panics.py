"""Panics that libvirt, QEMU or something else has handled before the watcher has seen the guest's state."""

from itertools import pairwise

from onpanic.watch.rules.incident import Incident
from onpanic.watch.rules.line_contents import LineContent, action_line, failure_line, handled_elsewhere
from onpanic.watch.rules.next_action import Draft
from onpanic.watch.rules.observation import GuestState, Observation, PanicReport
from onpanic.watch.rules.policy_steps import FAILURES, Action, action_for, fulfils
from onpanic.watch.rules.reconcile_settings import ReconcileSettings
from onpanic.watch.rules.restarts import libvirt_action

__all__ = ("conclude_handled", "conclude_libvirt_action", "conclude_restarted")

_SURVIVES = ("ignore", "preserve", "pause", "restart", "rename-restart")


def conclude_handled(
    draft: Draft, observation: Observation, settings: ReconcileSettings, now: float, *, keep: int = 0
) -> None:
    """Conclude what has become of panics that were reported.

    :param draft: The next action in the making.
    :param observation: What is known of the guest.
    :param settings: The settings.
    :param now: Seconds of the boot clock.
    :param keep: How many reports are left out, the latest ones.
    """
    reports = observation.reports
    for report in reports[draft.handled : len(reports) - keep]:
        draft.handled += 1
        if observation.assignment is None or report.repeated:
            continue
        if not report.logged:
            draft.log(failure_line(report))
        _conclude_one(draft, report, observation, settings, now)


def _conclude_one(
    draft: Draft, report: PanicReport, observation: Observation, settings: ReconcileSettings, now: float
) -> None:
    assert observation.assignment
    state = observation.state
    wanted = action_for(observation.assignment.policy, "panicked").action
    if not report.stopped and state.condition in ("healthy", *FAILURES):
        draft.log(action_line("ignore", "done", by="QEMU"))
    elif wanted in _SURVIVES and _is_lost(state, libvirt_action(draft.incident, observation)):
        draft.log(_loss(wanted, libvirt_action(draft.incident, observation), observation))
    elif libvirt_action(draft.incident, observation) or not report.stopped:
        conclude_libvirt_action(draft, observation, report.at, settings, now)


def _is_lost(state: GuestState, action: str) -> bool:
    """Return whether a guest has ended, other than by the reset of libvirt's restart.

    :param action: What libvirt does when the guest panics.
    """
    if state.ending == "shutdown":
        return not action.endswith("restart")
    return state.ending == "crashed" or state.condition == "gone"


def _loss(wanted: str, done: str, observation: Observation) -> LineContent:
    """Return the line about a guest that has ended although its policy is to keep it or restart it."""
    state = observation.state
    by = "libvirt" if state.ending == "crashed" and done.endswith("destroy") else ""
    other = "libvirt has destroyed it, or QEMU has crashed"
    if observation.assignment and not observation.assignment.resettable:
        other = "libvirt has ended it, and not started it again"
    causes = {
        "crashed": "its <on_crash> is to destroy it" if by else other,
        "shutdown": "its QEMU has exited",
    }
    cause = causes.get(state.ending, "it was transient")
    return action_line(wanted, "lost", by=by, detail=f"the guest is {state.condition}: {cause}")


def conclude_libvirt_action(
    draft: Draft, observation: Observation, failed_at: float, settings: ReconcileSettings, now: float
) -> None:
    """Conclude what libvirt has done, if its action explains the guest's state, and count its restarts.

    The other parameters are those of `conclude_handled`.

    :param failed_at: When the guest failed, in seconds of the boot clock.
    """
    assert observation.assignment
    state = observation.state
    done = libvirt_action(draft.incident, observation).removeprefix("coredump-")
    if not done and state.ending == "crashed":
        done = "destroy"  # its action was changed at run time
    wanted = action_for(observation.assignment.policy, "panicked").action
    if done == "restart" and state.ending == "shutdown":
        _conclude_restart_that_ended(draft, wanted, observation, settings, now)
        return
    if not done or not fulfils(Action(done), state.condition):
        draft.log(handled_elsewhere(state.condition))
        return
    detail = "" if done == wanted else f"its <on_crash> is not the policy's, which is to {wanted}"
    draft.log(action_line(done, "done", by="libvirt", seconds=now - failed_at, detail=detail))
    if done == "restart":
        draft.incident = draft.incident or Incident(observation.key, observation.name)
        draft.change(restarts=_with_restart(draft.incident, settings, now), instance=state.instance)


def _conclude_restart_that_ended(
    draft: Draft, wanted: str, observation: Observation, settings: ReconcileSettings, now: float
) -> None:
    """Have a guest started again that the reset of libvirt's restart has ended, if its policy is to restart.

    :param wanted: The policy's action.
    """
    reason = f"the guest is {observation.state.condition}: the reset ended it"
    draft.log(action_line("restart", "failed", by="libvirt", detail=reason))
    draft.incident = draft.incident or Incident(observation.key, observation.name)
    if wanted != "restart" or settings.dry_run:
        return
    if settings.restart_limit.due(draft.incident.restarts, now) is None:
        draft.log(action_line("restart", "start-limit-hit", detail="the guest stays off"))
        return
    draft.change(
        failure="panicked",
        action=Action("restart"),
        at=observation.epoch,
        found=now,
        begun=True,
        finished=False,
        resolved=False,
        error="",
        step="",
        tries=0,
        restarts=_with_restart(draft.incident, settings, now),
    )


def conclude_restarted(
    draft: Draft, observation: Observation, settings: ReconcileSettings, now: float
) -> bool:
    """Conclude that libvirt has restarted a guest of which a later start has panicked; return whether it has.

    A guest that panics at once may never be seen to run.

    The parameters are those of `conclude_handled`.
    """
    reports, incident = observation.reports, draft.incident
    if not libvirt_action(incident, observation).endswith("restart") or (incident and not incident.finished):
        return False
    for report, later in pairwise(reports):
        if report.instance in ("", later.instance):
            break
        if not report.logged:
            draft.log(failure_line(report))
        draft.log(action_line("restart", "done", by="libvirt"))
        draft.incident = draft.incident or Incident(observation.key, observation.name)
        draft.change(restarts=_with_restart(draft.incident, settings, now), instance=later.instance)
        draft.handled += 1
    return draft.handled > 0


def _with_restart(incident: Incident, settings: ReconcileSettings, now: float) -> list[float]:
    """Return when the guest was restarted, now included."""
    return [*settings.restart_limit.recent(incident.restarts, now), now]
