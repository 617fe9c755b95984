"""Finding a kernel's vmcoreinfo through QEMU's monitor where there is no note of it."""

import asyncio

from onpanic.qmp.client import CommandError
from onpanic.why.locating.processor_state import find_by_processor, state_in_registers, text_address
from onpanic.why.locating.unnoted_words import (
    BY_POINTERS,
    FIND_BYTES,
    FIND_FETCHES,
    FoundNote,
    MemorySearch,
    find_note,
)
from onpanic.why.locating.virtual_note import image_reading
from onpanic.why.memory.monitor_memory import MonitorCommands, MonitorMemory
from onpanic.why.memory.reading import MemoryFault, areading, paged
from onpanic.why.readers.machine_devices import memory_ranges

__all__ = ("find_through_monitor",)

_ATTEMPTS = 10  # a processor may carry out a program, whose page tables may not have the kernel
_ONLY_PRINTED = (
    "there is no vmcoreinfo, and the memory cannot be searched, since QEMU can only print it: "
    "use a monitor on a UNIX socket, or search a dump"
)
_PAUSE = 0.02  # seconds
_PROGRAMS = ("aarch64",)  # architectures whose registers lead to the kernel only while it runs


async def find_through_monitor(
    connection: MonitorCommands,
    memory: MonitorMemory,
    architecture: str,
    *,
    byte_order: str = "<",
    search: MemorySearch | None = None,
    otherwise: str,
) -> FoundNote:
    """Return the vmcoreinfo of a guest without the note, whether it runs or not.

    :param connection: A connection to its QMP monitor.
    :param memory: The guest's memory, through the same connection.
    :param architecture: As QEMU names it.
    :param byte_order: ``<`` or ``>``, as in `struct`.
    :param search: None if memory is not to be searched.
    :param otherwise: What is said if there is no vmcoreinfo.
    :raise ConnectionLostError: When there is no answer.
    """
    registers = ""
    for attempt in range(_ATTEMPTS):
        if attempt:
            await asyncio.sleep(_PAUSE)
        registers = await _registers(connection)
        state, text = state_in_registers(registers), text_address(registers, architecture)
        try:
            if state is not None:
                reading = paged(find_by_processor(state), max_bytes=FIND_BYTES, max_fetches=FIND_FETCHES)
                return FoundNote(await areading(reading, memory.fetch), (BY_POINTERS,))
            if text is not None:
                return FoundNote(await areading(image_reading(text), memory.virtual), (BY_POINTERS,))
        except MemoryFault:
            continue
        if architecture not in _PROGRAMS:
            break
    ranges = await memory_ranges(connection) if search else []
    if ranges and not await memory.can_be_searched(ranges[0].address):
        search, otherwise = None, _ONLY_PRINTED
    finding = find_note(
        architecture,
        state_in_registers(registers) if search else None,
        byte_order=byte_order,
        ranges=ranges,
        search=search,
        otherwise=otherwise,
    )
    return await areading(finding, memory.fetch)


async def _registers(connection: MonitorCommands) -> str:
    """Return what QEMU prints of the registers of the first processor; empty if it refuses."""
    try:
        line = {"command-line": "info registers"}
        return str(await connection.execute("human-monitor-command", line))
    except CommandError:
        return ""
