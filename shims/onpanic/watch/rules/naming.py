"""Names of guests that a rename-restart starts again."""

import re
from collections.abc import Collection

__all__ = ("renamed",)

_SUFFIX = re.compile(r"-restart-([0-9]{1,18})\Z")


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
