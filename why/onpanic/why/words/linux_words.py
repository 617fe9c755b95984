"""A Linux guest's last words, from its vmcoreinfo and its memory."""

from collections.abc import Mapping
from contextlib import suppress

from msgspec.structs import replace

from onpanic.why.kernel.kernel_memory import kernel_memory
from onpanic.why.kernel.s390x import note_in_lowcore
from onpanic.why.kernel.vmcoreinfo import NOTE_NAME, VmcoreInfo
from onpanic.why.kernel.x86_image import with_phys_base
from onpanic.why.kernel_log.kernel_panic import find_panic
from onpanic.why.kernel_log.log_buffer import has_log_buffer, read_log_buffer
from onpanic.why.kernel_log.log_record import LogRecord
from onpanic.why.kernel_log.log_text import log_lines
from onpanic.why.kernel_log.printk_ring import read_printk_ring
from onpanic.why.memory.reading import MemoryFault, Reading, paged
from onpanic.why.words.last_words import LastWords, WordsSource

__all__ = ("linux_words", "vmcoreinfo_note")

#: How many records of the log are read.
_MAX_RECORDS = 1 << 16


def vmcoreinfo_note(notes: Mapping[bytes, bytes], architecture: str) -> "Reading[bytes | None]":
    """Return the content of a kernel's vmcoreinfo; None if there is none.

    :param notes: The notes that a dump of the guest has.
    :param architecture: As QEMU names it.
    """
    note = notes.get(NOTE_NAME)
    if note is None and architecture == "s390x":
        with suppress(MemoryFault):
            note = yield from paged(note_in_lowcore())
    return note


def linux_words(note: bytes, architecture: str, byte_order: str, source: WordsSource) -> "Reading[LastWords]":
    """Return a Linux guest's last words, with all lines that were read.  Handles every fault of memory.

    :param note: The content of the ELF note VMCOREINFO.
    :param architecture: As QEMU names it.
    :param byte_order: ``<`` or ``>``, as in `struct`.
    :param source: Where the memory comes from.
    """
    info = VmcoreInfo(note)
    words = LastWords(guest="linux", architecture=architecture, release=info.release, source=source)
    try:
        records = yield from paged(_read_log(info, architecture, byte_order))
    except MemoryFault as fault:
        return replace(words, notes=(f"the kernel's log cannot be read: {fault}",))
    words = replace(words, lines=tuple(log_lines(records)))
    panic = find_panic(records)
    return words if panic is None else replace(words, panicked=True, **panic._asdict())


def _read_log(info: VmcoreInfo, architecture: str, byte_order: str) -> "Reading[list[LogRecord]]":
    if architecture == "x86_64":
        info = yield from with_phys_base(info)
    memory = kernel_memory(info, architecture, byte_order)
    read = read_log_buffer if has_log_buffer(info) else read_printk_ring
    return (yield from read(info, memory, _MAX_RECORDS))
