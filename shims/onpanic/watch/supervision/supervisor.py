"""The supervisor of one guest: it reads the guest's state and takes the step that is due.

Events trigger it.  It does one thing at a time; events that come meanwhile make it read the state
again.  It waits for what libvirt does itself, and reports that.
"""

import asyncio
import time
from dataclasses import dataclass, field

from msgspec.structs import replace

from onpanic.core.errors import BusyError, GoneError, LostError, OnpanicError, StaleError
from onpanic.watch.guests.guest import Assignment, Guest, GuestState
from onpanic.watch.reporting.guest_log import GuestLog
from onpanic.watch.rules.incident import Incident
from onpanic.watch.rules.next_step import FAILURES, Step
from onpanic.watch.supervision.context import WatchContext
from onpanic.watch.supervision.incidents import RESTARTS, IncidentTracker
from onpanic.watch.supervision.libvirt_restarts import limit_libvirt_restarts, restore_libvirt_action
from onpanic.watch.supervision.step_runner import ENDING, StepRunner

__all__ = ("Supervisor",)

_MAX_POLLS = 10  # reads of the state while libvirt works on the guest, after which it is read no slower
_IDLE_POLLS = 4  # reads that find libvirt idle, after which it is not going to act
_MAX_REPEATS = 3  # times that a step may leave the guest's state unchanged
_TIMER_SLACK = 0.1  # seconds
_LONG_WAIT = 5.0  # seconds; a shorter wait is logged only if it was not enough


@dataclass
class _Attempt:
    """What one reconciliation remembers from one read of the guest's state to the next.

    :ivar retry: Whether to resume what was given up.
    :ivar about: The incident's time (`Incident.at`) that this is about, in seconds since the epoch.
    :ivar taken: The steps that were taken, each with the state before it.
    :ivar polls: How often libvirt was found at work.
    :ivar idle: How often libvirt was found idle although it was expected to act.
    :ivar delayed: Whether the delay of a restart was logged.
    :ivar busy: How often libvirt or QEMU was busy.
    :ivar waiting: Whether that was logged.
    :ivar changing_until: When a guest that only passes through its state must have left it, in monotonic
        seconds; 0 if it is in no such state.
    """

    retry: bool = False
    about: float = 0.0
    taken: list[tuple[Step, GuestState]] = field(default_factory=list)
    polls: int = 0
    idle: int = 0
    delayed: bool = False
    busy: int = 0
    waiting: bool = False
    changing_until: float = 0.0


class Supervisor:
    """Supervises one guest.

    :param guest: The guest.
    :param context: What all supervisors share.
    :ivar log: The guest's log.
    """

    def __init__(self, guest: Guest, context: WatchContext) -> None:
        self.guest = guest
        self.log = GuestLog(guest, context.sink)
        self._context = context
        self._journal = context.journal
        self._runner = StepRunner(guest, context, self.log)
        self._tracker = IncidentTracker(guest, context, self.log)
        self._triggered = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._retry = False
        self._libvirt_dump_error = ""
        self._unknown = ""

    # Events

    def on_panicked(self, detail: str, *, stopped: bool = True) -> None:
        """Handle a panic event.  Two notifiers report the same panic twice.

        :param detail: What QEMU knows about the panic.
        :param stopped: Whether the guest was stopped for it.
        """
        if self._tracker.on_panicked(detail, stopped=stopped):
            self._libvirt_dump_error, self._runner.dump_event_due = "", False
            self.log.dump_begins()  # libvirt may dump the guest now, which no event announces
        self.trigger()

    def on_running(self) -> None:
        """Handle an event after which the guest runs."""
        if self._tracker.on_running():
            self.trigger()

    def on_dump_completed(self, error: str) -> None:
        """Handle the end of a dump, which is libvirt's unless the watcher has made one.

        :param error: Why it failed; empty if it did not.
        """
        if self._runner.dump_event_due:
            self._runner.dump_event_due = False
            return
        self._libvirt_dump_error = error
        self.log.action("coredump", "failed" if error else "done", by="libvirt", detail=error)
        self.trigger()

    def trigger(self, *, retry: bool = False) -> None:
        """Reconcile soon: now, or after what is being done.

        :param retry: Whether to resume what was given up.
        """
        self._retry = self._retry or retry
        self._triggered.set()
        if not self.active:
            self._task = asyncio.create_task(self._run())

    # State

    @property
    def active(self) -> bool:
        """Whether a reconciliation is in progress."""
        return self._task is not None and not self._task.done()

    @property
    def incident(self) -> Incident | None:
        """The guest's incident, None if there is none."""
        return self._tracker.incident

    def assign(self, assignment: Assignment | None) -> None:
        """Set the guest's policy, which cannot be read any more once libvirt has removed the domain."""
        self._tracker.assign(assignment)

    async def wait_idle(self) -> None:
        """Return when no reconciliation is in progress."""
        while self._task and not self._task.done():
            await asyncio.wait([self._task])

    async def stop(self) -> None:
        """Cancel what is in progress, and restore libvirt's action."""
        if self._timer:
            self._timer.cancel()
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        incident = self.incident
        if incident and incident.overridden:
            await restore_libvirt_action(self.guest, incident, self._context, self.log)

    # Reconciliation

    async def reconcile(self) -> None:
        """Read the guest's state and take the step that is due, until none is.

        :raise LostError: When the connection is lost.
        """
        attempt, self._retry = _Attempt(self._retry), False
        if attempt.retry:
            self._libvirt_dump_error = ""
        while True:
            try:
                state = await self._reconcile_once(attempt)
            except GoneError:  # between two calls
                await self._wait(self._context.poll)
            except BusyError as error:
                self._log_busy(error, attempt)
                await self._wait(error.wait)
            else:
                if state:
                    await self._conclude(state)
                    return

    async def _run(self) -> None:
        while self._triggered.is_set():
            self._triggered.clear()
            try:
                await self.reconcile()
            except LostError:
                return  # the next connection triggers all supervisors
            except OnpanicError as error:
                self.log.write("problem", "error", detail=error.message)
            except Exception as error:  # noqa: BLE001  the next event must still be handled
                self.log.write("problem", "error", detail=f"a bug: {error!r}")

    def _log_busy(self, error: BusyError, attempt: _Attempt) -> None:
        """Log once that libvirt or QEMU is busy, unless it is only for a moment."""
        attempt.busy += 1
        lasting = attempt.busy > 1 or error.wait >= _LONG_WAIT
        if lasting and not attempt.waiting and not isinstance(error, StaleError):
            attempt.waiting = True
            self.log.write("waiting", detail=error.message)

    async def _await_change(self, state: GuestState, attempt: _Attempt) -> bool:
        """Wait while the guest only passes through its state; return whether it must be read again.

        For example, it is shut down first when libvirt destroys it.
        """
        if self._tracker.awaits_end(state) and attempt.idle < _IDLE_POLLS:
            attempt.idle += 1
            await self._wait(self._context.poll * attempt.idle)
            return True
        if not self._tracker.awaits(state):
            attempt.changing_until = 0.0
            return False
        attempt.changing_until = attempt.changing_until or time.monotonic() + self._context.patience
        if time.monotonic() > attempt.changing_until:
            reason = f"the guest has been changing its state for {self._context.patience:g} s"
            self.log.write("problem", "warning", detail=reason)
            return False
        attempt.polls += 1
        await self._wait(self._context.poll * min(attempt.polls, _MAX_POLLS))
        return True

    def _log_unknown(self, detail: str) -> None:
        """Log once that it is not known whether the guest has failed."""
        if detail != self._unknown:
            self._unknown = detail
            text = f"whether the guest panicked is not known: QEMU cannot be asked: {detail}"
            self.log.write("problem", "warning", detail=text)

    async def _reconcile_once(self, attempt: _Attempt) -> GuestState | None:
        """Read the guest's state and take at most one step; return the state if none is due."""
        began = time.monotonic()
        state = await self.guest.read_state(ask_qemu=self._ask_qemu)
        if self._tracker.outdated(began):
            return None
        if await self._await_change(state, attempt):
            return None
        if state.condition in ("changing", "unknown"):
            if state.condition == "unknown":
                self._log_unknown(state.detail)
            return state
        if state.busy and (state.condition in FAILURES or self._tracker.in_progress):
            if state.dumped:
                self.log.progress(*state.dumped, self._context.settings.progress, by="libvirt")
            attempt.polls += 1
            await self._wait(self._context.poll * min(attempt.polls, _MAX_POLLS))
            return None
        incident = await self._tracker.update(state, retry=attempt.retry)
        attempt.retry = False
        if incident is None or incident.finished:
            return state
        if incident.at != attempt.about:
            attempt.about, attempt.taken, attempt.idle, attempt.delayed = incident.at, [], 0, False
        step = self._tracker.due_step(incident, state)
        if step is None:
            self._tracker.finish(incident, state, acted=bool(attempt.taken))
            return None if self._tracker.in_progress else state
        if self._tracker.libvirt_acts(incident) and not attempt.taken and attempt.idle < _IDLE_POLLS:
            attempt.idle += 1
            await self._wait(self._context.poll * attempt.idle)
            return None
        if self._refused(incident, step, state, attempt):
            return state
        incident, delay = self._back_off(incident, step, attempt)
        if delay:
            await self._wait(delay)
            return None
        others_may_follow = await self._runner.run(step, incident)
        attempt.taken.append((step, state))
        return None if others_may_follow else state

    @property
    def _ask_qemu(self) -> bool:
        """Whether QEMU may be asked about the guest: not about one that has no policy."""
        return self._tracker.assignment is not None or self.incident is not None

    def _refused(self, incident: Incident, step: Step, state: GuestState, attempt: _Attempt) -> bool:
        """Return whether a step must not be taken, after logging why."""
        if self._context.dry_run:
            self.log.action(incident.action.action, "dry-run", detail=f"{step} is due")
            self._journal.save(incident, finished=True)
        elif step == "coredump" and self._libvirt_dump_error:
            # It has been logged as libvirt's
            self._journal.save(incident, error=f"libvirt: {self._libvirt_dump_error}", finished=True)
        elif attempt.taken.count((step, state)) >= _MAX_REPEATS:
            self._runner.give_up(incident, step, f"it has no effect: the guest is still {state.condition}")
        elif step in ("coredump", *ENDING) and self._tracker.limited(incident):
            count, interval = len(incident.restarts), self._context.settings.start_interval
            reason = f"{count} restarts in {interval:g} s: the guest stays as it is"
            self.log.action(incident.action.action, "start-limit-hit", detail=reason)
            self._journal.save(incident, error=reason, finished=True)
        else:
            return False
        return True

    def _back_off(self, incident: Incident, step: Step, attempt: _Attempt) -> tuple[Incident, float]:
        """Return the incident, and how many seconds a step must wait; 0 if it may be taken."""
        if step not in ENDING or incident.action.action not in RESTARTS:
            return incident, 0.0
        at, limit = self._context.clock(), self._context.restart_limit
        if not incident.due or incident.due > at + limit.max_delay:  # the clock may have been set back
            due = limit.due(incident.restarts, at) or 0.0
            incident = self._journal.save(incident, due=due)
        delay = max(incident.due - at, 0.0)
        if delay and not attempt.delayed:
            attempt.delayed = True
            self.log.action(step, "delayed", detail=f"for {delay:.1f} s: it panics again and again")
        return incident, delay

    async def _conclude(self, state: GuestState) -> None:
        """Apply the restart limit to libvirt's own restarts, and forget restarts of long ago."""
        incident, assignment = self.incident, self._tracker.assignment
        if incident is None or not incident.finished:
            return
        restarts = self._context.restart_limit.recent(incident.restarts, self._context.clock())
        before = assignment.libvirt_action if assignment else ""
        incident, after = await limit_libvirt_restarts(
            self.guest, incident, state, before, self._context, self.log
        )
        if assignment and after != before:
            self.assign(replace(assignment, libvirt_action=after))
        if restarts:
            wait = restarts[-1] + self._context.settings.start_interval - self._context.clock()
            if self._timer:
                self._timer.cancel()
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(max(wait, 0) + _TIMER_SLACK, self.trigger)
        elif incident.resolved and not incident.overridden:
            self._journal.remove(incident.key)

    async def _wait(self, seconds: float) -> None:
        """Wait for a time, or until the next event."""
        try:
            await asyncio.wait_for(self._triggered.wait(), seconds)
        except TimeoutError:
            return
        self._triggered.clear()
