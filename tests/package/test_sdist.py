"""The built sdist: it has what building and testing need."""

import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.package

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def unpacked(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sdist")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    (found,) = folder.iterdir()
    return found


def test_it_builds_the_same_wheel(unpacked: Path, wheel: Path, run: Run, tmp_path: Path) -> None:
    done = run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path, cwd=unpacked)
    assert done.returncode == 0, done.stdout + done.stderr
    (again,) = tmp_path.glob("*.whl")
    assert contents(again) == contents(wheel)


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_its_tests_pass(unpacked: Path, run: Run) -> None:
    """Those of the check, for all: they need records, the catalogue, a sample and the configuration."""
    roots = ("probe", "shims", "why", "compat-matrix", "fleet", "cli")
    done = run(
        *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
        *("-m", "not processes and not emulators and not consumers", "tests/check"),
        cwd=unpacked,
        PYTHONPATH=":".join(str(unpacked / root) for root in roots),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    needed = (
        "Makefile",
        "LICENSE",
        "README.md",
        "docs/samples",
        "tools",
        "compat-matrix/records",
        "ansible/galaxy.yml",
    )
    assert [name for name in needed if not (unpacked / name).exists()] == []
