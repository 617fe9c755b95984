"""Hosts to log in to on the loopback address: a Debian suite's root each, with its own libvirtd and sshd."""

import os
import shlex
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from onpanic.matrix.debian import Root
from onpanic.matrix.sources.daemon_sandbox import LIBVIRT_PACKAGES, NOBODY

from .ports import reserved_port
from .processes import KILLED

__all__ = ("HOST_PACKAGES", "SshHost", "run_host")

#: What such a host's root has, beside an emulator.
HOST_PACKAGES = (
    *LIBVIRT_PACKAGES,
    "coreutils",
    "openssh-server",
    "python3",
    "python3-libvirt",
    "python3-lxml",
    "python3-packaging",
    "python3-platformdirs",
    "python3-venv",
)

#: Seconds in which its daemons must accept connections.
START = 60

_SSHD = (
    "ListenAddress 127.0.0.1",
    "HostKey /etc/ssh/key",
    "AuthorizedKeysFile /etc/ssh/key.pub",
    "PidFile none",
    "StrictModes no",
    "UsePAM no",
    "PasswordAuthentication no",
    "KbdInteractiveAuthentication no",
    "MaxStartups 200",
    "MaxSessions 200",
    "UseDNS no",
    "Subsystem sftp internal-sftp",
    "SetEnv PYTHONPYCACHEPREFIX=/tmp/pycache",  # nothing was compiled when the root was unpacked
)


class SshHost(NamedTuple):
    """A host that runs.

    :param port: The port of its sshd on the loopback address.
    :param user: The user to log in as.
    :param key: The file with the user's private key.
    :param uri: The connection URI of its libvirt, on the host itself.
    :param folder: The folder that the host sees as ``/srv``.
    """

    port: int
    user: str
    key: Path
    uri: str
    folder: Path


@contextmanager
def run_host(
    name: str, root: Root, folder: Path, shown: Mapping[Path, str] | None = None
) -> Iterator[SshHost]:
    """Run a host until the context is left.

    It has its own processes, name and files; its network is that of the tests.  libvirtd runs in session
    mode as an unprivileged user, since the system's needs a user and a network.

    :param name: The host's name.
    :param root: A suite that was fetched with `HOST_PACKAGES`.
    :param folder: An empty folder for what the host writes.
    :param shown: Folders of the tests that the host sees, with their paths there.
    """
    user = "root" if os.geteuid() == 0 else "onpanic"
    with reserved_port() as port:
        _write_files(folder, root, name, port, user)
        command = _command(root, folder, name, shown or {})
        with (folder / "log").open("wb") as log:
            bwrap = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/")
        try:
            _await(bwrap, port, folder)
            uri = "qemu+unix:///session?socket=/run/onpanic/libvirt/libvirt-sock"
            yield SshHost(port, user, folder / "etc/ssh/key", uri, folder / "srv")
        finally:
            bwrap.kill()  # --die-with-parent: its first process dies with it, and all others with that
            bwrap.wait(KILLED)


def _write_files(folder: Path, root: Root, name: str, port: int, user: str) -> None:
    """Write what the host has in /etc, and the script that starts its daemons."""
    uid, gid = os.geteuid(), os.getegid()
    users = {uid: (user, gid, "/root"), NOBODY: ("nobody", NOBODY, "/run/onpanic")}
    users.setdefault(NOBODY - 1, ("sshd", NOBODY, "/run/sshd"))
    passwd = [f"{who}:x:{one}:{group}::{home}:/bin/sh\n" for one, (who, group, home) in users.items()]
    files = {
        "etc/passwd": "".join(passwd),
        "etc/group": f"{user}:x:{gid}:\nnogroup:x:{NOBODY}:\n",
        "etc/hostname": f"{name}\n",
        "etc/hosts": f"127.0.0.1 localhost {name}\n",
        "etc/machine-id": f"{name.encode().hex():0<32.32}\n",
        "etc/os-release": f'PRETTY_NAME="Debian GNU/Linux ({name})"\nID=debian\n',
        "etc/ssl/certs/ca-certificates.crt": _authorities(root),
        "etc/ssh/sshd_config": "\n".join([f"Port {port}", *_SSHD, ""]),
        "libvirt/libvirt/qemu.conf": 'stdio_handler = "file"\n',  # there is no virtlogd
        "libvirt/libvirtd.conf": "",
        "libvirt/start": _start(),
    }
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, "utf-8")
    for path in ("root", "opt", "srv", "local/bin"):
        (folder / path).mkdir(parents=True)
    if uid == 0:
        for path in ("libvirt", "libvirt/libvirt"):
            os.chown(folder / path, NOBODY, NOBODY)
    words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "etc/ssh/key")]
    subprocess.run(words, check=True, timeout=30, stdin=subprocess.DEVNULL)


def _authorities(root: Root) -> str:
    """Return the certificates that Debian's pip reads when it starts, as their package installs them."""
    found = (root.path / "usr/share/ca-certificates").rglob("*.crt")
    return "".join(path.read_text("utf-8") for path in sorted(found))


def _start() -> str:
    names = ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR")
    identity = [f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--inh-caps=-all"]
    daemon = [
        *("env", *(f"{name}=/run/onpanic" for name in names)),
        *(["setpriv", *identity] if os.geteuid() == 0 else []),
        *("/usr/sbin/libvirtd", "-f", "/run/onpanic/libvirtd.conf"),
    ]
    return f"{shlex.join(daemon)} &\nexec /usr/sbin/sshd -D -e\n"


def _command(root: Root, folder: Path, name: str, shown: Mapping[Path, str]) -> list[str]:
    words = ["bwrap", "--die-with-parent", "--unshare-pid", "--unshare-ipc"]
    words += ["--unshare-uts", "--hostname", name, "--clearenv"]
    words += ["--setenv", "PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin"]
    words += ["--setenv", "LC_ALL", "C.UTF-8", "--perms", "0755", "--tmpfs", "/"]
    for parent in ("/usr", "/var"):  # bwrap 0.8 would create parents for root only
        words += ["--perms", "0755", "--dir", parent]
    for path in sorted((root.path / "usr").iterdir()):
        words += ["--ro-bind", str(path), f"/usr/{path.name}"]
    for link in ("bin", "sbin", "lib", "lib64"):
        words += ["--symlink", f"usr/{link}", f"/{link}"]
    words += ["--dev", "/dev", "--dev-bind-try", "/dev/kvm", "/dev/kvm", "--proc", "/proc"]
    words += ["--ro-bind", "/sys", "/sys"]
    for temporary in ("/tmp", "/var/tmp"):  # the host's own
        words += ["--perms", "1777", "--tmpfs", temporary]
    for fresh in ("/run", "/run/sshd", "/var/lib", "/var/log"):
        words += ["--perms", "0755", "--dir", fresh]
    for own in ("etc", "root", "opt", "srv"):
        words += ["--bind", str(folder / own), f"/{own}"]
    words += ["--bind", str(folder / "local"), "/usr/local"]
    words += ["--bind", str(folder / "libvirt"), "/run/onpanic"]
    for path, where in shown.items():
        words += ["--ro-bind", str(path), where]
    return [*words, "/bin/sh", "/run/onpanic/start"]


def _await(bwrap: subprocess.Popen[bytes], port: int, folder: Path) -> None:
    """Wait until both daemons accept connections."""
    deadline = time.monotonic() + START
    libvirtd = folder / "libvirt/libvirt/libvirt-sock"
    while not _accepts(socket.AF_UNIX, str(libvirtd)) or not _accepts(socket.AF_INET, ("127.0.0.1", port)):
        printed = (folder / "log").read_text("utf-8", "replace")
        assert bwrap.poll() is None, printed
        assert time.monotonic() < deadline, printed
        time.sleep(0.02)


def _accepts(family: socket.AddressFamily, address: str | tuple[str, int]) -> bool:
    with suppress(OSError), socket.socket(family) as client:
        client.settimeout(1)
        client.connect(address)
        return True
    return False
