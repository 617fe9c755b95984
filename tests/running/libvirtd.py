"""Start a libvirtd for tests."""

import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .processes import KILLED, kill_all, processes_with

__all__ = ("DaemonEndedError", "run_libvirtd")

#: The user that runs it if root runs the tests.
NOBODY = 65534


class DaemonEndedError(Exception):
    """The daemon ended before it accepted a connection."""


@contextmanager
def run_libvirtd(program: str) -> Iterator[str]:
    """Run a libvirtd in a temporary folder, and yield its connection URI.

    If root runs the tests the daemon runs as another user: root's needs a user and a network.

    :param program: Its path.
    :raise DaemonEndedError: When it ends instead.
    """
    with tempfile.TemporaryDirectory(prefix="onpanic-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        (folder / "libvirt").mkdir()
        (folder / "libvirt/qemu.conf").write_text('stdio_handler = "file"\n')  # no virtlogd
        (folder / "libvirtd.conf").touch()
        root = os.geteuid() == 0
        for path in (folder, folder / "libvirt"):
            os.chown(path, NOBODY if root else -1, -1)
        homes = dict.fromkeys(("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"), name)
        with (folder / "log").open("wb") as log:
            daemon = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", program, "-f", str(folder / "libvirtd.conf")],
                stdin=subprocess.DEVNULL,
                stderr=log,
                env={**os.environ, **homes},
                user=NOBODY if root else None,
                extra_groups=[] if root else None,
            )
        path = folder / "libvirt/libvirt-sock"
        try:
            deadline = time.monotonic() + 60
            while not _listens(path):
                assert time.monotonic() < deadline, (folder / "log").read_text()
                if daemon.poll() is not None:
                    raise DaemonEndedError(f"libvirtd ended: {(folder / 'log').read_text()}")
                time.sleep(0.01)
            yield f"qemu+unix:///session?socket={path}"
        finally:
            daemon.terminate()
            try:
                daemon.wait(KILLED)
            finally:
                daemon.kill()
                kill_all(processes_with(name))  # domains that a test has left


def _listens(path: Path) -> bool:
    with suppress(OSError), socket.socket(socket.AF_UNIX) as one:
        one.connect(str(path))
        return True
    return False
