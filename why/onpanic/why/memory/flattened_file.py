"""Files in makedumpfile's flattened format, which QEMU writes kdump-compressed dumps in by default.

Such a file is a sequence of pieces, each with the place at which the dump has it, so that it can be written
to a pipe.  Source: makedumpfile(8), option -F, and its IMPLEMENTATION document.
"""

import struct
from array import array
from bisect import bisect_right
from operator import add

from onpanic.why.memory.elf_dump import DumpSource
from onpanic.why.memory.reading import MemoryFault

__all__ = ("FlattenedFile", "is_flattened")

_SIGNATURE = b"makedumpfile\0\0\0\0"
_HEADER_LENGTH = 4096
_PIECE = struct.Struct(">qq")  # where the piece belongs, and its length; both -1 at the end
_MAX_PIECES = 1 << 23  # QEMU's have 16 KiB: 128 GiB
_MAX_LENGTH = 1 << 26  # of a piece; makedumpfile and QEMU write less than a mebibyte


class FlattenedFile:
    """The dump in a flattened file, see `DumpSource`.

    :param source: The file.
    :raise MemoryFault: When its pieces make no sense, or it is truncated.
    """

    def __init__(self, source: DumpSource) -> None:
        self._source = source
        starts, places, lengths = _pieces(source)
        order = sorted(range(len(starts)), key=starts.__getitem__)
        self._starts, self._places, self._lengths = (
            array("q", map(column.__getitem__, order)) for column in (starts, places, lengths)
        )
        self._longest = max(lengths, default=0)
        self._end = max(map(add, starts, lengths), default=0)

    def at(self, offset: int, length: int) -> bytes:
        """Return bytes; zeros where no piece is, fewer than asked for where the dump ends."""
        length = max(0, min(length, self._end - offset))
        content = bytearray(length)
        last = bisect_right(self._starts, offset + length - 1)
        first = bisect_right(self._starts, offset - self._longest)
        # What was written later counts, as when the pieces are written to a file one after the other
        for number in sorted(range(first, last), key=self._places.__getitem__):
            skipped = max(0, offset - self._starts[number])
            begin = self._starts[number] + skipped - offset
            size = min(self._lengths[number] - skipped, length - begin)
            if size > 0:
                piece = self._source.at(self._places[number] + skipped, size)
                content[begin : begin + len(piece)] = piece
        return bytes(content)


def is_flattened(start: bytes) -> bool:
    """Return whether a file begins as a flattened file."""
    return start.startswith(_SIGNATURE)


def _pieces(source: DumpSource) -> tuple["array[int]", "array[int]", "array[int]"]:
    """Return where each piece belongs, where it is in the file, and its length."""
    starts, places, lengths = array("q"), array("q"), array("q")
    place = _HEADER_LENGTH
    for _ in range(_MAX_PIECES):
        header = source.at(place, _PIECE.size)
        if len(header) != _PIECE.size:
            raise MemoryFault("the dump is truncated")
        start, length = _PIECE.unpack(header)
        if start == length == -1:
            return starts, places, lengths
        if not 0 <= start < 1 << 60 or not 0 < length <= _MAX_LENGTH:
            raise MemoryFault(f"a flattened file with a piece of {length} bytes at {start}")
        starts.append(start)
        places.append(place + _PIECE.size)
        lengths.append(length)
        place += _PIECE.size + length
    raise MemoryFault(f"a flattened file with more than {_MAX_PIECES} pieces")
