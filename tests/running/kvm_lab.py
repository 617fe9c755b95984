"""A Linux with a KVM that has Hyper-V: Debian's kernel under TCG, which runs commands from the host's root.

The KVM is nested in TCG's SVM, so it is the same on every host, with KVM or without, and it needs
no rights.  The guest sees the host's root by 9p and cannot write to it.
"""

import fcntl
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from onpanic.core.errors import FetchError
from onpanic.matrix.debian import fetch

from .emulators import emulators_folder
from .linux_kernels import archive
from .tcg_linux import SHARE, TcgLinux, agent, kernel_modules, mount_share, shared_folder

__all__ = ("KvmLab", "kvm_lab")

#: Seconds in which the lab must boot.
BOOT = 180
MEBIBYTES = 1024
#: The cloud kernel has no 9p.
PACKAGES = ("linux-image-amd64", "busybox-static")
MODULES = ("virtio_pci", "9pnet_virtio", "9p", "kvm_amd")

# The first process: loads modules, mounts the host's root, and starts the agent there
INIT = f"""#!/bin/busybox sh
export PATH=/bin
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for module in $(cat /modules); do insmod /$module; done
mkdir /host
mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,ro,cache=loose host /host
mount -t tmpfs run /host/run
mkdir /host{SHARE}
{mount_share(f"/host{SHARE}")}
for folder in dev proc sys; do mount --move /$folder /host/$folder; done
exec switch_root /host /bin/sh {SHARE}/agent
"""


class KvmLab:
    """A booted lab, see `kvm_lab`."""

    def __init__(self, linux: TcgLinux) -> None:
        self._linux = linux

    def run(
        self, *words: str, environment: Mapping[str, str] | None = None, seconds: float = 300
    ) -> subprocess.CompletedProcess[str]:
        """Run a command, in the host's current folder, and return its exit status and output.

        :param words: The command.
        :param environment: Its environment, besides PATH and HOME.
        :param seconds: How long it may take.
        """
        given = {"PATH": os.environ["PATH"] + ":/usr/sbin:/sbin", "HOME": "/run", "TMPDIR": "/run"}
        named = [f"{name}={value}" for name, value in (given | dict(environment or {})).items()]
        line = f"cd {shlex.quote(str(Path.cwd()))} && exec {shlex.join(['env', '-i', *named, *words])}"
        return self._linux.run(line, seconds)


@contextmanager
def kvm_lab() -> Iterator[KvmLab]:
    """Boot a lab, which takes about ten seconds, and yield it; no process or file is left afterwards.

    :raise FetchError: When its kernel cannot be fetched, or the host has no emulator that it runs on.
    """
    emulator = shutil.which("qemu-system-x86_64")
    if emulator is None:
        raise FetchError("no qemu-system-x86_64 here", "install QEMU 7.2 or later")
    root = _kernel_root()
    (kernel,) = root.glob("boot/vmlinuz-*")
    with tempfile.TemporaryDirectory(prefix="onpanic-lab-") as name:
        folder = Path(name)
        initramfs = kernel_modules(root, MODULES)
        initramfs |= {"modules": " ".join(initramfs).encode(), "init": INIT.encode()}
        initramfs |= {"bin/busybox": (root / "bin/busybox").read_bytes()}
        (folder / "initramfs").write_bytes(archive(initramfs))
        command = [
            *(emulator, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
            *("-accel", "tcg", "-cpu", "max", "-m", str(MEBIBYTES)),
            *("-kernel", str(kernel), "-initrd", str(folder / "initramfs")),
            *("-append", "console=ttyS0 quiet panic=-1 mitigations=off"),
            *shared_folder("host", Path("/"), "readonly=on,multidevs=remap"),
        ]
        linux = TcgLinux(command, folder)
        try:
            (linux.share / "agent").write_text(agent("ttyS0"), encoding="utf-8")
            linux.wait_for("(ready)", BOOT)
            yield KvmLab(linux)
        finally:
            linux.end()


def _kernel_root() -> Path:
    """Return the folder with the kernel and busybox, which are fetched if they are missing."""
    into = emulators_folder() / "kvm-lab"
    into.mkdir(parents=True, exist_ok=True)
    with (into / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another test run may want the same
        return fetch("bookworm", PACKAGES, into=into).path
