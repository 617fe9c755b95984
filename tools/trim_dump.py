"""Write the part of a dump that its last words are read from: ``tools/trim_dump.py DUMP OUT.elf.xz``.

The tests have such dumps of real guests.  All that identifies a guest's memory is left out: what a
dump keeps are its notes, the kernel's log, and the page tables on the way to it.
"""

import lzma
import struct
import sys
from itertools import pairwise
from pathlib import Path

from onpanic.why.kernel.vmcoreinfo import NOTE_NAME
from onpanic.why.locating.vmcoreinfo_search import VmcoreInfoSearch, search_memory
from onpanic.why.memory.dump_file import open_dump
from onpanic.why.memory.elf_dump import ElfDump
from onpanic.why.memory.reading import MemoryRange, read_with
from onpanic.why.words.linux_words import linux_words, vmcoreinfo_note

HEADER, SEGMENT = "16sHHIQQQIHHHHHH", "IIQQQQQQ"
MACHINES = {"x86_64": 62, "aarch64": 183, "s390x": 22, "riscv64": 243, "ppc64": 21}


def trimmed(path: Path) -> bytes:
    """Return an ELF file with the note and the pages that are read."""
    pages: dict[int, bytes] = {}
    with open_dump(path) as file:
        dump = ElfDump.read(file)

        def fetch(address: int, length: int) -> bytes:
            content = dump.fetch(address, length)
            pages.update({address + n: content[n : n + 4096] for n in range(0, length, 4096)})
            return content

        note = noted = read_with(vmcoreinfo_note(dump.notes, dump.architecture), fetch)
        if note is None:  # as the vmcoreinfo device would have it
            search = VmcoreInfoSearch(dump.architecture, dump.byte_order)
            ranges = [MemoryRange(segment.address, segment.length) for segment in dump.segments]
            note = noted = read_with(search_memory(ranges, search, print), dump.fetch)
        elif NOTE_NAME not in dump.notes:  # it is in memory
            noted = None
        assert note is not None, "there is no vmcoreinfo in it"
        words = read_with(linux_words(note, dump.architecture, dump.byte_order, "elf"), fetch)
    assert words.panicked, "there is no panic in it"
    return elf(dump, noted, pages)


def elf(dump: ElfDump, note: bytes | None, pages: dict[int, bytes]) -> bytes:
    """Return an ELF file with a note, if there is one, and one segment for each run of pages."""
    order, body = dump.byte_order, b""
    if note is not None:
        body = struct.pack(f"{order}III", len(NOTE_NAME) + 1, len(note), 0) + NOTE_NAME.ljust(12, b"\0")
        body += note.ljust((len(note) + 3) // 4 * 4, b"\0")
    addresses = sorted(pages)
    starts = [addresses[0], *(after for before, after in pairwise(addresses) if after != before + 4096)]
    runs = [
        b"".join(pages[a] for a in addresses if start <= a < end)
        for start, end in pairwise([*starts, 1 << 64])
    ]
    count = len(runs) + 1
    size, row = struct.calcsize(order + HEADER), struct.calcsize(order + SEGMENT)
    magic = b"\x7fELF\x02" + (b"\x01" if order == "<" else b"\x02") + b"\x01"
    machine = MACHINES[dump.architecture]
    out = struct.pack(order + HEADER, magic, 4, machine, 1, 0, size, 0, 0, size, row, count, 0, 0, 0)
    place = size + row * count
    segments = [(4, 0, len(body))]
    segments += [(1, start, len(run)) for start, run in zip(starts, runs, strict=True)]
    for kind, address, length in segments:
        out += struct.pack(order + SEGMENT, kind, 0, place, 0, address, length, length, 0)
        place += length
    return out + body + b"".join(runs)


if __name__ == "__main__":
    Path(sys.argv[2]).write_bytes(lzma.compress(trimmed(Path(sys.argv[1])), preset=9 | lzma.PRESET_EXTREME))
