"""The log of Linux 5.10 and later: a ring of descriptors beside a ring of text.

Source: the kernel's kernel/printk/printk_ringbuffer.h and printk_ringbuffer.c; the vmcoreinfo has the
offsets of all members but the level.
"""

import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from onpanic.why.kernel.virtual_memory import VirtualMemory
from onpanic.why.kernel.vmcoreinfo import VmcoreInfo
from onpanic.why.kernel_log.log_record import LogRecord
from onpanic.why.memory.reading import MemoryFault, Reading

__all__ = ("read_printk_ring",)

#: Rings larger than these do not exist: the kernel limits its log to 2**31 bytes, and 32 for each record.
_MAX_COUNT_BITS, _MAX_SIZE_BITS = 26, 31

#: How many bytes of text are read at most, the last ones.
_MAX_WINDOW = 16 << 20

_COMMITTED, _FINALIZED = 1, 2  # states of a descriptor whose record can be read
_STATE_SHIFT = 62
_ID_MASK = (1 << _STATE_SHIFT) - 1
_POSITION_MASK = (1 << 64) - 1  # positions overflow: the first is as far below 0 as the ring is long


def read_printk_ring(info: VmcoreInfo, memory: VirtualMemory, limit: int) -> "Reading[list[LogRecord]]":
    """Return the last records, oldest first.

    :param limit: How many records are read at most.
    :raise MemoryFault: When there is no such ring, or it makes no sense.
    """
    ring = yield from memory.integer(info.symbol("prb"))
    descriptors = ring + info.offset("printk_ringbuffer.desc_ring")
    count_bits = yield from memory.integer(descriptors + info.offset("prb_desc_ring.count_bits"), 4)
    texts = ring + info.offset("printk_ringbuffer.text_data_ring")
    size_bits = yield from memory.integer(texts + info.offset("prb_data_ring.size_bits"), 4)
    if not 0 < count_bits <= _MAX_COUNT_BITS or not 0 < size_bits <= _MAX_SIZE_BITS:
        raise MemoryFault(f"a log of 2**{count_bits} records and 2**{size_bits} bytes")
    word = 8
    counter = info.offset("atomic_long_t.counter", 0)
    head = yield from memory.integer(descriptors + info.offset("prb_desc_ring.head_id") + counter, word)
    tail = yield from memory.integer(descriptors + info.offset("prb_desc_ring.tail_id") + counter, word)
    array = yield from memory.integer(descriptors + info.offset("prb_desc_ring.descs"), word)
    infos = yield from memory.integer(descriptors + info.offset("prb_desc_ring.infos"), word)
    data = yield from memory.integer(texts + info.offset("prb_data_ring.data"), word)
    count = 1 << count_bits
    number = min(((head - tail) & _ID_MASK) + 1, count, limit)
    layout = _Layout(info, memory.byte_order)
    first = (head - number + 1) & _ID_MASK
    descriptor_bytes = yield from _slots(memory, array, layout.descriptor_size, first, number, count)
    info_bytes = yield from _slots(memory, infos, layout.info_size, first, number, count)
    found = list(_committed(layout, first, number, descriptor_bytes, info_bytes))
    window = yield from _read_window(memory, data, 1 << size_bits, found)
    return [record for one in found if (record := window.record(one)) is not None]


class _Layout:
    """The members of a descriptor and of a `printk_info`."""

    def __init__(self, info: VmcoreInfo, byte_order: str) -> None:
        self.byte_order = byte_order
        self.descriptor_size = info.size("prb_desc")
        self.info_size = info.size("printk_info")
        self.state = info.offset("prb_desc.state_var") + info.offset("atomic_long_t.counter", 0)
        block = info.offset("prb_desc.text_blk_lpos")
        self.begin = block + info.offset("prb_data_blk_lpos.begin")
        self.next = block + info.offset("prb_data_blk_lpos.next")
        self.time = info.offset("printk_info.ts_nsec")
        self.length = info.offset("printk_info.text_len")

    def long(self, content: bytes, place: int) -> int:
        """Return the unsigned integer of 8 bytes at a place of a structure."""
        return int(struct.unpack_from(f"{self.byte_order}Q", content, place)[0])

    def severity(self, content: bytes) -> tuple[int, int, int]:
        """Return a `printk_info`'s length of the text, facility and level, which follow each other."""
        length, facility, bits = struct.unpack_from(f"{self.byte_order}HBB", content, self.length)
        return length, facility, bits >> 5 if self.byte_order == "<" else bits & 7  # after five bits of flags


def _slots(
    memory: VirtualMemory, array: int, size: int, first: int, number: int, count: int
) -> "Reading[bytes]":
    """Return `number` elements of a ring of `count` ones, from the one of the id `first` on."""
    start = first & (count - 1)
    before_end = min(number, count - start)
    content = yield from memory.read(array + start * size, before_end * size)
    rest = yield from memory.read(array, (number - before_end) * size)
    return content + rest


class _Committed(NamedTuple):
    """A record whose text is to be read: its id, its information, and where its text is in the ring.

    A position counts bytes since boot; its lower bits are the place in the ring.
    """

    identity: int
    nanoseconds: int
    facility: int
    level: int
    length: int
    begin: int
    next: int

    @property
    def has_text(self) -> bool:
        """False for a record without text, which has odd positions."""
        return not (self.begin & 1 and self.next & 1)


def _committed(
    layout: _Layout, first: int, number: int, descriptors: bytes, infos: bytes
) -> Iterator[_Committed]:
    try:
        for place in range(number):
            identity = (first + place) & _ID_MASK
            descriptor = descriptors[place * layout.descriptor_size :][: layout.descriptor_size]
            state = layout.long(descriptor, layout.state)
            if state & _ID_MASK != identity or state >> _STATE_SHIFT not in (_COMMITTED, _FINALIZED):
                continue
            information = infos[place * layout.info_size :][: layout.info_size]
            length, facility, level = layout.severity(information)
            begin, end = layout.long(descriptor, layout.begin), layout.long(descriptor, layout.next)
            time = layout.long(information, layout.time)
            yield _Committed(identity, time, facility, level, length, begin, end)
    except struct.error as error:
        raise MemoryFault("a record of the log does not have the stated size") from error


class _TextWindow:
    """The part of the ring of text that records are in.

    :param content: The bytes from position `start` on.
    :param size: The size of the ring.
    """

    def __init__(self, content: bytes, start: int, size: int, byte_order: str) -> None:
        self._content, self._start, self._size = content, start, size
        self._id = f"{byte_order}Q"
        self._left = len(content)  # records do not overlap, so all texts together are not longer

    def record(self, one: _Committed) -> LogRecord | None:
        """Return a record with its text; None if that was overwritten or makes no sense."""
        text = self._text(one) if one.has_text else b""
        if text is None or len(text) > self._left:
            return None
        self._left -= len(text)
        return LogRecord(one.nanoseconds, one.facility, one.level, text)

    def _text(self, one: _Committed) -> bytes | None:
        begin, last = one.begin, (one.next - 1) & _POSITION_MASK
        if begin // self._size != last // self._size:  # it did not fit before the ring's end
            begin = last // self._size * self._size
        place, end = (begin - self._start) & _POSITION_MASK, (one.next - self._start) & _POSITION_MASK
        if end > len(self._content) or end - place < 8:
            return None
        if struct.unpack_from(self._id, self._content, place)[0] & _ID_MASK != one.identity:
            return None
        return self._content[place + 8 : min(place + 8 + one.length, end)]


def _read_window(
    memory: VirtualMemory, data: int, size: int, records: Sequence[_Committed]
) -> "Reading[_TextWindow]":
    """Return the part of the ring of text that holds the last of the records."""
    texts = [one for one in records if one.has_text]
    if not texts:
        return _TextWindow(b"", 0, size, memory.byte_order)
    longest = min(size, _MAX_WINDOW)
    lengths = [(texts[-1].next - one.begin) & _POSITION_MASK for one in texts]
    length = max((length for length in lengths if length <= longest), default=0)
    start = (texts[-1].next - length) & _POSITION_MASK
    place = start & (size - 1)
    before_end = min(length, size - place)
    content = yield from memory.read(data + place, before_end)
    content += yield from memory.read(data, length - before_end)
    return _TextWindow(content, start, size, memory.byte_order)
