"""A real Xen with a Debian dom0, ``xl`` and libvirt's Xen driver, from Debian's packages, under QEMU's TCG.

It is booted once, which takes 15 seconds, and saved; each lab then goes on from the saved state, which takes
one.  Nothing is installed, and no rights are needed.  dom0's root is an ext4 image that is not written to.
"""

import fcntl
import gzip
import json
import os
import shlex
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from onpanic.core.errors import FetchError
from onpanic.matrix.debian import Root, fetch

from .emulators import emulators_folder
from .linux_kernels import archive
from .ports import reserved_port
from .tcg_linux import SHARE, TcgLinux, agent, kernel_modules, mount_share
from .xen_guests import GUESTS

__all__ = ("XEN_SUITES", "XenLab", "xen_lab")

#: Debian's suites with the Xen that each has.
XEN_SUITES = {"bullseye": "4.14", "bookworm": "4.17", "trixie": "4.20", "sid": "4.20"}

#: Seconds in which the lab must boot, and go on from its saved state.
BOOT, RESTORE = 240, 60

#: Seconds for which a saved state is kept that this file no longer makes; other test runs may use it.
UNUSED = 86400

#: Of the machine, and of dom0.
MEBIBYTES, DOM0_MEBIBYTES = 2048, 1200

_PROGRAMS = (
    *("bash", "coreutils", "diffutils", "findutils", "grep", "hostname", "iproute2", "kmod", "mount"),
    *("gzip", "procps", "python3", "python3-libvirt", "python3-lxml", "sed", "tar", "util-linux"),
    *("libvirt-clients", "libvirt-daemon", "libvirt-daemon-driver-xen", "xen-utils-common"),
    *("linux-image-amd64", "busybox-static"),  # the cloud kernel is no dom0
)
_MODULES = (
    *("virtio_pci", "virtio_blk", "crc32c_generic", "ext4", "overlay", "9pnet_virtio", "9p", "virtio_net"),
    *("xen_evtchn", "xen_gntdev", "xen_gntalloc", "xen_privcmd", "xenfs"),
)
# Xen's QEMU has a package of its own, but for bullseye's, whose QEMU for x86 is built with Xen
_QEMU = {"bullseye": "qemu-system-x86"}
# What dom0 does not need, most of its size
_LEFT_OUT = ("boot", *(f"usr/{name}" for name in ("lib/modules", "share/doc", "share/locale", "share/man")))

# libvirt's Xen driver finds no CPU model with AMD's vendor under TCG; QEMU 7.2 kills dom0 with SMAP
_CPU = "max,-smap,-smep,vendor=GenuineIntel"

# Modules of Python that are compiled and read before the state is saved
_COMPILED = (
    *("argparse", "asyncio", "concurrent.futures.thread", "ctypes", "importlib.metadata", "json", "libvirt"),
    *(
        "logging",
        "lxml.etree",
        "pathlib",
        "shlex",
        "subprocess",
        "tempfile",
        "typing",
        "urllib.parse",
        "uuid",
    ),
)

# libvirtd listens here in dom0, without authentication; QEMU forwards a port of this host
_PORT = 16509

# The first process: mounts the image, with a tmpfs above it, and starts `_START` there
_INIT = """#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm /lower /upper /root
mount -t devpts devpts /dev/pts; mount -t tmpfs shm /dev/shm
for module in $(cat /modules); do insmod /$module; done
mount -t ext4 -o ro /dev/vda /lower
mount -t tmpfs upper /upper; mkdir /upper/files /upper/work
mount -t overlay -o lowerdir=/lower,upperdir=/upper/files,workdir=/upper/work root /root
mkdir -p /root/run; mount -t tmpfs run /root/run; mount -t tmpfs tmp /root/tmp
cp /start /root/run/start
for folder in dev proc sys; do mount --move /$folder /root/$folder; done
hostname dom0; ip link set lo up
ip link set eth0 up; ip addr add 10.0.2.15/24 dev eth0
exec switch_root /root /bin/bash /run/start
"""

# Xen's daemons and libvirt's, each as its service starts it, and the agent
_START = f"""
export PATH=/usr/lib/xen-{{version}}/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
mount -t xenfs xenfs /proc/xen
mkdir -p /run/xen /run/xenstored /run/lock /run/libvirt {SHARE} /etc/libvirt
mkdir -p /var/log/xen /var/lib/xen/dump /var/lib/xen/save /var/lib/libvirt /var/log/libvirt /var/cache/libvirt
[ -L /var/run ] || {{{{ rm -rf /var/run; ln -s /run /var/run; }}}}
XENSTORED_ROOTDIR=/run/xenstored xenstored --pid-file=/run/xenstore.pid
xen-init-dom0
xenconsoled --log=none --pid-file /run/xenconsoled.pid
printf '%s\\n' root:x:0:0:root:/root:/bin/bash libvirt-qemu:x:64055:104::/var/lib/libvirt:/bin/false \\
  nobody:x:65534:65534:nobody:/nonexistent:/bin/false > /etc/passwd
printf '%s\\n' root:x:0: nogroup:x:65534: kvm:x:104: libvirt:x:105: > /etc/group
echo 0123456789abcdef0123456789abcdef > /etc/machine-id
for driver in interface network nodedev nwfilter qemu secret storage; do
  rm -f /usr/lib/x86_64-linux-gnu/libvirt/connection-driver/libvirt_driver_$driver.so
done
printf '%s\\n' 'listen_tls = 0' 'listen_tcp = 1' 'auth_tcp = "none"' 'auth_unix_ro = "none"' \\
  'auth_unix_rw = "none"' 'host_uuid = "00000000-1111-4222-8333-444444444444"' > /etc/libvirt/libvirtd.conf
printf '%s\\n' 'libvirtd -d --listen' > /run/start-libvirtd
. /run/start-libvirtd
until virsh -c xen:///system list > /dev/null; do sleep 0.2; done
python3 -c 'import {", ".join(_COMPILED)}'
{agent("hvc0")}
"""


class XenLab:
    """A lab, see `xen_lab`.

    :ivar uri: A URI by which this host's libvirt client reaches dom0's libvirt.
    :ivar guests: The folder in dom0 with the images of `GUESTS`: ``NAME.elf``.
    """

    guests = f"{SHARE}/guests"

    def __init__(self, linux: TcgLinux, port: int) -> None:
        self._linux = linux
        self.uri = f"xen+tcp://127.0.0.1:{port}/system"

    def run(self, *words: str, seconds: float = 120) -> subprocess.CompletedProcess[str]:
        """Run a command in dom0, and return its exit status and output.

        :param words: The command; a single word is a line of shell.
        :param seconds: How long it may take.
        """
        return self._linux.run(words[0] if len(words) == 1 else shlex.join(words), seconds)

    def put(self, name: str, content: bytes) -> str:
        """Write a file, and return its path in dom0.

        :param name: The name of the file.
        :param content: Its content.
        """
        (self._linux.share / name).write_bytes(content)
        return f"{SHARE}/{name}"

    def get(self, name: str) -> bytes:
        """Return the content of a file in the folder that `put` writes to.

        :param name: The name of the file.
        """
        return (self._linux.share / name).read_bytes()

    def put_folder(self, name: str, source: Path) -> str:
        """Copy a folder into dom0's memory, and return its path there."""
        shutil.copytree(source, self._linux.share / name)
        done = self.run(f"cp -r {SHARE}/{name} /tmp/{name}")
        assert done.returncode == 0, done.stderr
        return f"/tmp/{name}"

    def restart_libvirtd(self, meanwhile: str = ":") -> None:
        """Restart dom0's libvirtd; connections end.

        :param meanwhile: A line of shell that is run while there is none.
        """
        wait = "until virsh -c xen:///system list > /dev/null 2>&1; do sleep 0.2; done"
        end = "while pkill -x libvirtd; do sleep 0.1; done"
        done = self.run(f"{end}; {meanwhile}; . /run/start-libvirtd; {wait}", seconds=60)
        assert done.returncode == 0, done.stderr


@contextmanager
def xen_lab(suite: str = "bookworm") -> Iterator[XenLab]:
    """Yield a lab; no process or file is left afterwards but what the next one goes on from.

    :param suite: One of `XEN_SUITES`.
    :raise FetchError: When its packages cannot be fetched, or the host has no emulator that it runs on.
    """
    parts = _prepared(suite)
    with _running(parts, parts.state) as (linux, port, monitor):
        _until_running(monitor)
        linux.run(mount_share(SHARE), RESTORE)
        guests = linux.share / "guests"
        guests.mkdir()
        for name, content in GUESTS.items():
            (guests / f"{name}.elf").write_bytes(content)
        yield XenLab(linux, port)


class _Parts(NamedTuple):
    """The files of a lab."""

    emulator: str
    folder: Path
    kernel: Path

    @property
    def state(self) -> Path:
        """The saved state."""
        return self.folder / "state"

    def command(self, port: int) -> list[str]:
        """Return QEMU's command without the serial ports and the shared folder.

        :param port: The port of this host that leads to libvirtd.
        """
        xen = f"dom0_mem={DOM0_MEBIBYTES}M,max:{DOM0_MEBIBYTES}M com1=115200,8n1 console=com1 loglvl=warning"
        quick = "spec-ctrl=no xpti=no pv-l1tf=no"  # a third of dom0's time
        linux = "console=hvc0 quiet panic=-1 mitigations=off"
        forward = f"hostfwd=tcp:127.0.0.1:{port}-:{_PORT}"
        return [
            *(self.emulator, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
            *("-machine", "q35", "-accel", "tcg", "-cpu", _CPU, "-m", str(MEBIBYTES)),
            *("-kernel", f"{self.folder}/xen", "-append", f"{xen} {quick} noreboot=false guest_loglvl=none"),
            *("-initrd", f"{self.kernel} {linux},{self.folder}/initramfs"),
            *("-drive", f"file={self.folder}/root,format=raw,if=none,id=root,readonly=on"),
            *("-device", "virtio-blk-pci,drive=root"),
            *("-netdev", f"user,id=net,restrict=on,{forward}"),
            *("-device", "virtio-net-pci,netdev=net,romfile="),
        ]


def _prepared(suite: str) -> _Parts:
    """Return the parts of a lab with its saved state; fetch and make what is missing."""
    emulator = shutil.which("qemu-system-x86_64")
    if emulator is None:
        raise FetchError("no qemu-system-x86_64 here", "install QEMU 7.2 or later")
    into = emulators_folder() / "xen-lab"
    into.mkdir(parents=True, exist_ok=True)
    with (into / f".{suite}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another test run may want the same
        version = XEN_SUITES[suite]
        xen = (f"xen-hypervisor-{version}-amd64", f"xen-utils-{version}", _QEMU.get(suite, "qemu-system-xen"))
        root = fetch(suite, (*_PROGRAMS, *xen), into=into)
        kernels = (*root.path.glob("boot/vmlinuz-*"), *root.path.glob("usr/lib/modules/*/vmlinuz"))
        parts = _Parts(emulator, into / f"{suite}-{_key(root, emulator)}", kernels[0])
        if not parts.state.exists():
            shutil.rmtree(parts.folder, ignore_errors=True)
            for old in into.glob(f"{suite}-*"):
                if time.time() - old.stat().st_mtime > UNUSED:
                    shutil.rmtree(old)
            _make(root.path, version, parts)
        os.utime(parts.folder)
    return parts


def _key(root: Root, emulator: str) -> str:
    """Return a name for what a lab is made of."""
    qemu = subprocess.run([emulator, "--version"], capture_output=True, text=True, timeout=30, check=True)
    command = _Parts("", Path(), Path()).command(0)
    stamp = [path.read_text("utf-8") for path in sorted(root.path.glob(".onpanic-*"))]
    parts = [_INIT, _START, *_LEFT_OUT, *_MODULES, *command, qemu.stdout, *stamp]
    return sha256("\0".join(parts).encode()).hexdigest()[:16]


def _make(root: Path, version: str, parts: _Parts) -> None:
    """Make the image, the initramfs and Xen, boot them, and save the state."""
    parts.folder.mkdir()
    _make_image(root, parts.folder / "root")
    modules = kernel_modules(root, _MODULES)
    files = {
        "modules": " ".join(modules).encode(),
        "init": _INIT.encode(),
        "start": _START.format(version=version).encode(),
        "bin/busybox": next(root.glob("**/bin/busybox")).read_bytes(),
    }
    (parts.folder / "initramfs").write_bytes(gzip.compress(archive(modules | files), compresslevel=1))
    (compressed,) = root.glob(f"boot/xen-{version}-amd64.gz")
    (parts.folder / "xen").write_bytes(gzip.decompress(compressed.read_bytes()))
    with _running(parts, None) as (linux, _, monitor):
        linux.wait_for("(ready)", BOOT)
        monitor.command("stop")
        monitor.command("migrate-set-parameters", {"max-bandwidth": 1 << 40})
        half = parts.state.with_suffix(".half")
        monitor.command("migrate", {"uri": f"exec:cat > {shlex.quote(str(half))}"})
        while (found := monitor.command("query-migrate"))["status"] not in ("completed", "failed"):
            time.sleep(0.05)
        assert found["status"] == "completed", found
        half.rename(parts.state)


def _make_image(root: Path, image: Path) -> None:
    """Make an ext4 image of a root."""
    with tempfile.TemporaryDirectory(dir=image.parent) as name:
        files = Path(name) / "root"
        subprocess.run(["cp", "-al", str(root), str(files)], check=True, timeout=120)
        for folder in _LEFT_OUT:
            shutil.rmtree(files / folder, ignore_errors=True)
        used = sum(
            path.lstat().st_size for path in files.rglob("*") if path.is_file() and not path.is_symlink()
        )
        size = f"{used * 5 // 4 // (1 << 20) + 64}M"
        words = ["mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-m", "0", "-d", str(files)]
        subprocess.run([*words, str(image), size], check=True, timeout=120, capture_output=True)


class _Monitor:
    """QEMU's monitor."""

    def __init__(self, path: Path, stack: ExitStack) -> None:
        channel = stack.enter_context(socket.socket(socket.AF_UNIX))
        channel.settimeout(RESTORE)
        deadline = time.monotonic() + RESTORE
        while channel.connect_ex(str(path)):
            assert time.monotonic() < deadline, "QEMU does not start"
            time.sleep(0.01)
        self._lines = stack.enter_context(channel.makefile("rw", encoding="utf-8"))
        self._lines.readline()
        self.command("qmp_capabilities")

    def command(self, name: str, arguments: dict[str, Any] | None = None) -> Any:
        """Return what a command returns."""
        self._lines.write(json.dumps({"execute": name, "arguments": arguments or {}}) + "\n")
        self._lines.flush()
        while "return" not in (answer := json.loads(self._lines.readline())):
            assert "error" not in answer, answer
        return answer["return"]


@contextmanager
def _running(parts: _Parts, state: Path | None) -> Iterator[tuple[TcgLinux, int, _Monitor]]:
    """Run a lab; yield it, the port of its libvirtd, and QEMU's monitor.

    :param state: The state that it goes on from; None to boot.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="onpanic-xen-")))
        port = stack.enter_context(reserved_port())
        more = ["-qmp", f"unix:{folder}/qmp,server=on,wait=off"]
        more += ["-incoming", f"exec:cat {shlex.quote(str(state))}"] if state else []
        linux = TcgLinux([*parts.command(port), *more], folder)
        stack.callback(linux.end)
        yield linux, port, _Monitor(folder / "qmp", stack)


def _until_running(monitor: _Monitor) -> None:
    """Wait until QEMU has read the state, and let the machine run."""
    deadline = time.monotonic() + RESTORE
    while monitor.command("query-status")["status"] == "inmigrate":
        assert time.monotonic() < deadline, "the state is not read"
        time.sleep(0.02)
    monitor.command("cont")
