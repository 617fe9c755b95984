"""The restart limit for guests that libvirt itself restarts.

libvirt restarts a guest at once, without end.  After some restarts the watcher therefore replaces
the ``<on_crash>`` action of the running domain with ``preserve`` and restarts the guest itself, so
that the restart limit applies.  The domain's persistent definition does not change.  libvirt's
action is restored once the guest has run for the interval, or when the watcher stops.
"""

from onpanic.core.errors import BusyError, FailedError, GoneError, LostError
from onpanic.watch.guests.guest import Guest, GuestState
from onpanic.watch.reporting.guest_log import GuestLog
from onpanic.watch.rules.incident import Incident
from onpanic.watch.supervision.context import WatchContext

__all__ = ("limit_libvirt_restarts", "restore_libvirt_action")

_TOLERATED = 2  # restarts by libvirt within the interval, or fewer if the limit is lower


async def limit_libvirt_restarts(
    guest: Guest,
    incident: Incident,
    state: GuestState,
    libvirt_action: str,
    context: WatchContext,
    log: GuestLog,
) -> tuple[Incident, str]:
    """Replace libvirt's action if the guest fails again and again, or restore it.

    :param guest: The guest.
    :param incident: The guest's incident.
    :param state: The guest's state.
    :param libvirt_action: The action that libvirt takes now.
    :param context: What all supervisors share.
    :param log: The guest's log.
    :return: The guest's incident, and the action that libvirt takes afterwards.
    """
    restarts = context.restart_limit.recent(incident.restarts, context.clock())
    same = state.instance == incident.instance and state.condition not in ("off", "gone")
    if incident.overridden and not same:  # the change has ended with the guest
        return context.journal.save(incident, overridden=""), libvirt_action
    if incident.overridden and not restarts:
        return await restore_libvirt_action(guest, incident, context, log)
    limit = context.settings.start_limit
    often = limit and len(restarts) >= min(_TOLERATED, limit)
    restarts_itself = libvirt_action.endswith("restart")
    if not same or incident.overridden or context.dry_run or not often or not restarts_itself:
        return incident, libvirt_action
    # Written first: the action must be restored even if the watcher is killed now
    incident = context.journal.save(incident, overridden=libvirt_action)
    try:
        done = await guest.set_libvirt_action("preserve")
    except (BusyError, FailedError, GoneError) as error:
        log.write("problem", "warning", detail=f"the restart limit is not enforced: {error.message}")
        done = False
    if not done:
        return context.journal.save(incident, overridden=""), libvirt_action
    log.write("limit", "notice", detail="it panics again and again: libvirt does not restart it for now")
    return incident, ""


async def restore_libvirt_action(
    guest: Guest, incident: Incident, context: WatchContext, log: GuestLog
) -> tuple[Incident, str]:
    """Restore libvirt's action; return what `limit_libvirt_restarts` returns."""
    try:
        await guest.set_libvirt_action(incident.overridden)
    except (BusyError, FailedError, GoneError, LostError) as error:
        log.write("problem", "warning", detail=f"libvirt does not restart it now: {error.message}")
        return incident, ""
    log.write("limit", detail="libvirt restarts it again")
    return context.journal.save(incident, overridden=""), incident.overridden
