"""Searching all of a guest's memory for its vmcoreinfo.

Linux has the text at the beginning of a page (`vmcoreinfo_data`), and once more as an ELF note at the
beginning of another (`vmcoreinfo_note`).  Only these places are looked at.  A program in the guest can make
such a page, and an earlier boot can have left one.  So a page counts only if the kernel is where it says; and
if a processor's registers are known, only if the processor's page tables say the same.  Without them, a
program that knows where its own memory is can make up a whole kernel with a log.
"""

from collections.abc import Callable, Iterator, Sequence
from time import monotonic

from onpanic.why.kernel.kernel_memory import kernel_memory
from onpanic.why.kernel.vmcoreinfo import VmcoreInfo
from onpanic.why.locating.kernel_pointers import BEGINNING
from onpanic.why.locating.processor_state import ProcessorState, kernel_of
from onpanic.why.memory.reading import MemoryFault, MemoryRange, Reading, paged

__all__ = ("VmcoreInfoSearch", "release_of", "search_memory")

#: How much memory is looked at at a time, in bytes.
_PIECE = 16 << 20

_PAGE = 4096
_AFTER_HEADER = 24  # an ELF note's header and its name, VMCOREINFO
_NAME = b"VMCOREINFO\0"
_MAX_CANDIDATES = 64  # different texts; a program can fill memory with them
_MAX_UTS = 4 + 3 * 65  # bytes: a reference count, then the system's name, the host's, and the release
_BETWEEN_REPORTS = 2.0  # seconds
_MAX_CHECK = 1 << 20  # bytes that checking one text may fetch


class VmcoreInfoSearch:
    """A search for a kernel's vmcoreinfo.

    :param architecture: The guest's, as QEMU names it.
    :param byte_order: ``<`` or ``>``, as in `struct`.
    :param state: A processor's registers, if they are known.
    """

    def __init__(self, architecture: str, byte_order: str = "<", state: ProcessorState | None = None) -> None:
        self._architecture, self._byte_order, self._state = architecture, byte_order, state
        self._texts: set[bytes] = set()
        #: The first text whose kernel is where it says, although no processor is known to run it.
        self.unconfirmed: bytes | None = None
        #: How many such texts there are; some may be of earlier boots.
        self.kernels = 0
        #: How many bytes of memory could not be read.
        self.unread = 0

    def candidates(self, content: bytes) -> Iterator[bytes]:
        """Yield what may be a vmcoreinfo, each text once, and not more than 64 of them.

        :param content: A piece of memory that begins with a page.
        """
        for place in (0, _AFTER_HEADER):
            column = content[place::_PAGE]  # where most pages are told apart by one byte
            page = column.find(BEGINNING[:1])
            while page >= 0:
                start = page * _PAGE + place
                if content.startswith(BEGINNING, start) and (
                    place == 0 or content.startswith(_NAME, start - 12)
                ):
                    text = content[start : page * _PAGE + _PAGE].partition(b"\0")[0]
                    if text not in self._texts and len(self._texts) < _MAX_CANDIDATES:
                        self._texts.add(text)
                        yield text
                page = column.find(BEGINNING[:1], page + 1)

    def confirms(self, text: bytes) -> "Reading[bool]":
        """Return whether a processor runs the kernel of a candidate.

        One that cannot be confirmed is kept as `unconfirmed` if its kernel is where it says.
        """
        try:
            return (
                yield from paged(
                    self._check(VmcoreInfo(text), text), max_bytes=_MAX_CHECK, max_fetches=_MAX_CHECK // _PAGE
                )
            )
        except MemoryFault:
            return False

    def _check(self, info: VmcoreInfo, text: bytes) -> "Reading[bool]":
        memory = kernel_memory(info, self._architecture, self._byte_order)
        names = info.symbol("init_uts_ns")
        content = yield from memory.read(names, _MAX_UTS)
        if release_of(content) != info.release.encode():
            return False
        where = yield from memory.locate(names)
        for isolated in (False, True) if self._state else ():
            assert self._state is not None
            try:
                seen = yield from kernel_of(self._state, isolated=isolated).locate(names)
            except MemoryFault:
                continue
            if seen.address == where.address:
                return True
        self.unconfirmed = self.unconfirmed or text
        self.kernels += 1
        return False


def search_memory(
    ranges: Sequence[MemoryRange],
    search: VmcoreInfoSearch,
    report: Callable[[str], None],
    clock: Callable[[], float] = monotonic,
) -> "Reading[bytes | None]":
    """Look for a vmcoreinfo in all of a guest's memory; return it, or None.

    It ends at the first that a processor's page tables confirm, else at the end of memory.

    :param ranges: Where the guest's memory is.
    :param report: Called with what the search costs, and how far it is.
    :param clock: Seconds.
    """
    total = sum(r.length for r in ranges)
    pieces = [
        MemoryRange(start, min(_PIECE, sum(r) - start))
        for r in ranges
        for start in range(r.address, sum(r), _PIECE)
    ]
    done, begun = 0, clock()
    said = begun
    for number, piece in enumerate(pieces):
        try:
            content = yield piece
        except MemoryFault:
            content = b""
            search.unread += piece.length
        for text in search.candidates(content):
            if (yield from search.confirms(text)):
                return text
        done += piece.length
        now = clock()
        if number == 0:
            seconds = (now - begun) * total / piece.length
            report(f"searching {_size(total)} of memory for a vmcoreinfo takes about {seconds:.0f} s")
        elif now - said >= _BETWEEN_REPORTS:
            report(f"searched {_size(done)} of {_size(total)}")
            said = now
    return search.unconfirmed


def _size(length: int) -> str:
    return f"{length / (1 << 30):.1f} GiB" if length >= 1 << 30 else f"{length >> 20} MiB"


def release_of(content: bytes) -> bytes:
    """Return the kernel's release from the beginning of its `init_uts_ns`; empty if it is not one.

    :param content: 199 bytes.  Until Linux 5.10 a reference count precedes the names.
    """
    for start in (0, 4):
        system, _, release = (content[start + 65 * n :][:65].partition(b"\0")[0] for n in range(3))
        if system == b"Linux":
            return release
    return b""
