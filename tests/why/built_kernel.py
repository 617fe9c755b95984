"""A kernel in memory, built by hand: its log is as Linux's printk_ringbuffer.h describes it."""

import struct
from collections.abc import Sequence
from typing import NamedTuple

from onpanic.why.kernel_log.log_record import LogRecord
from onpanic.why.memory.reading import MemoryFault

PHYS_BASE = 0x100_0000
RING, DESCRIPTORS, INFOS, TEXT = 0x1000, 0x10000, 0x40000, 0x80000  # offsets from there
IMAGE = 0xFFFF_FFFF_8000_0000  # the virtual address of that
COMMITTED, REUSABLE = 1, 3
WORD, ID = (1 << 64) - 1, (1 << 62) - 1

NOTE = b"""\
OSRELEASE=6.1.0-built-by-hand
PAGESIZE=4096
NUMBER(phys_base)=16777216
SYMBOL(swapper_pg_dir)=ffffffff80000000
SYMBOL(prb)=ffffffff80000800
OFFSET(printk_ringbuffer.desc_ring)=0
OFFSET(printk_ringbuffer.text_data_ring)=40
OFFSET(prb_desc_ring.count_bits)=0
OFFSET(prb_desc_ring.descs)=8
OFFSET(prb_desc_ring.infos)=16
OFFSET(prb_desc_ring.head_id)=24
OFFSET(prb_desc_ring.tail_id)=32
SIZE(prb_desc)=24
OFFSET(prb_desc.state_var)=0
OFFSET(prb_desc.text_blk_lpos)=8
OFFSET(prb_data_blk_lpos.begin)=0
OFFSET(prb_data_blk_lpos.next)=8
SIZE(printk_info)=88
OFFSET(printk_info.ts_nsec)=8
OFFSET(printk_info.text_len)=16
OFFSET(prb_data_ring.size_bits)=0
OFFSET(prb_data_ring.data)=8
OFFSET(atomic_long_t.counter)=0
"""


class _Placed(NamedTuple):
    record: LogRecord
    begin: int
    next: int


class BuiltKernel:
    """A kernel that has logged records.

    :param records: What it has logged, oldest first.
    :param count_bits: The binary logarithm of how many records there is room for.
    :param size_bits: The binary logarithm of the room for text, in bytes.
    :ivar kept: The records that were not overwritten since.
    """

    def __init__(self, records: Sequence[LogRecord], count_bits: int, size_bits: int) -> None:
        self.memory = bytearray(TEXT + max(1 << size_bits, 4096))
        count, size = 1 << count_bits, 1 << size_bits
        head = -size  # positions begin below 0
        placed = []
        for number, record in enumerate(records):
            begin, end = 1, 1
            if record.text:
                length = -(-(8 + len(record.text)) // 8) * 8
                begin, end = head, head + length
                start = begin
                if begin // size != (end - 1) // size:  # no block goes over the end of the ring
                    start = (end - 1) // size * size
                    end = start + length
                identity = (number - count) & ID
                self._write(TEXT + start % size, struct.pack("<Q", identity) + record.text)
                head = end
            placed.append(_Placed(record, begin, end))
        for number, one in enumerate(placed):
            self._describe((number - count) & ID, count, one)
        last = len(placed) - 1 - count
        first = last - min(len(placed), count) + 1
        self._write(0x800, struct.pack("<Q", IMAGE + RING))
        arrays = (IMAGE + DESCRIPTORS, IMAGE + INFOS)
        self._write(RING, struct.pack("<QQQQQ", count_bits, *arrays, last & ID, first & ID))
        tail = (head - size) & WORD
        self._write(RING + 40, struct.pack("<QQQQ", size_bits, IMAGE + TEXT, head & WORD, tail))
        self.kept = [p.record for p in placed[-count:] if not p.record.text or p.begin >= head - size]

    def _describe(self, identity: int, count: int, one: _Placed) -> None:
        slot = identity % count
        state = COMMITTED << 62 | identity
        self._write(DESCRIPTORS + 24 * slot, struct.pack("<QQQ", state, one.begin & WORD, one.next & WORD))
        record = one.record
        tail = struct.pack("<QHBB", record.nanoseconds, len(record.text), record.facility, record.level << 5)
        self._write(INFOS + 88 * slot + 8, tail)

    def _write(self, offset: int, content: bytes) -> None:
        self.memory[offset : offset + len(content)] = content

    def fetch(self, address: int, length: int) -> bytes:
        """Return the bytes at a physical address."""
        start = address - PHYS_BASE
        if not 0 <= start <= start + length <= len(self.memory):
            raise MemoryFault(f"{address:#x}")
        return bytes(self.memory[start : start + length])
