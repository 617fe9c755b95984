"""Names of dump files, and of guests that a rename-restart starts again."""

import re
import time
from collections.abc import Collection

__all__ = ("dump_name", "renamed")

_SUFFIX = re.compile(r"-restart-([0-9]{1,18})\Z")
_NAME_LIMIT = 60  # characters of the guest's name in the file's name


def dump_name(name: str, uuid: str, at: float) -> str:
    """Return the name of a dump file: the guest's name, the first digits of its UUID, and the time in UTC.

    :param name: The guest's name.  Characters that are unsafe in a file name are replaced.
    :param uuid: The guest's UUID; empty if it has none.
    :param at: When the guest failed, in seconds since the epoch.
    """
    plain = re.sub(r"[^\w.+-]", "_", name, flags=re.ASCII)[:_NAME_LIMIT].lstrip(".") or "guest"
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(at))
    return "-".join([plain, *([uuid[:8]] if uuid else []), f"{stamp}.core"])


def renamed(name: str, taken: Collection[str]) -> str:
    """Return the name of a guest after a rename-restart: ``guest-restart-1``, then ``guest-restart-2``.

    The number only goes up: a lower one may be free, but logs and dumps of an earlier start have it.

    :param name: The guest's name now.
    :param taken: Names of other guests, which must not be used.
    """
    suffix = _SUFFIX.search(name)
    base, number = (name[: suffix.start()], int(suffix[1]) + 1) if suffix else (name, 1)
    while f"{base}-restart-{number}" in taken:
        number += 1
    return f"{base}-restart-{number}"
