"""The restart limit: for the watcher's own restarts, and for those of libvirt.

libvirt restarts a guest at once, without end.  After some restarts the watcher therefore replaces
the ``<on_crash>`` action of the running domain with ``preserve`` and restarts the guest itself, so
that the restart limit applies.  The domain's persistent definition does not change, except where
libvirt cannot change a running domain's action.  libvirt's action is restored once the guest has
run for the interval, or when the watcher stops.
"""

from msgspec.structs import replace

from onpanic.watch.rules.incident import Incident
from onpanic.watch.rules.line_contents import LineContent, action_line
from onpanic.watch.rules.next_action import Draft, NextAction
from onpanic.watch.rules.observation import Observation
from onpanic.watch.rules.policy_steps import ENDING, RESTARTS, Step
from onpanic.watch.rules.reconcile_settings import ReconcileSettings

__all__ = (
    "adjust_libvirt_action",
    "back_off",
    "conclude_limit",
    "conclude_unlimit",
    "is_limited",
    "leave_at_rest",
    "libvirt_action",
)

_TOLERATED = 2  # restarts by libvirt within the interval, or fewer if the limit is lower
_SLACK = 0.1  # seconds after the interval in which its end is certain


def libvirt_action(incident: Incident | None, observation: Observation) -> str:
    """Return the action that libvirt itself takes when the guest panics; empty if it takes none.

    :param incident: The guest's incident.
    :param observation: What is known of the guest.
    """
    assignment = observation.assignment
    if assignment is None:
        return ""
    if incident is not None and incident.overridden:
        return incident.overridden if assignment.fixed else ""
    return assignment.libvirt_action


def is_limited(incident: Incident, settings: ReconcileSettings, now: float) -> bool:
    """Return whether the restart limit forbids what an incident's action asks for.

    :param incident: The incident.
    :param settings: The settings.
    :param now: Seconds of the boot clock.
    """
    own = incident.action.action in RESTARTS and not incident.begun and not incident.due
    return own and settings.restart_limit.due(incident.restarts, now) is None


def back_off(draft: Draft, step: Step, settings: ReconcileSettings, now: float) -> float:
    """Decide when a guest may be restarted, and return the seconds until then.

    The other parameters are those of `is_limited`.

    :param draft: The next action in the making, with an incident.
    :param step: The step that is due.
    """
    incident = draft.incident
    assert incident
    if step not in ENDING or incident.action.action not in RESTARTS:
        return 0.0
    limit = settings.restart_limit
    if not incident.due or incident.due > now + limit.max_delay:  # another clock's: of version 0.1.0
        incident = draft.change(due=limit.due(incident.restarts, now) or now)
        if incident.due > now:
            detail = f"for {incident.due - now:.1f} s: it panics again and again"
            draft.log(action_line(step, "delayed", detail=detail))
    return max(incident.due - now, 0.0)


def adjust_libvirt_action(
    draft: Draft, observation: Observation, settings: ReconcileSettings, now: float
) -> NextAction | None:
    """Decide to replace libvirt's action, or to restore it; return None if it stays as it is.

    :param draft: The next action in the making, with an incident for which no step is due.
    :param observation: What is known of the guest.
    :param settings: The settings.
    :param now: Seconds of the boot clock.
    """
    incident, state = draft.incident, observation.state
    assert incident
    limit, action = settings.restart_limit, libvirt_action(incident, observation)
    restarts = len(limit.recent(incident.restarts, now))
    on = state.condition not in ("off", "gone")
    same = state.instance == incident.instance and on
    failed = observation.result is not None and observation.result.step in ("limit", "unlimit")
    fixed = observation.assignment is not None and observation.assignment.fixed
    if incident.overridden and (state.condition == "gone" or not (same or fixed)):  # the change has ended
        draft.change(overridden="")
    elif incident.overridden and not restarts and not failed:
        return draft.take("unlimit")
    elif incident.overridden or settings.dry_run or failed:
        return None
    elif (same or (fixed and on)) and action.endswith("restart"):
        often = limit.burst and restarts >= min(_TOLERATED, limit.burst)
        return draft.take("limit", overridden=action) if often else None
    return None


def leave_at_rest(draft: Draft, settings: ReconcileSettings, now: float) -> NextAction:
    """Leave a guest alone until the next event, and forget its incident once nothing of it counts any more.

    The parameters are those of `adjust_libvirt_action`.
    """
    incident, limit = draft.incident, settings.restart_limit
    restarts = limit.recent(incident.restarts, now) if incident else []
    if restarts:
        return draft.leave(revisit=max(restarts[-1] + limit.interval - now, 0.0) + _SLACK)
    if incident and incident.resolved and not incident.overridden:
        draft.incident = None
    return draft.leave()


def conclude_limit(draft: Draft, error: str, observation: Observation) -> None:
    """Conclude that libvirt's action was replaced, or why it was not."""
    if error:
        draft.log(
            LineContent("problem", "warning", {"detail": f"the restart limit is not enforced: {error}"})
        )
        draft.change(overridden="")
        return
    detail = "it panics again and again: libvirt does not restart it for now"
    if observation.assignment and observation.assignment.fixed:
        detail += ", from its next start on: its definition has another <on_crash>"
    draft.log(LineContent("limit", "notice", {"detail": detail}))


def conclude_unlimit(incident: Incident, error: str) -> tuple[Incident, LineContent]:
    """Conclude that libvirt's action was restored, or why it was not: return the incident and a line."""
    if error:
        return incident, LineContent(
            "problem", "warning", {"detail": f"libvirt does not restart it now: {error}"}
        )
    return replace(incident, overridden=""), LineContent(
        "limit", members={"detail": "libvirt restarts it again"}
    )
