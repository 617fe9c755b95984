"""The packages that are published, built from this checkout."""

import os
import subprocess
import sys
from pathlib import Path

from onpanic.core.version import __version__

__all__ = ("PACKAGE_VERSION", "build_packages", "run_clean")

#: The version as dpkg and rpm have it: both sort a tilde before the end.
PACKAGE_VERSION = __version__.replace(".dev", "~dev")

_ROOT = Path(__file__).parent.parent.parent
_SECONDS = 300


def run_clean(*words: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command with nothing of this environment's Python in it."""
    dropped = ("PYTHON", "PYTEST", "MYPY", "VIRTUAL_ENV", "ONPANIC_")
    rest = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    return subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        env={**rest, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )


def build_packages(folder: Path) -> None:
    """Build the wheel and the sdist into a folder."""
    done = run_clean(sys.executable, "-m", "hatchling", "build", "-d", folder, cwd=_ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
