"""Runs a user's QEMU until it ends, and reads its guest if that panics."""

import asyncio
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from onpanic.core.errors import StartError
from onpanic.probe.emulator.reaper import Reaper
from onpanic.qmp.client import CommandError, ConnectionLostError, QmpClient
from onpanic.run.followed_guest import FollowedGuest
from onpanic.run.passed_signals import PassedSignals
from onpanic.run.run_command import RunCommand
from onpanic.run.run_course import RunCourse
from onpanic.run.run_process import RunProcess
from onpanic.run.run_result import RunResult
from onpanic.run.taken_devices import DeviceQuestion

__all__ = ("RunSettings", "run_guest")

#: The negotiation is sent before QEMU starts: it reports no event before that.
_NEGOTIATION = b'{"execute": "qmp_capabilities", "id": "opening-0"}\r\n'
_OPENING = "opening-"
_LAST_EVENTS = 2.0  # seconds in which the events of a QEMU that has ended are handled
_QUIT = 5.0  # seconds to end after QMP's quit
_TERMINATED = 2.0  # seconds to end after SIGTERM, and after SIGKILL
_NO_MONITOR = (
    "QEMU ended before it used the socket that it inherits from onpanic; {} may not pass it on, as ssh and "
    "sudo do not: put onpanic run behind it"
)


class RunSettings(NamedTuple):
    """What the user wants of a run.

    :param timeout: Seconds after which the guest is ended; None for never.
    :param dump: The file for the guest's memory, if it panicked; None for no dump.
    :param most_resets: How many quick resets in a row are a loop; 0 if none are.
    :param keep: Whether a guest that panicked stays as it is, and QEMU runs on.
    """

    timeout: float | None = None
    dump: Path | None = None
    most_resets: int = 20
    keep: bool = False


async def run_guest(
    command: RunCommand,
    question: DeviceQuestion,
    settings: RunSettings,
    reaper: Reaper,
    say: Callable[[str], None],
) -> RunResult:
    """Run a guest until its QEMU has ended.

    :param command: The user's command.
    :param question: The question which devices to add.
    :param settings: What the user wants.
    :param reaper: Ends QEMU if this process goes away.
    :param say: Called with a line about a guest that runs on.
    :raise StartError: When the command cannot be executed.
    """
    devices, notes = await question.answer()
    with PassedSignals() as signals:
        if not command.runs:
            async with RunProcess(command.words, reaper, signals.mask) as process:
                signals.begin(process.pid)
                began = time.monotonic()
                await process.wait()
            return RunResult(
                outcome="ended", emulator_status=process.status, seconds=time.monotonic() - began
            )
        ours, theirs = _socket_pair()
        with theirs:
            started = RunProcess(command.with_monitor(devices, theirs.fileno()), reaper, signals.mask)
        async with started as process:
            signals.begin(process.pid)
            guest = _Run(command, settings, process, say)
            await guest.run(ours)
        return guest.result(notes)


class _Run:
    """One run: the process, its monitor, and the guest in it."""

    def __init__(
        self, command: RunCommand, settings: RunSettings, process: RunProcess, say: Callable[[str], None]
    ) -> None:
        self._began = time.monotonic()
        self._wrapper = command.wrapper
        self._timeout = settings.timeout
        self._process = process
        self._course = RunCourse(command.actions, settings.most_resets, self._began)
        self._client = QmpClient("QEMU", on_event=self._on_event, sent_before=_OPENING)
        self._guest = FollowedGuest(self._client, self._course, settings.dump, say, keep=settings.keep)
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

    def result(self, notes: tuple[str, ...]) -> RunResult:
        """Return how it ended, after `run`.

        :param notes: What could not be added to the command.
        """
        guest = self._guest
        status = self._process.status
        if guest.outcome == "ended":
            lost = not self._greeted and status and self._wrapper
            notes = (_NO_MONITOR.format(self._wrapper),) if lost else ()
        return RunResult(
            outcome=guest.outcome,
            emulator_status=status,
            seconds=round(time.monotonic() - self._began, 3),
            resets=self._course.resets,
            event=guest.event,
            words=guest.words,
            dump=guest.dump,
            notes=(*notes, *guest.notes),
        )

    async def _follow(self, channel: socket.socket) -> None:
        with suppress(ConnectionLostError):  # QEMU has ended
            await self._client.connect(channel, negotiate=False)
            self._greeted = True
            await self._guest.follow()

    def _left(self) -> float | None:
        """Return how many seconds are left; None without a limit.  A command has time to end after QEMU."""
        if self._timeout is None:
            return None
        left = self._began + self._timeout - time.monotonic()
        return max(left, _TERMINATED if self._guest.over else 0.0)

    async def _quit(self) -> None:
        """End QEMU by its monitor, or else by signals; a command that goes on after QEMU is left alone."""
        with suppress(CommandError, ConnectionLostError, TimeoutError):
            async with asyncio.timeout(_QUIT):
                await self._client.execute("quit")
                await self._client.wait_closed()
        if self._client.connected:
            await self._kill()

    async def _kill(self) -> None:
        self._process.send(signal.SIGTERM)
        if not await self._process.wait(_TERMINATED):
            self._process.kill()


def _socket_pair() -> tuple[socket.socket, socket.socket]:
    """Return a connection: our end, with the negotiation sent, and the end that QEMU inherits.

    :raise StartError: When no descriptor is left.
    """
    try:
        ours, theirs = socket.socketpair()
    except OSError as error:
        raise StartError(
            f"a monitor: {error.strerror}", "raise the limits of this shell, see ulimit -a"
        ) from error
    theirs.set_inheritable(True)
    ours.sendall(_NEGOTIATION)
    return ours, theirs
