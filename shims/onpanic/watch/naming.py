"""Names: of the files that guests' memory goes to, and of guests that are restarted under another one."""

import re
import time
from collections.abc import Collection

__all__ = ("dump_name", "renamed")

_SUFFIX = re.compile(r"-restart-\d+$")
_LONGEST = 60  # characters of a guest's name in a file's


def dump_name(name: str, uuid: str, at: float) -> str:
    """Return a file's name for a guest's memory: the guest's name, some of its UUID, and the time.

    :param at: Seconds since the epoch; the name has them in UTC.
    """
    plain = re.sub(r"[^\w.+-]", "_", name, flags=re.ASCII)[:_LONGEST].lstrip(".") or "guest"
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(at))
    return "-".join([plain, *([uuid[:8]] if uuid else []), f"{stamp}.core"])


def renamed(name: str, taken: Collection[str]) -> str:
    """Return a guest's name after a rename-restart: ``guest-restart-1``, then ``guest-restart-2``.

    :param name: Its name.
    :param taken: Names that other guests have.
    """
    base, number = _SUFFIX.sub("", name), 1
    while f"{base}-restart-{number}" in taken:
        number += 1
    return f"{base}-restart-{number}"
