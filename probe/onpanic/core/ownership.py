"""Who may change a file or folder, which is not relied on where another user would gain by it."""

import os
import stat
from contextlib import suppress
from itertools import chain
from pathlib import Path

__all__ = ("changeable_by_others",)


def changeable_by_others(path: str | os.PathLike[str]) -> str:
    """Return the file or folder by which another user could decide what is at a path; empty if none could.

    Root and the user of this process are no others.  Groups are not looked at.

    :param path: A path that exists, or else nothing is found.
    """
    if not os.path.exists(path):  # noqa: PTH110  as the following
        return ""
    trusted = {0, os.geteuid(), *_unmapped()}
    ways = [Path(os.path.realpath(path)), Path(os.path.abspath(path))]  # noqa: PTH100
    for place in dict.fromkeys(chain.from_iterable((way, *way.parents) for way in ways)):
        about = place.stat()
        # Of a folder such as /tmp, nobody else can remove or rename what is ours
        ours_stays = stat.S_ISDIR(about.st_mode) and about.st_mode & stat.S_ISVTX
        if about.st_uid not in trusted or (about.st_mode & stat.S_IWOTH and not ours_stays):
            return str(place)
    return ""


def _unmapped() -> set[int]:
    """Return whom the host's root is in a user namespace that does not have it."""
    with suppress(OSError, ValueError):
        return {int(Path("/proc/sys/fs/overflowuid").read_text(encoding="ascii"))}
    return set()
