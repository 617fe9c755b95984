"""Last words of a running QEMU's guest, through its QMP monitor."""

from collections.abc import Mapping
from typing import Any

import msgspec

from onpanic.core.errors import EmulatorError
from onpanic.core.untrusted import printable
from onpanic.probe.asking.session import Session, open_monitor
from onpanic.qmp.client import CommandError
from onpanic.why.kernel.kernel_memory import byte_order_of
from onpanic.why.kernel.vmcoreinfo import NOTE_NAME
from onpanic.why.locating.unnoted_words import MemorySearch, unnoted_words
from onpanic.why.memory.monitor_memory import MonitorCommands, MonitorMemory, monitor_memory
from onpanic.why.memory.reading import MemoryFault, areading
from onpanic.why.readers.machine_devices import machine_devices, no_note
from onpanic.why.readers.monitor_note import find_through_monitor
from onpanic.why.readers.note_words import words_of_dump
from onpanic.why.words.last_words import LastWords

__all__ = (
    "SessionCommands",
    "is_libvirts",
    "refused",
    "words_at_monitor",
    "words_of_session",
    "words_through_monitor",
)

_NOT_FOUND = (
    "the guest is running, and no processor's registers lead to its kernel's vmcoreinfo: "
    "try again, or search its memory"
)
_LIBVIRTS = (
    "this QEMU is libvirt's, which may crash if something else starts a dump; read the domain: "
    "onpanic why --domain NAME"
)
_LIBVIRT_MONITOR = "charmonitor"  # what every libvirt calls its own monitor of a QEMU
_READINGS = 3
_REFUSED = "if it was started with -preconfig, let it go on; is it older than QEMU 3.0?"


async def words_through_monitor(connection: MonitorCommands, search: MemorySearch | None = None) -> LastWords:
    """Read a guest's last words.

    The guest stays as it is.  A running one goes on while it is read.  The QEMU of a stopped one reports
    DUMP_COMPLETED to its monitors.

    :param connection: A connection to its QMP monitor.
    :param search: Whether memory is searched if there is no other way.
    :raise CommandError: When QEMU does not have a command that this needs.
    :raise ConnectionLostError: When there is no answer.
    """
    status = await connection.execute("query-status")
    async with monitor_memory(connection) as memory:
        if status.get("running"):
            return await _while_running(connection, memory, search)
        if await is_libvirts(connection):
            return LastWords(source="monitor", notes=(_LIBVIRTS,))
        try:
            dump = await memory.headers()
        except MemoryFault as fault:
            return LastWords(source="monitor", notes=(str(fault),))
        if NOTE_NAME in dump.notes:
            return await areading(words_of_dump(dump, "monitor"), memory.fetch)
        devices = await machine_devices(connection)
        if devices.encryption:
            return LastWords(architecture=dump.architecture, source="monitor", notes=(no_note(devices),))
        if dump.architecture == "s390x":  # has no such device
            return await areading(words_of_dump(dump, "monitor"), memory.fetch)
        found = await find_through_monitor(
            connection,
            memory,
            dump.architecture,
            byte_order=dump.byte_order,
            search=search,
            otherwise=no_note(devices),
        )
        reading = unnoted_words(found, dump.architecture, dump.byte_order, "monitor")
        return await areading(reading, memory.fetch)


async def is_libvirts(connection: MonitorCommands) -> bool:
    """Return whether libvirt has started a QEMU, so that only libvirt may dump its guest.

    :param connection: A connection to its QMP monitor.
    :raise ConnectionLostError: When there is no answer.
    """
    try:
        devices = await connection.execute("query-chardev")
    except CommandError:  # it may be forbidden
        return False
    found = devices if isinstance(devices, list) else []
    return any(isinstance(device, dict) and device.get("label") == _LIBVIRT_MONITOR for device in found)


async def _while_running(
    connection: MonitorCommands, memory: MonitorMemory, search: MemorySearch | None
) -> LastWords:
    """Read a guest that QEMU would stop to write the note, so that its kernel is found by a processor."""
    devices = await machine_devices(connection)
    architecture = str((await connection.execute("query-target")).get("arch", ""))
    if devices.encryption:
        return LastWords(architecture=architecture, source="monitor", torn=True, notes=(no_note(devices),))
    memory.byte_order = byte_order = byte_order_of(architecture)
    found = await find_through_monitor(
        connection, memory, architecture, byte_order=byte_order, search=search, otherwise=_NOT_FOUND
    )
    previous = None
    for _ in range(_READINGS):  # the log may change under the reader; two equal readings are better than one
        words = await areading(unnoted_words(found, architecture, byte_order, "monitor"), memory.fetch)
        if words.lines == previous or found.text is None:
            break
        previous = words.lines
    return msgspec.structs.replace(words, torn=True)


async def words_at_monitor(address: str, timeout: float = 10.0) -> LastWords:  # noqa: ASYNC109
    """Connect to a QMP monitor and read its guest's last words, see `words_through_monitor`.

    :param address: A UNIX socket's path, or ``host:port``.
    :param timeout: Seconds that connecting and reading may take.
    :raise UsageError: When that is not an address.
    :raise SourceError: When nothing listens there.
    :raise EmulatorError: When what listens does not answer in time, or not in QMP.
    """
    async with open_monitor(address, timeout) as session:
        return await words_of_session(session)


async def words_of_session(session: Session, search: MemorySearch | None = None) -> LastWords:
    """Read a guest's last words, see `words_through_monitor`.

    :param session: A session with its QMP monitor.
    :param search: Whether memory is searched if there is no other way.
    :raise EmulatorError: When the monitor does not answer.
    """
    try:
        return await words_through_monitor(SessionCommands(session), search)
    except CommandError as error:
        raise refused(error) from error


def refused(error: CommandError) -> EmulatorError:
    """Return the error for a QEMU that lacks a command, or does not take it yet."""
    return EmulatorError(f"QEMU refuses to tell of its guest: {printable(error.desc, 200)}", _REFUSED)


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
