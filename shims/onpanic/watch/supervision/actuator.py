"""Takes steps on one guest, and tells how they ended."""

from collections.abc import Callable

from msgspec.structs import replace

from onpanic.core.errors import BusyError, FailedError, GoneError, StaleError
from onpanic.watch.guests.guest import DumpResult, Guest
from onpanic.watch.reporting.guest_log import GuestLog
from onpanic.watch.rules.incident import Incident
from onpanic.watch.rules.observation import StepResult
from onpanic.watch.rules.policy_steps import ENDING, RESTARTS, Step
from onpanic.watch.supervision.context import WatchContext
from onpanic.watch.supervision.explainer import explain

__all__ = ("Actuator",)

#: Keeps an incident in the journal.
Keep = Callable[[Incident], None]


class Actuator:
    """Takes steps.

    :param guest: The guest.
    :param context: What all supervisors share.
    :param log: The guest's log.
    :ivar dump_event_due: Whether events about a dump's end are about the watcher's own dumps: one for each
        format that it has tried.
    """

    def __init__(self, guest: Guest, context: WatchContext, log: GuestLog) -> None:
        self._guest = guest
        self._context = context
        self._log = log
        self.dump_event_due = False

    async def take(self, step: Step, incident: Incident, before: Incident, keep: Keep) -> StepResult:
        """Take a step, and return how it ended.

        :param step: The step.
        :param incident: The guest's incident, which is kept before the step begins.
        :param before: The incident as it is kept already, and again if the step was not taken.
        :param keep: Keeps an incident in the journal.
        :raise LostError: When the connection is lost.  The step may or may not have been taken.
        :raise BusyError: When the step was not taken, and must be decided again.
        """
        began = self._context.clock()
        try:
            prepared = await self._prepare(step, incident)
        except (FailedError, GoneError) as error:
            return StepResult(step, began, error.message)
        keep(prepared)
        if step == "explain":
            return await self._explain(prepared, before, keep, began)
        made = DumpResult()
        try:
            if step == "coredump":
                made = await self._dump(prepared)
            else:
                await self._take(step, prepared, keep)
        except StaleError:
            keep(before)
            raise
        except BusyError as error:
            return StepResult(step, began, error.message, uncertain=True, retry_after=error.wait)
        except (FailedError, GoneError) as error:
            return StepResult(step, began, error.message)
        return StepResult(step, began, coredump=made.path, detail=made.detail)

    async def _prepare(self, step: Step, incident: Incident) -> Incident:
        """Return an incident with what must be known before a step."""
        if step == "coredump" and not incident.coredump:
            return replace(incident, coredump=await self._guest.dump_path(incident.at))
        if step in ENDING and incident.action.action in RESTARTS and not incident.new_name:
            renames = incident.action.action == "rename-restart"
            new_name = await self._guest.new_name() if renames else self._guest.name
            xml = await self._guest.transient_xml(renames=renames)
            return replace(incident, new_name=new_name, xml=xml)
        return incident

    async def _explain(self, incident: Incident, before: Incident, keep: Keep, began: float) -> StepResult:
        """Read why the guest panicked; what keeps it from that delays no other step."""
        folder, limit = self._context.journal.folder, self._context.settings.why_timeout
        self.dump_event_due = True  # libvirt's dump is given up
        try:
            return StepResult("explain", began, reason=await explain(self._guest, incident, limit, folder))
        except StaleError:
            keep(before)
            raise

    async def _take(self, step: Step, incident: Incident, keep: Keep) -> None:
        if step in ("limit", "unlimit"):
            await self._guest.set_libvirt_action("preserve" if step == "limit" else incident.overridden)
        else:
            await self._guest.take_step(step, incident, lambda pid: keep(replace(incident, starter=pid)))

    async def _dump(self, incident: Incident) -> DumpResult:
        def progress(done: int, total: int) -> None:
            self._log.progress(done, total, self._context.settings.progress)

        async with self._context.dumps:
            state = await self._guest.read_state(ask_qemu=True)  # dumps of others may have taken minutes
            if state.instance != incident.instance or not incident.expects(state.condition):
                raise StaleError(f"the guest is {state.condition}")
            self._log.dump_begins()
            self.dump_event_due = True  # it may come after the dump's own result
            try:
                return await self._guest.dump(incident, progress)
            except BusyError:
                self.dump_event_due = False  # it is about the dump that is in progress
                raise
