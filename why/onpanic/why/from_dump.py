"""Last words from a dump in a file."""

from pathlib import Path

from onpanic.core.errors import FileError
from onpanic.why.last_words import LastWords
from onpanic.why.linux_words import linux_words, vmcoreinfo_note
from onpanic.why.memory.dump_file import OpenDump, open_dump
from onpanic.why.memory.elf_dump import ElfDump, is_elf
from onpanic.why.memory.reading import MemoryFault, read_with

__all__ = ("NO_NOTE", "words_in_dump")

#: Said of a guest without the note.
NO_NOTE = (
    "there is no vmcoreinfo: the guest was started without the vmcoreinfo device, "
    "or has not loaded qemu_fw_cfg; it can be searched for"
)


def words_in_dump(path: Path) -> LastWords:
    """Read the last words of a guest whose memory was dumped to a file.

    :param path: An ELF file as QEMU and libvirt write it.
    :raise FileError: When it cannot be read, or is not a dump of a guest's memory.
    """
    with open_dump(path) as file:
        if is_elf(file.at(0, 4)):
            return _in_elf(path, file)
    raise FileError(f"{path}: not a dump of a guest's memory", "name an ELF file as QEMU or libvirt wrote it")


def _in_elf(path: Path, file: OpenDump) -> LastWords:
    try:
        dump = ElfDump.read(file)
    except MemoryFault as fault:
        raise FileError(f"{path}: {fault}", "name a dump of a guest's memory") from fault
    note = read_with(vmcoreinfo_note(dump.notes, dump.architecture), dump.fetch)
    if note is None:
        return LastWords(architecture=dump.architecture, source="elf", notes=(NO_NOTE,))
    return read_with(linux_words(note, dump.architecture, dump.byte_order, "elf"), dump.fetch)
