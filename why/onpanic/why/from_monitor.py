"""Last words of a running QEMU's guest, through its QMP monitor."""

from onpanic.why.from_dump import NO_NOTE
from onpanic.why.kernel.vmcoreinfo import NOTE_NAME
from onpanic.why.last_words import LastWords
from onpanic.why.linux_words import linux_words
from onpanic.why.memory.monitor_memory import MonitorCommands, monitor_memory
from onpanic.why.memory.reading import MemoryFault, areading

__all__ = ("words_through_monitor",)

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
        note = dump.notes.get(NOTE_NAME)
        if note is None:
            return LastWords(architecture=dump.architecture, source="monitor", notes=(NO_NOTE,))
        return await areading(linux_words(note, dump.architecture, dump.byte_order, "monitor"), memory.fetch)
