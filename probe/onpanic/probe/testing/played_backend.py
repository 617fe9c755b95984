"""Play emulators in this process, for `onpanic.probe.asking.starts.ask_emulator`.

Nothing here takes time: no socket, no process and no thread.  With an event loop whose clock jumps, thousands
of emulators can be asked in seconds.
"""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

from onpanic.probe.emulator.qtest import Qtest
from onpanic.probe.emulator.reaper import Reaper
from onpanic.probe.testing.played_emulator import PlayedEmulator
from onpanic.probe.testing.played_machine import StartRefused
from onpanic.probe.testing.played_monitor import PlayedMonitor
from onpanic.probe.testing.played_qtest import PlayedQtestServer
from onpanic.qmp.client import CommandError, ConnectionLostError, MessageRecorder

__all__ = ("PlayedBackend", "PlayedProcess")


class PlayedProcess:
    """A played emulator that was started.  The parameters are those of `EmulatorProcess`.

    :param like: What it is like.
    :param argv: The command line; the first word is the program.
    :param opening: What it is sent first.
    :ivar closed: True when nothing is left of it.
    """

    def __init__(self, like: PlayedEmulator, argv: Sequence[str], opening: bytes) -> None:
        self.argv = list(argv)
        self.opening = opening
        self.killed = self.closed = False
        self.stderr = ""
        self.monitor: PlayedMonitor | None = None
        self.ended = asyncio.Event()
        self._recorder: MessageRecorder | None = None
        self._status: int | None = None
        try:
            self.monitor = PlayedMonitor(like, argv[1:])
        except StartRefused as refused:
            self.stderr = f"{argv[0]}: {refused.words}\n"
            self._end(1)

    @property
    def channel(self) -> "PlayedProcess":
        """What the client is connected to."""
        return self

    @property
    def pid(self) -> int:
        """A number, as if it had a process."""
        return id(self)

    @property
    def returncode(self) -> int | None:
        """The exit status; None until it was closed."""
        return self._status if self.closed else None

    @property
    def end(self) -> str:
        """How it ended, for a message."""
        return f"status {self._status}"

    def greet(self, recorder: MessageRecorder) -> None:
        """Send the greeting, and the answers to what it was sent first.

        :param recorder: Gets all messages from now on.
        """
        self._recorder = recorder
        if self.monitor is not None:
            recorder.received(self.monitor.greeting)
            for line in self.opening.splitlines():
                self.handle(json.loads(line))

    def handle(self, message: dict[str, Any]) -> dict[str, Any] | None:
        """Carry out a command, and return the answer; None if the emulator ends instead."""
        if self.monitor is None or self.ended.is_set():
            return None
        said = self.monitor.handle(message)
        self.deliver(said)
        return next((one for one in said if one.get("id") == message["id"]), None)

    def deliver(self, messages: Sequence[dict[str, Any]]) -> None:
        """Send QMP messages, and end if the emulator has ended by now."""
        assert self.monitor is not None
        for message in messages:
            if self._recorder is not None:
                self._recorder.received(message)
        if self.monitor.ended:
            self._end(self.monitor.machine.exit_status or 0)

    def _end(self, status: int) -> None:
        self._status = status
        self.ended.set()

    def abandon(self) -> None:
        """Do nothing: it is ended in any case."""

    async def wait(self, seconds: float) -> bool:
        """Return whether it has ended; nothing that it does takes time."""
        return self.ended.is_set()

    async def first_output(self) -> bytes:
        """Return the beginning of the greeting; empty if it does not start."""
        return self.peek()

    def peek(self) -> bytes:
        """Return the beginning of the greeting; empty if it does not start."""
        return b"" if self.monitor is None else b"{"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End it."""
        self.closed = True
        if not self.ended.is_set():
            self.killed = True
            self._end(-9)


class _PlayedClient:
    """The QMP client of a played emulator.  The parameters are those of `QmpClient`."""

    def __init__(self, name: str, recorder: MessageRecorder) -> None:
        self._name = name
        self._recorder = recorder
        self._process: PlayedProcess | None = None
        self._number = 0

    async def connect(self, channel: PlayedProcess, *, negotiate: bool = True) -> None:
        """Wait for the greeting and negotiate capabilities."""
        self._process = channel
        channel.greet(self._recorder)
        if channel.ended.is_set():
            raise ConnectionLostError(EOFError())
        if negotiate:
            await self.execute("qmp_capabilities")

    def send_descriptor(self, _descriptor: int) -> None:
        """Raise `OSError`: there is no socket."""
        raise OSError("a played emulator takes no descriptors")

    async def execute(self, command: str, arguments: Mapping[str, Any] | None = None) -> Any:
        """Send a command and return what it returns; commands that are sent together wait for each other."""
        assert self._process is not None
        self._number += 1
        message: dict[str, Any] = {"execute": command, "id": f"played-{self._number}"}
        if arguments:
            message["arguments"] = dict(arguments)
        self._recorder.sent(message)
        await asyncio.sleep(0)
        reply = self._process.handle(message)
        if reply is None:
            raise ConnectionLostError(EOFError())
        if "error" in reply:
            raise CommandError(reply["error"]["class"], reply["error"]["desc"])
        return reply["return"]

    @property
    def connected(self) -> bool:
        """True while commands can be sent."""
        return self._process is not None and not self._process.ended.is_set()

    async def close(self) -> None:
        """Do nothing: there is no socket."""


class _PlayedQtest(Qtest):
    """The qtest channel of a played emulator.

    :param index: Distinguishes it from those of other emulators.
    """

    def __init__(self, index: int) -> None:
        super().__init__()
        self._index = index
        self._process: PlayedProcess | None = None
        self._server: PlayedQtestServer | None = None

    @property
    def options(self) -> list[str]:
        return ["-qtest", f"played:{self._index}"]

    def attach(self, process: PlayedProcess) -> None:
        """Connect it to an emulator that was started."""
        self._process = process
        if process.monitor is not None:
            self._server = PlayedQtestServer(process.monitor.machine)

    async def exchange(self, line: str) -> str:
        """Return the answer to a line, empty if the emulator has ended."""
        await asyncio.sleep(0)
        if self._process is None or self._process.monitor is None or self._process.ended.is_set():
            return ""
        assert self._server is not None
        answer = self._server.answer(line)
        self._process.deliver(self._process.monitor.said())
        return answer


class PlayedBackend:
    """An `onpanic.probe.asking.emulator_backend.EmulatorBackend` that plays an emulator.

    :param like: The emulator.
    :param others: Emulators that programs with certain names are instead.
    :ivar started: All emulators that it has started.
    """

    def __init__(self, like: PlayedEmulator, others: Mapping[str, PlayedEmulator] | None = None) -> None:
        self._like = like
        self._others = others or {}
        self._channels: list[_PlayedQtest] = []
        self.started: list[PlayedProcess] = []

    @property
    def client(self) -> Callable[[str, MessageRecorder], _PlayedClient]:
        """Makes the QMP clients."""
        return _PlayedClient

    def start(
        self, argv: Sequence[str], reaper: Reaper, pass_fds: Sequence[int], opening: bytes
    ) -> PlayedProcess:
        """Start an emulator."""
        like = self._others.get(argv[0].rpartition("/")[2], self._like)
        process = PlayedProcess(like, argv, opening)
        self.started.append(process)
        for value in [value for flag, value in zip(argv, argv[1:], strict=False) if flag == "-qtest"]:
            self._channels[int(value.partition(":")[2])].attach(process)
        return process

    def qtest(self) -> Qtest:
        """Return a qtest channel."""
        self._channels.append(_PlayedQtest(len(self._channels)))
        return self._channels[-1]
