"""The guest's ACPI tables, read from guest memory.

A guest finds the device by the ACPI name ``QEMU0001``.  Depending on the age of the
machine type the tables come from QEMU or from the firmware, so they are read where a guest
reads them: in memory, after the firmware has run (ACPI specification, 5.2.5
"Root System Description Pointer" and following).

Firmware tables of machine types up to 1.6 always hold the node and patch its port
in.  A port of 0 makes ``_STA`` report that the device is absent, so such a node does not count.
"""

import re
import struct
from collections.abc import Iterator
from contextlib import suppress

from onpanic.probe.conversation import Conversation

__all__ = (
    "FIRMWARE_AREA",
    "Memory",
    "firmware_finished",
    "table_summaries",
    "tables_expose_pvpanic",
    "wanted",
)

#: Where firmware leaves the pointer to the tables: start and length.
FIRMWARE_AREA = (0xF0000, 0x10000)

_NAME = b"QEMU0001"
_HEADER = 36  # bytes in the header of every table
_LIMIT = 256 * 1024  # bytes in one table; real ones have 10 KiB
_DUMP = re.compile(r"^([0-9a-f]+):((?: 0x[0-9a-f]{8})+)", re.MULTILINE)
# Name (PEST, Zero) or Name (PEST, 0x0000): the port of a device that is switched off
_SWITCHED_OFF = (b"\x08PEST\x00", b"\x08PEST\x0b\x00\x00", b"\x08PEST\x0a\x00")


class Memory:
    """Guest memory as far as a conversation shows it, through the monitor's ``xp``.

    Each read replaces an earlier one of the same address: the firmware may have changed it.
    """

    def __init__(self, conversation: Conversation) -> None:
        self._chunks: dict[int, bytes] = {}
        for reply in conversation.replies:
            line = str(reply.arguments.get("command-line", ""))
            if reply.ok and line.startswith("xp /") and isinstance(reply.value, str):
                words = [w for match in _DUMP.finditer(reply.value) for w in match[2].split()]
                data = b"".join(struct.pack("<I", int(word, 16)) for word in words)
                with suppress(ValueError):  # of an address in another notation
                    self._chunks[int(line.split()[-1], 0)] = data

    def get(self, address: int, length: int) -> bytes | None:
        """Return this many bytes, None if they were not read."""
        for start, data in self._chunks.items():
            if start <= address and address + length <= start + len(data):
                return data[address - start : address - start + length]
        return None


def wanted(memory: Memory) -> list[tuple[int, int]]:
    """Return the addresses and lengths to read next; empty when all tables were read."""
    return list(_missing(memory, _root(memory)))


def table_summaries(conversation: Conversation) -> list[str]:
    """Return for each table, in words, whether it names the device; empty if no table was read."""
    memory = Memory(conversation)
    root = _root(memory)
    summaries = (
        ["the firmware has halted, and there are none"]
        if firmware_finished(conversation) and not root
        else []
    )
    for table in _tables(memory, root) if root else ():
        signature = table[:4].decode("ascii", "replace")
        if signature in ("DSDT", "SSDT"):
            off = any(mark in table for mark in _SWITCHED_OFF)
            says = "switched off" if off else "present"
            summaries.append(f"{signature}: " + (f"QEMU0001, {says}" if _NAME in table else "no QEMU0001"))
    return summaries


def firmware_finished(conversation: Conversation) -> bool:
    """Return whether the CPU had halted the last three times that its registers were read."""
    states = [r for r in conversation.replies if r.arguments.get("command-line") == "info registers" and r.ok]
    return len(states) >= 3 and all("HLT=1" in str(r.value) for r in states[-3:])


def tables_expose_pvpanic(memory: Memory) -> bool | None:
    """Return whether a table names a device that is switched on; None if not all tables were read."""
    root = _root(memory)
    if root is None or list(_missing(memory, root)):
        return None
    tables = [t for t in _tables(memory, root) if t[:4] in (b"DSDT", b"SSDT")]
    named = [t for t in tables if _NAME in t]
    return any(not any(off in table for off in _SWITCHED_OFF) for table in named)


def _root(memory: Memory) -> tuple[int, int] | None:
    """Find the RSDT or XSDT: its address and the size of its entries."""
    start, length = FIRMWARE_AREA
    area = memory.get(start, length)
    for offset in range(0, length if area else 0, 16):
        pointer = area[offset : offset + 36] if area else b""
        if pointer[:8] != b"RSD PTR " or sum(pointer[:20]) & 0xFF:
            continue
        (rsdt,) = struct.unpack_from("<I", pointer, 16)
        if rsdt:
            return rsdt, 4
        if pointer[15] >= 2 and not sum(pointer[:36]) & 0xFF:
            (xsdt,) = struct.unpack_from("<Q", pointer, 24)
            return (xsdt, 8) if xsdt else None
    return None


def _missing(memory: Memory, root: tuple[int, int] | None) -> Iterator[tuple[int, int]]:
    if root is None:
        yield FIRMWARE_AREA
        return
    for address in _addresses(memory, root):
        header = memory.get(address, _HEADER)
        if header is None:
            yield address, _HEADER
        elif header[:4] in (b"RSDT", b"XSDT", b"FACP", b"DSDT", b"SSDT"):
            length = _length(header)
            if memory.get(address, length) is None:
                yield address, length


def _addresses(memory: Memory, root: tuple[int, int]) -> Iterator[int]:
    """Yield the addresses of the root table and of all that can be reached from it so far."""
    address, size = root
    yield address
    header = memory.get(address, _HEADER)
    table = memory.get(address, _length(header)) if header else None
    if table is None:
        return
    count = (len(table) - _HEADER) // size
    for (entry,) in struct.iter_unpack("<I" if size == 4 else "<Q", table[_HEADER : _HEADER + count * size]):
        yield entry
        header = memory.get(entry, _HEADER)
        if header is None or header[:4] != b"FACP":
            continue
        fixed = memory.get(entry, _length(header))
        if fixed is not None and len(fixed) >= 44:
            (dsdt,) = struct.unpack_from("<I", fixed, 40)
            if not dsdt and len(fixed) >= 148:
                (dsdt,) = struct.unpack_from("<Q", fixed, 140)
            yield dsdt


def _tables(memory: Memory, root: tuple[int, int]) -> Iterator[bytes]:
    for address in _addresses(memory, root):
        header = memory.get(address, _HEADER)
        table = memory.get(address, _length(header)) if header else None
        if table is not None:
            yield table


def _length(header: bytes) -> int:
    (length,) = struct.unpack_from("<I", header, 4)
    return min(max(int(length), _HEADER), _LIMIT)
