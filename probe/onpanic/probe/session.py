"""A QMP session with one emulator, written down as it goes.

`Session.ask` sends a command and returns what came back, an error included: a
refusal is an answer.  It raises only if there is no answer, and then says what
became of the emulator.

QMP itself is `qemu.qmp`'s.  Its client is subclassed at the hooks that it has for
this, so that the conversation holds every message in the order of the wire (a
guest's panic is told from silence by events that come before a reply) and so that
there is a bound on what an emulator may say.
"""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from qemu.qmp import ConnectError, ExecuteError, QMPClient
from qemu.qmp.message import Message

from .budget import MESSAGE_LIMIT, Budget
from .conversation import Conversation, Entry, Reply
from .errors import DeadlineError, EmulatorError, EndedError, ProtocolFault, StartError
from .foreign import last_words, printable
from .launch import Launched, name_of
from .lifeline import Lifeline
from .process import Process, running
from .qtest import Qtest

__all__ = ("Interview", "Questions", "Session", "attach", "converse")


class Questions:
    """Somebody to put QMP questions to, who writes everything down."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self._start = time.monotonic()

    async def ask(self, command: str, **arguments: Any) -> Reply:
        """Send a QMP command and return its answer, which may be a refusal.

        :param command: For example ``qom-list``.
        :param arguments: The command's arguments.
        :raise OnpanicError: When there is no answer.
        """
        raise NotImplementedError

    async def ask_all(self, *questions: tuple[str, dict[str, Any]]) -> list[Reply]:
        """Send several commands without waiting in between, and return their answers.  Raises as `ask` does.

        :param questions: Commands with their arguments, none of which changes what another one sees.
        """
        asking = [asyncio.create_task(self.ask(command, **arguments)) for command, arguments in questions]
        try:
            return [await task for task in asking]
        finally:
            for task in asking:
                task.cancel()
            await asyncio.gather(*asking, return_exceptions=True)

    async def hmp(self, line: str) -> Reply:
        """Send a line to the human monitor and return its answer.  Raises as `ask` does."""
        return await self.ask("human-monitor-command", **{"command-line": line})

    def heard(self, event: str) -> bool:
        """Return True if an event of this name has arrived."""
        return bool(Conversation(self.entries).events(event))

    def write_down(self, chan: Any, dir: Any, msg: Any) -> None:  # noqa: A002
        """Add an entry to the conversation."""
        self.entries.append(Entry(chan, dir, msg, round(time.monotonic() - self._start, 4)))


class Session(Questions):
    """A conversation that is going on.  `converse` and `attach` make one.

    :param argv: The command line, empty for a monitor that was already there.
    :param budget: How much it may say.
    """

    def __init__(self, argv: Sequence[str], budget: Budget | None = None) -> None:
        super().__init__()
        self.process: Process | None = None
        self.qtest: Qtest | None = None
        self.name = name_of(argv) if argv else "the monitor"
        self._client = _Client(self)
        self._budget = budget or Budget()
        if argv:
            self.write_down("proc", "argv", list(argv))

    async def ask(self, command: str, **arguments: Any) -> Reply:
        """Send a QMP command and return its answer, which may be a refusal.

        :param command: For example ``qom-list``.
        :param arguments: The command's arguments.
        :raise EndedError: When the emulator ended, or hung up, before it answered.
        :raise ProtocolFault: When what came back is not QMP, or too much.
        """
        sent = len(self.entries)
        try:
            value = await self._client.execute(command, arguments or None)
        except ExecuteError as refusal:
            answer: dict[str, Any] = {"error": {"class": refusal.error_class, "desc": str(refusal)}}
        except Exception as error:
            raise await self._explain(error, f"answering {command}") from error
        else:
            answer = {"return": value}
        return Reply.of(command, arguments, answer, sent, len(self.entries) - 1)

    def count(self, line: bytes) -> None:
        """Account for a message.  Raises `ProtocolFault` when it is too much."""
        try:
            self._budget.spend(line, len(self.entries))
        except ProtocolFault as fault:
            raise ProtocolFault(f"{self.name} {fault.message}", fault.hint) from fault

    async def connect(self, channel: Any) -> None:
        """Wait for the greeting and negotiate.

        :raise StartError: When it ends, hangs up, or says something else instead.
        """
        try:
            await self._client.connect(channel)
        except (ConnectError, AssertionError) as error:
            # qemu.qmp asserts where the connection is lost right after it was made
            cause = error.exc if isinstance(error, ConnectError) else error
            failure = await self._explain(cause, "its QMP greeting")
            raise StartError(failure.message, failure.hint) from error

    async def close(self) -> None:
        """Hang up.  Never raises, and never waits long."""
        with contextlib.suppress(Exception):
            async with asyncio.timeout(1):
                await self._client.disconnect()

    async def _explain(self, error: BaseException, doing: str) -> EmulatorError:
        """Turn whatever `qemu.qmp` raised into what became of the emulator."""
        cause = await self._cause(error)
        if isinstance(cause, EmulatorError):
            return cause
        process = self.process
        hint = "run the command by hand to see more" if process else "is it a QMP monitor, and not in use?"
        if not isinstance(cause, EOFError | OSError):
            last = self.entries[-1].msg if self.entries else ""
            said = printable(str(cause) or str(last), 200).removeprefix("Did not understand Greeting: ")
            return ProtocolFault(f"{self.name}: not QMP where {doing} was expected: {said}", hint)
        if process:
            with contextlib.suppress(TimeoutError):  # it hung up; most likely it is ending
                await asyncio.wait_for(process.exited.wait(), 0.5)
        ended = "ended" if process and process.exited.is_set() else "hung up"
        return EndedError(f"{self.name} {ended} before {doing}", hint)

    async def _cause(self, error: BaseException) -> BaseException:
        """Find the root: the reader's own exception comes out of `disconnect`."""
        try:
            async with asyncio.timeout(1):
                await self._client.disconnect()
        except Exception as root:  # noqa: BLE001
            return root
        while error.__cause__ is not None and not isinstance(error, EmulatorError):
            error = error.__cause__
        return error


#: What is asked of an emulator.
Interview = Callable[[Session], Awaitable[None]]


class _Client(QMPClient):
    """`qemu.qmp`'s client with every message written down and counted."""

    def __init__(self, session: Session) -> None:
        super().__init__(readbuflen=MESSAGE_LIMIT)
        self._session = session

    async def _readline(self) -> bytes:
        try:
            line = await super()._readline()
        except ValueError as error:  # asyncio's word for a line above the limit
            raise ProtocolFault(
                f"{self._session.name}: a message of more than {MESSAGE_LIMIT} bytes",
                "no QEMU sends one; see what the command prints when it is run by hand",
            ) from error
        self._session.count(line)
        return line

    def _cb_inbound(self, msg: Message) -> Message:
        self._session.write_down("qmp", "recv", dict(msg))
        return msg

    def _cb_outbound(self, msg: Message) -> Message:
        self._session.write_down("qmp", "send", dict(msg))
        return msg


async def converse(
    argv: Sequence[str],
    interview: Interview,
    lifeline: Lifeline,
    deadline: float,
    *,
    qtest: bool = False,
    budget: Budget | None = None,
    head_start: Launched | None = None,
) -> Conversation:
    """Start an emulator, greet it, interview it, end it.

    Never raises for what the emulator does: why a conversation broke off is part of
    it (`Conversation.failed`), and what was learnt until then is kept.

    :param argv: The command line, with ``-qmp stdio`` in it.
    :param interview: What to ask; called with the session.
    :param lifeline: Ends the emulator if this process goes away.
    :param deadline: The event loop's time at which the emulator is given up.
    :param qtest: Add a qtest channel to the command line.
    :param budget: How much the emulator may say.
    :param head_start: The emulator, if it was started with this very command line already.
    """
    channel = Qtest() if qtest else None
    argv = [*argv, *channel.options] if channel else argv
    session = Session(argv, budget)
    session.qtest = channel
    failure: EmulatorError | None = None
    process: Process | None = None
    try:
        ready = head_start if head_start and head_start.argv == argv else None
        with ready or Launched(argv, lifeline, channel.pass_fds if channel else ()) as launched:
            async with running(launched) as process:
                failure = await _interview(session, interview, process, launched.channel, deadline)
                if failure:
                    process.abandon()
        if launched.popen.returncode is None:
            failure = EndedError(
                f"{session.name} (process {launched.popen.pid}) does not end", "end it by hand"
            )
    except StartError as error:
        failure = error
    finally:
        if channel:
            channel.close()
    session.write_down("proc", "exit", _ending(failure, process))
    return Conversation(session.entries)


async def _interview(
    session: Session, interview: Interview, process: Process, channel: socket.socket, deadline: float
) -> EmulatorError | None:
    """Hold the conversation and return why it broke off, if it did."""
    session.process = process
    hanging_up = asyncio.create_task(_hang_up(process, channel))
    try:
        async with asyncio.timeout_at(deadline):
            if session.qtest:
                await session.qtest.open(session.write_down)
            await session.connect(channel)
            await interview(session)
            with contextlib.suppress(EmulatorError):
                await session.ask("quit")
            odd = Conversation(session.entries).malformed
            if odd:
                return ProtocolFault(
                    f"{session.name} answered {odd.command} with something else: {odd.malformed}"
                )
    except TimeoutError:
        return DeadlineError(
            f"{session.name} did not answer in time", "give it longer with --timeout SECONDS"
        )
    except EmulatorError as failure:
        return failure
    finally:
        hanging_up.cancel()
        await session.close()
    return None


async def _hang_up(process: Process, channel: socket.socket) -> None:
    """End the session with its process, even where a child still holds the channel open."""
    await process.exited.wait()
    await asyncio.sleep(0.05)  # what it said last is still to be read
    with contextlib.suppress(OSError):
        channel.shutdown(socket.SHUT_RDWR)


def _ending(failure: EmulatorError | None, process: Process | None) -> dict[str, Any]:
    """Say how it ended: the last entry of a conversation, with the emulator's own last words."""
    ending: dict[str, Any] = {"rc": None, "stderr": "", "why": "", "hint": ""}
    if process:
        ending |= {"rc": process.returncode, "stderr": process.stderr, "killed": process.killed}
    if failure:
        ended = f" ({process.end})" if process and "ended" in failure.message and not process.killed else ""
        words = last_words(process.stderr) if process else ""
        said = f": {words}" if words else ""
        ending |= {"why": f"{failure.message}{ended}{said}", "hint": failure.hint}
        ending["fault"] = type(failure).__name__
        ending["missing"] = isinstance(failure, StartError) and failure.missing
    return ending


@asynccontextmanager
async def attach(address: str | tuple[str, int], deadline: float) -> AsyncIterator[Session]:
    """Connect to the monitor of a running emulator; hang up on the way out.

    :param address: A UNIX socket's path, or host and port.
    :param deadline: The event loop's time at which the monitor is given up.
    :raise EmulatorError: When there is no monitor, or it does not answer.
    """
    session = Session([])
    try:
        async with asyncio.timeout_at(deadline):
            await session.connect(address)
            yield session
    except TimeoutError as error:
        raise DeadlineError(
            f"the monitor at {address} did not answer in time", "another client may hold it"
        ) from error
    finally:
        await session.close()
