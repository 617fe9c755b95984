"""Files with what guests said last: their names, what is in them, and which old ones are removed."""

import re
from collections.abc import Collection, Sequence

__all__ = ("old_why_files", "why_content", "why_name")

#: How many files of one guest are kept.
_KEPT = 16
_SIZE_LIMIT = 256 * 1024  # bytes

_EXTENSION = ".why.txt"
_NAME = re.compile(r"([\w+-][\w.+-]*)-\d{8}T\d{6}Z\.why\.txt", re.ASCII)


def why_name(dump: str) -> str:
    """Return the name of the file beside a dump.

    :param dump: The dump's name or path, which `dump_name` ends.
    """
    return f"{dump.rpartition('.')[0]}{_EXTENSION}"


def why_content(lines: Sequence[str]) -> bytes:
    """Return the content of a file, of at most 256 KiB: of more, the first and the last lines.

    :param lines: What was read, the most important first and then the guest's log.
    """
    encoded = [f"{line}\n".encode("utf-8", "replace") for line in lines]
    left, count = _SIZE_LIMIT - sum(map(len, encoded[:_HEAD])), 0
    for line in reversed(encoded[_HEAD:]):
        left -= len(line)
        if left < _NOTE:
            break
        count += 1
    rest = encoded[_HEAD:]
    kept = rest[len(rest) - count :]
    note = [] if count == len(rest) else [f"({len(rest) - count} lines are left out)\n".encode()]
    return b"".join([*encoded[:_HEAD], *note, *kept])


_HEAD, _NOTE = 8, 100  # lines before those that may be left out; bytes for the note about them


def old_why_files(names: Collection[str], new: str) -> list[str]:
    """Return which files of a guest make room for a new one, the oldest.

    :param names: The names of all files in the directory.
    :param new: The new file's name.
    """
    guest = _guest_of(new)
    of_guest = sorted(name for name in names if guest and _guest_of(name) == guest and name != new)
    return of_guest[: max(0, len(of_guest) + 1 - _KEPT)]


def _guest_of(name: str) -> str:
    found = _NAME.fullmatch(name)
    return found[1] if found else ""
