"""Files that are made when a guest is dumped, but cannot be read: what to do about them."""

from typing import NamedTuple

__all__ = ("UnreadableFile", "unreadable_file")


class UnreadableFile(NamedTuple):
    """What a file is, and what to do instead."""

    what: str
    remedy: str


# By how a file begins: the program that compressed it, which libvirt's dump_image_format names, too
_COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"\x89LZO\0": "lzop",
    b"BZh": "bzip2",
    b"\xfd7zXZ\0": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
}
_WHOLE = "dump it with virsh dump --memory-only, or read the guest itself"
_TEXT = "the memory in it is not compressed: grep -a finds text in it, such as the guest's log"
_STATES = {
    b"QEVM": "the state of a whole machine as it is migrated, not a dump of its memory",
    b"LibvirtQemudSave": "a saved domain, not a dump of its memory",
    b"LibvirtQemudPart": "a saved domain that is incomplete, not a dump of its memory",
}


def unreadable_file(start: bytes) -> UnreadableFile | None:
    """Return what a file is and what to do instead; None if it may be a dump.

    :param start: Its first bytes.
    """
    for magic, program in _COMPRESSED.items():
        if start.startswith(magic):
            return UnreadableFile(f"it is compressed with {program}", f"decompress it first: {program} -d")
    for magic, what in _STATES.items():
        if start.startswith(magic):
            return UnreadableFile(what, _WHOLE)
    if _is_xen_core(start):
        return UnreadableFile("a core file of Xen, which is not read", _TEXT)
    return None


def _is_xen_core(start: bytes) -> bool:
    """Return whether a file is a dump of a Xen guest: ELF without program headers, with a note of Xen's."""
    is_core = start.startswith(b"\x7fELF\x02\x01") and start[16:18] == b"\x04\0"
    return is_core and start[56:58] == b"\0\0" and b"Xen\0" in start
