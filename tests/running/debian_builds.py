"""The Debian packages: built from this checkout in a clean root, by a user without privileges or network."""

import re
import shlex
import subprocess
import tarfile
from collections.abc import Sequence
from pathlib import Path

from onpanic.core.errors import FileError

from .debian_root import USER, DebianRoot

__all__ = ("ROOT", "SOURCES", "build_debs", "build_requirements", "lint", "pack_sources")

ROOT = Path(__file__).parent.parent.parent

# The lintian of a later suite asks for what that of the packages' oldest suite objects to
_OF_LATER_SUITES = (
    "out-of-date-standards-version",
    "package-uses-old-debhelper-compat-version",
    "redundant-priority-optional-field",
)
#: Every tag that lintian has; an override that matches nothing is one, too.
_LINTIAN = (
    *("lintian", "--pedantic", "--display-info", "--display-experimental", "--color", "never"),
    # Takes a minute for what the tests on the newest Python tell as well
    *("--dont-check-part", "languages/python/stdlib-deprecation"),
    *("--fail-on", "error,warning,info,pedantic,experimental,override"),
)

# Its exit statuses: nothing was found, or something
_LINTED = (0, 2)

#: The archive of the checkout's files.
SOURCES = "checkout.tar"

# Those files, in a folder of the user's
_UNPACK = f"""
mkdir -p "$0/checkout"
tar -xf /exchange/{SOURCES} -C "$0/checkout"
chown -R {USER}:{USER} "$0"
"""


def build_requirements() -> list[str]:
    """Return the packages that building takes, from ``debian/control``, and lintian."""
    control = (ROOT / "debian/control").read_text("utf-8")
    found = re.search(r"^Build-Depends:\n((?: .*\n)+)", control, re.MULTILINE)
    assert found
    return ["build-essential", "lintian", *re.findall(r"^ ([a-z0-9.+-]+)", found[1], re.MULTILINE)]


def build_debs(
    root: DebianRoot,
    place: str = "/build",
    options: Sequence[str] = (),
    umask: int = 0o022,
    **environment: str,
) -> None:
    """Build the packages from the archive `SOURCES` in a root's folder ``exchange``, into the same folder.

    :param root: A root with `build_requirements`.
    :param place: The folder in the root to build in, which does not exist.
    :param options: Options of dpkg-buildpackage.
    :param umask: Its umask.
    :param environment: Variables for it, such as ``DEB_BUILD_OPTIONS``.
    :raise AssertionError: When something fails.
    """
    root.must("sh", "-ec", _UNPACK, place)
    root.must("tools/debian-source", place, user=USER, cwd=f"{place}/checkout")
    build = shlex.join(["dpkg-buildpackage", "-us", "-uc", *options])
    tree = root.must("sh", "-c", f"echo {place}/onpanic-*/").strip()
    root.must("sh", "-c", f"umask {umask:o}; {build}", user=USER, cwd=tree, **environment)
    root.must("sh", "-c", "cp --no-preserve=ownership *onpanic*_* /exchange", cwd=place)


def lint(root: DebianRoot) -> str:
    """Return what lintian says about the packages that a root has in ``/build``; nothing if it is content."""
    done = root.run("sh", "-c", f"{shlex.join(_LINTIAN)} *.changes", user=USER, cwd="/build")
    asked = re.compile(rf"[A-Z]: .*: (?:{'|'.join(_OF_LATER_SUITES)})(?: .*)?\n")
    said = "".join(line for line in done.stdout.splitlines(keepends=True) if not asked.fullmatch(line))
    return said or f"lintian ended with status {done.returncode}" * (done.returncode not in _LINTED)


def pack_sources(folder: Path) -> None:
    """Write `SOURCES` into a folder: the files of this checkout that Git has, or would add.

    :raise FileError: When this is no checkout.
    """
    words = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    listed = subprocess.run(words, cwd=ROOT, capture_output=True, timeout=60, check=False)
    if listed.returncode or not (ROOT / "debian/control").exists():
        raise FileError(f"{ROOT}: not a checkout with Git", "the Debian packages are built from one")
    with tarfile.open(folder / SOURCES, "w") as archive:
        for name in listed.stdout.decode().split("\0")[:-1]:
            if (ROOT / name).exists():  # it may be deleted, and not committed yet
                archive.add(ROOT / name, name)
