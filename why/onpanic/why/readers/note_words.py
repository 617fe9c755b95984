"""A guest's last words by what its note is: Linux's vmcoreinfo, or the header of a Windows crash dump."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from onpanic.why.locating.processor_state import state_in_note
from onpanic.why.locating.unnoted_words import MemorySearch, find_note, unnoted_words
from onpanic.why.memory.reading import MemoryRange, Reading
from onpanic.why.windows.crash_header import is_crash_header
from onpanic.why.words.last_words import LastWords, WordsSource
from onpanic.why.words.linux_words import linux_words, vmcoreinfo_note
from onpanic.why.words.s390_wait import with_wait
from onpanic.why.words.windows_words import words_of_crash_note

__all__ = ("GuestDump", "words_of_dump", "words_of_note")

#: Said of a guest without the note.
_NO_NOTE = (
    "the guest was started without the vmcoreinfo device, or has not loaded its driver qemu_fw_cfg; "
    "onpanic why --search searches the dump"
)

_NO_LINUX = "there is no vmcoreinfo: no Linux has noted where its log is"


class GuestDump(Protocol):
    """What the headers of a dump say, see `onpanic.why.memory.elf_dump.ElfDump`."""

    @property
    def architecture(self) -> str:
        """As QEMU names it, e.g. ``x86_64``; empty if it is not known."""

    @property
    def byte_order(self) -> str:
        """``<`` or ``>``, as in `struct`."""

    @property
    def notes(self) -> dict[bytes, bytes]:
        """The content of the first note of each name."""

    @property
    def statuses(self) -> tuple[bytes, ...]:
        """The content of each CPU's NT_PRSTATUS."""


def words_of_dump(
    dump: GuestDump,
    source: WordsSource,
    ranges: Sequence[MemoryRange] = (),
    search: MemorySearch | None = None,
    otherwise: str = _NO_NOTE,
) -> "Reading[LastWords]":
    """Return a guest's last words by its dump's headers and its memory.

    :param dump: The headers.
    :param source: Where the memory comes from.
    :param ranges: Where the guest's memory is; only for a search.
    :param search: None if memory is not to be searched.
    :param otherwise: What is said if there is no note, and no other way to the kernel's vmcoreinfo.
    """
    note = yield from vmcoreinfo_note(dump.notes, dump.architecture)
    if note is None:
        if dump.architecture == "s390x":  # it has no vmcoreinfo device
            otherwise = _NO_LINUX
        found = yield from find_note(
            dump.architecture,
            state_in_note(dump.notes.get(b"QEMU", b"")),
            byte_order=dump.byte_order,
            ranges=ranges,
            search=search,
            otherwise=otherwise,
        )
        words = yield from unnoted_words(found, dump.architecture, dump.byte_order, source)
    else:
        words = yield from words_of_note(note, dump.architecture, dump.byte_order, source)
    return with_wait(words, dump.statuses) if dump.architecture == "s390x" else words


def words_of_note(
    note: bytes, architecture: str, byte_order: str, source: WordsSource
) -> "Reading[LastWords]":
    """Return a guest's last words by its note and its memory.

    :param note: The content of the ELF note VMCOREINFO.
    :param architecture: As QEMU names it.
    :param byte_order: ``<`` or ``>``, as in `struct`.
    :param source: Where the memory comes from.
    """
    if is_crash_header(note):
        words = yield from words_of_crash_note(note, source)
        return words if words.architecture else msgspec.structs.replace(words, architecture=architecture)
    return (yield from linux_words(note, architecture, byte_order, source))
