"""Guests without libvirt, watched over their monitors, which may come and go."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from onpanic.probe.decision import Policy
from onpanic.probe.errors import OnpanicError

from .case import Case
from .details import details
from .guest import Standing
from .journal import STANDBY
from .monitor import Monitor
from .office import Office
from .qmp import Absent
from .report import Line, now

__all__ = ("Monitors",)

_RECONNECT = (0.1, 2.0)  # seconds between attempts: the first, and the longest


class Monitors:
    """The guests at some addresses.

    :param addresses: Their monitors.
    :param policy: The policy of each.
    :param office: What all cases share.
    :raise SourceError: When one is no address.
    """

    def __init__(self, addresses: Sequence[str], policy: Policy, office: Office) -> None:
        self._office = office
        guests = [Monitor(a, policy, lambda: office.settings) for a in dict.fromkeys(addresses)]
        self._cases = [Case(guest, office) for guest in guests]
        self._guests = dict(zip(self._cases, guests, strict=True))
        self._tried: set[Case] = set()
        for case in self._cases:
            case.knows(Standing(policy))
        #: Set when all monitors have been tried for the first time.
        self.ready = asyncio.Event()

    async def run(self) -> None:
        """Watch until cancelled; connect again whenever that is needed.

        :raise OnpanicError: When the journal's folder cannot be written to.
        """
        self._office.say(Line("watching", at=now(), detail=f"{len(self._cases)} monitors"))
        watching = [asyncio.create_task(self._watch(case, guest)) for case, guest in self._guests.items()]
        try:
            await asyncio.gather(*watching)
        finally:
            for task in watching:
                if not task.cancelling():  # twice would cut short how it hangs up
                    task.cancel()
            await asyncio.gather(*watching, return_exceptions=True)

    async def reload(self) -> None:
        """Look at all guests anew, and take up again what was given up."""
        for case in self._cases:
            case.wake(retry=True)

    async def settled(self) -> None:
        """Return when nothing is being done."""
        while busy := [case for case in self._cases if case.busy]:
            await asyncio.gather(*(case.settled() for case in busy))

    async def close(self) -> None:
        """Stop whatever is being done, and hang up."""
        await asyncio.gather(*(case.end() for case in self._cases), return_exceptions=True)
        await asyncio.gather(*(guest.qmp.hang_up() for guest in self._guests.values()))

    async def _watch(self, case: Case, guest: Monitor) -> None:
        """Be connected to a guest for as long as it is there, again and again."""
        wait, said = _RECONNECT[0], ""

        def standing_by() -> None:
            case.voice.say("standby", detail=STANDBY)
            self._was_tried(case)

        await self._office.journal.turn(guest.key, standing_by)
        while True:
            greeting: list[asyncio.Task[None]] = []

            def connected(greeting: list[asyncio.Task[None]] = greeting) -> None:
                guest.came()
                greeting.append(asyncio.create_task(self._greet(case, guest)))

            try:
                await guest.qmp.listen(connected, lambda event: self._heard(case, guest, event))
                wait, said = _RECONNECT[0], ""
                case.voice.say("disconnected")
            except OnpanicError as error:
                if type(error).__name__ + error.message != said:
                    said = type(error).__name__ + error.message
                    case.voice.say("waiting", detail=error.message)
                if isinstance(error, Absent) and not guest.absent:
                    guest.absent = True
                    case.wake()
                self._was_tried(case)
                await asyncio.sleep(wait)
                wait = min(wait * 2, _RECONNECT[1])
            finally:
                for task in greeting:
                    task.cancel()
                    with suppress(asyncio.CancelledError):
                        await task

    async def _greet(self, case: Case, guest: Monitor) -> None:
        try:
            await guest.greet(arm=not self._office.dry_run)
        except OnpanicError as error:
            case.voice.say("problem", "error", detail=error.message)
            await guest.qmp.hang_up()
            return
        case.voice.say("connected")
        case.wake(retry=True)
        self._was_tried(case)

    def _heard(self, case: Case, guest: Monitor, event: dict[str, Any]) -> None:
        name, data = event.get("event"), event.get("data") or {}
        if name == "GUEST_PANICKED":
            case.panicked(details(data), stopped=data.get("action") != "run")
        elif name == "GUEST_CRASHLOADED":
            case.voice.say("crashloaded", "warning", detail=details(data))
        elif name == "DUMP_COMPLETED":
            guest.dump_error = str(data.get("error") or "") or None
        elif name == "RESUME":
            case.went_on()
        elif name == "STOP":
            case.wake()

    def _was_tried(self, case: Case) -> None:
        self._tried.add(case)
        if len(self._tried) == len(self._cases):
            self.ready.set()
