"""The order of versions within a line of builds, and whether releases lie between two of them.

Versions are ordered within a line only.  A distributor's 1.5.3 may have backports from 1.7 that
upstream's 1.5.3 does not have, so that neither says anything about the other.  The order is that of
`packaging`; release candidates come before their release.
"""

from functools import lru_cache

from onpanic.core.errors import MissingExtraError

try:
    from packaging.version import Version
except ImportError as error:
    raise MissingExtraError("packaging", "matrix") from error

__all__ = ("era_of", "follows", "order_of", "series_of")

# The last minor number of each major one, where it is not 2 (QEMU's release announcements)
_LAST_MINOR = {0: 15, 1: 7, 2: 12, 3: 1}
_LAST_MINOR_SINCE_4 = 2

_DEVELOPMENT = range(50, 100)  # micro numbers of development versions, on the way to the next release


@lru_cache(maxsize=4096)
def order_of(version: str) -> Version:
    """Return the sort key of a version within a line; what is not a version comes first."""
    try:
        return Version(version)
    except ValueError:  # InvalidVersion, and numbers that are too long to convert
        return Version("0.dev0")


def series_of(version: str) -> str:
    """Return the release that a version belongs to: ``7.2`` for ``7.2.22``, ``1.6`` for ``1.6.0``.

    A development version (``x.y.50`` and later) belongs to the next release.
    """
    release = order_of(version).release
    major, minor, micro = (*release, 0, 0, 0)[:3]
    return "{}.{}".format(*_next(major, minor)) if micro in _DEVELOPMENT else f"{major}.{minor}"


def era_of(version: str) -> str:
    """Return the releases with the same major number: ``7.x``."""
    return f"{series_of(version).partition('.')[0]}.x"


def follows(before: str, after: str) -> bool:
    """Return whether no release lies between two versions, so that a change is known to be in the second.

    The second is the first version of the next release (1.6.2 and 1.7.0), or the next one of the same
    release (7.2.4 and 7.2.5).
    """
    first, second = series_of(before), series_of(after)
    micro = [(*order_of(version).release, 0, 0, 0)[2] for version in (before, after)]
    if first == second:
        return micro[1] - micro[0] == 1 and micro[0] < _DEVELOPMENT.start
    major, minor = map(int, first.split("."))
    return second == "{}.{}".format(*_next(major, minor)) and micro[1] == 0


def _next(major: int, minor: int) -> tuple[int, int]:
    last = _LAST_MINOR.get(major, _LAST_MINOR_SINCE_4)
    return (major, minor + 1) if minor < last else (major + 1, 0)
