"""What tests of the packages share: environments with the wheel."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NoReturn

import pytest

from ..running.packages import run_clean

ROOT = Path(__file__).parent.parent.parent

Run = Callable[..., subprocess.CompletedProcess[str]]
Unavailable = Callable[[str], NoReturn]


@pytest.fixture(scope="session")
def run() -> Run:
    """Return a function that runs a command with nothing of this environment's Python in it."""

    return run_clean


@pytest.fixture(scope="session")
def sdist(built: Path) -> Path:
    (found,) = built.glob("*.tar.gz")
    return found


@pytest.fixture(scope="session")
def environment(
    tmp_path_factory: pytest.TempPathFactory, wheel: Path, run: Run, unavailable: Unavailable
) -> Callable[..., Path]:
    """Return a function ``environment(extra, *packages)`` to the bin folder of an empty one with the wheel.

    Environments are made once; pip's cache shares the downloads.  The constraints do not apply if a
    package is asked for in one version.
    """

    @cache
    def make(extra: str = "", *packages: str) -> Path:
        folder = tmp_path_factory.mktemp(f"environment-{extra or 'minimal'}")
        done = run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder)
        assert done.returncode == 0, done.stderr
        python = folder / "bin" / "python"
        pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python, "install")
        pinned = any("==" in package for package in packages)
        bound = () if pinned else ("--constraint", ROOT / "constraints.txt")
        what = f"{wheel}[{extra}]" if extra else str(wheel)
        done = run(*pip, "--quiet", *bound, what, *packages, cwd=folder)
        if done.returncode:
            unavailable(f"pip cannot install {extra or 'the core'}: {done.stderr.strip().splitlines()[-1:]}")
        return folder / "bin"

    return make


@pytest.fixture(scope="session")
def emulator(unavailable: Unavailable) -> str:
    return shutil.which("qemu-system-x86_64") or unavailable("no qemu-system-x86_64 here")
