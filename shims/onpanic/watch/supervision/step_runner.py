"""Takes steps.  What a restarted watcher must know is written to the journal before each step."""

import asyncio
import time

from msgspec.structs import replace

from onpanic.core.errors import BusyError, FailedError, GoneError, StaleError
from onpanic.watch.guests.guest import Guest, GuestState
from onpanic.watch.reporting.guest_log import GuestLog
from onpanic.watch.rules.incident import Incident
from onpanic.watch.rules.next_step import Step, shortfall
from onpanic.watch.supervision.context import WatchContext
from onpanic.watch.supervision.incidents import RESTARTS

__all__ = ("ENDING", "StepRunner")

#: Steps after which the guest's failed state is lost.
ENDING: tuple[Step, ...] = ("restart", "destroy")

_LAST: tuple[Step, ...] = ("continue", "restart", "start")  # no step is due after these
_MAX_POLL = 0.5  # seconds between reads of the state after a step


class StepRunner:
    """Takes steps for one guest.

    :param guest: The guest.
    :param context: What all supervisors share.
    :param log: The guest's log.
    :ivar dump_event_due: Whether the next event about a dump's end is about the watcher's own dump.
    """

    def __init__(self, guest: Guest, context: WatchContext, log: GuestLog) -> None:
        self._guest = guest
        self._context = context
        self._journal = context.journal
        self._log = log
        self.dump_event_due = False

    async def run(self, step: Step, incident: Incident) -> bool:
        """Take a step; return whether others may follow.

        :raise LostError: When the connection is lost.  The step may or may not have been taken.
        :raise BusyError: When the step must be tried again later.  It may or may not have been taken.
        """
        began, before, wrong = time.monotonic(), incident, ""
        try:
            if step == "coredump":
                incident = await self._dump(incident)
            else:
                incident = await self._take(step, incident)
                wrong = shortfall(step, (await self._read_settled()).condition)
        except StaleError:
            self._journal.save(before)
            raise
        except (FailedError, GoneError) as error:
            if step != "rename":
                self.give_up(incident, step, error.message)
                return False
            # The guest is off by now: better to start it under its old name than not at all
            self._log.action(step, "failed", detail=error.message)
            self._journal.save(incident, new_name=self._guest.name)
            return True
        if wrong:
            return self._on_shortfall(step, incident, wrong)
        if step in _LAST or step == incident.action.action:
            # Saved before the next read of the state: the guest may panic again at once
            self._journal.save(incident, finished=True, resolved=True)
        self._log.action(
            step,
            "done",
            seconds=time.monotonic() - began,
            coredump=incident.coredump if step == "coredump" else "",
            detail=f"it was {incident.name}" if step == "rename" else "",
        )
        return True

    def give_up(self, incident: Incident, step: Step, reason: str) -> None:
        """Leave the guest as it is, and log why a step is not taken."""
        self._log.action(step, "failed", detail=reason)
        self._journal.save(incident, error=reason, finished=True)

    async def _take(self, step: Step, incident: Incident) -> Incident:
        def on_starter(identity: str) -> None:
            nonlocal incident
            incident = self._journal.save(incident, starter=identity)

        if step in ENDING:
            incident = await self._prepare(incident)
        await self._guest.take_step(step, incident, on_starter)
        return incident

    async def _read_settled(self) -> GuestState:
        """Return the guest's state after a step, once it is not one that the guest only passes through."""
        deadline, delay = time.monotonic() + self._context.patience, self._context.poll
        while True:
            try:
                state = await self._guest.read_state(ask_qemu=True)
                if state.condition != "changing" or time.monotonic() > deadline:
                    return state
            except BusyError:
                if time.monotonic() > deadline:
                    raise
            await asyncio.sleep(delay)
            delay = min(2 * delay, _MAX_POLL)

    def _on_shortfall(self, step: Step, incident: Incident, reason: str) -> bool:
        """Handle a step that has not had its effect; return whether others may follow."""
        if step == "start":
            self.give_up(incident, step, reason)
            return False
        if step == "restart":  # a new start follows if the reset has ended the guest
            self._log.action(step, "failed", detail=reason)
        return True

    async def _prepare(self, incident: Incident) -> Incident:
        """Write down what must be known once the guest has been ended."""
        if incident.action.action in RESTARTS and not incident.begun:
            renames = incident.action.action == "rename-restart"
            new_name = await self._guest.new_name() if renames else self._guest.name
            incident = replace(incident, new_name=new_name, xml=await self._guest.transient_xml())
        more = [self._context.clock()] if incident.action.action in RESTARTS else []
        return self._journal.save(incident, begun=True, restarts=[*incident.restarts, *more])

    async def _dump(self, incident: Incident) -> Incident:
        if not incident.coredump:
            path = await self._guest.dump_path(incident.at)
            incident = self._journal.save(incident, coredump=path)

        def progress(done: int, total: int) -> None:
            self._log.progress(done, total, self._context.settings.progress)

        async with self._context.dumps:
            state = await self._guest.read_state(ask_qemu=True)  # dumps of others may have taken minutes
            if (state.condition, state.instance) != (incident.failure, incident.instance):
                raise StaleError(f"the guest is {state.condition}")
            self._log.dump_begins()
            self.dump_event_due = True  # it may come after the dump's own result
            try:
                await self._guest.dump(incident, progress)
            except BusyError:
                self.dump_event_due = False  # it is about the dump that is in progress
                raise
        incident = self._journal.save(incident, dumped=True)
        cpu_time = (await self._guest.read_state(ask_qemu=True)).cpu_time  # KVM's vCPUs run for a dump
        return self._journal.save(incident, cpu_time=cpu_time)
