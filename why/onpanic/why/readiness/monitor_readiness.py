"""Whether a panic of a guest would be reported and could be read, asked through QEMU's monitor."""

from onpanic.probe.asking.session import Session
from onpanic.qmp.client import CommandError
from onpanic.why.kernel.kernel_memory import byte_order_of
from onpanic.why.kernel.vmcoreinfo import NOTE_NAME
from onpanic.why.locating.unnoted_words import FoundNote, unnoted_words
from onpanic.why.memory.monitor_memory import MonitorCommands, MonitorMemory, monitor_memory
from onpanic.why.memory.reading import MemoryFault, areading
from onpanic.why.readers.from_monitor import SessionCommands, is_libvirts, refused
from onpanic.why.readers.machine_devices import machine_devices, no_note
from onpanic.why.readers.monitor_note import find_through_monitor
from onpanic.why.readers.note_words import words_of_note
from onpanic.why.readiness.assessment import SeenGuest, assess
from onpanic.why.readiness.guest_kernel import GuestKernel, guest_kernel
from onpanic.why.readiness.readiness_result import Readiness
from onpanic.why.windows.crash_header import is_crash_header
from onpanic.why.words.last_words import LastWords

__all__ = ("readiness_of_session", "readiness_through_monitor")

_WINDOWS = "of a Windows only the header of its crash dump is read"
_NO_STATE = "no processor's registers lead to a Linux kernel's vmcoreinfo"


async def readiness_through_monitor(connection: MonitorCommands) -> Readiness:
    """Return whether a panic of a guest would be reported and could be read.

    Nothing is changed; a running guest goes on.

    :param connection: A connection to its QMP monitor.
    :raise CommandError: When QEMU does not have a command that this needs.
    :raise ConnectionLostError: When there is no answer.
    """
    running = bool((await connection.execute("query-status")).get("running"))
    architecture = str((await connection.execute("query-target")).get("arch", ""))
    devices = await machine_devices(connection)
    if devices.encryption:
        nothing = LastWords(architecture=architecture, source="monitor", notes=(no_note(devices),))
        return assess(SeenGuest(running, architecture, devices, None, False, GuestKernel(), nothing))
    byte_order = byte_order_of(architecture)
    async with monitor_memory(connection, byte_order) as memory:
        may_dump = not running and not await is_libvirts(connection)
        noted = await _note(memory) if may_dump else None
        if noted is not None and is_crash_header(noted):
            found = FoundNote(None, (_WINDOWS,))
        elif noted is not None:
            found = FoundNote(noted, ())
        else:
            found = await find_through_monitor(
                connection, memory, architecture, byte_order=byte_order, otherwise=_NO_STATE
            )
        reading = unnoted_words(found, architecture, byte_order, "monitor")
        if noted is not None:
            reading = words_of_note(noted, architecture, byte_order, "monitor")
        words = await areading(reading, memory.fetch)
        kernel = GuestKernel(unknown=" ".join(found.notes))
        if found.text is not None:
            kernel = await areading(guest_kernel(found.text, architecture, byte_order), memory.fetch)
    has_note = bool(noted) if may_dump else None
    return assess(SeenGuest(running, architecture, devices, found.text, has_note, kernel, words))


async def readiness_of_session(session: Session) -> Readiness:
    """Return whether a panic would be reported and could be read, see `readiness_through_monitor`.

    :param session: A session with the guest's QMP monitor.
    :raise EmulatorError: When the monitor does not answer.
    """
    try:
        return await readiness_through_monitor(SessionCommands(session))
    except CommandError as error:
        raise refused(error) from error


async def _note(memory: MonitorMemory) -> bytes | None:
    """Return the note that a dump of a stopped guest has."""
    try:
        return (await memory.headers()).notes.get(NOTE_NAME)
    except MemoryFault:
        return None
