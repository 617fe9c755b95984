"""An x86_64 processor's control registers, which lead to its kernel's memory.

QEMU prints them (``info registers``), and a dump has them in its notes.  Sources: QEMU's
target/i386/cpu-dump.c and `QEMUCPUState` in target/i386/arch_dump.c; Intel's Software Developer's Manual,
volume 3, "Control Registers"; Linux's arch/x86/entry/calling.h for page-table isolation.
"""

import re
import struct
from typing import NamedTuple

from onpanic.why.kernel.virtual_memory import VirtualMemory
from onpanic.why.kernel.x86_64 import ADDRESS_BITS, walk_page_tables
from onpanic.why.locating.kernel_pointers import find_by_pointers
from onpanic.why.memory.reading import MemoryFault, MemoryRange, Reading

__all__ = (
    "ProcessorState",
    "find_by_processor",
    "kernel_of",
    "state_in_note",
    "state_in_registers",
    "text_address",
)

_FIVE_LEVELS = 1 << 12  # of CR4
_USER_TABLE = 1 << 12  # of CR3: with page-table isolation, a program's page tables are next to the kernel's
_REGISTER = r"\b{}=\s*([0-9a-f]{{8,16}})\b"

_KERNEL = 1 << 63  # addresses from here on are the kernel's
#: The program counter; the address of the handler of exceptions.
_TEXT = {"aarch64": r"^\s*PC=([0-9a-f]{16})\b", "riscv64": r"^\s*stvec\s+([0-9a-f]{16})\b"}


class ProcessorState(NamedTuple):
    """The registers of a processor in 64-bit mode.

    :param cr3: The physical address of its page tables.
    :param cr4: Its extensions.
    :param idt: The virtual address of its interrupt descriptor table.
    """

    cr3: int
    cr4: int
    idt: int


class ProcessorTranslator:
    """Translates addresses as a processor does, see `onpanic.why.kernel.virtual_memory.Translator`.

    :param cr3: The physical address of its page tables.
    :param cr4: Its extensions.
    """

    def __init__(self, cr3: int, cr4: int) -> None:
        self._root = cr3 & ADDRESS_BITS
        self._levels = 5 if cr4 & _FIVE_LEVELS else 4

    def translate(self, address: int) -> "Reading[MemoryRange]":
        """Return where an address is, see `Translator`."""
        return walk_page_tables(self._root, self._levels, ADDRESS_BITS, address)


def state_in_registers(text: str) -> ProcessorState | None:
    """Return the state of the processor whose registers QEMU prints; None if it is no x86_64 one.

    :param text: What ``info registers`` prints.
    """
    found = [re.search(_REGISTER.format(name), text) for name in ("CR3", "CR4", "IDT")]
    if not all(found) or "RIP=" not in text:
        return None
    return ProcessorState(*(int(match[1], 16) for match in found if match))


def text_address(registers: str, architecture: str) -> int | None:
    """Return an address in the text of the kernel that a processor of aarch64 or riscv64 runs.

    :param registers: What ``info registers`` prints.
    :param architecture: As QEMU names it.
    :return: None if it runs a program, or is of another architecture.
    """
    match = re.search(_TEXT[architecture], registers, re.MULTILINE) if architecture in _TEXT else None
    address = int(match[1], 16) if match else 0
    return address if address >= _KERNEL else None


def state_in_note(content: bytes) -> ProcessorState | None:
    """Return the state of a processor in a dump; None if it is no x86_64 one.

    :param content: The content of an ELF note ``QEMU``.
    """
    try:
        version, size = struct.unpack_from("<II", content, 0)
        (idt,) = struct.unpack_from("<Q", content, 384)
        cr3, cr4 = struct.unpack_from("<QQ", content, 416)
    except struct.error:
        return None
    return ProcessorState(cr3, cr4, idt) if version == 1 and size == len(content) else None


def find_by_processor(state: ProcessorState) -> "Reading[bytes]":
    """Return the vmcoreinfo of the kernel that a processor runs, see `find_by_pointers`.

    :raise MemoryFault: When it is not found.
    """
    try:
        return (yield from find_by_pointers(kernel_of(state), state.idt))
    except MemoryFault:
        if not state.cr3 & _USER_TABLE:
            raise
    return (yield from find_by_pointers(kernel_of(state, isolated=True), state.idt))


def kernel_of(state: ProcessorState, *, isolated: bool = False) -> VirtualMemory:
    """Return the memory that a processor sees.

    :param isolated: True for the kernel's page tables where those in use are a program's.
    """
    return VirtualMemory(ProcessorTranslator(state.cr3 & ~_USER_TABLE if isolated else state.cr3, state.cr4))
