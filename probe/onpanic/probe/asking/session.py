"""Asking over QMP: an emulator that was started, or a monitor that was already running.

`Session.ask` sends a command and returns its reply; a refusal is a reply, too.  It raises only
if there is no answer; the error then says why.
"""

import asyncio
import contextlib
import os
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from onpanic.core.errors import (
    DeadlineError,
    EmulatorError,
    EndedError,
    ProtocolFault,
    SourceError,
    StartError,
)
from onpanic.core.tasks import run_all
from onpanic.core.untrusted import printable
from onpanic.probe.asking.emulator_backend import PROCESSES, EmulatorBackend, RunningEmulator
from onpanic.probe.asking.printed_words import printed_instead
from onpanic.probe.conversation import Conversation, Entry, Reply
from onpanic.probe.conversation.entry import Channel, Direction
from onpanic.probe.emulator.opening_commands import QmpCommand, opening_messages
from onpanic.probe.emulator.qtest import Qtest
from onpanic.qmp.address import ADDRESS_HINT, IN_USE, IN_USE_HINT, connect, parse_address
from onpanic.qmp.client import CommandError, ConnectionLostError
from onpanic.qmp.quota import Quota

__all__ = ("Monitor", "Session", "open_monitor")

_LOOK = 0.1  # seconds between two looks at whether the connection has ended
_ENDING = 0.5  # seconds that an emulator which closed its monitor has to exit


class Monitor:
    """A QMP monitor that can be asked, and the conversation with it."""

    def __init__(self) -> None:
        self.conversation = Conversation()
        self._start = time.monotonic()

    async def ask(self, command: str, **arguments: Any) -> Reply:
        """Send a QMP command and return its reply, which may be a refusal.

        :param command: For example ``qom-list``.
        :param arguments: The command's arguments.
        :raise OnpanicError: When there is no answer.
        """
        raise NotImplementedError

    async def ask_all(self, *questions: tuple[str, dict[str, Any]]) -> list[Reply]:
        """Send several commands without waiting in between, and return their replies.  Raises as `ask` does.

        :param questions: Commands with their arguments; none may change what another one sees.
        """
        return await run_all(*(self.ask(command, **arguments) for command, arguments in questions))

    async def hmp(self, line: str) -> Reply:
        """Send a line to the human monitor and return its reply.  Raises as `ask` does."""
        return await self.ask("human-monitor-command", **{"command-line": line})

    async def wait_for_event(self, name: str, seconds: float, *others: str, since: int = 0) -> bool:
        """Wait until an event has come, and return whether it has.

        Returns at once if it has come already, and also when the connection ends.

        :param name: For example ``GUEST_PANICKED``.
        :param seconds: How long to wait.
        :param others: Events any of which ends the wait as well.
        :param since: Index of the entry from which on an event counts.
        """
        raise NotImplementedError

    def record(self, chan: Channel, dir: Direction, msg: Any) -> int:  # noqa: A002
        """Add an entry to the conversation, and return its index."""
        return self.conversation.append(Entry(chan, dir, msg, round(time.monotonic() - self._start, 4)))


class Session(Monitor):
    """An open QMP connection.  `converse` and `open_monitor` make one.

    :param name: The other side's name in error messages.
    :param argv: The command line; empty for a monitor that was already running.
    :param quota: How much it may send.
    :param opening: Commands that it was sent when it was started.
    :param backend: Makes the client.
    :ivar process: The emulator's process, None for a monitor that was already running.
    :ivar qtest: The qtest channel, None if there is none.
    :ivar printed: What the emulator printed on stdout instead of a greeting; empty if it did not.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str] = (),
        quota: Quota | None = None,
        opening: Sequence[QmpCommand] = (),
        backend: EmulatorBackend = PROCESSES,
    ) -> None:
        super().__init__()
        self.process: RunningEmulator | None = None
        self.qtest: Qtest | None = None
        self.printed = ""
        self.name = name
        self._client = backend.client(name, self)
        self._quota = quota or Quota()
        self._asked: deque[list[int]] = deque()  # of commands that are still to be sent
        self._event_came = asyncio.Event()
        self._opening = list(opening)
        if argv:
            self.record("proc", "argv", list(argv))
        for message in opening_messages(opening):
            self.record("qmp", "send", message)

    async def ask(self, command: str, **arguments: Any) -> Reply:
        """Send a QMP command and return its reply, which may be a refusal.

        :param command: For example ``qom-list``.
        :param arguments: The command's arguments.
        :raise EndedError: When the emulator exited, or closed the monitor, before it answered.
        :raise ProtocolFault: When the answer is not QMP, or too much.
        """
        if (command, arguments) in self._opening:
            self._opening.remove((command, arguments))
            reply = self.conversation.reply(command, **arguments)
            if reply:
                return reply
        index: list[int] = []  # filled in by `sent`
        self._asked.append(index)
        try:
            await self._client.execute(command, arguments)
        except CommandError:
            pass  # it is part of the reply
        except ConnectionLostError as error:
            raise await self._explained(error.cause, f"answering {command}") from error
        return self.conversation.reply_at(index[0])

    def send_descriptor(self, descriptor: int) -> None:
        """Send a file descriptor, see `QmpClient.send_descriptor`.

        :raise OSError: When the connection is no UNIX socket, or has ended.
        """
        self._client.send_descriptor(descriptor)

    async def wait_for_event(self, name: str, seconds: float, *others: str, since: int = 0) -> bool:
        """Wait until an event has come, and return whether it has: see `Monitor.wait_for_event`."""
        names = (name, *others)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while not self._has_event(names, since) and self._client.connected:
            left = deadline - loop.time()
            if left <= 0:
                break
            self._event_came.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(left, _LOOK)):
                    await self._event_came.wait()
        return self._has_event(names, since)

    def _has_event(self, names: Sequence[str], since: int) -> bool:
        return any(self.conversation.events(name, since) for name in names)

    async def connect(self, channel: Any) -> None:
        """Wait for the greeting, negotiate, and wait for the answers to the opening commands.

        :param channel: A connected socket.
        :raise StartError: When the other side ends, closes the connection, or says something else.
        :raise EmulatorError: When it does not answer the opening commands.
        """
        if self.process:
            self.printed = await printed_instead(self.process)
        if self.printed:
            raise StartError(
                f"{self.name} ended before its QMP greeting", "run the command by hand to see more"
            )
        try:
            await self._client.connect(channel, negotiate=not self._opening)
        except ConnectionLostError as error:
            failure = await self._explained(error.cause, "its QMP greeting")
            raise StartError(failure.message, failure.hint) from error
        if self._opening:  # answers come in order, so the opening commands' come before this one
            await self.ask("query-status")
            self._opening.append(("query-status", {}))

    async def close(self) -> None:
        """End the connection.  Takes a second at most, and raises nothing."""
        await self._client.close()

    # The methods of `onpanic.qmp.client.MessageRecorder`

    def count(self, line: bytes) -> None:
        """Count a message.  Raises `ProtocolFault` when it is too much."""
        try:
            self._quota.spend(line, len(self.conversation.entries))
        except ProtocolFault as fault:
            raise ProtocolFault(f"{self.name} {fault.message}", fault.hint) from fault

    def sent(self, message: dict[str, Any]) -> None:
        """Record a command.  Commands are sent in the order of the calls of `ask`."""
        index = self.record("qmp", "send", message)
        if self._asked:  # `qemu.qmp` negotiates by itself
            self._asked.popleft().append(index)

    def received(self, message: dict[str, Any]) -> None:
        """Record a greeting, an answer or an event."""
        self.record("qmp", "recv", message)
        if "event" in message:
            self._event_came.set()

    async def _explained(self, cause: BaseException, doing: str) -> EmulatorError:
        """Return the error that says why there was no answer."""
        if isinstance(cause, EmulatorError):
            return cause
        process = self.process
        hint = "run the command by hand to see more" if process else "is it a QMP monitor, and not in use?"
        if not isinstance(cause, EOFError | OSError):
            last = self.conversation.entries[-1].msg if self.conversation.entries else ""
            said = printable(str(cause) or str(last), 200).removeprefix("Did not understand Greeting: ")
            return ProtocolFault(f"{self.name}: not QMP where {doing} was expected: {said}", hint)
        ended = process is not None and await process.wait(_ENDING)  # most likely it is exiting
        return EndedError(f"{self.name} {'ended' if ended else 'hung up'} before {doing}", hint)


@asynccontextmanager
async def open_monitor(address: str, timeout: float) -> AsyncIterator[Session]:  # noqa: ASYNC109
    """Connect to the QMP monitor of a running emulator; disconnect on the way out.

    :param address: A UNIX socket's path, or ``host:port``.
    :param timeout: Seconds after which the monitor is given up, whatever is being asked.
    :raise UsageError: When that is not an address.
    :raise SourceError: When nothing listens there.
    :raise EmulatorError: When what listens does not answer in time, or not in QMP.
    """
    place = parse_address(address)
    session, awaits_greeting = Session("the monitor"), isinstance(place, str)
    try:
        async with asyncio.timeout(timeout):
            try:
                channel = await connect(place)
            except OSError as error:
                raise SourceError(f"{address}: {_system_words(error)}", ADDRESS_HINT) from error
            awaits_greeting = True
            await session.connect(channel)
            awaits_greeting = False
            yield session
    except TimeoutError as error:
        if awaits_greeting:
            raise DeadlineError(f"the monitor at {address} {IN_USE}", IN_USE_HINT) from error
        raise DeadlineError(
            f"the monitor at {address} did not answer in time", "allow more time with --timeout SECONDS"
        ) from error
    finally:
        await session.close()


def _system_words(error: OSError) -> str:
    """Return the system's own words, without asyncio's."""
    if error.errno and error.errno > 0:
        return os.strerror(error.errno)
    return printable(error.strerror or str(error))
