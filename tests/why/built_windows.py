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
    start += struct.pack("<BxxxI", pae, debugger_data)
    start += struct.pack("<IIII", 1, 2, DATA // PAGE, 2)  # one run of memory: two pages
    return start.ljust(4096, b"P")


def kernel64(code: int, *, encoded: bool = False) -> dict[int, bytes]:
    """Return the memory of a 64-bit Windows that has stored a bugcheck.

    :param encoded: Whether KdDebuggerDataBlock can be read by Windows only.
    """
    pages = _kernel("<Q", KERNEL, struct.pack("<5Q", code, *PARAMETERS), encoded=encoded)
    tables = [bytearray(PAGE) for _ in range(6)]
    at = [TABLES + PAGE * number for number in range(6)]
    for shift, table, entry in zip((39, 30, 21, 12), tables[:4], [*at[1:4], DATA], strict=True):
        struct.pack_into("<Q", table, 8 * (KERNEL >> shift & 0x1FF), entry | 0x8000_0000_0000_0063)
    struct.pack_into("<Q", tables[3], 8 * (KERNEL + PAGE >> 12 & 0x1FF), DATA + PAGE | 3)
    for table, entry in ((tables[0], at[4]), (tables[4], at[5]), (tables[5], 0x80)):  # the first 2 MiB
        struct.pack_into("<Q", table, 0, entry | 3)
    return pages | {address: bytes(table) for address, table in zip(at, tables, strict=True)}


def kernel32(code: int) -> dict[int, bytes]:
    """Return the memory of a 32-bit Windows with PAE; its debugger data have sign-extended addresses."""
    pages = _kernel("<I", 0xFFFF_FFFF_8000_0000, struct.pack("<5I", code, 1, 2, 3, 4))
    first, second, third, low = (bytearray(PAGE) for _ in range(4))
    struct.pack_into("<Q", first, 0x20 + 8 * 2, TABLES + PAGE | 1)
    struct.pack_into("<Q", second, 0, TABLES + 2 * PAGE | 3)
    struct.pack_into("<QQ", third, 0, DATA | 3, DATA + PAGE | 3)
    struct.pack_into("<Q", first, 0x20, TABLES + 3 * PAGE | 1)
    struct.pack_into("<Q", low, 0, 0x83)  # the first 2 MiB
    tables = enumerate((first, second, third, low))
    return pages | {TABLES + PAGE * number: bytes(table) for number, table in tables}


def _kernel(pointer: str, base: int, bugcheck: bytes, *, encoded: bool = False) -> dict[int, bytes]:
    """Return the pages with a kernel's data.

    :param pointer: The format of a pointer.
    :param base: The virtual address of the first page; KERNEL or what takes its place.
    """
    page, more = bytearray(PAGE), bytearray(PAGE)
    for place in (COPY - KERNEL, *(() if encoded else (DEBUGGER_DATA - KERNEL,))):
        struct.pack_into("<4s", page, place + 0x10, b"KDBG")
        struct.pack_into("<Q", page, place + 0x88, base + BUGCHECK - KERNEL)
        struct.pack_into("<Q", page, place + 0x218, base + 0x1000)  # KiProcessorBlock
        struct.pack_into("<H", page, place + 0x338, 0x10)  # OffsetPrcbContext
    struct.pack_into(f"{len(bugcheck)}s", page, BUGCHECK - KERNEL, bugcheck)
    size = 8 * struct.calcsize(pointer)
    struct.pack_into(pointer, more, 0, base + 0x1100 & (1 << size) - 1)  # the first processor's PRCB
    struct.pack_into(pointer, more, 0x110, base + 0x1200 & (1 << size) - 1)  # where its context is kept
    return {DATA: bytes(page), DATA + PAGE: bytes(more)}


# Hands the address of INFO to QEMU as the vmcoreinfo, by fw_cfg's DMA (docs/specs/fw_cfg.rst), and
# switches the page tables on
_PROGRAM = (
    # ds = 0; the DMA's length at 7004 is 16, its address at 7008 is INFO, big endian
    "fa 6631c0 8ed8 66c706047000000010 66a30870 66c7060c7000300000"
    # ebx: select the file 20 and write it
    "66bb00200018"
    # next: write ebx to 7000, and the address 7000 to port 514; only vmcoreinfo can be written
    "66891e0070 6631c0 ba1405 66ef 66b800007000 ba1805 66ef"
    # the next file; goto next until it is 80
    "6681c300010000 6681fb00800018 72d8"
    # the tables into cr3, PAE into cr4
    "66b8{tables} 0f22d8 0f20e0 0c20 0f22e0 {long_mode}"
    # PG and PE into cr0
    "0f20c0 660d01000080 0f22c0"
)
_LONG_MODE = "66b9800000c0 0f32 80cc01 0f30"  # LME into EFER


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
    wide = header.startswith(b"PAGEDU64")
    tables = struct.pack("<I", TABLES if wide else TABLES + 0x20).hex()
    program = _PROGRAM.format(tables=tables, long_mode=_LONG_MODE if wide else "")
    disk.write_bytes(sector(program + REPORT.format(value=1) + HALT))
    return [*options, "-drive", f"file={disk},format=raw"]
