"""The last words of a Linux guest of whose vmcoreinfo QEMU has no note."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from onpanic.why.locating.processor_state import ProcessorState, find_by_processor
from onpanic.why.locating.vmcoreinfo_search import VmcoreInfoSearch, search_memory
from onpanic.why.memory.reading import MemoryFault, MemoryRange, Reading, paged
from onpanic.why.words.last_words import LastWords, WordsSource
from onpanic.why.words.linux_words import linux_words, vmcoreinfo_note

__all__ = (
    "BY_POINTERS",
    "FIND_BYTES",
    "FIND_FETCHES",
    "FoundNote",
    "MemorySearch",
    "find_note",
    "unnoted_words",
)

#: How much memory finding the kernel's pointers may fetch, in bytes: an image of 128 MiB and page tables.
FIND_BYTES = 160 << 20

#: How many ranges it may fetch; 70 were enough for every kernel that was tried.
FIND_FETCHES = 1000

#: Said of a vmcoreinfo that was found without a note and without a search.
BY_POINTERS = "the vmcoreinfo was found by the kernel's own pointers, not in QEMU's note"
_BY_SEARCH = "the vmcoreinfo was found by a search of the guest's memory, not in QEMU's note"
_NO_RANGES = "where the guest's memory is, is not known, so that it cannot be searched: search its dump"
_NOWHERE = "there is no vmcoreinfo in the guest's memory: it runs no Linux, or its memory is encrypted"
_UNCONFIRMED = (
    "no processor is known to run this kernel: it may be of an earlier boot, or a program's forgery"
)


class MemorySearch(NamedTuple):
    """The wish to search all of a guest's memory.

    :param report: Called with what the search costs, and how far it is: for the operator to read.
    """

    report: Callable[[str], None]


class FoundNote(NamedTuple):
    """What takes the place of the note.

    :param text: The vmcoreinfo; None if it was not found.
    :param notes: How it was found, or why it was not, a sentence each.
    """

    text: bytes | None
    notes: tuple[str, ...]


def find_note(
    architecture: str,
    state: ProcessorState | None,
    *,
    byte_order: str = "<",
    ranges: Sequence[MemoryRange] = (),
    search: MemorySearch | None = None,
    otherwise: str,
) -> "Reading[FoundNote]":
    """Return the vmcoreinfo of a guest without the note.  Handles every fault of memory.

    :param architecture: As QEMU names it.
    :param state: The registers of a processor, if they are known.
    :param byte_order: ``<`` or ``>``, as in `struct`.
    :param ranges: Where the guest's memory is; only for a search.
    :param search: None if memory is not to be searched.
    :param otherwise: What is said if there is no vmcoreinfo.
    """
    note = yield from vmcoreinfo_note({}, architecture)  # some kernels have it where no dump is needed
    if note is not None:
        return FoundNote(note, ())
    if state is not None:
        try:
            text = yield from paged(find_by_processor(state), max_bytes=FIND_BYTES, max_fetches=FIND_FETCHES)
        except MemoryFault:
            pass
        else:
            return FoundNote(text, (BY_POINTERS,))
    if search is None:
        return FoundNote(None, (otherwise,))
    looking = VmcoreInfoSearch(architecture, byte_order, state)
    if not ranges:
        return FoundNote(None, (_NO_RANGES,))
    found = yield from search_memory(ranges, looking, search.report)
    if found is None:
        unread = f"{looking.unread >> 20} MiB of memory could not be read in time, or at all"
        return FoundNote(None, (_NOWHERE, unread) if looking.unread else (_NOWHERE,))
    if found != looking.unconfirmed:
        return FoundNote(found, (_BY_SEARCH,))
    several = (f"{looking.kernels} kernels' vmcoreinfos are in memory; this is the first of them",)
    return FoundNote(found, (_BY_SEARCH, _UNCONFIRMED, *(several if looking.kernels > 1 else ())))


def unnoted_words(
    found: FoundNote, architecture: str, byte_order: str, source: WordsSource
) -> "Reading[LastWords]":
    """Return the last words of a guest without the note, see `linux_words`."""
    if found.text is None:
        return LastWords(architecture=architecture, source=source, notes=found.notes)
    words = yield from linux_words(found.text, architecture, byte_order, source)
    return msgspec.structs.replace(words, notes=(*words.notes, *found.notes))
