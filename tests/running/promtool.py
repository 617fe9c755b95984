"""Prometheus' own checker of rules and metrics, from Debian's package; no server is installed or started."""

import fcntl
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from .emulators import emulators_folder

__all__ = ("Promtool", "PromtoolMissingError", "promtool_path", "run_promtool")

#: Runs promtool with arguments and an input (``stdin``), and returns its output.
Promtool = Callable[..., str]


class PromtoolMissingError(Exception):
    """There is no promtool, and it cannot be fetched."""


def promtool_path() -> str:
    """Return the path of promtool; it is unpacked if need be.

    :raise PromtoolMissingError: When it cannot be fetched.
    """
    found = shutil.which("promtool")
    if found:
        return found
    root = emulators_folder() / "prometheus"
    program = root / "promtool"
    root.mkdir(parents=True, exist_ok=True)
    with (root / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another test run may want the same
        if not program.exists():
            _fetch(root)
    return str(program)


def run_promtool(program: str, *words: str | Path, stdin: str = "") -> str:
    """Run promtool, which must be content, and return its output."""
    done = subprocess.run(
        [program, *words], input=stdin, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def _fetch(root: Path) -> None:
    """Unpack nothing but promtool: the package is three times as large."""
    script = (
        "rm -f *.deb && apt-get download prometheus && "
        "dpkg-deb --fsys-tarfile *.deb | tar -x --strip-components=3 --no-same-owner ./usr/bin/promtool && "
        "rm -f *.deb && ./promtool --version"
    )
    done = subprocess.run(
        ["sh", "-c", script], cwd=root, capture_output=True, text=True, timeout=240, check=False
    )
    if done.returncode:
        (root / "promtool").unlink(missing_ok=True)
        raise PromtoolMissingError(f"no promtool here: {' '.join(done.stderr.split())}")
