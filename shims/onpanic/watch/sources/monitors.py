"""Guests without libvirt, watched through their QMP monitors.  Their emulators may come and go."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from onpanic.core.errors import AbsentError, LostError, OnpanicError
from onpanic.core.tasks import finish, run_all
from onpanic.probe.decision.policy import Policy
from onpanic.watch.guests.events import panic_details
from onpanic.watch.guests.qmp_guest import QmpGuest
from onpanic.watch.reporting.lines import Line, now
from onpanic.watch.rules.observation import Assignment
from onpanic.watch.supervision.context import WatchContext
from onpanic.watch.supervision.journal import STANDBY
from onpanic.watch.supervision.supervisor import Supervisor

__all__ = ("Monitors",)

_RECONNECT = (0.1, 2.0)  # seconds between attempts: the first, and the longest
_POLL = 0.02  # seconds
_CANCEL_TIMEOUT = 5.0  # seconds; closing a connection takes up to one


class Monitors:
    """The guests at some addresses.

    :param addresses: Their monitors.
    :param policy: The policy of each of them.
    :param context: What all supervisors share.
    :raise UsageError: When an address is invalid.
    :ivar ready: Set when each monitor has been tried once.
    """

    def __init__(self, addresses: Sequence[str], policy: Policy, context: WatchContext) -> None:
        self._context = context
        guests = (self._guest(address, policy) for address in dict.fromkeys(addresses))
        self._guests = dict(guests)
        self._tried: set[Supervisor] = set()
        self._standby: set[Supervisor] = set()  # of guests on which another watcher acts
        for supervisor in self._guests:
            supervisor.assign(Assignment(policy))
        self.ready = asyncio.Event()

    @property
    def unreachable(self) -> list[str]:
        """The addresses of guests that should be there, and whose state could not be read."""
        mine = [guest for supervisor, guest in self._guests.items() if supervisor not in self._standby]
        return [guest.address for guest in mine if not guest.asked]

    async def run(self) -> None:
        """Watch until cancelled, and connect again whenever that is needed.

        :raise FileError: When the journal's folder cannot be written to.
        """
        count = len(self._guests)
        self._context.sink(Line("watching", at=now(), detail=f"{count} monitor{'s' * (count != 1)}"))
        await run_all(*(self._watch(supervisor, guest) for supervisor, guest in self._guests.items()))

    async def reload(self) -> None:
        """Reconcile all guests, and resume what was given up."""
        for supervisor in self._guests:
            supervisor.trigger(retry=True)

    async def wait_idle(self) -> None:
        """Return when no reconciliation makes progress."""
        while any(supervisor.active and not supervisor.stalled for supervisor in self._guests):  # noqa: ASYNC110
            await asyncio.sleep(_POLL)

    async def close(self) -> None:
        """Cancel what is in progress, and close all connections."""
        await asyncio.gather(*(supervisor.stop() for supervisor in self._guests), return_exceptions=True)
        await asyncio.gather(*(guest.monitor.close() for guest in self._guests.values()))

    def _guest(self, address: str, policy: Policy) -> tuple[Supervisor, QmpGuest]:
        context = self._context

        def note(change: str) -> None:
            supervisor.log.write("qemu-action", detail=change)

        guest = QmpGuest(address, policy, lambda: context.settings, note)
        supervisor = Supervisor(guest, context)
        return supervisor, guest

    async def _watch(self, supervisor: Supervisor, guest: QmpGuest) -> None:
        """Keep a connection to a guest's monitor: connect again when it is lost."""
        delay, logged = _RECONNECT[0], ""

        def on_standby() -> None:
            supervisor.log.write("standby", detail=STANDBY)
            self._standby.add(supervisor)
            self._mark_tried(supervisor)

        await self._context.journal.acquire(guest.key, on_standby)
        self._standby.discard(supervisor)
        while True:
            began = time.monotonic()
            try:
                await self._watch_connection(supervisor, guest)
                logged = ""
                if time.monotonic() - began > _RECONNECT[1]:  # else it may be closed again and again
                    delay = _RECONNECT[0]
                supervisor.on_gap()
                supervisor.log.write("disconnected")
            except OnpanicError as error:
                detail = "; ".join(filter(None, (error.message, error.hint)))
                if detail != logged:
                    logged = detail
                    supervisor.log.write("waiting", detail=detail)
                if isinstance(error, AbsentError) and not guest.absent:
                    guest.absent = True
                    if supervisor.incident and supervisor.incident.begun:
                        guest.asked = True  # by the watcher that has ended it
                    supervisor.trigger()
                self._mark_tried(supervisor)
            await asyncio.sleep(delay)
            delay = min(delay * 2, _RECONNECT[1])

    async def _watch_connection(self, supervisor: Supervisor, guest: QmpGuest) -> None:
        """Connect to a guest, and handle its events until the connection ends.

        :raise LostError: When the emulator does not answer, or not in QMP.
        """
        identifying: list[asyncio.Task[None]] = []

        def on_connected() -> None:
            guest.on_connected()
            identifying.append(asyncio.create_task(self._identify(supervisor, guest)))

        async def before_close() -> None:
            for task in identifying:
                task.cancel()
            await asyncio.gather(*identifying, return_exceptions=True)
            await self._release(supervisor, guest)

        try:
            await guest.monitor.run(
                on_connected, lambda event: self._on_event(supervisor, guest, event), before_close
            )
            for task in identifying:
                await task
        finally:
            for task in identifying:
                task.cancel()
            if identifying:
                await finish(asyncio.gather(*identifying, return_exceptions=True), _CANCEL_TIMEOUT)

    async def _identify(self, supervisor: Supervisor, guest: QmpGuest) -> None:
        """Ask what must be known of a guest; close the connection if that fails.

        :raise LostError: When that fails.
        """
        try:
            await guest.identify(set_action=not self._context.dry_run)
        except Exception as error:
            await guest.monitor.close()
            if isinstance(error, OnpanicError):
                raise
            raise LostError(f"a bug: {error!r}") from error  # the next connection must still be handled
        supervisor.log.write("connected")
        supervisor.trigger(retry=True)
        self._mark_tried(supervisor)

    async def _release(self, supervisor: Supervisor, guest: QmpGuest) -> None:
        """Give back what was set while the guest was watched."""
        try:
            await guest.release()
        except OnpanicError as error:
            detail = f"QEMU's action on a panic cannot be set back: {error.message}"
            supervisor.log.write("problem", "warning", detail=detail)

    def _on_event(self, supervisor: Supervisor, guest: QmpGuest, event: dict[str, Any]) -> None:
        name, data = event.get("event"), event.get("data")
        data = data if isinstance(data, dict) else {}
        if name == "GUEST_PANICKED":
            supervisor.on_panicked(panic_details(data), stopped=data.get("action") != "run")
        elif name == "GUEST_CRASHLOADED":
            supervisor.on_crashloaded(panic_details(data))
        elif name == "DUMP_COMPLETED":
            guest.on_dump_completed(str(data.get("error") or ""))
        elif name in ("RESET", "SHUTDOWN"):
            guest.on_reset(name)
            if name == "RESET":
                supervisor.on_reset()
            else:
                supervisor.on_shutdown()
        elif name == "RESUME":
            supervisor.on_running()
        elif name == "STOP":
            supervisor.trigger()

    def _mark_tried(self, supervisor: Supervisor) -> None:
        self._tried.add(supervisor)
        if len(self._tried) == len(self._guests):
            self.ready.set()
