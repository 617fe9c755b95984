"""Which build a record is of: its name, whose it is, and where its version stands among others.

Versions have an order within a line of builds only: a distributor's 1.5.3 may have taken
from 1.7 what upstream's 1.5.3 lacks, so that it says nothing of upstream's, nor the other
way round.  The order is that of `packaging`; release candidates stand before their release.
"""

import hashlib
import re
from functools import lru_cache

from packaging.version import Version

from onpanic.probe.launch import name_of
from onpanic.probe.record import Emulator

__all__ = (
    "build_name",
    "emulator_name",
    "era_of",
    "follows",
    "line_of",
    "order_of",
    "series_of",
    "target_name",
)

_UPSTREAM = "upstream"

# The last minor number of each major one, where it is not 2 (QEMU's release announcements)
_LAST_MINOR = {0: 15, 1: 7, 2: 12, 3: 1}
_LAST_MINOR_SINCE_4 = 2

_LONGEST = 160  # characters; a file's name has room for 255 bytes
_ON_ITS_WAY = 50  # from this micro number to 99 it is no release yet
_RPM = re.compile(r"-[^-]*\.([a-z]+)[\d_]*[^-]*$")  # the end of a release: -11.el9, -1.amzn2023
_OWN = re.compile(r"(v?\d[\w.]*(-rc\d+)?(-\d+-g[0-9a-f]+)?(-dirty)?)?")  # what QEMU's git says of itself
_DISTRIBUTORS = {"el": "RHEL", "fc": "Fedora"}


def emulator_name(emulator: Emulator) -> str:
    """Return the program's name, e.g. ``qemu-system-x86_64``."""
    if emulator.command:
        return name_of(emulator.command)
    return f"qemu-system-{emulator.target}" if emulator.target else "qemu"


def target_name(emulator: Emulator) -> str:
    """Return the target, e.g. ``x86_64``: what it says, or more exactly its name.

    QEMU 11's mipsel says mips.
    """
    named = emulator_name(emulator).partition("qemu-system-")[2].partition("-")[0]
    return named if named.startswith(emulator.target) else emulator.target


def build_name(emulator: Emulator) -> str:
    """Return a name for a build's record that other builds do not have, fit for a file."""
    parts = (emulator_name(emulator), emulator.version, emulator.package)
    name = "-".join(re.sub(r"[^A-Za-z0-9_.+~]+", "-", part).strip("-") for part in parts if part)
    name = name.lstrip(".-") or "qemu"
    if len(name) <= _LONGEST:
        return name
    return f"{name[:_LONGEST]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def line_of(package: str) -> str:
    """Return whose build it is: ``Debian``, ``RHEL``, …, or a distributor's own first word.

    It is ``upstream`` only if nobody but QEMU's own git says anything.

    :param package: What the greeting says of the package.
    """
    said = package.strip().lower()
    if _OWN.fullmatch(said):
        return _UPSTREAM
    if "ubuntu" in said:  # its packages are called Debian's, too
        return "Ubuntu"
    if said.startswith("debian"):
        return "Debian"
    if match := _RPM.search(said):
        return _DISTRIBUTORS.get(match[1], match[1])
    return "RHEL" if said.startswith("qemu-kvm") else package.split()[0].partition("_")[0]


@lru_cache(maxsize=4096)
def order_of(version: str) -> Version:
    """Return what versions of a line are sorted by; what is no version stands first."""
    try:
        return Version(version)
    except ValueError:  # InvalidVersion, and numbers without end
        return Version("0.dev0")


def series_of(version: str) -> str:
    """Return the release that a version is a later state of: ``7.2`` for ``7.2.22``, ``1.6`` for ``1.6.0``.

    From ``x.y.50`` on it is on its way to the next one, which it is counted to.
    """
    release = order_of(version).release
    major, minor, micro = (*release, 0, 0, 0)[:3]
    return "{}.{}".format(*_next(major, minor)) if _ON_ITS_WAY <= micro < 100 else f"{major}.{minor}"


def era_of(version: str) -> str:
    """Return the releases that share a major number: ``7.x``."""
    return f"{series_of(version).partition('.')[0]}.x"


def follows(before: str, after: str) -> bool:
    """Say if no release lies between two versions, so that what changed is known to have changed there.

    The second is the first one of the next release (1.6.2 and 1.7.0), or the next state of the same
    one (7.2.4 and 7.2.5).
    """
    first, second = series_of(before), series_of(after)
    micro = [(*order_of(version).release, 0, 0, 0)[2] for version in (before, after)]
    if first == second:
        return micro[1] - micro[0] == 1 and micro[0] < _ON_ITS_WAY
    major, minor = map(int, first.split("."))
    return second == "{}.{}".format(*_next(major, minor)) and micro[1] == 0


def _next(major: int, minor: int) -> tuple[int, int]:
    last = _LAST_MINOR.get(major, _LAST_MINOR_SINCE_4)
    return (major, minor + 1) if minor < last else (major + 1, 0)
