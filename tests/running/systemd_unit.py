"""Runs a unit's own command under the unit's own restrictions, as far as they can be had without systemd.

A directive that is not listed here is an error, so that none can be added to a unit without a thought.
"""

import os
import shlex
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from . import seccomp_filters

__all__ = ("SystemdUnit",)

#: Directives about when systemd starts and stops what, and their effects that no process sees.
_OF_SYSTEMD = (
    *("Description", "Documentation", "Wants", "After", "WantedBy"),
    *(
        "Restart",
        "RestartSec",
        "StartLimitIntervalSec",
        "SyslogLevel",
        "OOMScoreAdjust",
        "StateDirectoryMode",
        "CacheDirectoryMode",
        "RemoveIPC",
    ),
)
#: Directives with the only value that is understood.
_ONLY = {
    "Type": "notify",
    "CapabilityBoundingSet": "",
    "AmbientCapabilities": "",
    "NoNewPrivileges": "yes",  # bwrap always sets it
    "ProtectSystem": "strict",
    "ProtectControlGroups": "yes",
    "SystemCallArchitectures": "native",  # libseccomp kills the process at any other
}
#: Options of bwrap for directives that are ``yes``.
_BWRAP: dict[str, list[str]] = {
    "ProtectHome": [w for name in ("/home", "/root", "/run/user") for w in ("--tmpfs", name)],
    "PrivateTmp": [w for name in ("/tmp", "/var/tmp") for w in ("--perms", "1777", "--tmpfs", name)],
    "PrivateDevices": ["--dev", "/dev"],
    "PrivateNetwork": ["--unshare-net"],
    "ProtectHostname": ["--unshare-uts"],
    "ProtectKernelTunables": ["--ro-bind", "/proc/sys", "/proc/sys"],
    "ProtectKernelLogs": [],  # the rest takes a capability, or is no system call of @system-service
    "ProtectKernelModules": [],
    "ProtectClock": [],
}
#: The filters for the address families that are understood.
_FAMILIES = {
    frozenset({"AF_UNIX"}): "RestrictAddressFamilies",
    frozenset({"AF_UNIX", "AF_INET", "AF_INET6"}): "RestrictAddressFamilies with AF_INET and AF_INET6",
}
_SECCOMP = (
    "RestrictNamespaces",
    "RestrictRealtime",
    "RestrictSUIDSGID",
    "LockPersonality",
    "MemoryDenyWriteExecute",
)
_PROC = {"ProtectProc": "hidepid", "ProcSubset": "subset"}
_HOST_PROGRAMS = "/run/host-programs"


class SystemdUnit:
    """A unit of type ``notify``.

    :param path: Its file.
    :param drop_ins: Its drop-in files, in the order in which systemd reads them.
    :ivar settings: Its directives, each with its values in order.
    """

    def __init__(self, path: Path, *drop_ins: Path) -> None:
        self.settings: dict[str, list[str]] = {}
        for line in [one for file in (path, *drop_ins) for one in file.read_text("utf-8").splitlines()]:
            if "=" in line and line[0] not in "#;":
                name, value = line.split("=", 1)
                self.settings.setdefault(name, []).append(value)

    def command(self, name: str = "ExecStart", **specifiers: object) -> list[str]:
        """Return the words of a command, with the values of variables such as ``$MAINPID``."""
        text = self.settings[name][-1]
        for variable, value in specifiers.items():
            text = text.replace(f"${variable}", str(value))
        return shlex.split(text)

    @contextmanager
    def run(
        self, folder: Path, binds: Mapping[str, Path], program: str, command: list[str] | None = None
    ) -> Iterator[subprocess.Popen[str]]:
        """Run the unit's command, or another one, under the unit's restrictions.

        :param folder: An empty folder for what the sandbox needs.
        :param binds: What other services provide: paths inside, and the folders that are there.
        :param program: The text of the script that ``ExecStart`` runs: Python, without its first line.
        :raise AssertionError: When a directive is not known.
        """
        state = folder / "state"
        state.mkdir(mode=int(self.settings["StateDirectoryMode"][-1], 8))
        if "CacheDirectory" in self.settings:
            (folder / "cache").mkdir()
            (folder / "cache").chmod(int(self.settings["CacheDirectoryMode"][-1], 8))
        descriptors: list[int] = []
        try:
            words = self._words(folder, state, binds, program, descriptors)
            with subprocess.Popen(
                [*words, *(command or self.command())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                pass_fds=descriptors,
            ) as process:
                try:
                    yield process
                finally:
                    process.kill()
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _words(
        self,
        folder: Path,
        state: Path,
        binds: Mapping[str, Path],
        program: str,
        descriptors: list[int],
    ) -> list[str]:
        options: list[str] = []
        environment = {
            "PATH": "/usr/sbin:/usr/bin",
            "LANG": "C.UTF-8",
            "NOTIFY_SOCKET": "/run/systemd/notify",
        }
        mount, umask = "", "0022"
        for name, values in self.settings.items():
            if name in _ONLY:
                assert values == [_ONLY[name]], f"{name}={values}"
            if name in _SECCOMP:
                assert values == ["yes"], f"{name}={values}"
                descriptors.append(seccomp_filters.refused(name))
            elif name == "RestrictAddressFamilies":
                families = frozenset(word for value in values for word in value.split())
                descriptors.append(seccomp_filters.refused(_FAMILIES[families]))
            elif name in _BWRAP:
                assert values[-1] in ("yes", "no"), f"{name}={values}"
                options += _BWRAP[name] if values[-1] == "yes" else []
            elif name in _PROC:
                mount += f",{_PROC[name]}={values[-1]}"
            elif name == "StateDirectory":
                first, *others = dict.fromkeys(word for value in values for word in value.split())
                environment["STATE_DIRECTORY"] = f"/var/lib/{first}"
                for one in others:
                    (state / one.removeprefix(f"{first}/")).mkdir()
            elif name == "CacheDirectory":
                environment["CACHE_DIRECTORY"] = f"/var/cache/{values[-1]}"
            elif name == "UMask":
                umask = values[-1]
            elif name in ("SystemCallFilter", "SystemCallErrorNumber"):
                continue  # the last one: the others take system calls that it may not allow
            else:
                known = name in (*_ONLY, *_OF_SYSTEMD, "ExecStart", "ExecReload")
                assert known, f"a directive that this does not know: {name}"
        if "SystemCallFilter" in self.settings:
            error = self.settings.get("SystemCallErrorNumber", [""])[-1]
            descriptors.append(seccomp_filters.allowed_only(self.settings["SystemCallFilter"], error))
        mount = f"mount -t proc -o rw{mount} proc /proc"
        outside = ["unshare", "--mount", "--pid", "--ipc", "--fork", "--kill-child"]
        outside += ["sh", "-ec", f'umask {umask}; {mount}; exec "$@"', "sh"]
        words = [*outside, "bwrap", "--die-with-parent", "--cap-drop", "ALL", "--clearenv", "--chdir", "/"]
        for name, value in environment.items():
            words += ["--setenv", name, value]
        words += [*_root(), "--bind", "/proc", "/proc", *options, *_python()]
        words += [
            "--ro-bind",
            "/usr/bin",
            _HOST_PROGRAMS,
            "--ro-bind",
            str(_programs(folder, program)),
            "/usr/bin",
        ]
        for inside, outer in binds.items():
            words += ["--ro-bind", str(outer), inside]
        words += ["--bind", str(state), environment["STATE_DIRECTORY"]]
        if "CACHE_DIRECTORY" in environment:
            words += ["--bind", str(folder / "cache"), environment["CACHE_DIRECTORY"]]
        for name in ("/", "/etc", "/usr", "/var", "/var/lib", "/var/cache", "/run"):
            words += ["--remount-ro", name]
        for descriptor in descriptors:
            words += ["--add-seccomp-fd", str(descriptor)]
        return [*words, "--"]


def _root() -> list[str]:
    """Return bwrap's options for the host's root, in a few folders of which others can be bound."""
    words = ["--tmpfs", "/", "--perms", "0755", "--tmpfs", "/run"]
    inner = ("etc", "usr", "var", "var/lib", "var/cache")
    for name in ("", *inner):
        if name:
            words += ["--perms", "0755", "--tmpfs", f"/{name}"]
        for path in sorted(Path("/", name).iterdir()):
            if str(path) in ("/proc", "/dev", "/run", "/usr/bin", *(f"/{one}" for one in inner)):
                continue
            if path.is_symlink():
                words += ["--symlink", str(path.readlink()), str(path)]
            elif path.is_dir() or path.is_file():
                words += ["--ro-bind", str(path), str(path)]
    return words


def _python() -> list[str]:
    """Return bwrap's options for the interpreter and its modules where the sandbox hides them."""
    needed = {sys.prefix, sys.base_prefix, *sysconfig.get_paths().values(), *filter(None, sys.path)}
    hidden = sorted({str(Path(p).resolve()) for p in needed} | {str(Path(p).absolute()) for p in needed})
    outside = [path for path in hidden if Path(path).exists() and not path.startswith(("/usr", "/lib"))]
    return [word for path in outside for word in ("--ro-bind", path, path)]


def _programs(folder: Path, program: str) -> Path:
    """Make the folder ``/usr/bin`` of the sandbox: the host's programs, and the unit's."""
    programs = folder / "programs"
    programs.mkdir()
    for path in Path("/usr/bin").iterdir():
        (programs / path.name).symlink_to(f"{_HOST_PROGRAMS}/{path.name}")
    script = programs / "onpanic"
    script.unlink(missing_ok=True)
    paths: list[Any] = [path for path in sys.path if path]
    script.write_text(f"#!{sys.executable} -B\nimport sys\nsys.path[:] = {paths!r}\n{program}\n")
    script.chmod(0o755)
    return programs
