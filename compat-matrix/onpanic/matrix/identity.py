"""Which build a record is of: its name, whose it is, and where its version stands among others.

Versions have an order within a line of builds only: a distributor's 1.5.3 may have taken
from 1.7 what upstream's 1.5.3 lacks, so that it says nothing of upstream's, nor the other
way round.  The order is that of `packaging`; release candidates stand before their release.
"""

import re
from functools import lru_cache

from packaging.version import InvalidVersion, Version

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

UPSTREAM = "upstream"

# The last minor number of each major one, where it is not 2 (QEMU's release announcements)
_LAST_MINOR = {0: 15, 1: 7, 2: 12, 3: 1}
_LAST_MINOR_SINCE_4 = 2

_RPM = re.compile(r"\.(el|fc)\d")


def emulator_name(emulator: Emulator) -> str:
    """Return the program's name, e.g. ``qemu-system-x86_64``."""
    if emulator.command:
        return name_of(emulator.command)
    return f"qemu-system-{emulator.target}" if emulator.target else "qemu"


def target_name(emulator: Emulator) -> str:
    """Return the target, e.g. ``x86_64``: the program's name has it where nothing was said of it."""
    return emulator.target or emulator_name(emulator).partition("qemu-system-")[2].partition("-")[0]


def build_name(emulator: Emulator) -> str:
    """Return a name for a build's record that other builds do not have, fit for a file."""
    parts = (emulator_name(emulator), emulator.version, emulator.package)
    return "-".join(re.sub(r"[^A-Za-z0-9_.+~]+", "-", part).strip("-") for part in parts if part)


def line_of(package: str) -> str:
    """Return whose build it is: ``Debian``, ``RHEL``, …; ``upstream`` if no distributor says anything.

    :param package: What the greeting says of the package.
    """
    said = package.lower()
    if "ubuntu" in said:  # its packages are called Debian's, too
        return "Ubuntu"
    if said.startswith("debian"):
        return "Debian"
    if match := _RPM.search(said):
        return "RHEL" if match[1] == "el" else "Fedora"
    return "RHEL" if said.startswith("qemu-kvm") else UPSTREAM


@lru_cache(maxsize=4096)
def order_of(version: str) -> Version:
    """Return what versions of a line are sorted by; what is no version stands first."""
    try:
        return Version(version)
    except InvalidVersion:
        return Version("0.dev0")


def series_of(version: str) -> str:
    """Return the release that a version is a later state of: ``7.2`` for ``7.2.22``, ``1.6`` for ``1.6.0``.

    From ``x.y.50`` on it is on its way to the next one, which it is counted to.
    """
    release = order_of(version).release
    major, minor, micro = (*release, 0, 0, 0)[:3]
    return "{}.{}".format(*_next(major, minor)) if 50 <= micro < 100 else f"{major}.{minor}"


def era_of(version: str) -> str:
    """Return the releases that share a major number: ``7.x``."""
    return f"{series_of(version).partition('.')[0]}.x"


def follows(before: str, after: str) -> bool:
    """Say if no release lies between two versions: they are of one series, or of neighbouring ones."""
    first, second = series_of(before), series_of(after)
    major, minor = map(int, first.split("."))
    return second in (first, "{}.{}".format(*_next(major, minor)))


def _next(major: int, minor: int) -> tuple[int, int]:
    last = _LAST_MINOR.get(major, _LAST_MINOR_SINCE_4)
    return (major, minor + 1) if minor < last else (major + 1, 0)
