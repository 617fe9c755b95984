"""Last words of a running QEMU's guest, through its QMP monitor."""

from collections.abc import Mapping
from typing import Any

from onpanic.probe.asking.session import Session
from onpanic.qmp.client import CommandError
from onpanic.why.last_words import LastWords
from onpanic.why.memory.monitor_memory import MonitorCommands, monitor_memory
from onpanic.why.memory.reading import MemoryFault, areading
from onpanic.why.note_words import words_of_dump

__all__ = ("SessionCommands", "words_of_session", "words_through_monitor")

_RUNNING = "the guest is running; only a guest that has stopped is read, unless its memory is searched"


async def words_through_monitor(connection: MonitorCommands) -> LastWords:
    """Read a stopped guest's last words.

    The guest stays as it is.  Its QEMU reports DUMP_COMPLETED to its monitors.

    :param connection: A connection to its QMP monitor.
    :raise CommandError: When QEMU does not have a command that this needs.
    :raise ConnectionLostError: When there is no answer.
    """
    status = await connection.execute("query-status")
    if status.get("running"):
        return LastWords(source="monitor", torn=True, notes=(_RUNNING,))
    async with monitor_memory(connection) as memory:
        try:
            dump = await memory.headers()
        except MemoryFault as fault:
            return LastWords(source="monitor", notes=(str(fault),))
        return await areading(words_of_dump(dump, "monitor"), memory.fetch)


async def words_of_session(session: Session) -> LastWords:
    """Read a stopped guest's last words, see `words_through_monitor`.

    :param session: A session with its QMP monitor.
    :raise EmulatorError: When the monitor does not answer.
    """
    return await words_through_monitor(SessionCommands(session))


class SessionCommands:
    """A session's monitor, see `MonitorCommands`.

    :param session: The session.
    """

    def __init__(self, session: Session) -> None:
        self.send_descriptor = session.send_descriptor
        self._session = session

    async def execute(self, command: str, arguments: Mapping[str, Any] | None = None) -> Any:
        """Send a command and return what it returns.

        :raise CommandError: When it is refused, or its answer is not what the command returns.
        :raise EmulatorError: When there is no answer.
        """
        reply = await self._session.ask(command, **arguments or {})
        if reply.refusal:
            raise CommandError(reply.refusal.error_class, reply.refusal.desc)
        if reply.malformed:
            raise CommandError("GenericError", f"answered {reply.malformed}")
        return reply.value
