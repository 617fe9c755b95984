"""The log of Linux before 5.10: a buffer of records, the oldest of which are overwritten.

Source: the comments on `printk_log` (up to 3.10 `log`) in the kernel's kernel/printk/printk.c of 3.5 to 5.9.
The vmcoreinfo has the offsets of all members but facility, flags and level, which follow `dict_len`.
"""

import re
import struct
from collections import deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from onpanic.why.kernel.virtual_memory import VirtualMemory
from onpanic.why.kernel.vmcoreinfo import VmcoreInfo
from onpanic.why.kernel_log.log_record import LogRecord
from onpanic.why.memory.reading import MemoryFault, Reading

__all__ = ("has_log_buffer", "read_log_buffer")

_MAX_USED = 16 << 20  # bytes of records
_MIN_HEADER = 16  # the size of a record without text

_NEWLINE, _PREFIX, _CONTINUED = 2, 4, 8  # flags

#: Since this release, the kernel joins the parts of a line before it stores them.
_STORES_LINES = (4, 10)
_RELEASE = re.compile(r"(\d{1,3})\.(\d{1,3})")


def has_log_buffer(info: VmcoreInfo) -> bool:
    """Return whether a kernel's log has this format."""
    return info.has_symbol("log_next_idx")


def read_log_buffer(info: VmcoreInfo, memory: VirtualMemory, limit: int) -> "Reading[list[LogRecord]]":
    """Return the last records, oldest first.

    :param limit: How many records are returned at most.
    :raise MemoryFault: When there is no such buffer, or it makes no sense.
    """
    layout = _RecordLayout.of(info, memory.byte_order)
    buffer = yield from memory.integer(info.symbol("log_buf"))
    size = yield from memory.integer(info.symbol("log_buf_len"), 4)
    first = yield from memory.integer(info.symbol("log_first_idx"), 4)
    end = yield from memory.integer(info.symbol("log_next_idx"), 4)
    wraps = end < first
    used = size - first + end if wraps else end - first
    if first > size or end > size or used > _MAX_USED:
        raise MemoryFault(f"a log from {first} to {end} in a buffer of {size} bytes")
    parts = [(yield from memory.read(buffer + first, (size if wraps else end) - first))]
    if wraps:
        parts.append((yield from memory.read(buffer, end)))
    stored = (record for part in parts for record in _stored(layout, part, is_last=part is parts[-1]))
    return list(deque(_joined(stored) if _joins(info) else (one.record for one in stored), maxlen=limit))


class _RecordLayout(NamedTuple):
    """The members of a record's header, which its text follows."""

    byte_order: str
    size: int
    time: int
    length: int
    text_length: int
    dict_length: int

    @staticmethod
    def of(info: VmcoreInfo, byte_order: str) -> "_RecordLayout":
        """Read the offsets.

        :raise MemoryFault: When they are not there, or make no sense.
        """
        name = "printk_log" if "SIZE(printk_log)" in info.values else "log"
        members = (info.offset(f"{name}.{member}") for member in ("ts_nsec", "len", "text_len", "dict_len"))
        layout = _RecordLayout(byte_order, info.size(name), *members)
        if layout.size < max(_MIN_HEADER, layout.time + 8, *(place + 4 for place in layout[3:])):
            raise MemoryFault(f"a record of the log with {layout.size} bytes")
        return layout

    def short(self, content: bytes, place: int) -> int:
        """Return the unsigned integer of 2 bytes at a place."""
        return int(struct.unpack_from(f"{self.byte_order}H", content, place)[0])


class _Stored(NamedTuple):
    """A record as it is stored: a line, or a part of one."""

    record: LogRecord
    flags: int


def _stored(layout: _RecordLayout, content: bytes, *, is_last: bool) -> Iterator[_Stored]:
    """Yield the records of a part of the buffer; one of length 0 means that the next is at the beginning.

    :param is_last: Whether no other part follows.
    :raise MemoryFault: When a record's length makes no sense, so that the next one cannot be found.
    """
    place, end = 0, len(content)
    while place < end:
        header = content[place : place + layout.size]
        length = layout.short(header, layout.length) if len(header) == layout.size else None
        if length == 0 and not is_last:
            return
        text_length = 0 if length is None else layout.short(header, layout.text_length)
        dict_length = 0 if length is None else layout.short(header, layout.dict_length)
        if length is None or length < layout.size + text_length + dict_length or place + length > end:
            raise MemoryFault("a record of the log has a length that makes no sense")
        (time,) = struct.unpack_from(f"{layout.byte_order}Q", header, layout.time)
        facility, bits = header[layout.dict_length + 2 : layout.dict_length + 4]
        flags, level = (bits & 31, bits >> 5) if layout.byte_order == "<" else (bits >> 3, bits & 7)
        text = content[place + layout.size :][:text_length]
        yield _Stored(LogRecord(time, facility, level, text), flags)
        place += length


def _joins(info: VmcoreInfo) -> bool:
    """Return whether the kernel prints records that are parts of a line as one line."""
    match = _RELEASE.match(info.release)
    return match is None or (int(match[1]), int(match[2])) < _STORES_LINES


def _joined(stored: Iterable[_Stored]) -> Iterator[LogRecord]:
    """Yield records of whole lines, each with the time of its first part.

    What a program writes to /dev/kmsg has another facility, and is joined to no line of the kernel's.
    """
    parts: list[_Stored] = []
    for one in stored:
        if parts and not _continues(parts[-1], one):
            yield _line(parts)
            parts = []
        parts.append(one)
    if parts:
        yield _line(parts)


def _continues(before: _Stored, one: _Stored) -> bool:
    """Return whether a record is printed on the line of the one before."""
    open_ = before.flags & (_CONTINUED | _NEWLINE) == _CONTINUED
    without_prefix = one.flags & _CONTINUED or not one.flags & _PREFIX
    return bool(open_ and without_prefix and before.record.facility == one.record.facility)


def _line(parts: list[_Stored]) -> LogRecord:
    return parts[0].record._replace(text=b"".join(part.record.text for part in parts))
