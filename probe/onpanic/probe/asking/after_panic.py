"""What follows a panic: the run state, and whether ``cont`` continues the guest."""

from onpanic.probe.asking.session import Monitor
from onpanic.probe.conversation import Reply

__all__ = ("continue_after_panic", "settled_status")

_LATE = 0.05  # seconds that an event may come later than the answers around it
_AFTER_STOP = 0.5  # the same, where the panic has stopped the guest, so that the event should come
_STOPPED = ("guest-panicked", "paused")


async def settled_status(monitor: Monitor, status: Reply, since: int, *, silent_for: float = _LATE) -> Reply:
    """Return the run state that a panic has led to: QEMU may report and stop the guest a moment later.

    :param status: The answer to ``query-status`` right after the panic.
    :param since: Index of the entry from which on events are the panic's.
    :param silent_for: Seconds after which a missing event is believed; 0 if it was waited for already.
    """
    if status.member("status") in _STOPPED:
        await monitor.wait_for_event("GUEST_PANICKED", _AFTER_STOP, since=since)
    if status.member("status") != "running":
        return status
    begin = len(monitor.conversation.entries)
    names = ("GUEST_PANICKED", "STOP", "SHUTDOWN")
    if not monitor.conversation.events("GUEST_PANICKED", since, status.received):
        if not silent_for and not any(monitor.conversation.events(name, status.received) for name in names):
            return status
        await monitor.wait_for_event(names[0], silent_for, *names[1:], since=since)
        status = await monitor.ask("query-status")
    reported = monitor.conversation.events("GUEST_PANICKED", since)
    stays = not reported or reported[0][1].get("action") == "run"
    if stays or status.member("status") != "running":
        return status
    await monitor.wait_for_event("STOP", _LATE, "SHUTDOWN", since=begin)
    return await monitor.ask("query-status")


async def continue_after_panic(monitor: Monitor, status: Reply) -> None:
    """Find out whether ``cont`` continues the guest, if the panic has stopped it.

    The guest is stopped again at once: while it runs, it slows the emulator down.

    :param status: The answer to ``query-status`` after the panic.
    """
    if status.member("status") == "guest-panicked":
        await monitor.ask_all(("cont", {}), ("query-status", {}), ("stop", {}))
