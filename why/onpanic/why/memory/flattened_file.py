"""Files in makedumpfile's flattened format, which QEMU writes kdump-compressed dumps in by default.

Such a file is a sequence of pieces, each with the place at which the dump has it, so that it can be written
to a pipe.  Source: makedumpfile(8), option -F, and its IMPLEMENTATION document.
"""

import struct
from array import array
from bisect import bisect_right

from onpanic.why.memory.elf_dump import DumpSource
from onpanic.why.memory.reading import MemoryFault

__all__ = ("FlattenedFile", "is_flattened")

_SIGNATURE = b"makedumpfile\0\0\0\0"
_HEADER_LENGTH = 4096
_PIECE = struct.Struct(">qq")  # where the piece belongs, and its length; both -1 at the end
_MAX_PIECES = 1 << 24  # of one page each: 64 GiB
_MAX_LENGTH = 1 << 26  # of a piece; makedumpfile and QEMU write less than a mebibyte


class FlattenedFile:
    """The dump in a flattened file, see `DumpSource`.

    :param source: The file.
    :raise MemoryFault: When its pieces make no sense, or it is truncated.
    """

    def __init__(self, source: DumpSource) -> None:
        self._source = source
        pieces = sorted(self._pieces())
        self._starts = array("q", (piece[0] for piece in pieces))
        self._places = array("q", (piece[1] for piece in pieces))
        self._lengths = array("q", (piece[2] for piece in pieces))
        self._longest = max(self._lengths, default=0)
        self._end = max((start + length for start, _, length in pieces), default=0)

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

    def _pieces(self) -> list[tuple[int, int, int]]:
        """Return where each piece belongs, where it is in the file, and its length."""
        pieces: list[tuple[int, int, int]] = []
        place = _HEADER_LENGTH
        for _ in range(_MAX_PIECES):
            header = self._source.at(place, _PIECE.size)
            if len(header) != _PIECE.size:
                raise MemoryFault("the dump is truncated")
            start, length = _PIECE.unpack(header)
            if start == length == -1:
                return pieces
            if start < 0 or start >= 1 << 60 or not 0 < length <= _MAX_LENGTH:
                raise MemoryFault(f"a flattened file with a piece of {length} bytes at {start}")
            place += _PIECE.size
            pieces.append((start, place, length))
            place += length
        raise MemoryFault(f"a flattened file with more than {_MAX_PIECES} pieces")


def is_flattened(start: bytes) -> bool:
    """Return whether a file begins as a flattened file."""
    return start.startswith(_SIGNATURE)
