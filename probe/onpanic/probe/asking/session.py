"""Asking over QMP: an emulator that was started, or a monitor that was already running.

`Session.ask` sends a command and returns its reply; a refusal is a reply, too.  It raises only
if there is no answer; the error then says why.
"""

import asyncio
import contextlib
import os
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
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
from onpanic.core.untrusted import last_lines, printable
from onpanic.probe.conversation import Conversation, Entry, Reply
from onpanic.probe.conversation.entry import Channel, Direction
from onpanic.probe.emulator.command_line import program_name
from onpanic.probe.emulator.opening_commands import OPENING_ID, QmpCommand, encoded, opening_messages
from onpanic.probe.emulator.process import EmulatorProcess
from onpanic.probe.emulator.qtest import Qtest
from onpanic.probe.emulator.reaper import Reaper
from onpanic.qmp.address import ADDRESS_HINT, connect, parse_address
from onpanic.qmp.client import CommandError, ConnectionLostError, QmpClient
from onpanic.qmp.quota import Quota

__all__ = ("Asking", "Monitor", "Session", "converse", "open_monitor")

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

    def record(self, chan: Channel, dir: Direction, msg: Any) -> int:  # noqa: A002
        """Add an entry to the conversation, and return its index."""
        return self.conversation.append(Entry(chan, dir, msg, round(time.monotonic() - self._start, 4)))


class Session(Monitor):
    """An open QMP connection.  `converse` and `open_monitor` make one.

    :param name: The other side's name in error messages.
    :param argv: The command line; empty for a monitor that was already running.
    :param quota: How much it may send.
    :param opening: Commands that it was sent when it was started.
    :ivar process: The emulator's process, None for a monitor that was already running.
    :ivar qtest: The qtest channel, None if there is none.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str] = (),
        quota: Quota | None = None,
        opening: Sequence[QmpCommand] = (),
    ) -> None:
        super().__init__()
        self.process: EmulatorProcess | None = None
        self.qtest: Qtest | None = None
        self.name = name
        self._client = QmpClient(name, self, sent_before=OPENING_ID)
        self._quota = quota or Quota()
        self._asked: deque[list[int]] = deque()  # of commands that are still to be sent
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

    async def connect(self, channel: Any) -> None:
        """Wait for the greeting, negotiate, and wait for the answers to the opening commands.

        :param channel: A connected socket.
        :raise StartError: When the other side ends, closes the connection, or says something else.
        :raise EmulatorError: When it does not answer the opening commands.
        """
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


#: What is asked of an emulator.
Asking = Callable[[Session], Awaitable[None]]


async def converse(
    argv: Sequence[str],
    asking: Asking,
    reaper: Reaper,
    deadline: float,
    *,
    qtest: bool = False,
    quota: Quota | None = None,
    opening: Sequence[QmpCommand] = (),
    head_start: EmulatorProcess | None = None,
) -> Conversation:
    """Start an emulator, wait for its greeting, ask it, end it.

    Raises nothing for what the emulator does: why a conversation broke off is part of it
    (`Conversation.failed`), and what was said until then is kept.

    :param argv: The command line, with ``-qmp stdio`` in it.
    :param asking: What to ask; called with the session.
    :param reaper: Ends the emulator if this process goes away.
    :param deadline: The time of the event loop at which the emulator is given up.
    :param qtest: Add a qtest channel to the command line.
    :param quota: How much the emulator may send.
    :param opening: Commands that it is sent when it is started.
    :param head_start: An emulator that was started already; used if command line and opening are the same.
    """
    with contextlib.ExitStack() as stack:
        try:
            channel = Qtest() if qtest else None
        except OSError as error:  # no descriptor is left
            return Conversation.never(argv, f"not started: the qtest channel: {error.strerror}")
        if channel:
            stack.callback(channel.close)
            argv = [*argv, *channel.options]
        session = Session(program_name(argv), argv, quota, opening)
        session.qtest = channel
        failure: EmulatorError | None = None
        try:
            process = _process(argv, opening, reaper, channel, head_start)
            stack.callback(process.close)
            session.process = process
            async with process:
                failure = await _ask(session, asking, deadline)
                if failure:
                    process.abandon()
        except StartError as error:
            failure = error
        if session.process and session.process.returncode is None:
            failure = EndedError(
                f"{session.name} (process {session.process.pid}) does not end", "end it by hand"
            )
    session.record("proc", "exit", _ending(failure, session.process))
    return session.conversation


def _process(
    argv: Sequence[str],
    opening: Sequence[QmpCommand],
    reaper: Reaper,
    qtest: Qtest | None,
    head_start: EmulatorProcess | None,
) -> EmulatorProcess:
    """Return the emulator that was started already, if it is the same; else start one."""
    if head_start and (head_start.argv, head_start.opening) == (list(argv), encoded(opening)):
        return head_start
    return EmulatorProcess(argv, reaper, qtest.pass_fds if qtest else (), encoded(opening))


async def _ask(session: Session, asking: Asking, deadline: float) -> EmulatorError | None:
    """Ask the emulator, and return why the conversation broke off, if it did."""
    assert session.process
    try:
        async with asyncio.timeout_at(deadline):
            if session.qtest:
                await session.qtest.open(session.record)
            await session.connect(session.process.channel)
            await asking(session)
            with contextlib.suppress(EmulatorError):
                await session.ask("quit")
        odd = session.conversation.malformed
        if odd:
            return ProtocolFault(
                f"{session.name} answered {odd.command} with something else: {odd.malformed}"
            )
    except TimeoutError:
        return DeadlineError(
            f"{session.name} did not answer in time", "allow more time with --timeout SECONDS"
        )
    except EmulatorError as failure:
        return failure
    finally:
        await session.close()
    return None


def _ending(failure: EmulatorError | None, process: EmulatorProcess | None) -> dict[str, Any]:
    """Return how an emulator ended, for the last entry of its conversation."""
    ending: dict[str, Any] = {"rc": None, "stderr": "", "why": "", "hint": ""}
    if process:
        ending |= {"rc": process.returncode, "stderr": process.stderr, "killed": process.killed}
    if failure:
        ended = f" ({process.end})" if process and "ended" in failure.message and not process.killed else ""
        words = last_lines(process.stderr) if process else ""
        said = f": {words}" if words else ""
        ending |= {"why": f"{failure.message}{ended}{said}", "hint": failure.hint}
        ending["fault"] = type(failure).__name__
        ending["missing"] = isinstance(failure, StartError) and failure.missing
    return ending


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
    session = Session("the monitor")
    try:
        async with asyncio.timeout(timeout):
            try:
                channel = await connect(place)
            except OSError as error:
                raise SourceError(f"{address}: {_system_words(error)}", ADDRESS_HINT) from error
            await session.connect(channel)
            yield session
    except TimeoutError as error:
        raise DeadlineError(
            f"the monitor at {address} did not answer in time", "another client may be connected to it"
        ) from error
    finally:
        await session.close()


def _system_words(error: OSError) -> str:
    """Return the system's own words, without asyncio's."""
    if error.errno and error.errno > 0:
        return os.strerror(error.errno)
    return printable(error.strerror or str(error))
