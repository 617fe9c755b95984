"""What the guest's ACPI tables say of the ISA pvpanic, read from guest memory.

A guest finds the device by the ACPI name ``QEMU0001``.  Depending on the age of the
machine type the tables come from QEMU or from the firmware, so they are read where a
guest reads them: in memory, after the firmware has run (ACPI specification, 5.2.5
"Root System Description Pointer" and following).

Firmware tables of machine types up to 1.6 always hold the node and patch its port
in: a port of 0 makes ``_STA`` say that it is absent, so such a node does not count.
"""

import re
import struct
from collections.abc import Iterator, Sequence
from contextlib import suppress

from ..conversation import Conversation
from ..launch import X86, target_hint
from .device import Device, devices, pvpanic_attachable
from .fact import Fact, no, unknown, yes

__all__ = ("FIRMWARE_AREA", "Memory", "acpi_exposes_pvpanic", "firmware_finished", "tables_told", "wanted")

#: Where firmware leaves the pointer to the tables: start and length.
FIRMWARE_AREA = (0xF0000, 0x10000)

_NAME = b"QEMU0001"
_HEADER = 36  # bytes in the header of every table
_NOT_LOOKED_AT = "not looked at; --acpi does, in about half a second"
_LIMIT = 256 * 1024  # bytes in one table; real ones have 10 KiB
_DUMP = re.compile(r"^([0-9a-f]+):((?: 0x[0-9a-f]{8})+)", re.MULTILINE)
# Name (PEST, Zero) or Name (PEST, 0x0000): the port of a node that is switched off
_SWITCHED_OFF = (b"\x08PEST\x00", b"\x08PEST\x0b\x00\x00", b"\x08PEST\x0a\x00")


class Memory:
    """Guest memory as far as a conversation shows it, through the monitor's ``xp``.

    Each read replaces an earlier one of the same place: firmware is still at work.
    """

    def __init__(self, conversation: Conversation) -> None:
        self._chunks: dict[int, bytes] = {}
        for reply in conversation.replies:
            line = str(reply.arguments.get("command-line", ""))
            if reply.ok and line.startswith("xp /") and isinstance(reply.value, str):
                words = [w for match in _DUMP.finditer(reply.value) for w in match[2].split()]
                data = b"".join(struct.pack("<I", int(word, 16)) for word in words)
                with suppress(ValueError):  # of an address in other words
                    self._chunks[int(line.split()[-1], 0)] = data

    def get(self, address: int, length: int) -> bytes | None:
        """Return this many bytes, None if they were not read."""
        for start, data in self._chunks.items():
            if start <= address and address + length <= start + len(data):
                return data[address - start : address - start + length]
        return None


def acpi_exposes_pvpanic(conversations: Sequence[Conversation]) -> Fact:
    """Say if the tables name the device when it is there, and do not when it is not."""
    seen: dict[bool, bool] = {}
    bare = False
    for conversation in conversations:
        present = devices(conversation)
        found = _exposed(Memory(conversation))
        if present is None or found is None:
            bare = bare or (present is not None and firmware_finished(conversation))
            continue
        seen.setdefault(any(d.on_isa and not d.neutralised for d in present), found)
    if seen.get(True) is False:
        return no("observed", "the device is there, and no ACPI table names QEMU0001")
    if seen.get(False) is True:
        return no("observed", "the ACPI tables name QEMU0001 although no device is there")
    if seen == {True: True, False: False}:
        return yes("observed", "the ACPI tables name QEMU0001 with the device, and do not without it")
    if seen:
        return unknown("the ACPI tables were looked at only one way, with or without the device")
    if bare:
        return no("observed", "the firmware has finished and left no ACPI tables")
    looked = any("xp /" in str(r.arguments) for c in conversations for r in c.replies)
    how = "no tables where firmware such as SeaBIOS leaves them" if looked else _NOT_LOOKED_AT
    if not looked and pvpanic_attachable(conversations).answer == "no":
        how = "no notifier can be added, so there is none to expose"
    elif not looked and all(c.refused_to_start for c in conversations) and conversations:
        how = "it does not start here"
    elif not looked and not any(target_hint(c.argv) in X86 for c in conversations if c.argv):
        how = "not looked at: only the firmware of x86 machine types is read"
    return _without_isa(conversations) or unknown(how)


def wanted(memory: Memory) -> list[tuple[int, int]]:
    """Return what has to be read next to see all tables: addresses and lengths; empty when all is there."""
    return list(_missing(memory, _root(memory)))


def tables_told(conversation: Conversation) -> list[str]:
    """Return what each table that was read says of the device, for people; none if none was looked for."""
    memory = Memory(conversation)
    root = _root(memory)
    told = (
        ["the firmware has halted, and there are none"]
        if firmware_finished(conversation) and not root
        else []
    )
    for table in _tables(memory, root) if root else ():
        signature = table[:4].decode("ascii", "replace")
        if signature in ("DSDT", "SSDT"):
            off = any(mark in table for mark in _SWITCHED_OFF)
            says = "switched off" if off else "present"
            told.append(f"{signature}: " + (f"QEMU0001, {says}" if _NAME in table else "no QEMU0001"))
    return told


def firmware_finished(conversation: Conversation) -> bool:
    """Say if the firmware had come to its end, halted, when it was looked at the last three times."""
    states = [r for r in conversation.replies if r.arguments.get("command-line") == "info registers" and r.ok]
    return len(states) >= 3 and all("HLT=1" in str(r.value) for r in states[-3:])


def _without_isa(conversations: Sequence[Conversation]) -> Fact | None:
    """Answer where only a PCI device is: guests know it by its PCI id (QEMU's ``docs/specs/pvpanic``)."""
    present: list[Device] = [d for c in conversations for d in devices(c) or []]
    if present and not any(d.on_isa for d in present):
        return no("documented", "a pvpanic-pci is found by its PCI id, 1b36:0011, and has no ACPI node")
    return None


def _exposed(memory: Memory) -> bool | None:
    """Say if a table names a device that is switched on, None if the tables were not all read."""
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
