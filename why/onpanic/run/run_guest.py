"""Follows a run until its QEMU has ended, and ends QEMU where that is due."""

import asyncio
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from onpanic.probe.emulator.opening_commands import OPENING_ID
from onpanic.qmp.client import CommandError, ConnectionLostError, QmpClient
from onpanic.run.followed_guest import FollowedGuest
from onpanic.run.run_events import RunEvents
from onpanic.run.run_result import RunResult
from onpanic.run.run_settings import RunSettings
from onpanic.run.run_start import StartedRun

__all__ = ("run_guest",)

_LAST_EVENTS = 2.0  # seconds in which the events of a QEMU that has ended are handled
_QUIT = 5.0  # seconds to end after QMP's quit
_WRAPPER = 600.0  # seconds in which what started QEMU ends after it: a script may tidy up
_TERMINATED = 2.0  # seconds to end after SIGTERM, and after SIGKILL
_NO_MONITOR = (
    "QEMU has not used the socket that it inherits from onpanic: if {} does not pass it on, as ssh and sudo "
    "do not, put onpanic run behind it"
)


async def run_guest(started: StartedRun, settings: RunSettings, say: Callable[[str], None]) -> RunResult:
    """Follow a run until its QEMU has ended.

    :param started: The run.
    :param settings: What the user wants.
    :param say: Called with a line about a guest that runs on.
    """
    async with started.process:
        run = _Run(started, settings, say)
        if started.channel is None:
            await run.wait()
        else:
            await run.run(started.channel)
    return run.result(started)


class _Run:
    """One run: the process, its monitor, and the guest in it."""

    def __init__(self, started: StartedRun, settings: RunSettings, say: Callable[[str], None]) -> None:
        self._began = started.began
        self._wrapper = started.command.wrapper
        self._timeout = settings.timeout
        self._process = started.process
        self._events = RunEvents(started.command.actions, settings.most_resets, self._began)
        self._client = QmpClient("QEMU", on_event=self._on_event, sent_before=OPENING_ID)
        self._guest = FollowedGuest(self._client, self._events, settings, say)
        self._greeted = False

    def _on_event(self, message: dict[str, Any]) -> None:
        self._guest.on_event(message, time.monotonic())

    async def run(self, channel: socket.socket) -> None:
        """Follow the guest until the process has ended."""
        follow = asyncio.create_task(self._follow(channel))
        ended = asyncio.create_task(self._process.wait())
        try:
            await asyncio.wait({follow, ended}, timeout=self._left(), return_when=asyncio.FIRST_COMPLETED)
            if self._greeted and not (follow.done() or ended.done()):
                self._guest.time_out()
                await asyncio.wait({follow, ended}, return_when=asyncio.FIRST_COMPLETED)
            if follow.done():
                follow.result()
            if self._guest.over:
                await self._quit()
            await asyncio.wait({ended}, timeout=self._left())
            if not ended.done():
                self._guest.gave_up()
                await self._kill()
            self._guest.leave()
            await asyncio.wait({follow}, timeout=_LAST_EVENTS)
        finally:
            for task in (follow, ended):
                task.cancel()
            await asyncio.gather(follow, ended, return_exceptions=True)
            await self._client.close()
            channel.close()

    async def wait(self) -> None:
        """Wait for the end of a QEMU that runs no machine, and so has no monitor of ours."""
        if not await self._process.wait(self._left()):
            self._guest.gave_up()
            await self._kill()

    def result(self, started: StartedRun) -> RunResult:
        """Return how it ended, after `run`."""
        guest, notes = self._guest, started.notes
        status = self._process.status
        if guest.outcome == "ended":
            lost = not self._greeted and started.channel and status and self._wrapper
            notes = (_NO_MONITOR.format(self._wrapper),) if lost else ()
        return RunResult(
            outcome=guest.outcome,
            emulator_status=status,
            seconds=round(time.monotonic() - self._began, 3),
            resets=self._events.resets,
            event=guest.event,
            words=guest.words,
            dump=guest.dump,
            notes=(*notes, *guest.notes),
        )

    async def _follow(self, channel: socket.socket) -> None:
        with suppress(ConnectionLostError, CommandError):  # QEMU has ended
            await self._client.connect(channel, negotiate=False)
            self._greeted = True
            await self._guest.follow()

    def _left(self) -> float | None:
        """Return how many seconds are left; None without a limit."""
        if self._timeout is None:
            return None
        return max(self._began + self._timeout - time.monotonic(), 0.0)

    async def _quit(self) -> None:
        """End QEMU by its monitor, or else by signals; a wrapper has time to end after it."""
        try:
            async with asyncio.timeout(_QUIT):
                await self._client.execute("quit")
        except (CommandError, TimeoutError):
            await self._kill()
        except ConnectionLostError:  # it has ended
            pass
        # A wrapper holds the socket open, so that QEMU's end does not show
        if not await self._process.wait(_WRAPPER if self._wrapper else _QUIT):
            await self._kill()

    async def _kill(self) -> None:
        self._process.send(signal.SIGTERM)
        if not await self._process.wait(_TERMINATED):
            self._process.kill()
