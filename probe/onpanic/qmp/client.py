"""A QMP connection.

`qemu.qmp` implements the protocol.  Its client is subclassed at the hooks that it provides, so that a
recorder sees every message in the order of the wire (whether a panic was reported is decided by the
events that come before an answer), and so that a message that is too long ends the connection.
"""

import asyncio
import re
import socket
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from qemu.qmp import ConnectError, ExecuteError, QMPClient, QMPError, Runstate
from qemu.qmp.message import Message

from onpanic.core.errors import ProtocolFault
from onpanic.core.tasks import finish
from onpanic.core.untrusted import printable
from onpanic.qmp.quota import MESSAGE_LIMIT

__all__ = ("CommandError", "ConnectionLostError", "MessageRecorder", "QmpClient")

_CLOSING = 1.0  # seconds that closing may take
_HMP_GREETING = re.compile(rb"QEMU .{1,100} monitor - type 'help'")


class CommandError(Exception):
    """A command was refused.

    :param error_class: QMP's error class, e.g. ``CommandNotFound``.
    :param desc: The description, in QEMU's words.
    """

    def __init__(self, error_class: str, desc: str) -> None:
        super().__init__(desc)
        self.error_class = error_class
        self.desc = desc


class ConnectionLostError(Exception):
    """There is no answer: the connection has ended, or what came is not QMP.

    :param cause: An `EOFError` or `OSError` for a connection that has ended, a `ProtocolFault` for a message
        that the recorder or the limit rejected, else the exception of `qemu.qmp` about the message.
    """

    def __init__(self, cause: BaseException) -> None:
        super().__init__(str(cause))
        self.cause = cause


class MessageRecorder(Protocol):
    """Sees every message of a connection, in the order of the wire."""

    def count(self, line: bytes) -> None:
        """Count a message before it is parsed.  Raises `ProtocolFault` to end the connection."""

    def sent(self, message: dict[str, Any]) -> None:
        """Record a message that is sent."""

    def received(self, message: dict[str, Any]) -> None:
        """Record a greeting, an answer or an event."""


class QmpClient:
    """One QMP connection.  Commands may be sent concurrently.

    :param name: The other side's name in error messages.
    :param recorder: Sees every message; None to keep nothing.
    :param on_event: Called with each event, in the order of the wire.
    :param sent_before: The prefix of the ids of commands that were sent by other means; their answers
        are only recorded.
    """

    def __init__(
        self,
        name: str,
        recorder: MessageRecorder | None = None,
        on_event: Callable[[dict[str, Any]], None] | None = None,
        sent_before: str = "",
    ) -> None:
        self._client = _Client(name, recorder, on_event, sent_before)
        self._channel: socket.socket | None = None
        self._attempts = 3  # to disconnect, since a cancellation interrupts one

    async def connect(self, channel: socket.socket, *, negotiate: bool = True) -> None:
        """Wait for the greeting and negotiate capabilities.

        :param channel: A connected socket; `close` closes it.
        :param negotiate: False if the negotiation was sent already.
        :raise ConnectionLostError: When the other side ends the connection, or does not speak QMP.
        """
        self._channel = channel
        channel.setblocking(False)
        self._client.negotiate = negotiate
        try:
            await self._client.connect(channel)
        except (ConnectError, AssertionError) as error:
            # qemu.qmp asserts where the connection is lost right after it was made
            cause = error.exc if isinstance(error, ConnectError) else error
            raise ConnectionLostError(await self._root(cause)) from error

    async def execute(self, command: str, arguments: Mapping[str, Any] | None = None) -> Any:
        """Send a command and return what it returns.

        :param command: For example ``qom-list``.
        :param arguments: The command's arguments.
        :raise CommandError: When it is refused.
        :raise ConnectionLostError: When there is no answer.
        """
        try:
            return await self._client.execute(command, arguments or None)
        except ExecuteError as error:
            raise CommandError(error.error_class, str(error)) from error
        except Exception as error:
            raise ConnectionLostError(await self._root(error)) from error

    def send_descriptor(self, descriptor: int) -> None:
        """Send a file descriptor, for a command such as ``getfd`` that is sent next.

        :param descriptor: It stays open here.
        :raise OSError: When the connection is no UNIX socket, or has ended.
        """
        try:
            self._client.send_fd_scm(descriptor)
        except QMPError as error:
            raise OSError(str(error)) from error

    @property
    def connected(self) -> bool:
        """True while commands can be sent."""
        return self._client.runstate == Runstate.RUNNING

    async def wait_closed(self) -> None:
        """Return when the connection has ended."""
        while self.connected:
            await self._client.runstate_changed()

    async def close(self) -> None:
        """End the connection within a second.  Raises nothing, and leaves no task, even if cancelled."""
        if self._channel is None:
            return
        try:
            while self._client.runstate != Runstate.IDLE and self._attempts:
                self._attempts -= 1
                await finish(self._client.disconnect(), _CLOSING)
        finally:
            self._channel.close()

    async def _root(self, error: BaseException) -> BaseException:
        """Return why the connection was lost: the reader's own exception comes out of ``disconnect``."""
        ending = asyncio.ensure_future(self._client.disconnect())
        await finish(ending, _CLOSING)
        root = ending.exception() if ending.done() and not ending.cancelled() else None
        if root and not isinstance(root, AssertionError):  # qemu.qmp's, where two commands have failed
            return root
        while error.__cause__ is not None and not isinstance(error, ProtocolFault):
            error = error.__cause__
        return error


class _Client(QMPClient):
    """`qemu.qmp`'s client, with every message recorded and counted."""

    def __init__(
        self,
        name: str,
        recorder: MessageRecorder | None,
        on_event: Callable[[dict[str, Any]], None] | None,
        sent_before: str,
    ) -> None:
        super().__init__(readbuflen=MESSAGE_LIMIT)
        self._sent_before = sent_before
        self._peer = name
        self._greeted = False
        self._recorder = recorder
        self._on_event = on_event

    async def _readline(self) -> bytes:
        try:
            line = await super()._readline()
        except ValueError as error:  # asyncio's, of a line above the limit
            raise ProtocolFault(
                f"{self._peer}: a message of more than {MESSAGE_LIMIT} bytes",
                "no QEMU sends one; run the command by hand to see what it prints",
            ) from error
        if not self._greeted and _HMP_GREETING.match(line):
            said = printable(line.decode("ascii", "replace").strip())
            raise ProtocolFault(
                f"{self._peer} answers as a human monitor (HMP), not QMP: {said}",
                "name the address of QEMU's -qmp, not of its -monitor",
            )
        self._greeted = True
        if self._recorder:
            self._recorder.count(line)
        return line

    def _cb_inbound(self, msg: Message) -> Message:
        if self._recorder:
            self._recorder.received(dict(msg))
        if "event" in msg and self._on_event:
            self._on_event(dict(msg))
        return msg

    async def _on_message(self, msg: Message) -> None:
        sent_before = self._sent_before and str(msg.get("id", "")).startswith(self._sent_before)
        if not sent_before and "event" not in msg:  # qemu.qmp keeps every event as long as it is connected
            await super()._on_message(msg)

    def _cb_outbound(self, msg: Message) -> Message:
        if self._recorder:
            self._recorder.sent(dict(msg))
        return msg

    def _do_send(self, msg: Message) -> None:
        # qemu.qmp does not end messages, as QEMU needs no end; a wrapper that reads lines would wait for it
        assert self._writer is not None
        self._writer.write(bytes(msg) + b"\r\n")
