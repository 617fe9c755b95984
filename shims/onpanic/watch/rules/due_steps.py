"""Which step is due for an incident, and what speaks against taking it now."""

from onpanic.watch.rules.dump_files import fails_by_format
from onpanic.watch.rules.grace import await_grace, judged_condition
from onpanic.watch.rules.handled_panics import conclude_libvirt_action
from onpanic.watch.rules.incident import Incident
from onpanic.watch.rules.line_contents import action_line, handled_elsewhere
from onpanic.watch.rules.next_action import Draft, NextAction
from onpanic.watch.rules.observation import Observation
from onpanic.watch.rules.policy_steps import ENDING, FAILURES, RESTARTS, Step, next_step
from onpanic.watch.rules.reconcile_settings import ReconcileSettings
from onpanic.watch.rules.restarts import back_off, is_limited, libvirt_action
from onpanic.watch.rules.step_results import give_up, was_taken

__all__ = ("decide_step", "due_step")

_MOST_READINGS = 2  # times that it is read why a guest panicked, if a watcher ended meanwhile
_MOST_TRIES = 3  # times that a step may leave the guest's state unchanged


def due_step(incident: Incident, observation: Observation) -> Step | None:
    """Return the next step; None if none is due, or if the domain is gone with its definition."""
    condition = judged_condition(incident, observation)
    if condition == "gone" and not incident.xml:
        return None
    if condition == "reset" and observation.state.instance != incident.instance:
        return None  # it was started anew, and waits for whoever has started it
    return next_step(
        incident.action,
        condition,
        dumped=incident.dumped,
        begun=incident.begun,
        renamed=incident.new_name == observation.name,
        anew=bool(observation.assignment and observation.assignment.starts_anew),
    )


def decide_step(
    draft: Draft, incident: Incident, observation: Observation, settings: ReconcileSettings, now: float
) -> NextAction | None:
    """Decide about an incident that is not finished; return None if that finishes it."""
    step, unexplained = due_step(incident, observation), _is_unexplained(incident, observation, settings)
    if step is None and not unexplained:
        incident = _finish(draft, observation, settings, now)
        if not incident.finished:  # the reset of libvirt's restart has ended the guest
            return decide_step(draft, incident, observation, settings, now)
        return None
    acts = incident.failure == "panicked" and bool(libvirt_action(incident, observation))
    since = max(incident.found, observation.since)
    if acts and not incident.step and observation.at - since < settings.reaction:
        return draft.wait(settings.poll, considered=True)
    if step is None or unexplained:
        return draft.take("explain", readings=incident.readings + 1)
    tried = observation.state.mark
    tries = incident.tries if (incident.step, incident.tried) == (step, tried) else 0
    if _refuse(draft, incident, step, tries, observation, settings, now):
        return None
    waiting = await_grace(draft, observation, settings, now)
    if waiting:
        return waiting
    delay = back_off(draft, step, settings, now)
    if delay:
        return draft.wait(delay, considered=True)
    if step in (*ENDING, "start"):
        draft.handled = len(observation.reports)  # what is reported of the guest that ends
    changes = {"step": step, "tried": tried, "tries": tries}
    if step not in ENDING:
        return draft.take(step, **changes)
    restarts = incident.restarts
    if incident.action.action in RESTARTS:
        again = incident.begun and incident.tried == tried  # another try is the same restart
        restarts = [*(restarts[:-1] if again else restarts), now]
    return draft.take(step, **changes, begun=True, restarts=restarts)


def _is_unexplained(incident: Incident, observation: Observation, settings: ReconcileSettings) -> bool:
    """Return whether it is to be read why a guest panicked, before a step ends it."""
    wanted = settings.explains and not settings.dry_run and not incident.explained
    panicked = incident.failure == observation.state.condition == "panicked"
    same = incident.instance == observation.state.instance
    return wanted and panicked and same and incident.readings < _MOST_READINGS


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
    elif (
        step == "coredump"
        and observation.libvirt_dump_error
        and not fails_by_format(observation.libvirt_dump_error)
    ):
        # It has been logged as libvirt's
        draft.change(error=f"libvirt: {observation.libvirt_dump_error}", finished=True)
    elif tries >= _MOST_TRIES:
        give_up(draft, step, f"it has no effect: the guest is still {observation.state.condition}")
    elif step in ("coredump", *ENDING) and is_limited(incident, settings, now):
        limit = settings.restart_limit
        count = len(limit.recent(incident.restarts, now))
        plural = "" if count == 1 else "s"
        reason = f"{count} restart{plural} in {limit.interval:g} s: the guest stays as it is"
        draft.log(action_line(action, "start-limit-hit", detail=reason))
        draft.change(error=reason, finished=True)
    else:
        return False
    return True


def _finish(draft: Draft, observation: Observation, settings: ReconcileSettings, now: float) -> Incident:
    """Close an incident for which no step is left, log what became of it, and return it."""
    incident, condition = draft.incident, observation.state.condition
    assert incident
    resolved = condition not in FAILURES
    closed = draft.change(finished=True, resolved=resolved)
    if not resolved:
        detail = f"the guest stays {condition}"
        draft.log(action_line(incident.action.action, "kept", detail=detail))
    elif incident.step and incident.step != "rename" and was_taken(incident, incident.step, observation):
        detail = f"its answer was missed, and the guest is {condition}"
        draft.log(action_line(incident.step, "done", detail=detail))
    elif incident.step == "coredump" and not incident.dumped:
        detail = f"the guest is {condition}: it ended, or was reset, before its dump was seen to be complete"
        draft.log(action_line(incident.step, "failed", detail=detail))
    elif incident.failure == "panicked" and libvirt_action(incident, observation):
        conclude_libvirt_action(draft, observation, incident.found, settings, now)
    else:
        draft.log(handled_elsewhere(condition))
    return draft.incident or closed
