"""The log of a kernel before 5.10, built by hand: no such kernel is in a Debian suite that can be fetched.

It follows the comments on `printk_log` in the kernel's kernel/printk/printk.c.
"""

import struct
from typing import NamedTuple

from onpanic.why.kernel_log.log_record import LogRecord
from onpanic.why.memory.reading import MemoryFault

PHYS_BASE = 0x100_0000
IMAGE = 0xFFFF_FFFF_8000_0000  # the virtual address of that, on x86_64
NAMES, VARIABLES, BUFFER = 0x400, 0x800, 0x1000  # offsets from there
NEWLINE, PREFIX, CONTINUED = 2, 4, 8


class Logged(NamedTuple):
    """What the kernel stores: a record and its flags."""

    record: LogRecord
    flags: int = NEWLINE | PREFIX
    dictionary: bytes = b""


class BuiltLogBuffer:
    """A kernel's log.

    :param size: The size of the buffer in bytes.
    :param base: The virtual address of the memory's beginning.
    :param release: The kernel's release.
    :param name: The name of the structure; it was `log` at first.
    :param header: The size of the structure; with the caller's id it has four bytes more.
    :param states_phys_base: Whether the note has the number, as it has from 4.10 on.
    :ivar kept: What was not overwritten since.
    """

    def __init__(
        self,
        size: int,
        base: int = IMAGE,
        release: str = "4.18.0-built-by-hand",
        name: str = "printk_log",
        header: int = 16,
        byte_order: str = "<",
        states_phys_base: bool = True,
    ) -> None:
        self.memory = bytearray(BUFFER + size)
        self.kept: list[Logged] = []
        self.note = f"""\
OSRELEASE={release}
PAGESIZE=4096
{f"NUMBER(phys_base)={PHYS_BASE}" if states_phys_base else f"SYMBOL(phys_base)={base + VARIABLES + 32:x}"}
SYMBOL(init_uts_ns)={base + NAMES:x}
SYMBOL(swapper_pg_dir)={base:x}
SYMBOL(log_buf)={base + VARIABLES:x}
SYMBOL(log_buf_len)={base + VARIABLES + 8:x}
SYMBOL(log_first_idx)={base + VARIABLES + 12:x}
SYMBOL(clear_idx)={base + VARIABLES + 20:x}
SYMBOL(log_next_idx)={base + VARIABLES + 16:x}
SIZE({name})={header}
OFFSET({name}.ts_nsec)=0
OFFSET({name}.len)=8
OFFSET({name}.text_len)=10
OFFSET({name}.dict_len)=12
""".encode()
        self._base, self._size, self._header, self._order = base, size, header, byte_order
        self._lengths: list[int] = []
        self._first = self._next = 0
        names = b"Linux", b"a host", release.encode()
        self._write(NAMES, bytes(4) + b"".join(name.ljust(65, b"\0") for name in names))
        self._write_variables()

    def store(self, one: Logged) -> bool:
        """Store a record as the kernel does; return whether it fits into the buffer at all."""
        content = one.record.text + one.dictionary
        length = -(-(self._header + len(content)) // 4) * 4
        if length + self._header > self._size:
            return False
        while not self._has_room(length):
            self.kept.pop(0)
            start = 0 if self._is_turn(self._first) else self._first
            self._first = start + self._lengths.pop(0)
        if self._next + length + self._header > self._size:
            self._write(BUFFER + self._next, bytes(self._header))
            self._next = 0
        record, little = one.record, self._order == "<"
        bits = one.flags | record.level << 5 if little else one.flags << 3 | record.level
        sizes = (length, len(record.text), len(one.dictionary))
        header = struct.pack(f"{self._order}QHHHBB", record.nanoseconds, *sizes, record.facility, bits)
        self._write(BUFFER + self._next, (header.ljust(self._header, b"\x5a") + content).ljust(length, b"\0"))
        self._next += length
        self.kept.append(one)
        self._lengths.append(length)
        self._write_variables()
        return True

    def _has_room(self, length: int) -> bool:
        """Return whether a record and an empty one after it have room."""
        if not self.kept or self._next > self._first:
            room = max(self._size - self._next, self._first)
        else:
            room = self._first - self._next
        return room >= length + self._header

    def _is_turn(self, place: int) -> bool:
        return self.memory[BUFFER + place + 8 : BUFFER + place + 10] == b"\0\0"

    def _write_variables(self) -> None:
        pointer, numbers = self._base + BUFFER, (self._size, self._first, self._next)
        self._write(VARIABLES, struct.pack(f"{self._order}QIII", pointer, *numbers))

    def _write(self, offset: int, content: bytes) -> None:
        self.memory[offset : offset + len(content)] = content

    def fetch(self, address: int, length: int) -> bytes:
        """Return the bytes at a physical address."""
        start = address - PHYS_BASE
        if not 0 <= start <= start + length <= len(self.memory):
            raise MemoryFault(f"{address:#x}")
        return bytes(self.memory[start : start + length])
