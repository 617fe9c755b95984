"""Build the RPM packages, with Debian's rpm and stand-ins for what Fedora has besides it."""

import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from .packages import run_clean
from .rpm_macros import macros

__all__ = ("SPEC", "build_rpms", "missing_programs", "query", "rpm_tool")

SPEC = Path(__file__).parent.parent.parent / "rpm" / "onpanic.spec"


def build_rpms(sdist: Path, folder: Path) -> list[Path]:
    """Build the binary packages and the source package below a folder, from an sdist that has the spec file.

    What the build requires is not looked for among installed RPM packages.
    """
    done = rpm_tool("rpmbuild", "-ta", "--nodeps", "--without", "tests", sdist, folder=folder)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return sorted(folder.glob("*RPMS/**/*.rpm"))


def rpm_tool(program: str, *words: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run rpmbuild or rpmspec with the stand-ins, and a folder for what they write."""
    (folder / "macros").write_text(macros(), "utf-8")
    (folder / "tmp").mkdir(exist_ok=True)
    defined = (f"_topdir {folder}", f"_tmppath {folder / 'tmp'}")
    options = [option for one in defined for option in ("--define", one)]
    return run_clean(program, f"--load={folder / 'macros'}", *options, *words, cwd=folder, LC_ALL="C.UTF-8")


def query(package: Path, wanted: str, *options: str) -> list[str]:
    """Return the lines of a query of a package's file, such as ``--requires`` or a format."""
    folder = package.parent
    environment = {"LC_ALL": "C.UTF-8", "HOME": str(folder)}  # rpm makes a database below it
    done = run_clean("rpm", "-qp", *options, wanted, package, cwd=folder, **environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def missing_programs(names: Iterable[str]) -> list[str]:
    """Return the programs that are not installed."""
    return [name for name in names if shutil.which(name) is None]
