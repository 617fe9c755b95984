"""The guest of a run: reads, dumps and resets it as its events require, through the run's own monitor."""

import asyncio
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import Any

from onpanic.core.untrusted import printable
from onpanic.qmp.client import CommandError, ConnectionLostError, QmpClient
from onpanic.run.memory_copy import copy_memory
from onpanic.run.run_events import RunEvents, RunStep
from onpanic.run.run_result import RunOutcome
from onpanic.run.run_settings import RunSettings
from onpanic.why.readers.from_monitor import words_through_monitor
from onpanic.why.words.last_words import LastWords
from onpanic.why.words.panic_event import with_event, words_of_event

__all__ = ("FollowedGuest",)

_STOPPED = 0.5  # seconds from the event of a panic to the guest's stop
_READ = 10.0  # seconds that reading a guest may take; it takes a tenth of one
_ANSWER = 5.0  # seconds in which QEMU answers
_BEFORE = {"guest-panicked": RunStep.REPORT, "shutdown": RunStep.EXAMINE}
_ERRORS = ("internal-error", "io-error")
_ENDS = ("RESET", "SHUTDOWN")
_TIME_OUT, _LEAVE, _LOOK = "time out", "leave", "look"  # beside the names of events


class FollowedGuest:
    """A guest that is followed until its run is over.

    :param client: The run's own monitor, see `on_event`.
    :param events: What events mean.
    :param settings: What the user wants.
    :param say: Called with a line about a guest that runs on.
    :ivar outcome: How the run ended, as far as it has.
    :ivar event: The members of the event about a panic; None without one.
    :ivar words: What the guest said last; None if it was not read.
    :ivar dump: The file with its memory; empty if there is none.
    :ivar notes: What could not be done, a sentence each.
    :ivar over: Whether its QEMU is to be ended.
    """

    def __init__(
        self,
        client: QmpClient,
        events: RunEvents,
        settings: RunSettings,
        say: Callable[[str], None],
    ) -> None:
        self.outcome: RunOutcome = "ended"
        self.event: dict[str, Any] | None = None
        self.words: LastWords | None = None
        self.dump = ""
        self.notes: list[str] = []
        self.over = False
        self._client = client
        self._events = events
        self._wanted_dump, self._interval, self._keep = settings.dump, settings.look, settings.keep
        self._say = say
        self._queue: asyncio.Queue[tuple[str, Mapping[str, Any], float]] = asyncio.Queue()
        self._stopped = asyncio.Event()
        self._reset = asyncio.Event()
        self._catches_resets = False

    def on_event(self, message: Mapping[str, Any], at: float) -> None:
        """Take an event of QEMU's, see `onpanic.qmp.client.QmpClient`.

        :param at: When it came, in seconds of a monotonic clock.
        """
        name, data = message.get("event"), message.get("data")
        if name == "STOP":
            self._stopped.set()
        elif name == "RESUME":
            self._stopped.clear()
        elif name == "RESET":
            self._reset.set()
        self._queue.put_nowait((str(name), data if isinstance(data, Mapping) else {}, at))

    def time_out(self) -> None:
        """End it: it has taken too long."""
        self._queue.put_nowait((_TIME_OUT, {}, 0.0))

    def gave_up(self) -> None:
        """Note that it has taken too long, and that nothing can be asked any more."""
        if self.outcome == "ended":
            self.outcome = "timeout"

    def leave(self) -> None:
        """Follow it no more: its QEMU has ended.  What has come before is still handled."""
        self._queue.put_nowait((_LEAVE, {}, 0.0))

    async def follow(self) -> None:
        """Do what its events ask for, until its QEMU has ended or is to be ended.

        :raise ConnectionLostError: When QEMU has ended.
        """
        status = await self._client.execute("query-status")
        if not status.get("running"):
            self._stopped.set()
        if self._queue.empty():  # an event that came before is handled below
            await self._take(_BEFORE.get(str(status.get("status")), RunStep.NOTHING), {})
        while not self.over:
            event, data, at = await self._next()
            if event == _LEAVE:
                return
            if event == _LOOK:
                await self._look()
            elif event == _TIME_OUT:
                await self._conclude_late()
            else:
                await self._take(self._events.after(event, data, at), data)

    async def _next(self) -> tuple[str, Mapping[str, Any], float]:
        """Return the next event; `_LOOK` if none has come for as long as the guest is left alone."""
        if self._interval is None or self.outcome != "ended":
            return await self._queue.get()
        try:
            async with asyncio.timeout(self._interval):
                return await self._queue.get()
        except TimeoutError:
            return _LOOK, {}, 0.0

    async def _take(self, step: RunStep, data: Mapping[str, Any]) -> None:
        match step:
            case RunStep.REPORT:
                await self._panicked(data)
            case RunStep.READ:
                await self._panicked_running(data)
            case RunStep.CATCH_RESETS:
                await self._catch_resets()
            case RunStep.EXAMINE:
                await self._examine()
            case RunStep.STOPPED:
                await self._tell_of_errors()
            case RunStep.LOOP:
                self.outcome, self.over = "reset-loop", True
            case RunStep.END:
                self.over = True
            case _:
                pass

    async def _panicked(self, data: Mapping[str, Any]) -> None:
        """Read a guest that has reported its panic, and stops for it."""
        if self.outcome != "ended" and not self._events.crashloaded:
            return  # a second notifier, or a kept guest that somebody has continued
        self.outcome, self.event = "panicked", dict(data)
        with suppress(TimeoutError):
            async with asyncio.timeout(_STOPPED):
                await self._stopped.wait()
        await self._read_and_dump()
        self.over = not self._keep
        if self._keep:
            self._say("the guest panicked, and is kept: end its QEMU to see what it said")

    async def _panicked_running(self, data: Mapping[str, Any]) -> None:
        """Read a guest that goes on after its panic: its command says so, or its crash kernel takes over."""
        if self.outcome != "ended":
            return
        self.outcome, self.event = ("crashloaded" if self._events.crashloaded else "panicked"), dict(data)
        await self._read_and_dump()
        await self._command("cont")
        what = "its crash kernel takes over" if self._events.crashloaded else "goes on, as its command says"
        self._say(f"the guest panicked, and {what}: waiting for its end")

    async def _tell_of_errors(self) -> None:
        """Say that QEMU has stopped the guest for an error: QEMU itself prints nothing, and waits."""
        state = (await self._client.execute("query-status")).get("status")
        if state in _ERRORS:
            self._say(f"QEMU has stopped the guest, and waits: {state}")

    async def _catch_resets(self) -> None:
        """Have a guest that has reset itself stopped before it does so again; QEMU 6.0 and later can."""
        if not self._events.resets_end_it:
            self._catches_resets = await self._command("set-action", {"reboot": "shutdown"})

    async def _examine(self) -> None:
        """Read a guest that is stopped where it would be reset, and reset it if it has not panicked."""
        words = await self._read()
        if words.panicked:
            self.outcome, self.words = "panicked", words
            await self._dump()
            self.over = True
        elif self._catches_resets:
            await self._reset_and_continue()
        else:
            self.over = self._events.after_end() is RunStep.END

    async def _reset_and_continue(self) -> None:
        """Reset the guest as it wanted, and have it stopped again before its next reset."""
        self._reset.clear()
        await self._command("set-action", {"reboot": "reset"})  # which applies to this reset as well
        if await self._command("system_reset"):
            with suppress(TimeoutError):
                async with asyncio.timeout(_ANSWER):
                    await self._reset.wait()
        await self._command("set-action", {"reboot": "shutdown"})
        self._forget(_ENDS)  # the vCPU may have asked for several
        await self._command("cont")

    def _forget(self, events: Collection[str]) -> None:
        """Drop the events of these names that have come and were not handled."""
        waiting = [self._queue.get_nowait() for _ in range(self._queue.qsize())]
        for event in waiting:
            if event[0] not in events:
                self._queue.put_nowait(event)

    async def _conclude_late(self) -> None:
        """Read a guest that has taken too long: it may hang in its own panic."""
        if self.outcome == "ended":
            words = await self._read()
            self.outcome, self.words = ("hung" if words.panicked else "timeout"), words
            await self._dump()
        self.over = True

    async def _look(self) -> None:
        """Stop a running guest for as long as its log is read: it may hang in its own panic."""
        if self._stopped.is_set():
            return
        words = await self._read()
        if words.panicked:
            self.outcome, self.words = "hung", words
            await self._dump()
            self.over = not self._keep
        elif self._stopped.is_set():
            await self._command("cont")

    async def _read_and_dump(self) -> None:
        info = (self.event or {}).get("info")
        reported = words_of_event(info if isinstance(info, Mapping) else {})
        self.words = with_event(await self._read(), reported)
        await self._dump()

    async def _read(self) -> LastWords:
        """Return what the guest has said, and why it cannot be read if so; it is stopped first."""
        if not self._stopped.is_set():
            await self._command("stop")
        try:
            async with asyncio.timeout(_READ):
                return await words_through_monitor(self._client)
        except TimeoutError:
            reason = f"it took longer than {_READ:g} s"
        except (CommandError, ConnectionLostError, OSError) as error:
            reason = printable(str(error)) or "QEMU has ended"
        return LastWords(source="event", notes=(f"the guest could not be read: {reason}",))

    async def _dump(self) -> None:
        if self._wanted_dump is not None:
            failure = await copy_memory(self._client, self._wanted_dump)
            if failure:
                self.notes.append(failure)
            else:
                self.dump = str(self._wanted_dump)

    async def _command(self, command: str, arguments: Mapping[str, Any] | None = None) -> bool:
        """Send a command, and return whether QEMU has carried it out."""
        with suppress(CommandError, ConnectionLostError, TimeoutError):
            async with asyncio.timeout(_ANSWER):
                await self._client.execute(command, arguments)
            return True
        return False
