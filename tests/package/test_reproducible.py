"""Whoever builds the packages from the same sources gets the same bytes, with nothing else in them."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, NoReturn

import pytest

from onpanic.core.version import __version__

pytestmark = pytest.mark.package

ROOT = Path(__file__).parent.parent.parent
Unavailable = Callable[[str], NoReturn]

#: Seconds since the epoch; hatchling gives them to all files, as it does a date of its own without them.
EPOCH = "1764201600"
DATE = (2025, 11, 27, 0, 0, 0)
#: What work in a checkout leaves there, and Git ignores.
LOCAL = (
    ".venv/pyvenv.cfg",
    ".coverage",
    ".hypothesis/examples",
    "build/lib/onpanic.py",
    "cli/share/man/man1/.onpanic.1.swp",
    "cli/share/man/man1/onpanic.1~",
    "dist/onpanic-0.0.1.tar.gz",
    "docs/.README.md.swp",
    "fleet/onpanic.egg-info/PKG-INFO",
    "probe/onpanic/core/__pycache__/errors.cpython-311.pyc",
    "probe/onpanic/core/errors.py.orig",
    "probe/onpanic/core/errors.py~",
    "shims/.mypy_cache/x",
    "tests/.env",
    "tests/.pytest_cache/v/x",
    "tools/.ruff_cache/x",
)


class Built(NamedTuple):
    """The packages, and the names of the files that they were built from."""

    sdist: Path
    wheel: Path
    sources: set[str]

    @classmethod
    def found_in(cls, folder: Path, sources: set[str]) -> "Built":
        (sdist,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
        return cls(sdist, wheel, sources)


@pytest.fixture(scope="module")
def sources(unavailable: Unavailable) -> list[str]:
    """Return the names of the files that Git has."""
    if not (ROOT / ".git").exists():
        unavailable("this is no checkout")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, timeout=60, check=True)
    return [name for name in listed.stdout.decode().split("\0")[:-1] if (ROOT / name).exists()]


@pytest.fixture(scope="module")
def twice(sources: list[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Built, Built]]:
    """Return the packages as two people build them."""
    top = tmp_path_factory.mktemp("reproducible")
    first, second = top / "a", top / "another folder, with a longer name"
    for folder in (first, second):
        for name in sources:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    for name in LOCAL:
        (second / name).parent.mkdir(parents=True, exist_ok=True)
        (second / name).write_text("local")
    for path in second.rglob("*"):
        os.utime(path, (981_158_400, 981_158_400))
        if path.is_file():
            path.chmod(path.stat().st_mode & 0o700)
        if os.geteuid() == 0:
            os.chown(path, 65534, 65534)
    build(first, 0o022, LC_ALL="C", TZ="UTC", USER="one", PYTHONHASHSEED="1")
    build(second, 0o077, LC_ALL="tr_TR.UTF-8", TZ="Pacific/Chatham", USER="two", PYTHONHASHSEED="2")
    yield Built.found_in(first / "out", set(sources)), Built.found_in(second / "out", set(sources))
    shutil.rmtree(top)


def build(folder: Path, umask: int, **environment: str) -> None:
    """Build the packages in a folder into its folder ``out``."""
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", "out"],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "SOURCE_DATE_EPOCH": EPOCH, **environment},
        umask=umask,
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()


def test_two_builds_have_the_same_bytes(twice: tuple[Built, Built]) -> None:
    first, second = twice
    assert first.sdist.read_bytes() == second.sdist.read_bytes()
    assert first.wheel.read_bytes() == second.wheel.read_bytes()


def test_the_sdist_builds_the_same_wheel(twice: tuple[Built, Built], tmp_path: Path) -> None:
    """That is how pip and distributions build it."""
    built, _ = twice
    with tarfile.open(built.sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (folder,) = tmp_path.iterdir()
    build(folder, 0o022)
    assert Built.found_in(folder / "out", set()).wheel.read_bytes() == built.wheel.read_bytes()


def test_the_sdist_has_what_git_has(twice: tuple[Built, Built]) -> None:
    """But debian/: it is the upstream tarball.  Nobody's name is in it, and no date but the one asked for."""
    built, _ = twice
    with tarfile.open(built.sdist) as archive:
        members = archive.getmembers()
    names = {member.name.partition("/")[2] for member in members if member.isfile()}
    assert names - built.sources == {"PKG-INFO"}
    assert {name for name in built.sources - names if not name.startswith("debian/")} == set()
    assert {(member.uid, member.gid, member.uname, member.gname) for member in members} == {(0, 0, "", "")}
    assert {member.mtime for member in members} == {int(EPOCH)}


def test_the_wheel_has_what_git_has(twice: tuple[Built, Built]) -> None:
    built, _ = twice
    roots = ("probe/", "shims/", "why/", "compat-matrix/", "fleet/", "cli/")
    known = {name.partition("/")[2] for name in built.sources if name.startswith(roots)}
    with zipfile.ZipFile(built.wheel) as archive:
        entries = archive.infolist()
    data = f"onpanic-{__version__}.data/data/"
    names = {entry.filename.removeprefix(data) for entry in entries if ".dist-info/" not in entry.filename}
    assert names - known == {"onpanic/matrix/matrix.json"}
    assert {entry.date_time for entry in entries} == {DATE}
