"""What has become of a step: it is done when the guest is seen as the step promises."""

from onpanic.watch.rules.incident import Incident
from onpanic.watch.rules.line_contents import LineContent, action_line, reason_line
from onpanic.watch.rules.next_action import Draft
from onpanic.watch.rules.observation import GuestState, Observation, StepResult
from onpanic.watch.rules.policy_steps import FAILURES, Step, shortfall
from onpanic.watch.rules.restarts import conclude_limit, conclude_unlimit

__all__ = ("conclude_step", "give_up", "was_taken")

_LAST: tuple[Step, ...] = ("continue", "restart", "start")  # no step is due after these


def conclude_step(draft: Draft, result: StepResult, observation: Observation, now: float) -> None:
    """Conclude whether a step has had its effect: it is done when the guest is seen as the step promises."""
    incident, state, step = draft.incident, observation.state, result.step
    draft.concluded = True
    if incident is None:
        return
    if step == "limit":
        conclude_limit(draft, result.error, observation)
    elif step == "unlimit":
        draft.incident, line = conclude_unlimit(incident, result.error)
        draft.log(line)
    elif step == "explain":
        draft.change(explained=True)
        if result.reason and (said := reason_line(result.reason, now - result.began)):
            draft.log(said)
    elif result.uncertain and not was_taken(incident, step, observation):
        runs_on = state.condition == "healthy" and state.instance == incident.instance
        if step == "restart" and runs_on:  # it ran before
            give_up(draft, step, f"whether the guest was reset is not known: {result.error}")
    elif result.error and not result.uncertain:
        _conclude_error(draft, step, result.error, observation)
    elif step == "coredump":
        same = state.condition in FAILURES and state.instance == incident.instance
        cpu_time = state.cpu_time if same else incident.cpu_time  # KVM's vCPUs run for a dump
        incident = draft.change(dumped=True, cpu_time=cpu_time, coredump=result.coredump or incident.coredump)
        draft.log(_done(step, result, now, coredump=incident.coredump, detail=result.detail))
    else:
        incident = draft.change(tries=incident.tries + 1)
        stays = step == "continue" and state.condition in FAILURES and state.mark == incident.tried
        if observation.ran or not stays:
            _conclude_effect(draft, incident, result, state, now)


def was_taken(incident: Incident, step: Step, observation: Observation) -> bool:
    """Return whether the guest shows that a step was taken although no answer has said so.

    :param incident: Its incident.
    :param step: The step.
    :param observation: What is known of the guest.
    """
    condition, same = observation.state.condition, observation.state.instance == incident.instance
    if step == "rename":
        return observation.name == incident.new_name
    if step == "coredump" or (step == "restart" and incident.grace_until and condition == "healthy"):
        return False
    if step in ("continue", "restart") and condition == "healthy" and not same:  # somebody has started it
        return False
    return condition not in FAILURES and not shortfall(step, condition)


def _conclude_error(draft: Draft, step: Step, error: str, observation: Observation) -> None:
    if step != "rename":
        give_up(draft, step, error)
        return
    # The guest is off by now: better to start it under its old name than not at all
    draft.log(action_line(step, "failed", detail=error))
    draft.change(new_name=observation.name)


def _conclude_effect(
    draft: Draft, incident: Incident, result: StepResult, state: GuestState, now: float
) -> None:
    step, wrong = result.step, shortfall(result.step, state.condition)
    if wrong and step == "start":
        give_up(draft, step, wrong)
    elif wrong and step == "restart":  # a new start follows if the reset has ended the guest
        draft.log(action_line(step, "failed", detail=wrong))
    elif not wrong:
        within_grace = step == "continue" and bool(incident.grace_until) and not incident.begun
        if (step in _LAST and not within_grace) or step == incident.action.action:
            draft.change(finished=True, resolved=True)
        detail = f"it was {incident.name}" if step == "rename" else ""
        if within_grace:
            detail = f"its grace period ends in {max(incident.grace_until - now, 0):.0f} s"
        draft.log(_done(step, result, now, detail=detail))


def _done(step: Step, result: StepResult, now: float, *, coredump: str = "", detail: str = "") -> LineContent:
    return action_line(step, "done", seconds=now - result.began, coredump=coredump, detail=detail)


def give_up(draft: Draft, step: Step, reason: str) -> None:
    """Leave the guest as it is, and log why a step is not taken."""
    draft.log(action_line(step, "failed", detail=reason))
    draft.change(error=reason, finished=True)
