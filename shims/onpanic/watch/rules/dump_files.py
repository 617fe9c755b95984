"""Dump files: their names, which of them the watcher made, and their formats."""

import re
import time

import msgspec

__all__ = ("FORMATS", "PARTIAL", "DumpFile", "dump_name", "fails_by_format", "guest_of", "with_format")

#: QEMU's names of dump formats (``DumpGuestMemoryFormat`` of QAPI), and the extension of such a file.
FORMATS = {
    "elf": ".core",
    "kdump-zlib": ".kdump",
    "kdump-lzo": ".kdump",
    "kdump-snappy": ".kdump",
    "kdump-raw-zlib": ".kdump",
    "kdump-raw-lzo": ".kdump",
    "kdump-raw-snappy": ".kdump",
    "win-dmp": ".dmp",
}

#: What the name of an incomplete file ends with.
PARTIAL = ".partial"

_NAME_LIMIT = 60  # characters of the guest's name in the file's name
_UNSAFE = re.compile(r"[^\w.+-]", re.ASCII)
_DUMP = re.compile(r"([\w+-][\w.+-]*)-\d{8}T\d{6}Z\.(?:core|kdump|dmp)", re.ASCII)


class DumpFile(msgspec.Struct, frozen=True):
    """A dump that the watcher made.

    :param name: The file's name.
    :param guest: The guest, see `guest_of`.
    :param size: Its size in bytes, or what it may become if it is still being written.
    :param written: Bytes of it that the file system has already.
    :param modified: When it was last written to, in nanoseconds since the epoch.
    :param complete: False if it is still being written.
    """

    name: str
    guest: str
    size: int
    written: int
    modified: int
    complete: bool = True


def dump_name(name: str, uuid: str, at: float) -> str:
    """Return the name of a dump file: the guest's name, the first digits of its UUID, and the time in UTC.

    Characters that are unsafe in a file name are replaced, since a guest's QEMU may say anything.

    :param name: The guest's name.
    :param uuid: The guest's UUID; empty if it has none.
    :param at: When the guest failed, in seconds since the epoch.
    """
    plain = _UNSAFE.sub("_", name)[:_NAME_LIMIT].lstrip(".") or "guest"
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(at))
    return "-".join([plain, *([_UNSAFE.sub("_", uuid[:8])] if uuid else []), f"{stamp}.core"])


def guest_of(name: str) -> str:
    """Return what a dump's name says about the guest; empty if the file is not a dump of the watcher's.

    libvirt's own dumps have other names.

    :param name: A file's name, without its directory.  An incomplete file is no dump.
    """
    found = _DUMP.fullmatch(name)
    return found.group(1) if found else ""


def fails_by_format(error: str) -> bool:
    """Return whether a dump has failed only because of its format, so that another one may work.

    libvirt 12.8 dumps a guest as ``win-dmp`` if QEMU offers that, and makes no other dump when the header
    that the guest has handed to QEMU turns out to be invalid.

    :param error: QEMU's message.
    """
    return error.startswith("win-dump: ")


def with_format(path: str, form: str) -> str:
    """Return the path of a dump with the extension of a format.

    :param path: A path that `dump_name` ends.
    :param form: A name in `FORMATS`.
    """
    return f"{path.rpartition('.')[0]}{FORMATS[form]}"
