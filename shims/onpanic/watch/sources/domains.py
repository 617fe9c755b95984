"""All domains of a libvirt connection.

libvirt's events trigger their supervisors.  A periodic resync finds what no event has reported.  What is
known of a domain is forgotten once it is gone and no incident of it is left.
"""

import asyncio
import time
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from onpanic.core.errors import BusyError, FailedError, GoneError, LostError, OnpanicError
from onpanic.core.libvirt_api import open_connection
from onpanic.watch.guests.call_pool import CallLimits, Opener
from onpanic.watch.guests.drivers import Driver, driver_of
from onpanic.watch.guests.events import LibvirtEvent, panic_details
from onpanic.watch.guests.libvirt_connection import LibvirtConnection
from onpanic.watch.guests.watched_domain import WatchedDomain
from onpanic.watch.reporting.lines import Level, Line, now
from onpanic.watch.rules.observation import Assignment
from onpanic.watch.rules.settings import Settings
from onpanic.watch.supervision.context import WatchContext
from onpanic.watch.supervision.supervisor import Supervisor

__all__ = ("Domains",)

_RESYNC = 60.0  # seconds between resyncs
_FIRST_RESYNC = 2.0  # a libvirt that has just started may learn of a failure late, and report no event
_RECONNECT = (0.1, 5.0)  # seconds between attempts: the first, and the longest
_POLL = 0.02  # seconds
_LOST = 60.0  # seconds without a connection after which it is not waited for any more
_REMOVAL = 0.1  # seconds until libvirt has removed a domain of which it has sent the last event
_SCAN = 5.0  # seconds that a scan waits for policies; one that takes longer is still read


@dataclass
class _Watched:
    """What is known of a domain.

    :ivar supervisor: Its supervisor.
    :ivar panic: The members of QEMU's latest event about a panic, which comes before libvirt's.
    :ivar events: How many events about it have arrived.
    :ivar unread: Whether its policy could not be read, since libvirt was busy.
    """

    supervisor: Supervisor
    panic: dict[str, Any] = field(default_factory=dict)
    events: int = 0
    unread: bool = False


class Domains:
    """The domains of one connection.

    :param uri: libvirt's connection URI; None for its default.
    :param context: What all supervisors share.
    :param opener: Opens connections.
    :param resync: Seconds between resyncs.
    :param limits: Of calls to libvirt.
    :param lost: Seconds without a connection after which `wait_idle` gives up.
    :ivar ready: Set when all domains have been listed once.
    """

    def __init__(
        self,
        uri: str | None,
        context: WatchContext,
        *,
        opener: Opener = open_connection,
        resync: float = _RESYNC,
        limits: CallLimits | None = None,
        lost: float = _LOST,
    ) -> None:
        self._context = context
        self._uri = uri or "libvirt"
        self._resync_interval, self._lost_limit = resync, lost
        self._connection = LibvirtConnection(
            uri, self._on_event, self._on_lost, opener, limits=limits, on_answer=self._on_answer
        )
        self._driver: Driver = driver_of(self._connection, self._warn)
        self._domains: dict[str, _Watched] = {}  # by UUID
        self._lost = asyncio.Event()
        self._scanned = False  # through this connection
        self._lost_at = 0.0  # in monotonic seconds
        self._tasks: set[asyncio.Task[None]] = set()
        self._checks: set[str] = set()  # UUIDs of the domains that may be gone
        self.ready = asyncio.Event()

    @property
    def unreachable(self) -> list[str]:
        """The connection's URI if it is lost, else the names of domains that could not be asked."""
        if self.ready.is_set() and not self._scanned:
            return [self._uri]
        return [
            known.supervisor.guest.name
            for known in self._domains.values()
            if known.unread or known.supervisor.unknown
        ]

    async def run(self) -> None:
        """Watch until cancelled, and connect again whenever that is needed.

        :raise SourceError: When the first connection fails.
        """
        first, delay = True, _RECONNECT[0]
        while True:
            try:
                uri = await self._connection.open()
                if first:
                    self._driver = driver_of(self._connection, self._warn)
                self._lost.clear()
                found = await self._scan()
            except OnpanicError as error:
                if first and not isinstance(error, LostError):
                    raise
                if delay == _RECONNECT[0]:
                    self._log("problem", "error", detail=error.message)
                await self._connection.close()
                await asyncio.sleep(delay)
                delay = min(delay * 2, _RECONNECT[1])
                continue
            self._log("watching" if first else "connected", detail=f"{uri}: {found}")
            if self._connection.monitor_event_error:
                self._warn(f"{self._connection.monitor_event_error}: QEMU's details about panics are missing")
            if first:
                for limit in self._driver.limits(self._context.settings):
                    self._warn(limit)
            first, delay, self._scanned = False, _RECONNECT[0], True
            self.ready.set()
            await self._resync_until_lost()
            await self._connection.close()

    async def reload(self) -> None:
        """Reconcile all guests, and resume what was given up."""
        try:
            await self._scan()
        except OnpanicError as error:  # the next connection scans them
            self._log("problem", "warning", detail=error.message)

    async def wait_idle(self) -> None:
        """Return when no reconciliation makes progress, or the connection has been lost for too long."""
        while True:
            supervisors = [known.supervisor for known in self._domains.values()]
            active = any(supervisor.active and not supervisor.stalled for supervisor in supervisors)
            idle = not self._tasks if self._scanned else time.monotonic() > self._lost_at + self._lost_limit
            if idle and not active:
                return
            await asyncio.sleep(_POLL)

    async def close(self) -> None:
        """Cancel what is in progress, and close the connection."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        stopping = [known.supervisor.stop() for known in self._domains.values()]
        await asyncio.gather(*stopping, return_exceptions=True)
        await self._connection.close()

    # Events

    def _on_event(self, event: LibvirtEvent) -> None:
        known = self._known(event.uuid, event.name)
        known.events += 1
        supervisor = known.supervisor
        if event.kind == "GUEST_PANICKED":
            known.panic = event.data
        elif self._driver.reports_panic(event):
            data, known.panic = known.panic, {}
            instance = event.instance if self._driver.one_report else ""
            stopped = data.get("action") != "run"
            supervisor.on_panicked(panic_details(data), stopped=stopped, instance=instance)
            self._start_task(self._check_libvirt_dump(known))
        elif event.kind == "GUEST_CRASHLOADED" or (
            event.kind == "crashed" and self._connection.monitor_event_error
        ):
            supervisor.on_crashloaded(panic_details(event.data))
        elif event.kind == "reboot":
            supervisor.on_reset()
        elif event.kind == "DUMP_COMPLETED":
            self._on_dump_completed(supervisor, event.data)
        elif event.kind in ("resumed", "started"):
            supervisor.on_running()
        elif event.kind in ("suspended", "shutdown", "stopped") and (
            supervisor.log.policy or supervisor.incident
        ):
            supervisor.trigger()
        if event.kind in ("started", "defined", "metadata"):
            self._start_task(self._read_policy_again(known))
        elif event.kind in ("stopped", "undefined"):
            self._forget_if_gone(event.uuid)

    def _on_dump_completed(self, supervisor: Supervisor, data: dict[str, Any]) -> None:
        result = data.get("result")
        failed = not isinstance(result, dict) or result.get("status") != "completed"
        if supervisor.log.policy:
            error = str(data.get("error") or "QEMU does not say why")
            supervisor.on_dump_completed(error if failed else "")

    async def _check_libvirt_dump(self, known: _Watched) -> None:
        """Report what has become of a dump that libvirt makes by itself, if no event does."""
        made = await known.supervisor.guest.libvirt_dump()
        if made and known.supervisor.log.policy:
            known.supervisor.on_libvirt_dump(made)

    def _on_lost(self, reason: str) -> None:
        if not self._lost.is_set():
            self._lost.set()
            self._scanned, self._lost_at = False, time.monotonic()
            for known in self._domains.values():
                known.supervisor.on_gap()
            self._log("disconnected", "warning", detail=reason)

    def _on_answer(self, uuid: str) -> None:
        """Handle an answer of libvirt about a domain that nobody waits for any more."""
        known = self._domains.get(uuid)
        if known and known.unread:
            self._start_task(self._read_policy_again(known))
        elif known and (known.supervisor.log.policy or known.supervisor.incident):
            known.supervisor.trigger()

    # Scans

    async def _scan(self) -> str:
        """Read the policy of all domains and trigger those that have one; return how many have, as text.

        What takes long for one domain does not delay the others.
        """
        found = await self._connection.call(
            lambda connection: [(d.UUIDString(), d.name()) for d in connection.listAllDomains()]
        )
        in_journal = {incident.key: incident.name for incident in self._context.journal.incidents()}
        names = {**in_journal, **dict(found)}
        for uuid in set(self._domains) - set(names):
            self._forget_if_gone(uuid)
        reading = [self._start_task(self._review(self._known(uuid, name))) for uuid, name in names.items()]
        pending = (await asyncio.wait(reading, timeout=_SCAN))[1] if reading else ()
        if self._lost.is_set():
            raise LostError("the connection was lost while the policies were read")
        self._log("observed", "debug")
        count = sum(known.supervisor.log.policy is not None for known in self._domains.values())
        have = f"{count} domain{'s' * (count != 1)} with a policy"
        return have + (f", {len(pending)} not read yet" if pending else "")

    async def _review(self, known: _Watched) -> None:
        """Read a domain's policy, and resume what was given up."""
        try:
            assignment = await self._read_assignment(known)
        except LostError:
            return  # the next connection scans all domains
        if assignment or known.supervisor.incident:
            known.supervisor.trigger(retry=True)

    async def _resync_until_lost(self) -> None:
        interval = min(_FIRST_RESYNC, self._resync_interval)
        while not self._lost.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(interval):
                    await self._lost.wait()
                    return
            interval = self._resync_interval
            try:
                await self._resync()
                self._log("observed", "debug")
            except OnpanicError as error:
                self._log("problem", "warning", detail=error.message)

    async def _resync(self) -> None:
        """Trigger the domains whose state an event may not have reported, which takes one call to libvirt."""
        before = set(self._domains)
        listed = await self._connection.call(self._driver.list_domains)
        for uuid in before - {domain.uuid for domain in listed}:
            self._forget_if_gone(uuid)
        for domain in listed:
            known = self._domains.get(domain.uuid)
            if known and known.unread:
                self._start_task(self._read_policy_again(known))
            if domain.failed:
                self._known(domain.uuid, domain.name).supervisor.trigger()
            elif known and domain.open and (known.supervisor.log.policy or known.supervisor.incident):
                known.supervisor.trigger()

    async def _read_policy_again(self, known: _Watched) -> None:
        """Read a policy again; it may apply to a failure that had none before."""
        supervisor = known.supervisor
        before = supervisor.log.policy
        try:
            assignment = await self._read_assignment(known)
        except LostError:
            return  # the next connection scans all domains
        if assignment:
            if supervisor.log.policy != before:
                supervisor.log.write("policy")
            supervisor.trigger()

    async def _read_assignment(self, known: _Watched) -> Assignment | None:
        supervisor, known.unread = known.supervisor, False
        try:
            assignment = await supervisor.guest.read_assignment()
        except (BusyError, FailedError) as error:
            known.unread = isinstance(error, BusyError)
            supervisor.log.write("problem", "warning", detail=f"its policy cannot be read: {error.message}")
            return None
        except GoneError:
            return None
        supervisor.assign(assignment)
        return assignment

    def _known(self, uuid: str, name: str) -> _Watched:
        """Return what is known of a domain; it gets a supervisor if it has none."""
        if uuid in self._domains:
            return self._domains[uuid]

        def settings() -> Settings:
            return self._context.settings

        def warn(text: str) -> None:
            supervisor.log.write("problem", "warning", detail=text)

        def overridden() -> bool:
            return bool(supervisor.incident and supervisor.incident.overridden)

        domain = WatchedDomain(self._connection, uuid, name, settings, overridden, warn)
        supervisor = Supervisor(self._driver.guest(domain), self._context)
        known = self._domains[uuid] = _Watched(supervisor)
        return known

    def _forget_if_gone(self, uuid: str) -> None:
        """Forget a domain that is gone, once nothing is left to do for it."""
        if uuid not in self._checks:
            self._checks.add(uuid)
            self._start_task(self._check_gone(uuid)).add_done_callback(lambda _: self._checks.discard(uuid))

    async def _check_gone(self, uuid: str) -> None:
        while known := self._domains.get(uuid):
            await known.supervisor.wait_idle()
            events = known.events
            if known.supervisor.incident:
                return  # a resync tries again
            try:
                if await self._connection.call(lambda c: _stays(c.lookupByUUIDString(uuid)), guest=uuid):
                    return
                await asyncio.sleep(_REMOVAL)
            except GoneError:
                if known.events == events and not known.supervisor.active and not known.supervisor.incident:
                    del self._domains[uuid]
            except OnpanicError:
                return  # a resync tries again

    def _start_task(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        async def logged() -> None:
            try:
                await work
            except Exception as error:  # noqa: BLE001  nothing waits for the task
                self._log("problem", "error", detail=f"a bug: {error!r}")

        task = asyncio.create_task(logged())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: work.close())  # a task that is cancelled at once never awaits it
        return task

    def _warn(self, text: str) -> None:
        self._log("problem", "warning", detail=text)

    def _log(self, event: str, level: Level = "info", *, detail: str = "") -> None:
        self._context.sink(Line(event, level, at=now(), detail=detail))


def _stays(domain: Any) -> bool:
    """Return whether a domain still exists; libvirt removes a transient one when it ends."""
    return bool(domain.isActive() or domain.isPersistent())
