"""The log of Linux 5.10 and later: a ring of descriptors beside a ring of text.

Source: the kernel's kernel/printk/printk_ringbuffer.h and printk_ringbuffer.c; the vmcoreinfo has the
offsets of all members but the level.
"""

import struct
from collections.abc import Iterator

from onpanic.why.kernel.virtual_memory import VirtualMemory
from onpanic.why.kernel.vmcoreinfo import VmcoreInfo
from onpanic.why.kernel_log.log_record import LogRecord
from onpanic.why.memory.reading import MemoryFault, Reading

__all__ = ("read_printk_ring",)

#: Rings larger than these are not read: 2**20 records, 2**24 bytes of text.
_MAX_COUNT_BITS, _MAX_SIZE_BITS = 20, 24

_COMMITTED, _FINALIZED = 1, 2  # states of a descriptor whose record can be read
_MAX_TEXT = 65535  # `text_len` has 16 bits


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
    ring_text = _Text((yield from memory.read(data, 1 << size_bits)), memory.byte_order)
    return list(_records(layout, first, number, descriptor_bytes, info_bytes, ring_text))


_STATE_SHIFT = 62
_ID_MASK = (1 << _STATE_SHIFT) - 1


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


class _Text:
    """The ring of text.  A position counts bytes since boot; its lower bits are the place in the ring."""

    def __init__(self, content: bytes, byte_order: str) -> None:
        self._content = content
        self._id = f"{byte_order}Q"

    def of(self, identity: int, begin: int, next_: int, length: int) -> bytes | None:
        """Return a record's text; None if it was overwritten or makes no sense."""
        if begin & 1 and next_ & 1:  # a record without text
            return b"" if begin == next_ else None
        size = len(self._content)
        start, end = begin & (size - 1), next_ & (size - 1)
        if begin // size != next_ // size and end:  # it did not fit before the ring's end
            start = 0
        end = end or size
        if end - start < 8 or struct.unpack_from(self._id, self._content, start)[0] & _ID_MASK != identity:
            return None
        return self._content[start + 8 : min(start + 8 + length, end)]


def _records(
    layout: _Layout, first: int, number: int, descriptors: bytes, infos: bytes, text: _Text
) -> Iterator[LogRecord]:
    try:
        for place in range(number):
            identity = (first + place) & _ID_MASK
            descriptor = descriptors[place * layout.descriptor_size :][: layout.descriptor_size]
            state = layout.long(descriptor, layout.state)
            if state & _ID_MASK != identity or state >> _STATE_SHIFT not in (_COMMITTED, _FINALIZED):
                continue
            information = infos[place * layout.info_size :][: layout.info_size]
            length, facility, level = layout.severity(information)
            begin, next_ = layout.long(descriptor, layout.begin), layout.long(descriptor, layout.next)
            content = text.of(identity, begin, next_, length)
            if content is not None:
                yield LogRecord(layout.long(information, layout.time), facility, level, content)
    except struct.error as error:
        raise MemoryFault("a record of the log does not have the stated size") from error
