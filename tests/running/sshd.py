"""Run an SSH server of the tests' own on the loopback address."""

import os
import shlex
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from onpanic.matrix.sources.debian_libvirts import NOBODY

from .emulators import emulators_folder
from .ports import reserved_port
from .processes import KILLED

__all__ = ("Sshd", "SshdMissingError", "run_sshd")

# The client reads no settings of the user's, and writes none
_CLIENT_OPTIONS = (
    "IdentitiesOnly=yes",
    "BatchMode=yes",
    "StrictHostKeyChecking=no",
    "UserKnownHostsFile=/dev/null",
    "LogLevel=ERROR",
)

#: Seconds in which the server must listen.
START = 30


class SshdMissingError(Exception):
    """There is no server, and it cannot be had."""


class Sshd(NamedTuple):
    """An SSH server that runs.

    :param port: Its port on the loopback address.
    :param client: The client's command, which needs no other options and asks nothing.
    :param user: The user to log in as.
    """

    port: int
    client: Path
    user: str


@contextmanager
def run_sshd(folder: Path, environment: dict[str, str]) -> Iterator[Sshd]:
    """Run an SSH server for one user, who is not root; a context.

    :param folder: A folder for its files that this user can enter.
    :param environment: What a session's environment gains.
    :raise SshdMissingError: When there is no server.
    """
    program, libraries = _program()
    with reserved_port() as port:
        user = _write_files(folder, port, environment)
        command = [program, "-D", "-e", "-f", str(folder / "sshd_config")]
        with (folder / "sshd.log").open("wb") as log:
            server = subprocess.Popen(
                [*_as_root(folder), *command],
                stdin=subprocess.DEVNULL,
                stderr=log,
                env={**os.environ, "LD_LIBRARY_PATH": libraries},
            )
        try:
            deadline = time.monotonic() + START
            while not _listens(port):
                assert server.poll() is None, (folder / "sshd.log").read_text()
                assert time.monotonic() < deadline, (folder / "sshd.log").read_text()
                time.sleep(0.01)
            yield Sshd(port, folder / "ssh", user)
        finally:
            server.terminate()
            with suppress(subprocess.TimeoutExpired):
                server.wait(KILLED)
            server.kill()
            server.wait(KILLED)


def _program() -> tuple[str, str]:
    """Return the path of the server, and the folder of libraries that it needs; it is unpacked if need be.

    It is not installed: that would start a server on the host.
    """
    found = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    if found:
        return found, ""
    root = emulators_folder() / "openssh-server"
    if not (root / "usr/sbin/sshd").exists():
        root.mkdir(parents=True, exist_ok=True)
        script = 'apt-get download openssh-server libwrap0 && for p in *.deb; do dpkg -x "$p" .; done'
        done = subprocess.run(
            ["flock", root, "sh", "-c", script],
            cwd=root,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if done.returncode:
            raise SshdMissingError(f"no sshd here: {' '.join(done.stderr.split())}")
    (libraries,) = {path.parent for path in root.rglob("libwrap.so.0")}
    return str(root / "usr/sbin/sshd"), str(libraries)


def _write_files(folder: Path, port: int, environment: dict[str, str]) -> str:
    """Write keys, the server's settings and the client's command; return the user's name."""
    user = "nobody" if os.geteuid() == 0 else os.environ["USER"]
    for name in ("host", "user"):
        words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(words, check=True, timeout=30, stdin=subprocess.DEVNULL)
    settings = [
        f"Port {port}",
        "ListenAddress 127.0.0.1",
        f"HostKey {folder}/host",
        f"AuthorizedKeysFile {folder}/user.pub",
        "PidFile none",
        "StrictModes no",
        "UsePAM no",
        "PasswordAuthentication no",
        "KbdInteractiveAuthentication no",
        f"SetEnv {' '.join(f'{name}={value}' for name, value in environment.items())}",
    ]
    (folder / "sshd_config").write_text("\n".join(settings) + "\n", "utf-8")
    (folder / "passwd").write_text(
        "root:x:0:0:root:/root:/bin/sh\n"
        f"sshd:x:{NOBODY - 1}:{NOBODY}::/run/sshd:/usr/sbin/nologin\n"
        f"nobody:x:{NOBODY}:{NOBODY}::{folder}:/bin/sh\n",
        "utf-8",
    )
    options = ["-F", "none", "-i", str(folder / "user"), "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes"]
    options += [
        "-o",
        "StrictHostKeyChecking=no",
        "-o",
        "UserKnownHostsFile=/dev/null",
        "-o",
        "LogLevel=ERROR",
    ]
    client = folder / "ssh"
    client.write_text(f'#!/bin/sh\nexec ssh {shlex.join(options)} "$@"\n', "utf-8")
    client.chmod(0o755)
    return user


def _as_root(folder: Path) -> list[str]:
    """Return what runs root's server with the users and the folder that it needs."""
    if os.geteuid() != 0:
        return []
    passwd = ["--ro-bind", str(folder / "passwd"), "/etc/passwd"]
    return [
        "bwrap",
        "--dev-bind",
        "/",
        "/",
        *passwd,
        "--tmpfs",
        "/run",
        "--dir",
        "/run/sshd",
        "--die-with-parent",
    ]


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False
