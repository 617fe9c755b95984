"""Debian's kernels as guests: a shell that takes commands on the serial port, and panics."""

import fcntl
import gzip
import json
import lzma
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from .debian_packages import unpack_packages
from .emulators import emulators_folder

__all__ = ("ARCHITECTURES", "READY", "WENT_ON", "Architecture", "Linux", "archive", "kernel", "kernel_module")

#: What the Linux prints on its serial port when it can be commanded.
READY = "onpanic: ready"
WENT_ON = "onpanic: went on"

#: The modules that are loaded, in this order; a kernel may have them built in, or not have them.
MODULES = ("qemu_fw_cfg", "pvpanic", "pvpanic-mmio", "pvpanic-pci")

# Of packages: the kernel, the modules, and busybox
_MEMBERS = ("*/vmlinu*", *(f"*/{name}.ko*" for name in MODULES), "*bin/busybox")

_INIT = """\
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
for module in {modules}; do [ -f /$module.ko ] && insmod /$module.ko; done
exec < /dev/{console} > /dev/{console} 2>&1
stty -echo
[ -f /commands ] && . /commands
echo {ready}
while read -r word; do
  case $word in
    panic) echo c > /proc/sysrq-trigger ;;
    report)
      for device in /sys/bus/pci/devices/*; do
        read vendor < $device/vendor; read kind < $device/device
        read start rest < $device/resource
        [ $vendor$kind = 0x1b360x0011 ] && devmem $start 8 1
      done
      echo "{went_on}" ;;
    "run "*)
      eval "${{word#run }}"
      echo "onpanic: done" ;;
    *) echo "onpanic: heard $word" ;;
  esac
done
"""


class Architecture(NamedTuple):
    """How QEMU runs an architecture of Debian's.

    :param emulator: The name of QEMU's program.
    :param machine: The options without which its kernels do not start.
    :param console: The name of the serial port in the guest.
    """

    emulator: str
    machine: tuple[str, ...]
    console: str


#: By Debian's name.
ARCHITECTURES = {
    "amd64": Architecture("qemu-system-x86_64", (), "ttyS0"),
    "arm64": Architecture("qemu-system-aarch64", ("-machine", "virt", "-cpu", "cortex-a57"), "ttyAMA0"),
    "riscv64": Architecture("qemu-system-riscv64", ("-machine", "virt"), "ttyS0"),
    "s390x": Architecture("qemu-system-s390x", ("-cpu", "max"), "ttysclp0"),
}


@dataclass(frozen=True)
class Linux:
    """Debian's kernel with a shell that takes commands on the serial port.

    * `panic` causes a real panic.  The kernel then only waits for its reboot: once it is continued,
      it resets itself within a second, by ``panic=1`` (QEMU's RESET with `guest-reset`, libvirt's
      REBOOT), and `READY` comes again after ten seconds.
    * `report` does to ``-device pvpanic-pci`` what a panic does, and nothing else: once it is
      continued, the guest prints `WENT_ON` and takes commands again.
    * `run` and a line of shell carries that out, and prints ``onpanic: done``.
    * Any other word is printed again, as `onpanic: heard WORD`.

    With `console=` and the name of the serial port, the kernel's own messages are there as well.
    """

    kernel: Path
    initramfs: Path
    command_line: str = "quiet panic=1"
    mebibytes: int = 96
    architecture: str = "amd64"

    @property
    def console(self) -> str:
        """The guest's name of the serial port."""
        return ARCHITECTURES[self.architecture].console

    def options(self, folder: Path) -> list[str]:
        """Return QEMU's options; the serial port is at `folder`/serial, and its output in serial.log."""
        boot = ["-kernel", str(self.kernel), "-initrd", str(self.initramfs), "-append", self.command_line]
        serial = f"socket,id=serial,path={folder}/serial,server=on,wait=off,logfile={folder}/serial.log"
        machine = ARCHITECTURES[self.architecture].machine
        return [*machine, "-m", str(self.mebibytes), *boot, "-chardev", serial, "-serial", "chardev:serial"]

    def os(self) -> str:
        """Return the content of libvirt's <os>."""
        boot = f"<kernel>{self.kernel}</kernel><initrd>{self.initramfs}</initrd>"
        return f"{boot}<cmdline>{self.command_line}</cmdline>"

    def serial(self, folder: Path) -> str:
        """Return libvirt's device for the serial port of `options`."""
        source = f"<source mode='bind' path='{folder}/serial'/><log file='{folder}/serial.log'/>"
        return f"<serial type='unix'>{source}<target port='0'/></serial>"

    def copied(self, folder: Path) -> "Linux":
        """Return it with its files copied to a folder, where every user can read them."""
        kernel, initramfs = folder / "kernel", folder / "initramfs"
        for path, content in ((kernel, self.kernel), (initramfs, self.initramfs)):
            path.write_bytes(content.read_bytes())
            path.chmod(0o644)
        return replace(self, kernel=kernel, initramfs=initramfs)


def kernel(
    suite: str,
    flavour: str = "cloud",
    architecture: str = "amd64",
    files: Mapping[str, bytes] | None = None,
) -> Linux:
    """Return a Linux, fetched and built below the folder of the emulators if it is not there yet.

    :param suite: A Debian suite.
    :param flavour: ``cloud``, or empty for the kernel with the drivers of all machines.
    :param architecture: Debian's name of it.
    :param files: More files of the initramfs; init runs `commands` in its shell before it is ready.
    :raise FetchError: When it cannot be fetched.
    """
    into = emulators_folder() / "guests"
    into.mkdir(parents=True, exist_ok=True)
    with (into / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another test run may want the same
        folder = _fetched(into, suite, flavour, architecture)
        init = _INIT.format(
            modules=" ".join(MODULES),
            console=ARCHITECTURES[architecture].console,
            ready=READY,
            went_on=WENT_ON,
        )
        content = archive(
            {path.name: path.read_bytes() for path in sorted(folder.glob("*.ko"))}
            | {"init": init.encode(), "bin/busybox": (folder / "busybox").read_bytes(), **(files or {})}
        )
        initramfs = into / f"initramfs-{sha256(content).hexdigest()[:16]}.gz"
        if not initramfs.exists():
            half = initramfs.with_suffix(".half")
            half.write_bytes(gzip.compress(content, compresslevel=1, mtime=0))
            half.chmod(0o644)
            half.rename(initramfs)
    return Linux(folder / "kernel", initramfs, architecture=architecture)


def kernel_module(linux: Linux, name: str) -> bytes:
    """Return the content of one of `MODULES` of a Linux."""
    return (linux.kernel.parent / f"{name}.ko").read_bytes()


def _fetched(into: Path, suite: str, flavour: str, architecture: str) -> Path:
    """Return the folder of a kernel: `kernel`, `busybox`, and its modules, none of them compressed."""
    package = "-".join(word for word in ("linux-image", flavour, architecture) if word)
    folder = into / f"{suite}-{package}"
    stamp = folder / "members.json"
    wanted = json.dumps(_MEMBERS)
    if stamp.exists() and stamp.read_text() == wanted:
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    unpacked = into / f".{folder.name}"
    shutil.rmtree(unpacked, ignore_errors=True)
    unpacked.mkdir()
    unpack_packages(suite, architecture, (package, "busybox-static"), _MEMBERS, unpacked)
    folder.mkdir()
    (image,) = unpacked.rglob("vmlinu*")
    (busybox,) = unpacked.rglob("bin/busybox")
    files = {"kernel": image.read_bytes(), "busybox": busybox.read_bytes()}
    for path in unpacked.rglob("*.ko"):
        files[path.name] = path.read_bytes()
    for path in unpacked.rglob("*.ko.xz"):
        files[path.stem] = lzma.decompress(path.read_bytes())
    for name, content in files.items():
        (folder / name).write_bytes(content)
        (folder / name).chmod(0o644)
    shutil.rmtree(unpacked)
    stamp.write_text(wanted)
    return folder


def archive(files: Mapping[str, bytes]) -> bytes:
    """Return an initramfs: cpio's `newc` format, as in the kernel's buffer-format.rst."""
    folder, program = 0o40755, 0o100755
    entries = [(name, folder, b"") for name in ("bin", "dev", "proc", "sys")]
    entries += [(name, program, content) for name, content in files.items()]
    out = b""
    for number, (name, mode, content) in enumerate([*entries, ("TRAILER!!!", 0, b"")], 1):
        fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0)
        out += b"070701" + b"".join(b"%08x" % field for field in fields) + name.encode() + b"\0"
        out += bytes(-len(out) % 4) + content
        out += bytes(-len(out) % 4)
    return out
