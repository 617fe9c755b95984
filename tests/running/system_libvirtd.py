"""The host's libvirtd in system mode, in a root of its own: what a unit's ``qemu:///system`` is."""

import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .processes import KILLED

__all__ = ("run_system_libvirtd",)

_START = 60  # seconds in which it must accept connections

_FILES = {
    "etc/passwd": "root:x:0:0::/:/bin/sh\nlibvirt-qemu:x:64055:64055::/:/bin/sh\n",
    "etc/group": "root:x:0:\nlibvirt-qemu:x:64055:\nkvm:x:64056:\n",
    "etc/libvirt/libvirtd.conf": 'auth_unix_rw = "none"\n',  # no polkit
    "etc/libvirt/qemu.conf": (
        'stdio_handler = "file"\nuser = "+0"\ngroup = "+0"\ndynamic_ownership = 0\n'
        'security_driver = "none"\ncgroup_controllers = []\nnamespaces = []\n'
    ),
}


@contextmanager
def run_system_libvirtd(program: str, folder: Path) -> Iterator[str]:
    """Run it as root, and yield its connection URI; it and its guests end with the context.

    It has its own processes and network.

    :param program: The path of libvirtd, below ``/usr``.
    :param folder: An empty folder.  Its ``run`` is the daemon's ``/run/libvirt``, its ``etc/libvirt`` and
        ``lib`` are ``/etc/libvirt`` and ``/var/lib/libvirt``.
    """
    for name, text in _FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, "utf-8")
    words = ["bwrap", "--unshare-pid", "--unshare-net", "--die-with-parent", "--tmpfs", "/"]
    words += ["--ro-bind", "/usr", "/usr", "--dev", "/dev", "--proc", "/proc", "--ro-bind", "/sys", "/sys"]
    for name in ("bin", "sbin", "lib", "lib64"):
        words += ["--symlink", f"usr/{name}", f"/{name}"]
    words += ["--tmpfs", "/tmp", "--dir", "/var/tmp", "--symlink", "/run", "/var/run"]
    places = {"run": "/run/libvirt", "lib": "/var/lib/libvirt", "cache": "/var/cache/libvirt"}
    for name, inside in {**places, "log": "/var/log/libvirt", "etc": "/etc"}.items():
        (folder / name).mkdir(exist_ok=True)
        words += ["--bind", str(folder / name), inside]
    with (folder / "said").open("w") as said:
        daemon = subprocess.Popen([*words, program], stdin=subprocess.DEVNULL, stderr=said)
    try:
        deadline = time.monotonic() + _START
        while not _accepts_connections(folder / "run/libvirt-sock"):
            assert daemon.poll() is None, (folder / "said").read_text()
            assert time.monotonic() < deadline, (folder / "said").read_text()
            time.sleep(0.02)
        yield f"qemu:///system?socket={folder}/run/libvirt-sock"
    finally:
        daemon.send_signal(signal.SIGKILL)
        daemon.wait(KILLED)


def _accepts_connections(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(path)) == 0
