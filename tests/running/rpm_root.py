"""An empty root that RPM packages are installed in, and a sandbox that runs what is there."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from .packages import run_clean
from .rpm_macros import SITE

__all__ = ("RpmRoot",)

#: Notes its arguments: there is no systemd.
_SYSTEMCTL = '#!/bin/sh\necho "$*" >>/systemctl.log\n'
# Where the host's Python, its libraries, and what the core needs are inside
_PYTHON, _LIBRARIES, _DEPENDENCIES = "/host/python", "/host/libraries", "/host/dependencies"
_FOLDERS = (
    *("usr/bin", "proc", "dev", "tmp", "var/lib/rpm", "var/tmp", "host/python", "host/libraries"),
    *("host/dependencies/msgspec", "host/dependencies/qemu/qmp"),
)


class RpmRoot:
    """A root with a shell for scriptlets, a systemctl that notes its arguments, and nothing else.

    :param folder: An empty folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        for name in _FOLDERS:
            (folder / name).mkdir(parents=True)
        (folder / "usr/bin/python3").touch()
        (folder / "usr/bin/systemctl").write_text(_SYSTEMCTL, "utf-8")
        (folder / "usr/bin/systemctl").chmod(0o755)
        (folder / "systemctl.log").touch()
        (folder / "bin").mkdir()
        shutil.copy(Path("/bin/sh").resolve(), folder / "bin/sh")
        for library in _libraries_of("/bin/sh"):
            inside = folder / str(library).lstrip("/")
            inside.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(library.resolve(), inside)
        self._before = self._paths()

    def rpm(self, *words: str | Path) -> list[str]:
        """Run rpm in the root, and return its lines."""
        options = ("--root", self._folder, "--dbpath", "/var/lib/rpm")
        done = run_clean("rpm", *options, *words, cwd=self._folder, LC_ALL="C.UTF-8")
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.splitlines()

    def path(self, name: str) -> Path:
        """Return where an absolute path of the root is."""
        return self._folder / name.lstrip("/")

    def new_paths(self) -> set[str]:
        """Return the absolute paths of files and folders that are not as in the beginning."""
        return self._paths() - self._before

    def asked_of_systemctl(self) -> list[str]:
        """Return the command lines of systemctl since the last call."""
        log = self._folder / "systemctl.log"
        lines = log.read_text("utf-8").splitlines()
        log.write_text("", "utf-8")
        return lines

    def run(self, *words: str, files: dict[str, Path] | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command in the root, with the host's Python and the core's two libraries.

        :param files: Files of the host by their names in ``/tmp``.
        """
        binds = {
            Path(sys.executable).resolve(): "/usr/bin/python3",
            Path(sys.base_prefix): _PYTHON,
            _libraries_of("/bin/sh")[0].resolve().parent: _LIBRARIES,
            _folder_of("msgspec"): f"{_DEPENDENCIES}/msgspec",
            _folder_of("qemu.qmp"): f"{_DEPENDENCIES}/qemu/qmp",
        }
        options = [word for outer, inside in binds.items() for word in ("--ro-bind", str(outer), inside)]
        options += ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--chdir", "/tmp"]
        for name, outer in (files or {}).items():
            options += ["--ro-bind", str(outer), f"/tmp/{name}"]
        environment = {
            "PATH": "/usr/bin",
            "LC_ALL": "C.UTF-8",
            "LD_LIBRARY_PATH": f"{_LIBRARIES}:{_PYTHON}/lib",
            "PYTHONHOME": _PYTHON,
            "PYTHONPATH": f"{SITE}:{_DEPENDENCIES}",
        }
        for name, value in environment.items():
            options += ["--setenv", name, value]
        sandbox = (
            "bwrap",
            "--unshare-all",
            "--die-with-parent",
            "--clearenv",
            "--ro-bind",
            self._folder,
            "/",
        )
        return run_clean(*sandbox, *options, "--", *words, cwd=self._folder)

    def _paths(self) -> set[str]:
        found = set()
        for folder, folders, files in os.walk(self._folder):
            inside = Path("/", Path(folder).relative_to(self._folder))
            if inside != Path("/var/lib/rpm"):
                found |= {str(inside / name) for name in (*folders, *files)}
        return found


def _libraries_of(program: str) -> list[Path]:
    """Return a program's libraries, the C library first, and its loader."""
    done = subprocess.run(["ldd", program], capture_output=True, text=True, check=True)
    found = [Path(path) for path in re.findall(r"(/\S+) \(0x", done.stdout)]
    return sorted(found, key=lambda path: not path.name.startswith("libc."))


def _folder_of(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.origin is not None, package
    return Path(spec.origin).parent
