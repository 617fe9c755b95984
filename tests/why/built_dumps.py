"""Dumps built by hand: ELF, kdump-compressed, flattened.

The layouts are those of elf(5), of makedumpfile's IMPLEMENTATION document and of QEMU's dump.h.
"""

import struct
import zlib
from collections.abc import Mapping, Sequence

PAGE = 4096
#: Flags of a page in a kdump-compressed file.
PLAIN, ZLIB = 0, 1


def note(name: bytes, content: bytes, kind: int = 0, order: str = "<") -> bytes:
    """Return an ELF note."""
    header = struct.pack(f"{order}III", len(name) + 1, len(content), kind)
    padded = (name + b"\0").ljust((len(name) + 4) // 4 * 4, b"\0")
    return header + padded + content.ljust((len(content) + 3) // 4 * 4, b"\0")


def elf_dump(notes: bytes, pages: Mapping[int, bytes], machine: int = 62, order: str = "<") -> bytes:
    """Return a dump in ELF with 64 bits: a segment of notes, and one for each page.

    :param notes: See `note`.
    :param pages: Pages by their physical addresses.
    :param machine: ELF's number of the architecture; 62 is x86_64.
    """
    count = 1 + len(pages)
    ident = b"\x7fELF\x02" + (b"\1" if order == "<" else b"\2") + b"\1"
    header = struct.pack(
        f"{order}16sHHIQQQIHHHHHH", ident, 4, machine, 1, 0, 64, 0, 0, 64, 56, count, 0, 0, 0
    )
    place = 64 + 56 * count
    rows, body = b"", b""
    for kind, address, content in [(4, 0, notes), *((1, a, pages[a]) for a in sorted(pages))]:
        row = (kind, 0, place + len(body), 0, address, len(content), len(content), 0)
        rows += struct.pack(f"{order}IIQQQQQQ", *row)
        body += content
    return header + rows + body


def kdump(
    notes: bytes,
    vmcoreinfo: bytes,
    pages: Mapping[int, bytes],
    *,
    flags: int = ZLIB,
    order: str = "<",
    machine: bytes = b"x86_64",
    wide: bool = True,
) -> bytes:
    """Return a kdump-compressed dump with blocks of 4 KiB.

    :param notes: See `note`.
    :param vmcoreinfo: The content of the note VMCOREINFO, which the header names a second time.
    :param flags: Says how the pages are compressed.
    :param wide: Whether the headers are those of a guest with 64 bits.
    """
    last = max(pages) // PAGE + 1
    bitmap_blocks = -(-last // 8 // PAGE) or 1
    bitmap = bytearray(bitmap_blocks * PAGE)
    for address in pages:
        bitmap[address // PAGE // 8] |= 1 << address // PAGE % 8
    sub_blocks = -(-(128 + len(notes) + len(vmcoreinfo)) // PAGE)
    names = b"".join(name.ljust(65, b"\0") for name in (b"Linux", b"guest", b"", b"", machine, b""))
    header = struct.pack(f"{order}8sI390s", b"KDUMP   ", 6, names).ljust(424 if wide else 412, b"\0")
    header += struct.pack(f"{order}5I", 0, PAGE, sub_blocks, 2 * bitmap_blocks, last)
    info_at = PAGE + 128
    notes_at = info_at + len(vmcoreinfo)
    if wide:
        rest = (0, 0, 0, 0, 0, info_at, len(vmcoreinfo), notes_at, len(notes))
        sub = struct.pack(f"{order}QIIQQQQQQ", *rest)
    else:
        rest = (0, 0, 0, 0, 0, info_at, len(vmcoreinfo), notes_at, len(notes))
        sub = struct.pack(f"{order}IIIIIQIQI", *rest)
    sub = (sub.ljust(128, b"\0") + vmcoreinfo + notes).ljust(sub_blocks * PAGE, b"\0")
    out = header.ljust(PAGE, b"\0") + sub + bytes(bitmap) * 2
    place = len(out) + 24 * len(pages)
    rows, body = b"", b""
    for address in sorted(pages):
        content = zlib.compress(pages[address]) if flags & ZLIB else pages[address]
        rows += struct.pack(f"{order}QIIQ", place + len(body), len(content), flags, 0)
        body += content
    return out + rows + body


def flattened(pieces: Sequence[tuple[int, bytes]]) -> bytes:
    """Return a flattened file.

    :param pieces: Where each piece belongs, and its content, in the order of the file.
    """
    out = (b"makedumpfile\0\0\0\0" + struct.pack(">qq", 1, 1)).ljust(4096, b"\0")
    for offset, content in pieces:
        out += struct.pack(">qq", offset, len(content)) + content
    return out + struct.pack(">qq", -1, -1)


def pieces_of(content: bytes, size: int) -> list[tuple[int, bytes]]:
    """Return a file in pieces of a size."""
    return [(place, content[place : place + size]) for place in range(0, len(content), size)]
