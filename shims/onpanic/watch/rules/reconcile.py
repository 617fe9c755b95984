"""The rule of the watcher: from what is wanted and what is observed of a guest to the one next action.

`reconcile` is a pure function.  It is called again after each step and after each event, with a new
observation, so it need not know how a guest got where it is.  The other modules are its parts, in
this order::

    unsettled_states   is something still going on, so that nothing follows yet?
    step_results       has the last step had its effect?
    grace              has the guest helped itself?
    policy_changes     does the policy still ask for what is in progress?
    failures           which incident does the state belong to, a new one?
    handled_panics     what has libvirt or QEMU done about what was reported?
    due_steps          which step is due, and may it be taken now?   (policy_steps: the table)
    restarts           is the restart limit reached, the watcher's or libvirt's?
"""

from onpanic.watch.rules.due_steps import decide_step
from onpanic.watch.rules.failures import conclude_recovery, identify_failure
from onpanic.watch.rules.grace import conclude_grace
from onpanic.watch.rules.handled_panics import conclude_restarted
from onpanic.watch.rules.incident import Incident
from onpanic.watch.rules.next_action import Draft, NextAction
from onpanic.watch.rules.observation import Observation
from onpanic.watch.rules.policy_changes import apply_policy
from onpanic.watch.rules.policy_steps import FAILURES, LIMITING
from onpanic.watch.rules.reconcile_settings import ReconcileSettings
from onpanic.watch.rules.restarts import adjust_libvirt_action, leave_at_rest
from onpanic.watch.rules.step_results import conclude_step
from onpanic.watch.rules.unsettled_states import await_others, await_settled

__all__ = ("reconcile",)


def reconcile(
    incident: Incident | None, observation: Observation, settings: ReconcileSettings, now: float
) -> NextAction:
    """Decide what is done about a guest now.

    :param incident: Its incident, as the journal has it; None if there is none.
    :param observation: What is known of the guest.
    :param settings: The settings.
    :param now: Seconds of the boot clock.
    """
    draft, result = Draft(incident), observation.result
    if result and (result.step in LIMITING or (result.error and not result.uncertain)):
        conclude_step(draft, result, observation, now)
    if conclude_restarted(draft, observation, settings, now):
        limiting = adjust_libvirt_action(draft, observation, settings, now)
        if limiting:
            return limiting
    waiting = await_settled(draft, observation, settings, now)
    if waiting:
        return waiting
    if result and not draft.concluded:
        conclude_step(draft, result, observation, now)
    if observation.state.condition in ("changing", "unknown"):
        return draft.leave()
    conclude_grace(draft, observation)
    apply_policy(draft, observation, settings, now)
    if observation.state.condition in FAILURES:
        waiting = identify_failure(draft, observation, settings, now)
        if waiting:
            return waiting
        if observation.state.busy:
            return await_others(draft, observation, settings, now, considered=True)
    else:
        conclude_recovery(draft, observation, settings, now)
    action = None
    if draft.incident and not draft.incident.finished:
        action = decide_step(draft, draft.incident, observation, settings, now)
    if draft.incident and draft.incident.finished and not action:
        action = adjust_libvirt_action(draft, observation, settings, now)
    return action or leave_at_rest(draft, settings, now)
