"""Last words from a dump in a file."""

from pathlib import Path

from onpanic.core.errors import FileError
from onpanic.why.locating.unnoted_words import MemorySearch
from onpanic.why.memory.dump_file import open_dump
from onpanic.why.memory.elf_dump import DumpSource, ElfDump, is_elf
from onpanic.why.memory.flattened_file import FlattenedFile, is_flattened
from onpanic.why.memory.kdump_dump import is_kdump, read_kdump
from onpanic.why.memory.other_files import unreadable_file
from onpanic.why.memory.reading import MemoryFault, MemoryRange, read_with
from onpanic.why.readers.note_words import words_of_dump
from onpanic.why.windows.crash_header import HEADER_LENGTH, is_crash_header
from onpanic.why.words.last_words import LastWords
from onpanic.why.words.windows_words import words_of_crash_file

__all__ = ("words_in_dump",)

_KINDS = "name a dump in ELF, kdump-compressed or of Windows, as QEMU or libvirt wrote it"


def words_in_dump(path: Path, search: MemorySearch | None = None) -> LastWords:
    """Read the last words of a guest whose memory was dumped to a file.

    :param path: A dump in ELF or kdump-compressed, flattened or not, as QEMU and libvirt write them; or a
        crash dump of Windows, QEMU's ``win-dmp``.
    :param search: Whether memory is searched if there is no other way.
    :raise FileError: When it cannot be read, or is not a dump of a guest's memory.
    """
    with open_dump(path) as file:
        start = file.at(0, HEADER_LENGTH)
        if other := unreadable_file(start):
            raise FileError(f"{path}: {other.what}", other.remedy)
        try:
            return _words(file, start, search)
        except MemoryFault as fault:
            raise FileError(f"{path}: {fault}", _KINDS) from fault


def _words(file: DumpSource, start: bytes, search: MemorySearch | None) -> LastWords:
    """Return the last words in a file.

    :raise MemoryFault: When it is no dump, or its headers make no sense.
    """
    if is_flattened(start):
        flattened = FlattenedFile(file)
        return _words(flattened, flattened.at(0, HEADER_LENGTH), search)
    if is_elf(start):
        elf = ElfDump.read(file)
        memory = [MemoryRange(segment.address, segment.length) for segment in elf.segments]
        return read_with(words_of_dump(elf, "elf", memory, search), elf.fetch)
    if is_kdump(start):
        kdump = read_kdump(file)
        memory = kdump.ranges() if search else []
        return read_with(words_of_dump(kdump, "kdump", memory, search), kdump.fetch)
    if is_crash_header(start):
        return words_of_crash_file(start)
    raise MemoryFault("not a dump of a guest's memory")
