"""All domains of a libvirt, watched: its events wake cases, and a scan finds what no event told."""

import asyncio
from typing import Any

from onpanic.probe.errors import OnpanicError
from onpanic.probe.libvirt_access import module

from .case import Case
from .details import details
from .domain import Domain
from .guest import BusyError, FailedError, GoneError, LostError, Standing
from .hypervisor import Event, Hypervisor
from .office import Office
from .report import Line, now

__all__ = ("Domains",)

_RESYNC = 60.0  # seconds between looks at all domains, should an event be lost
_SHORT = 0.02  # seconds
_RECONNECT = (0.1, 5.0)  # seconds between attempts: the first, and the longest


class Domains:
    """The domains of one connection.

    :param uri: libvirt's connection URI; None for its default.
    :param office: What all cases share.
    """

    def __init__(self, uri: str | None, office: Office) -> None:
        self._office = office
        self._hypervisor = Hypervisor(uri, self._heard, self._on_lost)
        self._cases: dict[str, Case] = {}
        self._details: dict[str, dict[str, Any]] = {}  # QEMU's words on a panic, until libvirt tells of it
        self._lost = asyncio.Event()
        self._scanned = False  # by this connection
        self._tasks: set[asyncio.Task[None]] = set()
        #: Set when all domains have been looked at for the first time.
        self.ready = asyncio.Event()

    async def run(self) -> None:
        """Watch until cancelled; connect again whenever that is needed.

        :raise SourceError: When the first connection fails.
        """
        first = True
        wait = _RECONNECT[0]
        while True:
            try:
                uri = await self._hypervisor.open()
                self._lost.clear()
                count = await self._scan()
            except OnpanicError as error:
                if first and not isinstance(error, LostError):
                    raise
                if wait == _RECONNECT[0]:
                    self._say("problem", "error", detail=error.message)
                await self._hypervisor.close()
                await asyncio.sleep(wait)
                wait = min(wait * 2, _RECONNECT[1])
                continue
            self._say("watching" if first else "connected", detail=f"{uri}: {count} domains with a policy")
            if self._hypervisor.deaf:
                words = f"{self._hypervisor.deaf}: what QEMU knows of a panic is not told"
                self._say("problem", "warning", detail=words)
            first, wait, self._scanned = False, _RECONNECT[0], True
            self.ready.set()
            while not await self._lost_within(_RESYNC):
                try:
                    await self._resync()
                except OnpanicError as error:
                    self._say("problem", "warning", detail=error.message)
            await self._hypervisor.close()

    async def reload(self) -> None:
        """Look at all domains anew, and take up again what was given up."""
        try:
            await self._scan()
        except OnpanicError as error:  # it is connected again, and then looked at
            self._say("problem", "warning", detail=error.message)

    async def settled(self) -> None:
        """Return when nothing is being done."""
        while True:
            busy = [case for case in self._cases.values() if case.busy]
            if not busy and self._scanned:
                return
            await asyncio.gather(asyncio.sleep(_SHORT), *(case.settled() for case in busy))

    async def close(self) -> None:
        """Stop whatever is being done, and let go of the connection."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*(case.end() for case in self._cases.values()), return_exceptions=True)
        await self._hypervisor.close()

    # What libvirt tells

    def _heard(self, event: Event) -> None:
        if event.kind == "GUEST_PANICKED":
            self._details[event.uuid] = event.data
            return
        case = self._case(event.uuid, event.name)
        if event.kind == "crashed" and event.detail == module().VIR_DOMAIN_EVENT_CRASHED_PANICKED:
            data = self._details.pop(event.uuid, {})
            case.panicked(details(data), stopped=data.get("action") != "run")
        elif event.kind == "GUEST_CRASHLOADED" or (event.kind == "crashed" and self._hypervisor.deaf):
            if case.voice.policy:
                case.voice.say("crashloaded", "warning", detail=details(event.data))
        elif event.kind == "DUMP_COMPLETED":
            self._dump_ended(case, event.data)
        elif event.kind in ("resumed", "started"):
            case.went_on()
        elif event.kind in ("suspended", "stopped") and (case.voice.policy or case.entry):
            case.wake()
        if event.kind in ("started", "defined", "metadata"):
            self._soon(self._refresh(case))

    def _dump_ended(self, case: Case, data: dict[str, Any]) -> None:
        result = data.get("result")
        failed = not isinstance(result, dict) or result.get("status") != "completed"
        if case.voice.policy:
            case.dump_ended(str(data.get("error") or "QEMU says no more than that") if failed else "")

    def _on_lost(self, words: str) -> None:
        if not self._lost.is_set():
            self._lost.set()
            self._scanned = False
            self._say("disconnected", "warning", detail=words)

    # Looking

    async def _scan(self) -> int:
        """Look at all domains; return how many have a policy."""
        found = await self._hypervisor.call(
            lambda connection: [(d.UUIDString(), d.name()) for d in connection.listAllDomains()]
        )
        left = {entry.key: entry.name for entry in self._office.journal.entries()}
        for uuid in set(self._cases) - {uuid for uuid, _ in found} - set(left):
            if not self._cases[uuid].busy:
                del self._cases[uuid]
        cases = [self._case(uuid, name) for uuid, name in {**left, **dict(found)}.items()]
        standings = await asyncio.gather(*(self._standing(case) for case in cases))
        for case, standing in zip(cases, standings, strict=True):
            if standing or case.entry:
                case.wake(retry=True)
        return sum(standing is not None for standing in standings)

    async def _resync(self) -> None:
        """Look at the domains that are in trouble, in one call to libvirt."""
        libvirt = module()
        flags = libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT
        found = await self._hypervisor.call(
            lambda connection: [
                (domain.UUIDString(), domain.name(), stats.get("state.state"))
                for domain, stats in connection.getAllDomainStats(libvirt.VIR_DOMAIN_STATS_STATE, flags)
            ]
        )
        for uuid, name, state in found:
            if state in (libvirt.VIR_DOMAIN_CRASHED, libvirt.VIR_DOMAIN_PAUSED):
                self._case(uuid, name).wake()

    async def _refresh(self, case: Case) -> None:
        """Read a policy anew; it may be about a trouble that nothing could be done about before."""
        before = case.voice.policy
        if await self._standing(case):
            if case.voice.policy != before:
                case.voice.say("policy")
            case.wake()

    async def _standing(self, case: Case) -> Standing | None:
        try:
            case.knows(standing := await case.guest.standing())
        except (BusyError, FailedError) as error:
            case.voice.say("problem", "warning", detail=f"its policy cannot be read: {error.message}")
            return None
        except GoneError:
            return None
        return standing

    def _case(self, uuid: str, name: str) -> Case:
        case = self._cases.get(uuid)
        if case is None:

            def complain(words: str) -> None:
                made.voice.say("problem", "warning", detail=words)

            def put_aside() -> bool:
                return bool(made.entry and made.entry.put_aside)

            guest = Domain(self._hypervisor, uuid, name, lambda: self._office.settings, put_aside, complain)
            case = made = self._cases[uuid] = Case(guest, self._office)
        return case

    # Small things

    async def _lost_within(self, seconds: float) -> bool:
        try:
            await asyncio.wait_for(self._lost.wait(), seconds)
        except TimeoutError:
            return False
        return True

    def _soon(self, work: Any) -> None:
        async def quietly() -> None:
            try:
                await work
            except LostError:
                return  # all are looked at anew when there is a connection

        task = asyncio.create_task(quietly())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _say(self, event: str, level: Any = "info", *, detail: str = "") -> None:
        self._office.say(Line(event, level, at=now(), detail=detail))
