"""The rule of the watcher: from what is wanted and what is observed of a guest to the one next step.

`reconcile` is a pure function.  It is called again after each step and after each event, with a new
observation, so it needs not know how a guest got where it is.
"""

from onpanic.watch.rules.grace import await_grace, conclude_grace, grace_of, judged_condition
from onpanic.watch.rules.handled_panics import (
    conclude_handled,
    conclude_libvirt_action,
    failure_line,
    handled_elsewhere,
)
from onpanic.watch.rules.incident import Incident, has_run
from onpanic.watch.rules.next_action import Draft, LineContent, NextAction, ReconcileSettings, action_line
from onpanic.watch.rules.next_step import ENDING, FAILURES, RESTARTS, Step, action_for, next_step, shortfall
from onpanic.watch.rules.observation import GuestState, Observation, PanicReport, StepResult
from onpanic.watch.rules.panic_details import PanicDetails
from onpanic.watch.rules.restarts import (
    back_off,
    conclude_limit,
    conclude_unlimit,
    is_limited,
    libvirt_action,
    settle,
)

__all__ = ("reconcile",)

_MOST_TRIES = 3  # times that a step may leave the guest's state unchanged
_LAST: tuple[Step, ...] = ("continue", "restart", "start")  # no step is due after these


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
    if result and result.error and not result.uncertain:
        _conclude_step(draft, result, observation, now)
    waiting = _await_clarity(draft, observation, settings, now)
    if waiting:
        return waiting
    if result and not draft.concluded:
        _conclude_step(draft, result, observation, now)
    if observation.state.condition in ("changing", "unknown"):
        return draft.leave()
    conclude_grace(draft, observation)
    if observation.state.condition in FAILURES:
        waiting = _identify_failure(draft, observation, settings, now)
        if waiting:
            return waiting
    else:
        _conclude_recovery(draft, observation, settings, now)
    if draft.incident and not draft.incident.finished:
        return _decide_step(draft, draft.incident, observation, settings, now)
    return settle(draft, observation, settings, now)


# What must be waited for


def _await_clarity(
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
    if state.busy and (state.condition in FAILURES or in_progress):
        if state.dumped:
            done, total = state.dumped
            draft.log(LineContent("progress", members={"done": done, "total": total, "by": "libvirt"}))
        return draft.wait(settings.pause(elapsed))
    return None


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


# What has become of a step


def _conclude_step(draft: Draft, result: StepResult, observation: Observation, now: float) -> None:
    """Conclude whether a step has had its effect: it is done when the guest is seen as the step promises."""
    incident, state, step = draft.incident, observation.state, result.step
    draft.concluded = True
    if incident is None:
        return
    if step == "limit":
        conclude_limit(draft, result.error)
    elif step == "unlimit":
        draft.incident, line = conclude_unlimit(incident, result.error)
        draft.log(line)
    elif result.uncertain and not _was_taken(incident, step, observation):
        return
    elif result.error and not result.uncertain:
        _conclude_error(draft, step, result.error, observation)
    elif step == "coredump":
        same = state.condition in FAILURES and state.instance == incident.instance
        cpu_time = state.cpu_time if same else incident.cpu_time  # KVM's vCPUs run for a dump
        draft.change(dumped=True, cpu_time=cpu_time)
        draft.log(_done(step, result, now, coredump=incident.coredump))
    else:
        incident = draft.change(tries=incident.tries + 1)
        _conclude_effect(draft, incident, result, state, now)


def _was_taken(incident: Incident, step: Step, observation: Observation) -> bool:
    """Return whether the guest shows that a step was taken although no answer has said so."""
    condition = observation.state.condition
    if step == "rename":
        return observation.name == incident.new_name
    if step == "coredump" or (step == "restart" and incident.grace_until and condition == "healthy"):
        return False  # it does not show
    return condition not in FAILURES and not shortfall(step, condition)


def _conclude_error(draft: Draft, step: Step, error: str, observation: Observation) -> None:
    if step != "rename":
        _give_up(draft, step, error)
        return
    # The guest is off by now: better to start it under its old name than not at all
    draft.log(action_line(step, "failed", detail=error))
    draft.change(new_name=observation.name)


def _conclude_effect(
    draft: Draft, incident: Incident, result: StepResult, state: GuestState, now: float
) -> None:
    step, wrong = result.step, shortfall(result.step, state.condition)
    if wrong and step == "start":
        _give_up(draft, step, wrong)
    elif wrong and step == "restart":  # a new start follows if the reset has ended the guest
        draft.log(action_line(step, "failed", detail=wrong))
    elif not wrong:
        within_grace = step == "continue" and bool(incident.grace_until)
        if (step in _LAST and not within_grace) or step == incident.action.action:
            draft.change(finished=True, resolved=True)
        detail = f"it was {incident.name}" if step == "rename" else ""
        if within_grace:
            detail = f"its grace period ends in {max(incident.grace_until - now, 0):.0f} s"
        draft.log(_done(step, result, now, detail=detail))


def _done(step: Step, result: StepResult, now: float, *, coredump: str = "", detail: str = "") -> LineContent:
    return action_line(step, "done", seconds=now - result.began, coredump=coredump, detail=detail)


def _give_up(draft: Draft, step: Step, reason: str) -> None:
    """Leave the guest as it is, and log why a step is not taken."""
    draft.log(action_line(step, "failed", detail=reason))
    draft.change(error=reason, finished=True)


# Which incident the state belongs to


def _conclude_recovery(
    draft: Draft, observation: Observation, settings: ReconcileSettings, now: float
) -> None:
    """Conclude what has become of a guest that is found in no failure."""
    incident, state = draft.incident, observation.state
    if observation.reports and (incident is None or incident.finished):
        conclude_handled(draft, observation, settings, now)
    elif incident and incident.error and not incident.resolved and _due_step(incident, observation):
        if observation.retry:  # the guest was ended, and could not be started
            _resume(draft, incident)
    elif incident and incident.finished and not incident.resolved:
        draft.log(handled_elsewhere(state.condition))
        draft.change(resolved=True)


def _resume(draft: Draft, incident: Incident) -> None:
    """Resume what was given up; the settings say anew where a dump goes."""
    coredump = incident.coredump if incident.dumped else ""
    draft.change(error="", finished=False, tries=0, coredump=coredump)


def _identify_failure(
    draft: Draft, observation: Observation, settings: ReconcileSettings, now: float
) -> NextAction | None:
    """Find or open the incident of a guest that has failed; return an action to wait for the event first."""
    incident, state = draft.incident, observation.state
    within_grace = incident and not incident.finished and not incident.begun and now < incident.grace_until
    if incident and within_grace and state.instance == incident.instance:
        draft.handled = len(observation.reports)  # the guest was continued, and panics once more
        return None
    if incident and observation.ran:
        incident = draft.change(finished=True, resolved=True, step="", tried="", tries=0)
    if incident and incident.is_about(state.condition, state.instance, state.cpu_time):
        if incident.error and observation.retry and not is_limited(incident, settings, now):
            _resume(draft, incident)
        elif incident.finished and observation.first:
            draft.log(_unresolved_line(incident, state, settings, now))
        return None
    if observation.assignment is None:
        draft.handled = len(observation.reports)
        return None
    panicked = state.condition == "panicked"
    event_is_due = observation.seen_well and observation.at - observation.since < settings.reaction
    if panicked and event_is_due and not observation.reports:
        return draft.wait(settings.poll, considered=True)
    conclude_handled(draft, observation, settings, now, keep=1 if panicked else 0)
    _open(draft, observation, settings, now)
    return None


def _unresolved_line(
    incident: Incident, state: GuestState, settings: ReconcileSettings, now: float
) -> LineContent:
    """Return what the line says about a guest that is still as an earlier watcher has left it."""
    limited = is_limited(incident, settings, now)
    outcome = "start-limit-hit" if limited else "failed" if incident.error else "kept"
    detail = incident.error or f"the guest is still {state.condition}"
    members = {"action": incident.action.action, "outcome": outcome, "detail": detail}
    return LineContent("unresolved", members=members)


def _open(draft: Draft, observation: Observation, settings: ReconcileSettings, now: float) -> None:
    """Open an incident for a guest that has failed, and log it."""
    assignment, state = observation.assignment, observation.state
    assert assignment
    assert state.condition in FAILURES
    found_so = PanicDetails("found in that state" if state.condition == "panicked" else "")
    report = PanicReport(now, observation.stamp, found_so)
    if draft.handled < len(observation.reports):
        report = observation.reports[-1]
        draft.handled = len(observation.reports)
    old = draft.incident or Incident(observation.key, observation.name)
    if not report.logged and not (report.repeated and not _has_run(observation)):
        draft.log(failure_line(report, state.condition))
    action = action_for(assignment.policy, state.condition)
    grace = grace_of(action, state.condition, observation, settings)
    if grace and libvirt_action(old, observation):
        text = "its <on_crash> acts at once, before the grace period: translate its policy again"
        draft.log(LineContent("problem", "warning", {"detail": text}, once=True))
        grace = 0.0
    stays = old.instance == state.instance
    idle = stays and old.cpu_time == state.cpu_time
    draft.incident = Incident(
        key=observation.key,
        name=observation.name,
        failure=state.condition,
        action=action,
        instance=state.instance,
        cpu_time=state.cpu_time,
        at=observation.epoch,
        found=now,
        grace_until=now + grace if grace else 0.0,
        step=old.step if idle else "",
        tried=old.tried if idle else "",
        tries=old.tries if idle else 0,
        restarts=settings.restart_limit.recent(old.restarts, now),
        overridden=old.overridden if stays else "",
        finished=False,
        resolved=False,
    )


# Which step is due


def _due_step(incident: Incident, observation: Observation) -> Step | None:
    """Return the next step; None if none is due, or if the domain is gone with its definition."""
    condition = judged_condition(incident, observation)
    if condition == "gone" and not incident.xml:
        return None
    return next_step(
        incident.action,
        condition,
        dumped=incident.dumped,
        begun=incident.begun,
        renamed=incident.new_name == observation.name,
        anew=bool(observation.assignment and observation.assignment.reset_ends),
    )


def _decide_step(
    draft: Draft, incident: Incident, observation: Observation, settings: ReconcileSettings, now: float
) -> NextAction:
    """Decide about an incident that is not finished."""
    step = _due_step(incident, observation)
    if step is None:
        _finish(draft, observation, settings, now)
        return settle(draft, observation, settings, now)
    acts = incident.failure == "panicked" and bool(libvirt_action(incident, observation))
    if acts and not incident.step and observation.at - incident.found < settings.reaction:
        return draft.wait(settings.poll, considered=True)
    tried = _state_text(observation.state)
    tries = incident.tries if (incident.step, incident.tried) == (step, tried) else 0
    if _refuse(draft, incident, step, tries, observation, settings, now):
        return settle(draft, observation, settings, now)
    waiting = await_grace(draft, observation, now)
    if waiting:
        return waiting
    delay = back_off(draft, step, settings, now)
    if delay:
        return draft.wait(delay, considered=True)
    changes = {"step": step, "tried": tried, "tries": tries}
    if step not in ENDING:
        return draft.take(step, **changes)
    more = [now] if incident.action.action in RESTARTS else []
    return draft.take(step, **changes, begun=True, restarts=[*incident.restarts, *more])


def _refuse(
    draft: Draft,
    incident: Incident,
    step: Step,
    tries: int,
    observation: Observation,
    settings: ReconcileSettings,
    now: float,
) -> bool:
    """Return whether a step must not be taken, after logging why."""
    action = incident.action.action
    if settings.dry_run:
        draft.log(action_line(action, "dry-run", detail=f"{step} is due"))
        draft.change(finished=True)
    elif step == "coredump" and observation.libvirt_dump_error:
        # It has been logged as libvirt's
        draft.change(error=f"libvirt: {observation.libvirt_dump_error}", finished=True)
    elif tries >= _MOST_TRIES:
        _give_up(draft, step, f"it has no effect: the guest is still {observation.state.condition}")
    elif step in ("coredump", *ENDING) and is_limited(incident, settings, now):
        limit = settings.restart_limit
        count = len(limit.recent(incident.restarts, now))
        reason = f"{count} restarts in {limit.interval:g} s: the guest stays as it is"
        draft.log(action_line(action, "start-limit-hit", detail=reason))
        draft.change(error=reason, finished=True)
    else:
        return False
    return True


def _finish(draft: Draft, observation: Observation, settings: ReconcileSettings, now: float) -> None:
    """Close an incident for which no step is left, and log what became of it."""
    incident, condition = draft.incident, observation.state.condition
    assert incident
    resolved = condition not in FAILURES
    draft.change(finished=True, resolved=resolved)
    if not resolved:
        detail = f"the guest stays {condition}"
        draft.log(action_line(incident.action.action, "kept", detail=detail))
    elif incident.begun or incident.step == "continue":
        return
    elif incident.failure == "panicked" and libvirt_action(incident, observation):
        conclude_libvirt_action(draft, observation, incident.found, settings, now)
    else:
        draft.log(handled_elsewhere(condition))


def _has_run(observation: Observation) -> bool:
    """Return whether the guest has run for a while since it was found in its last failure."""
    before, cpu_time = observation.failed_cpu_time, observation.state.cpu_time
    return before is not None and has_run(before, cpu_time)


def _state_text(state: GuestState) -> str:
    return f"{state.condition} {state.instance} {state.cpu_time}"
