"""States from which nothing follows yet: the guest passes through them, or libvirt or QEMU works on it."""

from onpanic.watch.rules.incident import Incident
from onpanic.watch.rules.line_contents import LineContent
from onpanic.watch.rules.next_action import Draft, NextAction
from onpanic.watch.rules.observation import Observation
from onpanic.watch.rules.policy_steps import FAILURES
from onpanic.watch.rules.reconcile_settings import ReconcileSettings
from onpanic.watch.rules.restarts import libvirt_action

__all__ = ("await_others", "await_settled")


def await_settled(
    draft: Draft, observation: Observation, settings: ReconcileSettings, now: float
) -> NextAction | None:
    """Decide to wait, or to leave the guest alone, while its state says nothing; return None if it does."""
    incident, state = draft.incident, observation.state
    elapsed = now - observation.since
    if state.condition == "unknown":
        if state.detail:
            text = f"whether the guest panicked is not known: QEMU cannot be asked: {state.detail}"
            draft.log(LineContent("problem", "warning", {"detail": text}, once=True))
        return draft.leave(considered=False)
    if state.condition == "changing":
        unresolved = incident is not None and not incident.resolved
        if not (observation.reports or unresolved or observation.result):
            return draft.leave(considered=False)
        if elapsed < settings.patience:
            return draft.wait(settings.pause(elapsed))
        text = f"the guest has been changing its state for {settings.patience:g} s"
        draft.log(LineContent("problem", "warning", {"detail": text}, once=True))
        return None if observation.result else draft.leave(considered=False)
    if _is_ended_by_libvirt(incident, observation, settings):
        return draft.wait(settings.poll)
    in_progress = incident is not None and not incident.finished
    if state.busy and (in_progress or (observation.result and state.condition in FAILURES)):
        return await_others(draft, observation, settings, now)
    return None


def await_others(
    draft: Draft,
    observation: Observation,
    settings: ReconcileSettings,
    now: float,
    *,
    considered: bool = False,
) -> NextAction:
    """Decide to wait while libvirt or QEMU works on a guest."""
    dumped = observation.state.dumped
    if dumped:
        draft.log(LineContent("progress", members={"done": dumped[0], "total": dumped[1], "by": "libvirt"}))
    return draft.wait(settings.pause(now - observation.since), considered=considered)


def _is_ended_by_libvirt(
    incident: Incident | None, observation: Observation, settings: ReconcileSettings
) -> bool:
    """Return whether a guest that runs is about to be ended by the reset of libvirt's restart."""
    assignment = observation.assignment
    if observation.state.condition != "healthy" or assignment is None or not assignment.reset_ends:
        return False
    since = [observation.since, *(report.at for report in observation.reports if report.stopped)]
    if incident and not incident.finished and not incident.begun:
        since.append(incident.found)
    expected = len(since) > 1 and libvirt_action(incident, observation).endswith("restart")
    return expected and observation.at - max(since) < settings.reaction
