"""The grace period: a guest that panicked runs on for a while, and may help itself.

Windows and guests with a crash kernel dump their memory and reboot by themselves.  The policy is
carried out when the guest was not reset or shut down in time, and no crash kernel was reported.
"""

from onpanic.probe.decision.policy import WAITING
from onpanic.watch.rules.incident import Incident
from onpanic.watch.rules.line_contents import LineContent, action_line, handled_elsewhere
from onpanic.watch.rules.next_action import Draft, NextAction
from onpanic.watch.rules.observation import Observation
from onpanic.watch.rules.policy_steps import FAILURES, Action, Condition
from onpanic.watch.rules.reconcile_settings import ReconcileSettings

__all__ = ("await_grace", "conclude_grace", "grace_of", "judged_condition")

_MOST_CONTINUED = 3  # times that a guest may panic within its grace period

_HELP = {
    "reset": "it was reset",
    "crashloaded": "its crash kernel has taken over",
    "shutdown": "it has shut down",
}


def grace_of(action: Action, failure: str, observation: Observation, settings: ReconcileSettings) -> float:
    """Return the seconds that a guest has to help itself; 0 if it has none.

    :param action: What the guest's policy asks for.
    :param failure: What failed; an internal error of QEMU has no grace period.
    :param observation: What is known of the guest.
    :param settings: The settings.
    """
    if failure != "panicked" or action.action not in WAITING or observation.assignment is None:
        return 0.0
    if observation.assignment.policy.on_panic == "crash":  # a guest of Xen cannot be continued
        return 0.0
    own = observation.assignment.policy.grace
    return settings.grace if own is None else own


def judged_condition(incident: Incident, observation: Observation) -> Condition:
    """Return the condition that the next step follows from.

    A guest that the watcher has let run on, and that has not helped itself, counts as failed all the same.
    """
    found = observation.state.condition
    ran_on = incident.step == "coredump" or (incident.step == "continue" and not incident.error)
    if found == "healthy" and incident.grace_until and ran_on and not incident.begun and incident.failure:
        return incident.failure
    return found


def conclude_grace(draft: Draft, observation: Observation) -> None:
    """Conclude that a guest has helped itself, if it has.

    :param draft: The next action in the making.
    :param observation: What is known of the guest.
    """
    incident, state = draft.incident, observation.state
    if incident is None or incident.resolved or incident.begun or not incident.grace_until:
        return
    if incident.finished and not incident.error:
        return
    help_ = observation.helped_itself
    if state.condition in ("off", "gone"):
        help_ = "shutdown" if state.ending == "shutdown" or help_ == "shutdown" else "ended"
    elif state.instance != incident.instance:
        help_ = "reset"
    if not help_ or state.condition in FAILURES:
        return
    if help_ == "ended":
        draft.log(handled_elsewhere(state.condition))
    else:
        draft.log(LineContent("over", members={"detail": f"the guest has helped itself: {_HELP[help_]}"}))
    draft.change(finished=True, resolved=True)


def await_grace(
    draft: Draft, observation: Observation, settings: ReconcileSettings, now: float
) -> NextAction | None:
    """Decide about a guest within its grace period; return None if the policy is to be carried out.

    :param draft: The next action in the making, with an incident that has a step due.
    :param observation: What is known of the guest.
    :param settings: The settings.
    :param now: Seconds of the boot clock.
    """
    incident, state = draft.incident, observation.state
    assert incident
    if not incident.grace_until or incident.begun:
        return None
    failed = state.condition in FAILURES
    if failed and (not incident.step or incident.tried == state.mark):  # it has not run since it panicked
        grace = grace_of(incident.action, state.condition, observation, settings)
        incident = draft.change(grace_until=now + grace)
    if failed and now < incident.grace_until:
        if incident.tries < _MOST_CONTINUED:
            return draft.take("continue", step="continue", tried=state.mark)
        return None
    if now < incident.grace_until:
        return draft.wait(incident.grace_until - now, considered=True)
    if not failed and observation.watched_since > incident.found:
        reason = "whether the guest has helped itself is not known: the watcher was not there to see it"
        draft.log(action_line(incident.action.action, "failed", detail=reason))
        draft.change(error=reason, finished=True, resolved=True)
        return draft.leave()
    return None
