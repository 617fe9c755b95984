"""Whether a program that a document names may be started: both may be another user's."""

import os
import shutil
import stat
from contextlib import suppress
from itertools import chain
from pathlib import Path

__all__ = ("who_may_replace",)


def who_may_replace(program: str) -> str:
    """Return the file or folder by which another user could decide what a program is; empty if none could.

    :param program: A path, or a name on the PATH.  One that does not exist can be started by nobody.
    """
    found = shutil.which(program) or program
    if not os.path.exists(found):  # noqa: PTH110  as the following
        return ""
    trusted = {0, os.geteuid(), *_unmapped()}
    paths = [Path(os.path.abspath(found)), Path(os.path.realpath(found))]  # noqa: PTH100
    for path in dict.fromkeys(chain.from_iterable((path, *path.parents) for path in paths)):
        about = path.stat()
        # Of a folder such as /tmp, nobody else can remove or rename what is ours
        shared = about.st_mode & stat.S_IWOTH and not (
            stat.S_ISDIR(about.st_mode) and about.st_mode & stat.S_ISVTX
        )
        if about.st_uid not in trusted or shared:
            return str(path)
    return ""


def _unmapped() -> set[int]:
    """Return whom the host's root is in a user namespace that does not have it."""
    with suppress(OSError, ValueError):
        return {int(Path("/proc/sys/fs/overflowuid").read_text(encoding="ascii"))}
    return set()
