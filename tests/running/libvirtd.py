"""Start a libvirtd for tests: the host's own, or that of a Debian suite."""

import os
import select
import shlex
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from onpanic.matrix.debian import Root
from onpanic.matrix.sources.daemon_sandbox import NOBODY, DaemonSandbox

from . import subreaper
from .processes import KILLED

__all__ = (
    "EVERY",
    "HOST",
    "HOST_AND_NEWEST",
    "DaemonEndedError",
    "folder_of",
    "process_behind",
    "restarted",
    "run_libvirtd",
)

#: The libvirt that is installed on the host.
HOST = "host"
#: All libvirts that tests can run on: the host's, and those of Debian suites.
EVERY = (HOST, "bullseye", "trixie", "sid")
#: Those that a test runs on unless the marker ``libvirts`` names others.
HOST_AND_NEWEST = (HOST, "sid")

#: Seconds in which a daemon must accept connections.
START = 60

# In a daemon's folder: its socket, and the script that starts it, which ends with its parent
SOCKET, START_SCRIPT = "libvirt/libvirt-sock", "start"


class DaemonEndedError(Exception):
    """The daemon ended before it accepted a connection."""


@contextmanager
def run_libvirtd(of: str | Root, usr: Path | None = None) -> Iterator[str]:
    """Run a libvirtd in a temporary folder, and yield its connection URI.

    If root runs the tests the daemon runs as another user: root's needs a user and a network.  A suite's
    daemon runs in the suite's root, but shares the host's processes, network and temporary folder.

    :param of: The path of the host's libvirtd, or a suite.
    :param usr: Where the emulators of a suite are for libvirt, see `DaemonSandbox`.  A guest can migrate
        between daemons for which they have the same paths.
    :raise DaemonEndedError: When it ends instead.
    """
    with tempfile.TemporaryDirectory(prefix="onpanic-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        if isinstance(of, str):
            environment, command = _host_daemon(of, folder)
        else:
            sandbox = DaemonSandbox(of, folder, usr or folder / "usr")
            sandbox.prepare()
            environment, command = sandbox.environment, sandbox.command(shared=True)
        words = ["env", *(f"{variable}={value}" for variable, value in environment.items()), *command]
        script = folder / START_SCRIPT
        script.write_text(f"#!/bin/sh\nexec {shlex.join(words)} 2>>{shlex.quote(f'{folder}/log')}\n", "utf-8")
        script.chmod(0o755)
        with _daemon(folder):
            yield f"qemu+unix:///session?socket={folder / SOCKET}"


@contextmanager
def restarted(uri: str, meanwhile: Callable[[], object] = lambda: None) -> Iterator[None]:
    """Restart the daemon behind a URI that `run_libvirtd` has yielded; a context.

    Guests survive.  Every connection is lost; the caller destroys the domains through a new one.

    :param meanwhile: Called while there is no daemon.
    """
    folder = folder_of(uri).parent
    handle = os.pidfd_open(process_behind(folder / SOCKET))
    signal.pidfd_send_signal(handle, signal.SIGTERM)
    assert select.select([handle], [], [], KILLED)[0], "libvirtd does not end"
    os.close(handle)
    meanwhile()
    with _daemon(folder):
        yield


def process_behind(path: Path) -> int:
    """Return the PID of the process that listens at a socket."""
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(str(path))
        credentials = line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", credentials)[0])


def folder_of(uri: str) -> Path:
    """Return libvirt's folder in the daemon's, by a URI that `run_libvirtd` has yielded."""
    return Path(uri.partition("socket=")[2]).parent


@contextmanager
def _daemon(folder: Path) -> Iterator[None]:
    """Run the script that starts a daemon; kill it, and the guests that it has started, at exit.

    :raise DaemonEndedError: When it ends before it accepts connections.
    """
    command = [sys.executable, "-IS", subreaper.__file__, str(folder / START_SCRIPT)]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        process_group=0,  # a signal to the tests' group must not end what ends the guests
    ) as parent:
        assert parent.stdin
        assert parent.stdout
        try:
            deadline = time.monotonic() + START
            while not _accepts_connections(folder):
                if select.select([parent.stdout], [], [], 0.01)[0]:
                    raise DaemonEndedError(f"libvirtd ended: {(folder / 'log').read_text()}")
                assert time.monotonic() < deadline, (folder / "log").read_text()
            yield
        finally:
            parent.stdin.close()
            try:
                parent.wait(KILLED)
            finally:
                parent.kill()


def _accepts_connections(folder: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(folder / SOCKET)) == 0


def _host_daemon(program: str, folder: Path) -> tuple[dict[str, str], list[str]]:
    """Fill the folder of the host's daemon; return its environment and command."""
    (folder / "libvirt").mkdir()
    (folder / "libvirt/qemu.conf").write_text('stdio_handler = "file"\n')  # no virtlogd
    (folder / "libvirtd.conf").touch()
    root = os.geteuid() == 0
    for path in (folder, folder / "libvirt"):
        os.chown(path, NOBODY if root else -1, -1)
    names = ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR")
    identity = [f"--reuid={NOBODY}", "--clear-groups"] if root else []
    command = ["setpriv", *identity, "--pdeathsig=KILL", program, "-f", str(folder / "libvirtd.conf")]
    return dict.fromkeys(names, str(folder)), command
