"""Which incident a guest's state belongs to: a new one, the one in progress, or one that is resolved.

Events report panics, and libvirt may have handled one before the guest's state is read.  Such
panics stay pending until it is known what became of them.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

import msgspec

from onpanic.core.errors import GoneError
from onpanic.watch.guests.guest import Assignment, Guest, GuestState
from onpanic.watch.reporting.guest_log import GuestLog
from onpanic.watch.reporting.lines import now
from onpanic.watch.rules.incident import Incident
from onpanic.watch.rules.next_step import FAILURES, Action, Step, action_for, fulfils, next_step
from onpanic.watch.supervision.context import WatchContext

__all__ = ("RESTARTS", "IncidentTracker")

# Seconds that an event may be behind the state of the guest
_EVENT_DELAY = 0.5

#: The actions that the restart limit is about.
RESTARTS = ("restart", "rename-restart")


class _PendingPanic(msgspec.Struct):
    """A panic that was reported by an event, and whose outcome is not known yet.

    :param at: When it was reported, in the format of `Line.at`.
    :param time: The same, in monotonic seconds.
    :param detail: What QEMU knows about it.
    :param stopped: Whether the guest was stopped for it.
    :param logged: Whether a line about it was written.
    """

    at: str
    time: float
    detail: str
    stopped: bool = True
    logged: bool = False


class IncidentTracker:
    """Tracks a guest's failures.

    :param guest: The guest.
    :param context: What all supervisors share.
    :param log: The guest's log.
    :param clock: Returns monotonic seconds.
    :ivar assignment: The guest's policy, as far as it is known.
    """

    def __init__(
        self,
        guest: Guest,
        context: WatchContext,
        log: GuestLog,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.assignment: Assignment | None = None
        self._guest = guest
        self._context = context
        self._journal = context.journal
        self._log = log
        self._clock = clock
        self._pending: list[_PendingPanic] = []
        self._stopped = False  # by a panic, and it has not run since
        self._arrived = asyncio.Event()
        self._seen_well = False  # so that an event reports what becomes of it
        self._ran = False  # since its state was read
        self._ran_at = 0.0
        self._failed_at = 0.0

    @property
    def incident(self) -> Incident | None:
        """The guest's incident, from the journal; None if there is none."""
        return self._journal.get(self._guest.key)

    @property
    def in_progress(self) -> bool:
        """Whether steps are left."""
        return self.incident is not None and not self.incident.finished

    def assign(self, assignment: Assignment | None) -> None:
        """Set the guest's policy, which cannot be read any more once libvirt has removed the domain."""
        self.assignment = assignment
        self._log.policy = assignment.policy if assignment else None

    def on_panicked(self, detail: str, *, stopped: bool) -> bool:
        """Note a panic; return False if another notifier has reported it already.

        :param detail: What QEMU knows about it.
        :param stopped: Whether the guest was stopped for it.
        """
        if self._stopped and stopped:
            return False
        self._stopped = stopped
        panic = _PendingPanic(now(), self._clock(), detail, stopped)
        self._pending.append(panic)
        self._arrived.set()
        if self.assignment is not None:
            self._log_failure(panic)
        return True

    def on_running(self) -> bool:
        """Note that the guest runs, or ran; return whether that concerns an incident."""
        self._ran, self._ran_at, self._stopped = True, self._clock(), False
        return bool(self._pending) or (self.incident is not None and not self.incident.resolved)

    def outdated(self, read_at: float) -> bool:
        """Return whether an event has come since the guest's state was read.

        :param read_at: When the read began, in monotonic seconds.
        """
        panicked = bool(self._pending) and self._pending[-1].time >= read_at
        return panicked or self._ran_at >= read_at

    async def update(self, state: GuestState, *, retry: bool) -> Incident | None:
        """Return the incident that a state belongs to; None if there is none.

        :param state: The guest's state.
        :param retry: Whether to resume what was given up.
        """
        incident, ran = self.incident, self._ran
        self._ran, self._stopped = False, state.condition == "panicked"
        if state.condition not in FAILURES:
            self._seen_well = True
            return await self._update_not_failed(incident, state, retry=retry)
        if incident is None or ran or not incident.is_about(state.condition, state.instance, state.cpu_time):
            return await self._open(state)
        if incident.error and retry and not self.limited(incident):
            return self._journal.save(incident, error="", finished=False)
        return incident

    def due_step(self, incident: Incident, state: GuestState) -> Step | None:
        """Return the next step; None if none is due, or if the domain is gone with its definition."""
        if state.condition == "gone" and not incident.xml:
            return None
        return next_step(
            incident.action,
            state.condition,
            dumped=incident.dumped,
            begun=incident.begun,
            renamed=incident.new_name == self._guest.name,
            anew=bool(self.assignment and self.assignment.reset_ends),
        )

    def limited(self, incident: Incident) -> bool:
        """Return whether the restart limit forbids what an incident's action asks for."""
        own = incident.action.action in RESTARTS and not incident.begun and not incident.due
        return own and self._context.restart_limit.due(incident.restarts, self._context.clock()) is None

    def awaits(self, state: GuestState) -> bool:
        """Return whether something is to be concluded from what becomes of a guest that is changing."""
        unresolved = self.incident is not None and not self.incident.resolved
        return state.condition == "changing" and (bool(self._pending) or unresolved)

    def awaits_end(self, state: GuestState) -> bool:
        """Return whether a guest that runs is about to be ended by the reset of libvirt's restart."""
        assignment = self.assignment
        if state.condition != "healthy" or assignment is None or not assignment.reset_ends:
            return False
        begun = self.incident is not None and self.incident.begun
        handled = any(panic.stopped for panic in self._pending) or (self.in_progress and not begun)
        return handled and assignment.libvirt_action.endswith("restart")

    def libvirt_acts(self, incident: Incident) -> bool:
        """Return whether libvirt itself takes an action after this failure."""
        libvirt_action = self.assignment.libvirt_action if self.assignment else ""
        return incident.failure == "panicked" and bool(libvirt_action)

    def finish(self, incident: Incident, state: GuestState, *, acted: bool) -> None:
        """Close an incident for which no step is left, and log what became of it.

        :param incident: The incident.
        :param state: The guest's state.
        :param acted: Whether the watcher has taken a step.
        """
        resolved = state.condition not in FAILURES
        incident = self._journal.save(incident, finished=True, resolved=resolved)
        if not resolved:
            self._log.action(incident.action.action, "kept", detail=f"the guest stays {state.condition}")
        elif acted or incident.begun:
            return
        elif self.libvirt_acts(incident):
            self._report_libvirt(state)
        else:
            self._log.resolved_elsewhere(state.condition)

    async def _update_not_failed(
        self, incident: Incident | None, state: GuestState, *, retry: bool
    ) -> Incident | None:
        if self._pending and (incident is None or incident.finished):
            await self._report_handled(state)
        elif incident and incident.error and not incident.resolved and self.due_step(incident, state):
            if retry:  # the guest was ended, and could not be started
                return self._journal.save(incident, error="", finished=False)
        elif incident and incident.finished and not incident.resolved:
            if state.instance == incident.instance:
                self._log.resolved_elsewhere(state.condition)
            self._journal.save(incident, resolved=True)
        return self.incident

    async def _open(self, state: GuestState) -> Incident | None:
        """Open an incident for a guest that is found to have failed; None if it has no policy."""
        assert state.condition in FAILURES
        self.assign(await self._guest.read_assignment())
        if self.assignment is None:
            self._pending.clear()
            return None
        panicked = state.condition == "panicked"
        if panicked and self._seen_well and not self._pending:
            await self._wait_for_event()
        await self._report_handled(state, keep=1 if panicked else 0)
        if self._pending:
            panic = self._pending.pop()
        else:
            panic = _PendingPanic(now(), self._clock(), "found in that state" if panicked else "")
        self._failed_at = panic.time
        self._log_failure(panic, state.condition)
        old, at = self.incident or Incident(self._guest.key, self._guest.name), self._context.clock()
        return self._journal.save(
            Incident(
                key=self._guest.key,
                name=self._guest.name,
                failure=state.condition,
                action=action_for(self.assignment.policy, state.condition),
                instance=state.instance,
                cpu_time=state.cpu_time,
                at=at,
                restarts=self._context.restart_limit.recent(old.restarts, at),
                overridden=old.overridden if old.instance == state.instance else "",
                finished=False,
                resolved=False,
            )
        )

    async def _wait_for_event(self) -> None:
        """Wait a little for the event about a panic, which may be on its way, and has the details."""
        self._arrived.clear()
        self._stopped = False  # the event is not about a panic that was reported before
        with suppress(TimeoutError):
            await asyncio.wait_for(self._arrived.wait(), _EVENT_DELAY)
        self._stopped = True

    async def _report_handled(self, state: GuestState, *, keep: int = 0) -> None:
        """Report pending panics, which something else has handled before the guest's state was read.

        :param keep: How many to keep pending, the latest ones.
        """
        if self.assignment is None and len(self._pending) > keep:
            try:
                self.assign(await self._guest.read_assignment())
            except GoneError:
                self._pending.clear()
        while len(self._pending) > keep:
            panic = self._pending.pop(0)
            if self.assignment is None:
                continue
            self._log_failure(panic)
            self._failed_at = panic.time
            if not panic.stopped and state.condition in ("healthy", *FAILURES):
                self._log.action("ignore", "done", by="QEMU")
            elif self.assignment.libvirt_action or not panic.stopped:
                self._report_libvirt(state)

    def _report_libvirt(self, state: GuestState) -> None:
        """Report what libvirt has done, if its action explains the guest's state, and count its restarts."""
        assert self.assignment
        done = self.assignment.libvirt_action.removeprefix("coredump-")
        if not done and state.ending == "crashed":
            done = "destroy"  # its action was changed at run time
        wanted = action_for(self.assignment.policy, "panicked").action
        if done == "restart" and state.ending == "shutdown":
            self._on_restart_that_ended(wanted, state)
            return
        if not done or not fulfils(Action(done), state.condition):
            self._log.resolved_elsewhere(state.condition)
            return
        detail = "" if done == wanted else f"its <on_crash> is not the policy's, which is to {wanted}"
        self._log.action(done, "done", by="libvirt", seconds=self._clock() - self._failed_at, detail=detail)
        if done == "restart":
            incident = self.incident or Incident(self._guest.key, self._guest.name)
            self._journal.save(incident, restarts=self._restarts(incident), instance=state.instance)

    def _on_restart_that_ended(self, wanted: str, state: GuestState) -> None:
        """Start a guest again that the reset of libvirt's restart has ended, if its policy is to restart.

        :param wanted: The policy's action.
        :param state: The guest's state.
        """
        reason = f"the guest is {state.condition}: the reset ended it"
        self._log.action("restart", "failed", by="libvirt", detail=reason)
        incident = self.incident or Incident(self._guest.key, self._guest.name)
        if wanted != "restart" or self._context.dry_run:
            return
        if self._context.restart_limit.due(incident.restarts, self._context.clock()) is None:
            self._log.action("restart", "start-limit-hit", detail="the guest stays off")
            return
        self._journal.save(
            incident,
            failure="panicked",
            action=Action("restart"),
            at=self._context.clock(),
            begun=True,
            finished=False,
            resolved=False,
            error="",
            restarts=self._restarts(incident),
        )

    def _restarts(self, incident: Incident) -> list[float]:
        """Return when the guest was restarted, now included."""
        at = self._context.clock()
        return [*self._context.restart_limit.recent(incident.restarts, at), at]

    def _log_failure(self, panic: _PendingPanic, event: str = "panicked") -> None:
        if not panic.logged:
            self._log.write(event, "warning", at=panic.at, detail=panic.detail)
        panic.logged = True
