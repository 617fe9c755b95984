"""The header of a Windows crash dump.

It begins a file of Windows' own or of QEMU's ``win-dmp``.  virtio-win's fw_cfg driver also makes one when
it is loaded, and hands it to QEMU as the note of the vmcoreinfo device.  Sources: QEMU's
include/qemu/win_dump_defs.h and dump/win_dump.c; virtio-win's fwcfg64/driver.c.
"""

import struct
from typing import NamedTuple

from onpanic.why.memory.reading import MemoryFault

__all__ = ("HEADER_LENGTH", "CrashHeader", "is_crash_header", "read_crash_header")

#: How much of a file holds the header.
HEADER_LENGTH = 4096

_MACHINES = {0x8664: "x86_64", 0x14C: "i386", 0xAA64: "aarch64", 0x1C4: "arm"}  # IMAGE_FILE_HEADER.Machine
_PAE_ENABLED = 0x5C  # in a 32-bit header; Windows XP and later

# The members from the signature to the parameters, and the place of KdDebuggerDataBlock
_LAYOUTS = {
    b"PAGEDU64": (struct.Struct("<8sIIQQQQIIIIQQQQ"), struct.Struct("<Q"), 0x80),
    b"PAGEDUMP": (struct.Struct("<8sIIIIIIIIIIIII"), struct.Struct("<I"), 0x60),
}


class CrashHeader(NamedTuple):
    """The members of a header that tell of a bugcheck, and the way to it.

    :param wide: Whether Windows has 64 bits.
    :param pae: Whether a 32-bit Windows has page tables with entries of 8 bytes.
    :param build: Windows' build number, e.g. 19041.
    :param page_tables: The physical address of the kernel's page tables, as in CR3.
    :param machine: The architecture, as QEMU names it; empty if it is another one.
    :param processors: The number of processors.
    :param code: The bugcheck code.
    :param parameters: Its four parameters.
    :param debugger_data: The virtual address of KdDebuggerDataBlock.
    """

    wide: bool
    pae: bool
    build: int
    page_tables: int
    machine: str
    processors: int
    code: int
    parameters: tuple[int, ...]
    debugger_data: int


def is_crash_header(start: bytes) -> bool:
    """Return whether bytes begin as the header of a Windows crash dump."""
    return start[:8] in _LAYOUTS


def read_crash_header(content: bytes) -> CrashHeader:
    """Return the members of a header.

    :param content: At least its first 136 bytes.
    :raise MemoryFault: When it is no such header, or it is incomplete.
    """
    if not is_crash_header(content):
        raise MemoryFault("it is not the header of a Windows crash dump")
    members, pointer, place = _LAYOUTS[content[:8]]
    try:
        fields = members.unpack_from(content)
        (debugger_data,) = pointer.unpack_from(content, place)
    except struct.error as error:
        raise MemoryFault("the header of a Windows crash dump is incomplete") from error
    wide = content[:8] == b"PAGEDU64"
    _, _, build, page_tables, _, _, _, machine, processors, code = fields[:10]
    return CrashHeader(
        wide=wide,
        pae=not wide and content[_PAE_ENABLED] == 1,
        build=build,
        page_tables=page_tables,
        machine=_MACHINES.get(machine, ""),
        processors=processors,
        code=code,
        parameters=fields[-4:],
        debugger_data=debugger_data,
    )
