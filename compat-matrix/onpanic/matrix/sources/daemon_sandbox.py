"""The command, the environment and the private folder of a Debian suite's libvirtd in a root of its own."""

import os
import shlex
import socket
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from onpanic.core.errors import FetchError
from onpanic.matrix.sources.debian_suites import Root

__all__ = ("LIBVIRT_PACKAGES", "NOBODY", "DaemonSandbox")

#: What a suite's libvirtd needs beside an emulator's package.
LIBVIRT_PACKAGES: tuple[str, ...] = (
    "libvirt-daemon",
    "libvirt-daemon-driver-qemu",
    "libvirt-clients",
    "util-linux",  # setpriv
)

#: The user and the group that the daemon runs as if root starts it: nobody, nogroup.
NOBODY = 65534

_DAEMON, _SETPRIV = "usr/sbin/libvirtd", "usr/bin/setpriv"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_TEMPORARY = "/tmp"  # noqa: S108


@dataclass(frozen=True)
class DaemonSandbox:
    """How a suite's libvirtd runs: by bwrap, in session mode, as an unprivileged user.

    An emulator has the same path for the daemon and outside.  For the daemon, the suite's ``/usr`` is also
    bound to `usr`; outside, ``usr/bin`` has scripts that start the emulators.  So what libvirt says about
    an emulator can be used outside.

    :ivar root: A suite that was fetched with `LIBVIRT_PACKAGES`.
    :ivar folder: The daemon's private folder, which has the same path for the daemon and outside.
    :ivar usr: A folder outside, such as ``folder / "usr"``.
    """

    root: Root
    folder: Path
    usr: Path

    def prepare(self) -> None:
        """Write configuration, users and scripts.  Scripts of the same suite may be there.

        :raise FetchError: When the suite lacks a package.
        """
        for program in (_DAEMON, _SETPRIV):
            if not (self.root.path / program).is_file():
                raise FetchError(
                    f"/{program} is not in the {self.root.suite} that was fetched",
                    f"fetch {' '.join(LIBVIRT_PACKAGES)}",
                )
        users = {0: ("root", 0), NOBODY: ("nobody", NOBODY)}  # libvirt looks up itself and its clients
        users.setdefault(os.geteuid(), ("onpanic", os.getegid()))
        passwd = [f"{name}:x:{uid}:{gid}::{self.folder}:/bin/sh\n" for uid, (name, gid) in users.items()]
        files = {
            "libvirt/qemu.conf": 'stdio_handler = "file"\n',  # there is no virtlogd
            "libvirtd.conf": "",
            "etc/passwd": "".join(passwd),
            "etc/group": "".join(f"{name}:x:{gid}:\n" for name, gid in users.values()),
        }
        for name, text in files.items():
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name).write_text(text, "utf-8")
        for path in (self.folder, self.folder / "libvirt") if os.geteuid() == 0 else ():
            os.chown(path, NOBODY, NOBODY)
        self._write_emulators()

    def command(self, *, shared: bool = False, options: Iterable[str] = ()) -> list[str]:
        """Return the command that runs the daemon.

        :param shared: Whether the daemon shares the host's processes, network and temporary folder, so that
            its guests survive it, and their PIDs are those of the host.  Otherwise it has its own, and sees
            no other folder of the host than its own.
        :param options: Further options of bwrap.
        """
        usr = str(self.root.path / "usr")
        words = ["bwrap", *options, "--die-with-parent", "--perms", "0755", "--tmpfs", "/"]
        words += ["--ro-bind", usr, "/usr"]
        for name in ("bin", "sbin", "lib", "lib64"):
            words += ["--symlink", f"usr/{name}", f"/{name}"]
        words += ["--dev", "/dev", "--dev-bind-try", "/dev/kvm", "/dev/kvm", "--ro-bind", "/sys", "/sys"]
        if shared:
            temporary = tempfile.gettempdir()
            words += [*_parents(Path(temporary)), "--bind", temporary, temporary, "--bind", "/proc", "/proc"]
        else:
            words += ["--perms", "1777", "--tmpfs", _TEMPORARY, "--unshare-pid", "--proc", "/proc"]
            words += ["--unshare-net", "--unshare-ipc"]
        words += [*_parents(self.folder), "--bind", str(self.folder), str(self.folder)]
        words += [*_parents(self.usr), "--ro-bind", usr, str(self.usr)]
        words += ["--ro-bind", str(self.folder / "etc"), "/etc"]
        words += ["--perms", "0755", "--dir", "/var", "--perms", "1777", "--dir", f"/var{_TEMPORARY}"]
        if os.geteuid() == 0:
            identity = [f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--inh-caps=-all"]
            words += [f"/{_SETPRIV}", *identity, "--pdeathsig=KILL"]  # the change of user clears bwrap's
        return [*words, f"/{_DAEMON}", "-f", str(self.folder / "libvirtd.conf")]

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables that `command` needs."""
        names = ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR")
        return {
            **dict.fromkeys(names, str(self.folder)),
            "PATH": f"{self.usr}/bin:{os.environ.get('PATH', '')}:{_PATH}",
            "LC_ALL": "C.UTF-8",
        }

    @property
    def socket(self) -> Path:
        """The daemon's socket."""
        return self.folder / "libvirt/libvirt-sock"

    @property
    def uri(self) -> str:
        """The daemon's connection URI."""
        return f"qemu+unix:///session?socket={self.socket}"

    def accepts_connections(self) -> bool:
        """Return whether the daemon accepts connections."""
        with suppress(OSError), socket.socket(socket.AF_UNIX) as client:
            client.settimeout(1.0)
            client.connect(str(self.socket))
            return True
        return False

    def _write_emulators(self) -> None:
        """Write a script for each emulator."""
        scripts = self.usr / "bin"
        if scripts.exists():
            return
        scripts.mkdir(parents=True)
        for name in self.root.emulators():
            command = shlex.join(self.root.command(name))
            (scripts / name).write_text(f'#!/bin/sh\nexec {command} "$@"\n', "utf-8")
            (scripts / name).chmod(0o755)


def _parents(path: Path) -> list[str]:
    """Return options that create the parents of a mount point; bwrap 0.8 would create them for root only."""
    parents = reversed(path.parents[:-1])
    return [word for parent in parents for word in ("--perms", "0755", "--dir", str(parent))]
