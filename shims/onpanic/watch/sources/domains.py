"""All domains of a libvirt connection.

libvirt's events trigger their supervisors.  A periodic resync finds what no event has reported.
"""

import asyncio
import time
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from onpanic.core.errors import BusyError, FailedError, GoneError, LostError, OnpanicError
from onpanic.core.libvirt_api import libvirt_module, open_connection
from onpanic.shims.guests.observed_domain import is_changing, needs_qemu
from onpanic.watch.guests.events import LibvirtEvent, panic_details
from onpanic.watch.guests.libvirt_connection import LibvirtConnection, Opener
from onpanic.watch.guests.libvirt_guest import LibvirtGuest
from onpanic.watch.reporting.lines import Level, Line, now
from onpanic.watch.rules.observation import Assignment
from onpanic.watch.supervision.context import WatchContext
from onpanic.watch.supervision.supervisor import Supervisor

__all__ = ("Domains",)

_RESYNC = 60.0  # seconds between resyncs
_RECONNECT = (0.1, 5.0)  # seconds between attempts: the first, and the longest
_POLL = 0.02  # seconds
_LOST = 60.0  # seconds without a connection after which it is not waited for any more


class Domains:
    """The domains of one connection.

    :param uri: libvirt's connection URI; None for its default.
    :param context: What all supervisors share.
    :param opener: Opens connections.
    :param resync: Seconds between resyncs.
    :ivar ready: Set when all domains have been listed once.
    """

    def __init__(
        self,
        uri: str | None,
        context: WatchContext,
        *,
        opener: Opener = open_connection,
        resync: float = _RESYNC,
    ) -> None:
        self._context = context
        self._uri = uri or "libvirt"
        self._resync_interval = resync
        self._connection = LibvirtConnection(uri, self._on_event, self._on_lost, opener)
        self._supervisors: dict[str, Supervisor] = {}
        self._panic_data: dict[str, dict[str, Any]] = {}  # QEMU's event comes before libvirt's
        self._lost = asyncio.Event()
        self._scanned = False  # through this connection
        self._lost_at = 0.0  # in monotonic seconds
        self._tasks: set[asyncio.Task[None]] = set()
        self.ready = asyncio.Event()

    @property
    def unreachable(self) -> list[str]:
        """The connection's URI if it is lost."""
        return [] if self._scanned or not self.ready.is_set() else [self._uri]

    async def run(self) -> None:
        """Watch until cancelled, and connect again whenever that is needed.

        :raise SourceError: When the first connection fails.
        """
        first, delay = True, _RECONNECT[0]
        while True:
            try:
                uri = await self._connection.open()
                self._lost.clear()
                count = await self._scan()
            except OnpanicError as error:
                if first and not isinstance(error, LostError):
                    raise
                if delay == _RECONNECT[0]:
                    self._log("problem", "error", detail=error.message)
                await self._connection.close()
                await asyncio.sleep(delay)
                delay = min(delay * 2, _RECONNECT[1])
                continue
            self._log("watching" if first else "connected", detail=f"{uri}: {count} domains with a policy")
            if self._connection.monitor_event_error:
                detail = f"{self._connection.monitor_event_error}: QEMU's details about panics are missing"
                self._log("problem", "warning", detail=detail)
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
        """Return when no reconciliation is in progress, or the connection has been lost for a minute."""
        while True:
            active = [supervisor for supervisor in self._supervisors.values() if supervisor.active]
            if not active and (self._scanned or time.monotonic() > self._lost_at + _LOST):
                return
            await asyncio.gather(asyncio.sleep(_POLL), *(supervisor.wait_idle() for supervisor in active))

    async def close(self) -> None:
        """Cancel what is in progress, and close the connection."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        supervisors = self._supervisors.values()
        await asyncio.gather(*(supervisor.stop() for supervisor in supervisors), return_exceptions=True)
        await self._connection.close()

    # Events

    def _on_event(self, event: LibvirtEvent) -> None:
        if event.kind == "GUEST_PANICKED":
            self._panic_data[event.uuid] = event.data
            return
        supervisor = self._supervisor(event.uuid, event.name)
        if event.kind == "crashed" and event.detail == libvirt_module().VIR_DOMAIN_EVENT_CRASHED_PANICKED:
            data = self._panic_data.pop(event.uuid, {})
            supervisor.on_panicked(panic_details(data), stopped=data.get("action") != "run")
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
            self._start_task(self._read_policy_again(supervisor))

    def _on_dump_completed(self, supervisor: Supervisor, data: dict[str, Any]) -> None:
        result = data.get("result")
        failed = not isinstance(result, dict) or result.get("status") != "completed"
        if supervisor.log.policy:
            error = str(data.get("error") or "QEMU does not say why")
            supervisor.on_dump_completed(error if failed else "")

    def _on_lost(self, reason: str) -> None:
        if not self._lost.is_set():
            self._lost.set()
            self._scanned, self._lost_at = False, time.monotonic()
            for supervisor in self._supervisors.values():
                supervisor.on_gap()
            self._log("disconnected", "warning", detail=reason)

    # Scans

    async def _scan(self) -> int:
        """Read the policy of all domains and trigger those that have one; return how many have."""
        found = await self._connection.call(
            lambda connection: [(d.UUIDString(), d.name()) for d in connection.listAllDomains()]
        )
        in_journal = {incident.key: incident.name for incident in self._context.journal.incidents()}
        for uuid in set(self._supervisors) - {uuid for uuid, _ in found} - set(in_journal):
            if not self._supervisors[uuid].active:
                del self._supervisors[uuid]
        names = {**in_journal, **dict(found)}
        supervisors = [self._supervisor(uuid, name) for uuid, name in names.items()]
        assignments = await asyncio.gather(*(self._read_assignment(s) for s in supervisors))
        for supervisor, assignment in zip(supervisors, assignments, strict=True):
            if assignment or supervisor.incident:
                supervisor.trigger(retry=True)
        self._log("observed", "debug")
        return sum(assignment is not None for assignment in assignments)

    async def _resync_until_lost(self) -> None:
        while not self._lost.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(self._resync_interval):
                    await self._lost.wait()
                    return
            try:
                await self._resync()
                self._log("observed", "debug")
            except OnpanicError as error:
                self._log("problem", "warning", detail=error.message)

    async def _resync(self) -> None:
        """Trigger the domains whose state an event may not have reported, which takes one call to libvirt."""
        libvirt = libvirt_module()
        flags = libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT
        found = await self._connection.call(
            lambda connection: [
                (domain.UUIDString(), domain.name(), stats.get("state.state"), stats.get("state.reason"))
                for domain, stats in connection.getAllDomainStats(libvirt.VIR_DOMAIN_STATS_STATE, flags)
            ]
        )
        for uuid, name, state, reason in found:
            known = self._supervisors.get(uuid)
            if state in (libvirt.VIR_DOMAIN_CRASHED, libvirt.VIR_DOMAIN_PAUSED):
                self._supervisor(uuid, name).trigger()
            elif known and (is_changing(state, reason) or needs_qemu(state, reason)):
                known.trigger()

    async def _read_policy_again(self, supervisor: Supervisor) -> None:
        """Read a policy again; it may apply to a failure that had none before."""
        before = supervisor.log.policy
        try:
            assignment = await self._read_assignment(supervisor)
        except LostError:
            return  # the next connection scans all domains
        if assignment:
            if supervisor.log.policy != before:
                supervisor.log.write("policy")
            supervisor.trigger()

    async def _read_assignment(self, supervisor: Supervisor) -> Assignment | None:
        try:
            assignment = await supervisor.guest.read_assignment()
        except (BusyError, FailedError) as error:
            supervisor.log.write("problem", "warning", detail=f"its policy cannot be read: {error.message}")
            return None
        except GoneError:
            return None
        supervisor.assign(assignment)
        return assignment

    def _supervisor(self, uuid: str, name: str) -> Supervisor:
        """Return a domain's supervisor, which is created if there is none."""
        if uuid in self._supervisors:
            return self._supervisors[uuid]

        def warn(text: str) -> None:
            supervisor.log.write("problem", "warning", detail=text)

        def overridden() -> bool:
            return bool(supervisor.incident and supervisor.incident.overridden)

        guest = LibvirtGuest(self._connection, uuid, name, lambda: self._context.settings, overridden, warn)
        supervisor = self._supervisors[uuid] = Supervisor(guest, self._context)
        return supervisor

    def _start_task(self, work: Coroutine[Any, Any, None]) -> None:
        async def logged() -> None:
            try:
                await work
            except Exception as error:  # noqa: BLE001  nothing waits for the task
                self._log("problem", "error", detail=f"a bug: {error!r}")

        task = asyncio.create_task(logged())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _log(self, event: str, level: Level = "info", *, detail: str = "") -> None:
        self._context.sink(Line(event, level, at=now(), detail=detail))
