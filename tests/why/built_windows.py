"""A Windows built by hand: its note, the memory behind it, and a program that hands the note to QEMU.

The layouts are those of QEMU's include/qemu/win_dump_defs.h and dump/win_dump.c, and of virtio-win's
fwcfg64/driver.c.
"""

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..watch.panicking_guests import HALT, REPORT, sector
from .built_dumps import PAGE, note

PARAMETERS = (0xFFFF_8000_0000_0010, 2, 0, 0xFFFF_F800_1234_5678)
TABLES, DATA = 0x1A_D000, 0x40_0000  # physical addresses
INFO, NOTE = 0x30_0000, 0x30_1000
KERNEL = 0xFFFF_F800_0000_0000  # the virtual address of the page at DATA
DEBUGGER_DATA, COPY, BUGCHECK = KERNEL + 0x100, KERNEL + 0x800, KERNEL + 0xC00
PAGE_FILL = 0x4547_4150  # "PAGE"


def header64(
    code: int,
    parameters: Sequence[int] = PARAMETERS,
    debugger_data: int = DEBUGGER_DATA,
    machine: int = 0x8664,
    processors: int = 4,
) -> bytes:
    """Return the 8 KiB that begin a crash dump of a 64-bit Windows."""
    start = struct.pack("<8sIIQQQQII", b"PAGEDU64", 15, 19041, TABLES, 0, 0, 0, machine, processors)
    start += struct.pack("<IIQQQQ", code, 0, *parameters)
    start += bytes(32) + struct.pack("<Q", debugger_data)
    start += struct.pack("<IIQQQ", 1, 0, 2, DATA // PAGE, 2)  # one run of memory: two pages
    return start.ljust(8192, b"P")


def header32(
    code: int, parameters: Sequence[int] = (1, 2, 3, 4), debugger_data: int = 0x8000_0100, *, pae: bool = True
) -> bytes:
    """Return the 4 KiB that begin a crash dump of a 32-bit Windows."""
    start = struct.pack("<8sIIIIIIII", b"PAGEDUMP", 15, 7601, TABLES + 0x20, 0, 0, 0, 0x14C, 1)
    start += struct.pack("<5I", code, *parameters).ljust(52, b"\0")
    return (start + struct.pack("<BxxxI", pae, debugger_data)).ljust(4096, b"P")


def kernel64(code: int, *, encoded: bool = False) -> dict[int, bytes]:
    """Return the memory of a 64-bit Windows that has stored a bugcheck.

    :param encoded: Whether KdDebuggerDataBlock can be read by Windows only.
    """
    page, more = bytearray(PAGE), bytearray(PAGE)
    for place in (COPY, *(() if encoded else (DEBUGGER_DATA,))):
        struct.pack_into("<4s", page, place - KERNEL + 0x10, b"KDBG")
        struct.pack_into("<Q", page, place - KERNEL + 0x88, BUGCHECK)
        struct.pack_into("<Q", page, place - KERNEL + 0x218, KERNEL + 0x1000)  # KiProcessorBlock
        struct.pack_into("<H", page, place - KERNEL + 0x338, 0x10)  # OffsetPrcbContext
    struct.pack_into("<5Q", page, BUGCHECK - KERNEL, code, *PARAMETERS)
    struct.pack_into("<Q", more, 0, KERNEL + 0x1100)  # the first processor's PRCB
    struct.pack_into("<Q", more, 0x110, KERNEL + 0x1200)  # where its context is kept
    tables = [bytearray(PAGE) for _ in range(6)]
    at = [TABLES + PAGE * number for number in range(6)]
    for shift, table, entry in zip((39, 30, 21, 12), tables[:4], [*at[1:4], DATA], strict=True):
        struct.pack_into("<Q", table, 8 * (KERNEL >> shift & 0x1FF), entry | 0x8000_0000_0000_0063)
    struct.pack_into("<Q", tables[3], 8 * (KERNEL + PAGE >> 12 & 0x1FF), DATA + PAGE | 3)
    for table, entry in ((tables[0], at[4]), (tables[4], at[5]), (tables[5], 0x80)):  # the first 2 MiB
        struct.pack_into("<Q", table, 0, entry | 3)
    pages = {DATA: bytes(page), DATA + PAGE: bytes(more)}
    return pages | {address: bytes(table) for address, table in zip(at, tables, strict=True)}


def kernel32(code: int) -> dict[int, bytes]:
    """Return the memory of a 32-bit Windows with PAE: its debugger data have sign-extended addresses."""
    page = bytearray(PAGE)
    page[0x110:0x114] = b"KDBG"
    struct.pack_into("<Q", page, 0x188, 0xFFFF_FFFF_8000_0C00)
    struct.pack_into("<5I", page, 0xC00, code, 1, 2, 3, 4)
    pages = {DATA: bytes(page)}
    for table, place, entry in (
        (TABLES, 0x20 + 8 * 2, (TABLES + 0x1000) | 1),
        (TABLES + 0x1000, 0, (TABLES + 0x2000) | 3),
        (TABLES + 0x2000, 0, DATA | 3),
    ):
        content = bytearray(PAGE)
        struct.pack_into("<Q", content, place, entry)
        pages[table] = bytes(content)
    return pages


# Hands the address of INFO to QEMU as the vmcoreinfo, by fw_cfg's DMA (docs/specs/fw_cfg.rst), and goes to
# long mode with the page tables
_PROGRAM = (
    # ds = 0; the DMA's length at 7004 is 16, its address at 7008 is INFO, big endian
    "fa 6631c0 8ed8 66c706047000000010 66a30870 66c7060c7000300000"
    # ebx: select the file 20 and write it
    "66bb00200018"
    # next: write ebx to 7000, and the address 7000 to port 514; only vmcoreinfo can be written
    "66891e0070 6631c0 ba1405 66ef 66b800007000 ba1805 66ef"
    # the next file; goto next until it is 80
    "6681c300010000 6681fb00800018 72d8"
    # the tables into cr3, PAE into cr4, LME into EFER, PG and PE into cr0
    "66b800d01a00 0f22d8 0f20e0 0c20 0f22e0 66b9800000c0 0f32 80cc01 0f30 0f20c0 660d01000080 0f22c0"
)


def guest_options(folder: Path, header: bytes, pages: Mapping[int, bytes]) -> list[str]:
    """Return QEMU's options for a guest that behaves as a Windows with virtio-win's driver, and panics.

    :param folder: Where files can be written.
    """
    content = note(b"VMCOREINFO", header)
    parts = {INFO: struct.pack("<HHIQ", 0, 1, len(content), NOTE), NOTE: content, **pages}
    options = ["-device", "vmcoreinfo", "-device", "pvpanic", "-no-shutdown"]
    for address, part in parts.items():
        path = folder / f"memory-{address:x}"
        path.write_bytes(part)
        options += ["-device", f"loader,file={path},addr={address:#x},force-raw=on"]
    disk = folder / "disk"
    disk.write_bytes(sector(_PROGRAM + REPORT.format(value=1) + HALT))
    return [*options, "-drive", f"file={disk},format=raw"]
