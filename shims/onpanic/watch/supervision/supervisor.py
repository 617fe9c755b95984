"""The supervisor of one guest: a loop that observes it, decides, and takes the step that is due.

Events only say when to observe.  The loop does one thing at a time, and alone writes the journal.
"""

import asyncio

from msgspec.structs import replace

from onpanic.core.errors import BusyError, GoneError, LostError, OnpanicError, StaleError, UnansweredError
from onpanic.watch.guests.guest import Guest, LibvirtDump
from onpanic.watch.reporting.guest_log import GuestLog
from onpanic.watch.rules.incident import Incident
from onpanic.watch.rules.line_contents import LineContent, action_line, details_of, failure_line
from onpanic.watch.rules.next_action import NextAction
from onpanic.watch.rules.observation import Assignment, StepResult
from onpanic.watch.rules.panic_details import PanicDetails
from onpanic.watch.rules.reconcile import reconcile
from onpanic.watch.rules.restarts import conclude_unlimit
from onpanic.watch.supervision.actuator import Actuator
from onpanic.watch.supervision.context import WatchContext
from onpanic.watch.supervision.observer import Observer

__all__ = ("Supervisor",)

_LONG_WAIT = 5.0  # seconds; a shorter wait is logged only if it was not enough


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
        self._observer = Observer(guest, context)
        self._actuator = Actuator(guest, context, self.log)
        self._triggered = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._busy_since: float | None = None

    # Events

    def on_panicked(self, details: PanicDetails, *, stopped: bool = True, instance: str = "") -> None:
        """Handle a panic event.  Two notifiers report the same panic twice.

        :param details: What QEMU reports about the panic.
        :param stopped: Whether the guest was stopped for it.
        :param instance: Which start of the guest has panicked, if nothing else reports that; empty otherwise.
        """
        report = self._observer.on_panicked(details, stopped=stopped, instance=instance)
        if report:
            self._actuator.dump_event_due = False
            self.log.dump_begins()  # libvirt may dump the guest now, which no event announces
            if report.logged:
                self._write(failure_line(report))
        self.trigger()

    def on_crashloaded(self, details: PanicDetails) -> None:
        """Handle the event that the guest's crash kernel takes over.

        :param details: What QEMU reports about it.
        """
        self._observer.on_helped_itself("crashloaded")
        if self.log.policy:
            self.log.write("crashloaded", "warning", **details_of(details))
        self._trigger_if_concerned()

    def on_reset(self) -> None:
        """Handle the event that the guest was reset."""
        self._observer.on_helped_itself("reset")
        self._trigger_if_concerned()

    def on_shutdown(self) -> None:
        """Handle the event that the guest has shut down, also where its emulator stays."""
        self._observer.on_helped_itself("shutdown")
        self._trigger_if_concerned()

    def on_running(self) -> None:
        """Handle an event after which the guest runs."""
        self._observer.on_running()
        self._trigger_if_concerned()

    def on_dump_completed(self, error: str) -> None:
        """Handle the end of a dump, which is libvirt's unless the watcher has made one.

        :param error: Why it failed; empty if it did not.
        """
        if self._actuator.dump_event_due or self._observer.is_given_up(error):
            return
        self._observer.libvirt_dump_error = error
        self.on_libvirt_dump(LibvirtDump("", error))
        self.trigger()

    def on_libvirt_dump(self, made: LibvirtDump) -> None:
        """Handle what has become of a dump that libvirt has made, whether or not the guest is still there."""
        outcome = "failed" if made.error else "done"
        self._write(action_line("coredump", outcome, by="libvirt", coredump=made.path, detail=made.error))

    def on_gap(self) -> None:
        """Handle the loss of the connection: events may have been missed."""
        self._observer.on_gap()

    def trigger(self, *, retry: bool = False) -> None:
        """Reconcile soon: now, or after what is being done.

        :param retry: Whether to resume what was given up.
        """
        if retry:
            self._observer.retry, self._observer.libvirt_dump_error = True, ""
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
        return self._context.journal.get(self.guest.key)

    @property
    def unknown(self) -> bool:
        """Whether it is not known how the guest is: QEMU could not be asked, or nothing answers."""
        return self._observer.condition == "unknown" or self.stalled

    @property
    def stalled(self) -> bool:
        """Whether libvirt or QEMU has been busy, or has not answered, for as long as it is waited for."""
        return self._busy_for >= self._context.patience

    @property
    def _busy_for(self) -> float:
        """The seconds for which libvirt or QEMU has been busy, or has not answered."""
        return 0.0 if self._busy_since is None else self._context.clock() - self._busy_since

    def assign(self, assignment: Assignment | None) -> None:
        """Set the guest's policy, which cannot be read any more once libvirt has removed the domain."""
        self._observer.assignment = assignment
        self.log.policy = assignment.policy if assignment else None

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
            try:
                error = (await self._actuator.take("unlimit", incident, incident, self._keep)).error
            except (BusyError, LostError) as failure:
                error = failure.message
            incident, line = conclude_unlimit(incident, error)
            self._keep(incident)
            self._write(line)

    # The loop

    async def reconcile(self) -> None:
        """Observe the guest, decide, and take the step that is due, until nothing is in progress.

        :raise LostError: When the connection is lost.
        """
        busy, waiting, self._busy_since = 0, False, None
        while True:
            try:
                action = await self._reconcile_once()
                self._note_busy(busy=self._observer.occupied)
            except GoneError:  # between two calls
                await self._wait(self._context.poll)
                continue
            except BusyError as error:
                busy += 1
                self._note_busy(busy=True)
                lasting = busy > 1 or error.wait >= _LONG_WAIT
                if lasting and not waiting and not isinstance(error, StaleError):
                    waiting = True
                    self.log.write("waiting", detail=error.message)
                await self._wait(error.wait)
                continue
            if not waiting and self._busy_for >= _LONG_WAIT:
                waiting = True
                self.log.write("waiting", detail="libvirt works on the guest, and may wait for its QEMU")
            if action.wait is not None:
                await self._wait(action.wait)
            elif action.step is None:
                self._revisit_after(action.revisit)
                return

    def _note_busy(self, *, busy: bool) -> None:
        """Note whether libvirt or QEMU is busy, which may last."""
        if not busy:
            self._busy_since = None
        elif self._busy_since is None:
            self._busy_since = self._context.clock()

    async def _reconcile_once(self) -> NextAction:
        """Observe the guest once, decide, and take at most one step."""
        observation = await self._observer.observe(self.incident)
        self.log.policy = observation.assignment.policy if observation.assignment else None
        settings = self._context.reconcile_settings
        action = reconcile(self.incident, observation, settings, self._context.clock())
        self._observer.acknowledge(observation, action)
        kept = action.before if action.step else action.incident
        if kept:
            self._keep(kept)  # before the lines: what they say must not be done again if this is killed
        else:
            self._context.journal.remove(self.guest.key)
        for line in action.lines:
            self._write(line)
        if action.step and action.incident and action.before:
            result = self._observer.result = await self._take(action)
            if result.uncertain:
                raise BusyError(result.error, wait=result.retry_after)
        return action

    async def _take(self, action: NextAction) -> StepResult:
        assert action.step
        assert action.incident
        assert action.before
        return await self._actuator.take(action.step, action.incident, action.before, self._keep)

    def _keep(self, incident: Incident) -> None:
        if replace(incident, boot="") != replace(self.incident or Incident("", ""), boot=""):
            self._context.journal.save(incident)

    def _write(self, line: LineContent) -> None:
        self.log.write_content(line, self._context.settings.progress)

    async def _run(self) -> None:
        while self._triggered.is_set():
            self._triggered.clear()
            try:
                await self.reconcile()
            except UnansweredError as error:
                self.log.write("problem", "warning", detail=f"{error.message}: it is connected to again")
            except LostError:
                continue  # what ends the connection may have triggered it already, else the next one does
            except OnpanicError as error:
                self.log.write("problem", "error", detail=error.message)
            except Exception as error:  # noqa: BLE001  the next event must still be handled
                self.log.write("problem", "error", detail=f"a bug: {error!r}")

    def _trigger_if_concerned(self) -> None:
        if self._observer.expects or (self.incident is not None and not self.incident.resolved):
            self.trigger()

    def _revisit_after(self, seconds: float | None) -> None:
        if self._timer:
            self._timer.cancel()
        if seconds is not None:
            self._timer = asyncio.get_running_loop().call_later(seconds, self.trigger)

    async def _wait(self, seconds: float) -> None:
        """Wait for a time, or until the next event."""
        try:
            async with asyncio.timeout(seconds):
                await self._triggered.wait()
        except TimeoutError:
            return
        self._triggered.clear()
