"""Pages as kdump-compressed files have them: compressed with zlib, LZO or Snappy.

Written here since the few pages that are read need no fast library, and what is read is untrusted: no output
is longer than a page.  Sources: RFC 1950; the kernel's Documentation/staging/lzo.rst; Snappy's
format_description.txt.
"""

import zlib

from onpanic.why.memory.reading import MemoryFault

__all__ = ("unpacked_page",)

_ZLIB, _LZO, _SNAPPY, _ZSTD = 0x1, 0x2, 0x4, 0x20


def unpacked_page(content: bytes, flags: int, size: int) -> bytes:
    """Return a page.

    :param content: What the file has.
    :param flags: How it is compressed, see `page_desc.flags` of makedumpfile's format.
    :param size: The size of a page in bytes.
    :raise MemoryFault: When it cannot be decompressed, or is not a page then.
    """
    page: bytes | bytearray = content
    try:
        if flags & _ZLIB:
            page = zlib.decompressobj().decompress(content, size + 1)
        elif flags & _LZO:
            page = _lzo(content, size)
        elif flags & _SNAPPY:
            page = _snappy(content, size)
        elif flags & _ZSTD:
            raise MemoryFault(
                "the dump's pages are compressed with zstd; write them anew with makedumpfile -c"
            )
    except (zlib.error, IndexError) as error:
        raise MemoryFault("a page cannot be decompressed") from error
    if len(page) != size:
        raise MemoryFault(f"a page of {len(page)} bytes")
    return bytes(page)


class _Output:
    """A page that is being decompressed."""

    def __init__(self, content: bytes, size: int) -> None:
        self._content, self._size = content, size
        self.place = 0  # in the compressed content
        self.page = bytearray()

    def number(self, size: int = 1) -> int:
        """Return the next little-endian number."""
        return int.from_bytes(self._take(size), "little")

    def literals(self, length: int) -> None:
        """Append the next bytes."""
        self.page += self._take(length)
        self._check()

    def repeat(self, distance: int, length: int) -> None:
        """Append bytes that the page has already; they may overlap with what is appended."""
        if not 0 < distance <= len(self.page):
            raise IndexError
        start = len(self.page) - distance
        length = min(length, self._size + 1 - len(self.page))
        pattern = self.page[start : start + length]
        self.page += (pattern * (length // len(pattern) + 1))[:length] if pattern else b""
        self._check()

    def ended(self) -> bool:
        """Return whether all content is used."""
        return self.place >= len(self._content)

    def _take(self, size: int) -> bytes:
        taken = self._content[self.place : self.place + size]
        if len(taken) != size:
            raise IndexError
        self.place += size
        return taken

    def _check(self) -> None:
        if len(self.page) > self._size:
            raise IndexError


def _snappy(content: bytes, size: int) -> bytearray:
    out = _Output(content, size)
    while out.number() & 0x80:  # the length, which is a page's
        pass
    while not out.ended():
        tag = out.number()
        length = (tag >> 2) + 1
        if tag & 3 == 0:
            out.literals(length if length <= 60 else out.number(length - 60) + 1)
        elif tag & 3 == 1:
            out.repeat((tag >> 5) << 8 | out.number(), (tag >> 2 & 7) + 4)
        else:
            out.repeat(out.number(2 if tag & 3 == 2 else 4), length)
    return out.page


def _lzo(content: bytes, size: int) -> bytearray:
    """Return what LZO1X has compressed.

    `state` is how many literals the last instruction appended: 0 to 3 after a match, 4 after a run.
    """
    out = _Output(content, size)
    state = 0
    first = content[0]
    if first > 17:
        out.number()
        out.literals(first - 17)
        state = min(first - 17, 4)
    while True:
        code = out.number()
        if code < 16 and state == 0:
            out.literals(_lzo_length(out, code, 15) + 3)
            state = 4
            continue
        if code >= 64:
            length = (code >> 5) + 1
            distance = (out.number() << 3) + (code >> 2 & 7) + 1
            state = code & 3
        elif code >= 16:
            mask = 31 if code >= 32 else 7
            length = _lzo_length(out, code & mask, mask) + 2
            pair = out.number(2)
            distance = (pair >> 2) + 1 if code >= 32 else 16384 + ((code & 8) << 11) + (pair >> 2)
            if distance == 16384 and code < 32:
                return out.page
            state = pair & 3
        else:
            length = 2 if state < 4 else 3
            distance = (out.number() << 2) + (code >> 2) + (1 if state < 4 else 2049)
            state = code & 3
        out.repeat(distance, length)
        out.literals(state)


def _lzo_length(out: _Output, coded: int, mask: int) -> int:
    """Return a length that a code has, or the bytes after it if the code has 0."""
    if coded:
        return coded
    length = mask
    while not (more := out.number()):
        length += 255
    return length + more
