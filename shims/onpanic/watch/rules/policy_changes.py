"""A policy that is changed or removed while it waits to be carried out: the new one applies."""

from onpanic.watch.rules.grace import grace_of
from onpanic.watch.rules.line_contents import LineContent, action_line
from onpanic.watch.rules.next_action import Draft
from onpanic.watch.rules.observation import Observation
from onpanic.watch.rules.policy_steps import FAILURES, action_for
from onpanic.watch.rules.reconcile_settings import ReconcileSettings

__all__ = ("apply_policy",)


def apply_policy(draft: Draft, observation: Observation, settings: ReconcileSettings, now: float) -> None:
    """Have an incident follow the guest's policy as it is now.

    A guest that the watcher has begun to restart or destroy is not left halfway.

    :param draft: The next action in the making.
    :param observation: What is known of the guest.
    :param settings: The settings.
    :param now: Seconds of the boot clock.
    """
    incident, assignment = draft.incident, observation.assignment
    if incident is None or incident.finished or incident.begun or incident.failure is None:
        return
    condition = observation.state.condition
    runs = condition == "healthy" and bool(incident.grace_until)
    if condition not in FAILURES and not runs:
        return
    if assignment is None:
        detail = f"its policy was removed: the guest is {condition}"
        over = LineContent("over", members={"detail": detail})
        draft.log(over if runs else action_line(incident.action.action, "kept", detail=detail))
        draft.change(finished=True, resolved=runs)
        return
    action = action_for(assignment.policy, incident.failure)
    if action == incident.action:
        return
    grace = grace_of(action, incident.failure, observation, settings)
    if runs and not grace:
        draft.log(LineContent("over", members={"detail": "its policy was changed while the guest ran on"}))
        draft.change(finished=True, resolved=True)
        return
    until = incident.grace_until or now + grace
    draft.change(action=action, grace_until=until if grace else 0.0, due=0.0, step="", tried="", tries=0)
