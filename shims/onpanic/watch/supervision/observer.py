"""Observes one guest: reads its state, and keeps what events have reported until that is concluded."""

import asyncio
from collections.abc import Callable

from msgspec.structs import replace

from onpanic.core.errors import GoneError
from onpanic.watch.guests.guest import Guest
from onpanic.watch.reporting.lines import now
from onpanic.watch.rules.incident import Incident
from onpanic.watch.rules.next_action import NextAction
from onpanic.watch.rules.observation import Assignment, GuestState, Observation, PanicReport, StepResult
from onpanic.watch.rules.panic_details import PanicDetails
from onpanic.watch.rules.policy_steps import FAILURES
from onpanic.watch.supervision.context import WatchContext

__all__ = ("Observer",)

# Seconds within which another notifier tells of the same panic, once the guest runs
_SAME_PANIC = 1.0

_CLOSED = "Broken pipe"

_NEVER = float("-inf")


class Observer:
    """Observes a guest.

    :param guest: The guest.
    :param context: What all supervisors share.
    :ivar assignment: The guest's policy, as far as it is known.
    :ivar result: How the last step has ended, until that is concluded.
    :ivar libvirt_dump_error: See `Observation`, as for `retry`.
    """

    def __init__(self, guest: Guest, context: WatchContext) -> None:
        self.assignment: Assignment | None = None
        self.result: StepResult | None = None
        self.libvirt_dump_error = ""
        self.retry = False
        self._guest = guest
        self._clock: Callable[[], float] = context.clock
        self._wall_clock: Callable[[], float] = context.wall_clock
        self._reports: tuple[PanicReport, ...] = ()
        self._changes = 0  # events after which a state that was read before is out of date
        self._stopped = False  # by a panic, and it has not run since
        self._ran = False
        self._helped_itself = ""
        self._reported_at = self._ran_at = _NEVER
        self._considered = False
        self._seen_well = False
        self._failed_cpu_time: int | None = None
        self._failed_instance = self._known_instance = ""
        self._found = ("", "", False)
        self._occupied = False
        self._since = 0.0
        self._watched_since = context.clock()

    # Events

    def on_panicked(self, details: PanicDetails, *, stopped: bool, instance: str = "") -> PanicReport | None:
        """Note a panic, and return it; None if it is known, or the guest has been stopped for it already.

        :param details: What QEMU reports about it.
        :param stopped: Whether the guest was stopped for it.
        :param instance: Which start of the guest has panicked, if nothing else reports that; empty otherwise.
        """
        if (self._stopped and stopped) or (instance and instance == self._known_instance):
            return None
        self._stopped, self._helped_itself, self.libvirt_dump_error = stopped, "", ""
        at = self._clock()
        # A guest that panicked panics again only after a reset, or when another notifier tells of it
        latest = max(self._reported_at, self._ran_at)
        repeated = not instance and self._reported_at != _NEVER and at - latest < _SAME_PANIC
        logged = self.assignment is not None and not repeated
        report = PanicReport(at, now(), details, stopped, logged, repeated, instance)
        self._reported_at = at
        self._reports = (*self._reports, report)
        self._changes += 1
        return report

    def on_running(self) -> None:
        """Note that the guest runs, or ran."""
        self._ran, self._stopped, self._ran_at = True, False, self._clock()
        self._changes += 1

    def on_helped_itself(self, how: str) -> None:
        """Note that the guest handles its panic itself.

        :param how: See `Observation.helped_itself`.
        """
        self._helped_itself = how
        if how == "reset":
            self._reported_at = _NEVER

    def on_gap(self) -> None:
        """Note that events may have been missed."""
        self._watched_since = self._clock()

    def is_given_up(self, error: str) -> bool:
        """Return whether a dump has failed because its reader needed no more of it, see `words_in_domain`.

        :param error: Why it has failed.
        """
        own = self.assignment is not None and self.assignment.libvirt_action.startswith("coredump-")
        return error.endswith(_CLOSED) and not own  # libvirt's own fails so when the file system is full

    @property
    def condition(self) -> str:
        """The condition in which the guest was found last; empty before."""
        return self._found[0]

    @property
    def occupied(self) -> bool:
        """Whether libvirt or QEMU worked on the guest, other than to dump it, when it was found last."""
        return self._occupied

    @property
    def expects(self) -> bool:
        """Whether something was reported of which nothing has been concluded."""
        return bool(self._reports)

    # Observations

    async def observe(self, incident: Incident | None) -> Observation:
        """Read the guest's state, again if an event arrives during the read.

        :param incident: The guest's incident.
        :raise LostError: When the connection is gone; also `BusyError`, and `GoneError` if the guest has
            disappeared between two calls.
        """
        while True:
            changes, at = self._changes, self._clock()
            ask_qemu = self.assignment is not None or incident is not None
            state = await self._guest.read_state(ask_qemu=ask_qemu)
            failed = state.condition in FAILURES and (incident is None or incident.finished)
            if failed or _may_act(incident, state) or (self._reports and self.assignment is None):
                await self._read_assignment(failed=failed)
            if changes == self._changes:
                break
            await asyncio.sleep(0)  # so that more events can come
        found = (state.condition, state.instance, state.busy)
        if found != self._found:
            self._found, self._since = found, at
            if state.condition in FAILURES and not self._reports:
                self._helped_itself = ""
        self._occupied = state.busy and not state.dumped
        return Observation(
            state=state,
            at=at,
            since=self._since,
            watched_since=self._watched_since,
            key=self._guest.key,
            name=self._guest.name,
            stamp=now(),
            epoch=self._wall_clock(),
            assignment=self.assignment,
            reports=self._reports_about(state.instance),
            ran=self._ran,
            helped_itself=self._helped_itself,
            first=not self._considered,
            seen_well=self._seen_well,
            failed_cpu_time=self._failed_cpu_time,
            retry=self.retry,
            libvirt_dump_error=self.libvirt_dump_error,
            result=self.result,
        )

    def acknowledge(self, observation: Observation, action: NextAction) -> None:
        """Forget what was concluded from an observation."""
        self._reports = self._reports[action.handled :]
        if action.concluded:
            self.result = None
        known = action.incident is not None and not action.incident.resolved
        if known and observation.state.condition == "panicked":
            # Another notifier may tell of it once it is continued
            self._reported_at = max(self._reported_at, observation.at)
            self._known_instance = observation.state.instance
        if not action.considered:
            return
        self._considered, condition = True, observation.state.condition
        self._stopped = known and condition == "panicked"
        self._seen_well = self._seen_well or condition not in FAILURES
        self._ran = self.retry = False
        if condition in FAILURES:
            self._failed_cpu_time = observation.state.cpu_time
            self._failed_instance = observation.state.instance
        if action.step in ("restart", "start"):  # the guest that panics next is another one
            self._reported_at = _NEVER
        if action.step == "unlimit" and self.assignment and action.incident:
            self.assignment = replace(self.assignment, libvirt_action=action.incident.overridden)

    def _reports_about(self, instance: str) -> tuple[PanicReport, ...]:
        """Return the reports; none repeats the panic of an earlier start of the guest."""
        if self._failed_instance in ("", instance):
            return self._reports
        return tuple(replace(report, repeated=False) for report in self._reports)

    async def _read_assignment(self, *, failed: bool) -> None:
        try:
            self.assignment = await self._guest.read_assignment()
        except GoneError:
            if failed:
                raise
            self._reports = ()


def _may_act(incident: Incident | None, state: GuestState) -> bool:
    """Return whether a policy may be carried out now that has waited, and may have changed meanwhile."""
    waits = incident is not None and not incident.finished and not incident.begun
    return waits and not state.busy and state.condition in (*FAILURES, "healthy")
