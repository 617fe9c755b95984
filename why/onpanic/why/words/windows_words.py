"""A Windows guest's last words: its bugcheck.

The tests compare it with what QEMU's ``win-dmp`` makes of the same memory, which is built by hand: no real
Windows was read.
"""

from collections.abc import Sequence

from onpanic.why.kernel.virtual_memory import VirtualMemory
from onpanic.why.kernel.x86_64 import ADDRESS_BITS, walk_page_tables
from onpanic.why.memory.reading import MemoryFault, MemoryRange, Reading, paged, unpack
from onpanic.why.windows.bugcheck_names import bugcheck_details, bugcheck_reason
from onpanic.why.windows.crash_header import CrashHeader, read_crash_header
from onpanic.why.words.last_words import LastWords, WordsSource

__all__ = ("words_of_crash_file", "words_of_crash_note")

_LIVE = 0x161  # what a dump of a Windows that has not crashed has
_UNSET = 0x4547_4150  # "PAGE", which Windows fills a header with
_NO_BUGCHECK = "Windows has stored no bugcheck: it has not crashed, or not come that far"

# Offsets in KDDEBUGGER_DATA64, which a 32-bit Windows has as well
_OWNER_TAG, _BUGCHECK_DATA = 0x10, 0x88


def words_of_crash_file(start: bytes) -> LastWords:
    """Return the bugcheck in the header of a crash dump, which Windows or QEMU has completed.

    :param start: The first bytes of the file.
    :raise MemoryFault: When the header is incomplete.
    """
    header = read_crash_header(start)
    return _words(header, header.code, header.parameters, "windows-dump")


def words_of_crash_note(note: bytes, source: WordsSource) -> "Reading[LastWords]":
    """Return the bugcheck of a Windows whose driver for fw_cfg has made the note.

    The header in the note was made before the bugcheck, so that its code means nothing, and its first
    parameter is the address of a readable copy of KdDebuggerDataBlock.  The bugcheck is where that points to.

    :param note: The content of the ELF note VMCOREINFO.
    :param source: Where the memory comes from.
    """
    try:
        header = read_crash_header(note)
    except MemoryFault as fault:
        return LastWords(guest="windows", source=source, notes=(f"the note cannot be read: {fault}",))
    try:
        code, *parameters = yield from paged(_stored_bugcheck(header))
    except MemoryFault as fault:
        return _words(header, 0, (), source, f"the bugcheck cannot be read: {fault}")
    return _words(header, code, parameters, source)


def _words(
    header: CrashHeader, code: int, parameters: Sequence[int], source: WordsSource, note: str = _NO_BUGCHECK
) -> LastWords:
    release = f"build {header.build}" if 0 < header.build < 1 << 24 else ""
    if code in (0, _UNSET, _LIVE):
        return LastWords(
            guest="windows", architecture=header.machine, release=release, source=source, notes=(note,)
        )
    return LastWords(
        guest="windows",
        architecture=header.machine,
        release=release,
        source=source,
        panicked=True,
        kind="bugcheck",
        reason=bugcheck_reason(code),
        details=bugcheck_details(code, parameters),
    )


def _stored_bugcheck(header: CrashHeader) -> "Reading[tuple[int, ...]]":
    """Return the code and the parameters that the kernel has stored."""
    memory = VirtualMemory(_KernelTables(header))
    for place in (header.debugger_data, header.parameters[0]):
        try:
            tag = yield from memory.read(place + _OWNER_TAG, 4)
        except MemoryFault:
            continue
        if tag == b"KDBG":
            break
    else:
        raise MemoryFault("the kernel's KdDebuggerDataBlock is not where the note says")
    pointer = yield from memory.integer(place + _BUGCHECK_DATA)
    content = yield from memory.read(pointer, 40 if header.wide else 20)
    code, *parameters = unpack("<5Q" if header.wide else "<5I", content)
    return (code & 0xFFFF_FFFF, *parameters)


class _KernelTables:
    """Translates addresses by the page tables of a Windows kernel, see `Translator`.

    :raise MemoryFault: When its page tables are of a kind that cannot be read.
    """

    def __init__(self, header: CrashHeader) -> None:
        kind = (header.machine, header.wide, header.pae)
        if kind not in (("x86_64", True, False), ("i386", False, True)):
            raise MemoryFault(
                f"the page tables of this Windows on {header.machine or 'this machine'} are not known"
            )
        self._wide = header.wide
        self._root = header.page_tables & (~0xFFF if header.wide else ~0x1F)

    def translate(self, address: int) -> "Reading[MemoryRange]":
        """Return where an address is; a 32-bit one may be sign-extended."""
        levels, inside = (4, address) if self._wide else (3, address & 0xFFFF_FFFF)
        return (yield from walk_page_tables(self._root, levels, ADDRESS_BITS, inside))
