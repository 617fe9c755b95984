"""A Linux with a KVM that has Hyper-V: Debian's kernel under TCG, which runs commands from the host's root.

The KVM is nested in TCG's SVM, so it is the same on every host, with KVM or without, and it needs
no rights.  The guest sees the host's root by 9p and cannot write to it.
"""

import fcntl
import os
import re
import select
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from onpanic.core.errors import FetchError
from onpanic.matrix.debian import fetch

from .emulators import emulators_folder
from .linux_kernels import archive
from .processes import KILLED

__all__ = ("KvmLab", "kvm_lab")

#: Seconds in which the lab must boot.
BOOT = 180
MEBIBYTES = 1024
#: The cloud kernel has no 9p.
PACKAGES = ("linux-image-amd64", "busybox-static")
MODULES = ("virtio_pci", "9pnet_virtio", "9p", "kvm_amd")
SHARE = "/run/lab"

# The first process: loads modules, mounts the host's root, and starts `AGENT` there
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
mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000 share /host{SHARE}
for folder in dev proc sys; do mount --move /$folder /host/$folder; done
exec switch_root /host /bin/sh {SHARE}/agent
"""
# Runs a line of its serial port as a command, and answers with the exit status
AGENT = f"""
exec <>/dev/ttyS1 >&0 2>/dev/ttyS0
stty raw -echo
echo ready
while read -r line; do
  /bin/sh -c "$line" </dev/null >{SHARE}/stdout 2>{SHARE}/stderr
  echo "status $?"
done
"""


class KvmLab:
    """A booted lab, see `kvm_lab`."""

    def __init__(self, emulator: str, kernel: Path, initramfs: Path, folder: Path) -> None:
        self._share = folder / "share"
        self._log = folder / "log"
        self._said = b""
        command = [
            *(emulator, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
            *("-accel", "tcg", "-cpu", "max", "-m", str(MEBIBYTES)),
            *("-kernel", str(kernel), "-initrd", str(initramfs)),
            *("-append", "console=ttyS0 quiet panic=-1 mitigations=off"),
            *("-serial", f"file:{self._log}", "-serial", "stdio"),
            *_shared("host", Path("/"), "readonly=on,multidevs=remap"),
            *_shared("share", self._share),
        ]
        self._process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

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
        assert "\n" not in line
        assert self._process.stdin
        self._process.stdin.write(line.encode() + b"\n")
        self._process.stdin.flush()
        status = self.wait_for(r"status (\d+)", seconds)
        out, err = (
            (self._share / name).read_text(encoding="utf-8", errors="replace")
            for name in ("stdout", "stderr")
        )
        return subprocess.CompletedProcess(words, int(status), out, err)

    def wait_for(self, pattern: str, seconds: float) -> str:
        """Wait for a line of the agent, and return the first group of the pattern."""
        assert self._process.stdout
        deadline = time.monotonic() + seconds
        while not (found := re.search(rf"^{pattern}\r?\n".encode(), self._said, re.MULTILINE)):
            left = deadline - time.monotonic()
            assert left > 0, f"the lab does not answer: {self._end_of_log()}"
            if select.select([self._process.stdout], [], [], left)[0]:
                data = os.read(self._process.stdout.fileno(), 65536)
                assert data, f"the lab has ended: {self._said.decode(errors='replace')} {self._end_of_log()}"
                self._said += data
        self._said = self._said[found.end() :]
        return found[1].decode()

    def _end_of_log(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")[-2000:] if self._log.exists() else ""

    def end(self) -> None:
        """Kill it."""
        self._process.kill()
        self._process.wait(KILLED)
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe
            pipe.close()


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
        (folder / "share").mkdir()
        (folder / "share/agent").write_text(AGENT, encoding="utf-8")
        (folder / "initramfs").write_bytes(archive(_initramfs(root)))
        lab = KvmLab(emulator, kernel, folder / "initramfs", folder)
        try:
            lab.wait_for("(ready)", BOOT)
            yield lab
        finally:
            lab.end()


def _kernel_root() -> Path:
    """Return the folder with the kernel and busybox, which are fetched if they are missing."""
    into = emulators_folder() / "kvm-lab"
    into.mkdir(parents=True, exist_ok=True)
    with (into / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another test run may want the same
        return fetch("bookworm", PACKAGES, into=into).path


def _initramfs(root: Path) -> dict[str, bytes]:
    """Return the files of the initramfs: busybox, the modules in the order in which they are loaded, init."""
    (folder,) = root.glob("usr/lib/modules/*")
    available = {path.stem.replace("-", "_"): path for path in folder.rglob("*.ko")}
    order: dict[str, bytes] = {}

    def add(module: str) -> None:
        path = available.get(module.replace("-", "_"))
        if path is None or path.name in order:
            return  # it is built in, or was added
        content = path.read_bytes()
        depends = re.search(rb"\0depends=([^\0]*)\0", content)
        for other in depends[1].decode().split(",") if depends else ():
            add(other)
        order[path.name] = content

    for module in MODULES:
        add(module)
    program = (root / "bin/busybox").read_bytes()
    return order | {"modules": " ".join(order).encode(), "bin/busybox": program, "init": INIT.encode()}


def _shared(tag: str, path: Path, options: str = "multidevs=remap") -> list[str]:
    """Return the options of QEMU that share a folder under a name."""
    device = ["-device", f"virtio-9p-pci,fsdev={tag},mount_tag={tag}"]
    return ["-fsdev", f"local,id={tag},path={path},security_model=none,{options}", *device]
