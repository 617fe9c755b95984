"""Which incident a guest's state belongs to: a new one, the one in progress, or one that is resolved."""

from onpanic.watch.rules.due_steps import due_step
from onpanic.watch.rules.grace import grace_of
from onpanic.watch.rules.handled_panics import conclude_handled
from onpanic.watch.rules.incident import Incident, has_run
from onpanic.watch.rules.line_contents import LineContent, failure_line, handled_elsewhere
from onpanic.watch.rules.next_action import Draft, NextAction
from onpanic.watch.rules.observation import GuestState, Observation, PanicReport
from onpanic.watch.rules.panic_details import PanicDetails
from onpanic.watch.rules.policy_steps import FAILURES, action_for
from onpanic.watch.rules.reconcile_settings import ReconcileSettings
from onpanic.watch.rules.restarts import is_limited, libvirt_action

__all__ = ("conclude_recovery", "identify_failure")

_LATEST = 60  # seconds that the time in a dump's name may be ahead


def conclude_recovery(
    draft: Draft, observation: Observation, settings: ReconcileSettings, now: float
) -> None:
    """Conclude what has become of a guest that is found in no failure."""
    incident, state = draft.incident, observation.state
    if observation.reports and (incident is None or incident.finished):
        conclude_handled(draft, observation, settings, now)
    elif incident and incident.error and not incident.resolved and due_step(incident, observation):
        if observation.retry:  # the guest was ended, and could not be started
            _resume(draft, incident)
    elif incident and incident.finished and not incident.resolved:
        draft.log(handled_elsewhere(state.condition))
        draft.change(resolved=True)


def _resume(draft: Draft, incident: Incident) -> None:
    """Resume what was given up; the settings say anew where a dump goes."""
    coredump = incident.coredump if incident.dumped else ""
    draft.change(error="", finished=False, tries=0, coredump=coredump)


def identify_failure(
    draft: Draft, observation: Observation, settings: ReconcileSettings, now: float
) -> NextAction | None:
    """Find or open the incident of a guest that has failed; return an action to wait for the event first."""
    incident, state = draft.incident, observation.state
    continued = incident is not None and _is_continued(incident, observation, now)
    if continued and all(report.repeated for report in observation.reports):
        report = observation.reports[-1] if observation.reports else None
        if report and _is_news(report, observation):
            draft.log(failure_line(report))
        draft.handled = len(observation.reports)
        draft.change(cpu_time=state.cpu_time)
        return None
    anew = incident is not None and (continued or _ended_unwatched(incident, observation, now))
    if incident and (observation.ran or anew):
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


def _is_continued(incident: Incident, observation: Observation, now: float) -> bool:
    """Return whether a guest is one that is, or was, continued for its grace period."""
    within_grace = not incident.finished and not incident.begun and now < incident.grace_until
    return within_grace and observation.state.instance == incident.instance


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
    if _is_news(report, observation):
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
        at=_distinct(observation.epoch, old.at),
        found=report.at,
        grace_until=report.at + grace if grace else 0.0,
        step=old.step if idle else "",
        tried=old.tried if idle else "",
        tries=old.tries if idle else 0,
        restarts=settings.restart_limit.recent(old.restarts, now),
        overridden=old.overridden if stays or assignment.fixed else "",
        finished=False,
        resolved=False,
    )


def _distinct(at: float, before: float) -> float:
    """Return a time in a later second than the last failure's, so that each has a dump of another name.

    :param at: When the guest failed, in seconds since the epoch.
    :param before: The same for its last failure.  A later one is from before the clock was set back.
    """
    return before + 1 if int(at) <= int(before) < at + _LATEST else at


def _ended_unwatched(incident: Incident, observation: Observation, now: float) -> bool:
    """Return whether a grace period has ended without a watcher, so that the guest may have panicked anew."""
    ran_on = not incident.finished and incident.step in ("continue", "coredump")
    ended = ran_on and 0 < incident.grace_until <= now
    unwatched = observation.watched_since > incident.found
    return ended and unwatched and has_run(incident.cpu_time, observation.state.cpu_time)


def _is_news(report: PanicReport, observation: Observation) -> bool:
    """Return whether a panic is still to be logged, and not the one before it, told by another notifier."""
    before, cpu_time = observation.failed_cpu_time, observation.state.cpu_time
    return not report.logged and (not report.repeated or has_run(before, cpu_time))
