"""Guests that really panic, for tests: boot sectors, a Linux, an s390x, and QEMU's internal error.

None of them asks for KVM: a boot sector panics within a tenth of a second without it, the Linux
after three seconds, and a software KVM may run neither.
"""

import fcntl
import gzip
import os
import re
import select
import shlex
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from onpanic.matrix.debian import fetch

#: Seconds that anything may take.
PATIENCE = 60

# goto start; halt: hlt; goto halt; start: cli
BEGIN = "eb03 f4ebfd fa"
# if clock[0x50] == 0x5a: goto halt; clock[0x50] = 0x5a
ONCE = "b050 e670 e471 3c5a 74f2 b050 e670 b05a e671"
# ecx = {count}; do ecx -= 1 while ecx
DELAY = "66b9{count} 6649 75fc"
# write {value} to port 0x505; let QEMU stop us
REPORT = "ba0505 b0{value:02x} ee eb00"
# write 0x2000 to port 0x604, which is off in ACPI
OFF = "ba0406 b80020 ef"
# halt: hlt; goto halt
HALT = "f4 ebfd"

#: Where `counts` has its count, 64 bits wide; and what that is when it panics.
COUNT = 0x8000
COUNT_AT_PANIC = 3 << 20


def sector(code: str) -> bytes:
    """Return a boot sector of code in hexadecimal digits."""
    return bytes.fromhex(code).ljust(510, b"\0") + b"\x55\xaa"


def panics() -> bytes:
    """Return a guest that panics, turns itself off where it is let go on, and halts after a reset."""
    return sector(BEGIN + ONCE + REPORT.format(value=1) + OFF + HALT)


def panics_for_ever(delay: int = 10_000_000) -> bytes:
    """Return a guest that panics after `delay` rounds of a loop, at every boot, and halts if let go on."""
    count = delay.to_bytes(4, "little").hex()
    return sector(BEGIN + DELAY.format(count=count) + REPORT.format(value=1) + HALT)


def waits() -> bytes:
    """Return a guest that does nothing: its panic is to be made through the monitor."""
    return sector(BEGIN + HALT)


def crashloads() -> bytes:
    """Return a guest whose crash kernel takes over, as it says, and that halts."""
    return sector(BEGIN + REPORT.format(value=2) + HALT)


def counts() -> bytes:
    """Return a guest that counts, panics at `COUNT_AT_PANIC`, and goes on counting where it is let.

    It says a letter on the serial line every 2**20 counts, from `a` to `z` and so on: `abcd` has
    gone on, `abca` was reset.
    """
    return sector(
        BEGIN
        # the data segment and the count are 0, the letter is the one before a
        + "6631c0 8ed8 66a30080 66a30480 b360"
        # more: count on until the lowest 20 bits are 0
        + "668306008001 668316048000 66f7060080ffff0f00 75e9"
        # say the next letter
        + "fec3 88d8 baf803 ee"
        # panic after c
        + "80fb63 7508"
        + REPORT.format(value=1)
        # goto more; after z, with the letter before a
        + "80fb7a 72cf b360 ebcb"
    )


def disk(path: Path, content: bytes) -> list[str]:
    """Write a boot sector where anybody may use it, and return QEMU's options for it."""
    path.write_bytes(content)
    path.chmod(0o666)
    return ["-drive", f"file={path},format=raw"]


def s390x(path: Path) -> list[str]:
    """Write a kernel for s390x that is in a disabled wait at once, and return QEMU's options for it.

    That is a panic with `info`, of the CPU's own telling.
    """
    image = (
        "00080000 80000010 00000000 00000000"  # 00: where to begin: at 10
        "b2b20020 00000000 00000000 00000000"  # 10: lpswe 0x20
        "00020001 80000000 00000000 0000dead"  # 20: wait, nothing that wakes enabled, address dead
    )
    path.write_bytes(bytes.fromhex(image))
    path.chmod(0o666)
    return ["-kernel", str(path)]


def with_folder(command: list[str], folder: Path) -> list[str]:
    """Return the command of another Debian's emulator, which is to see a folder under its own name."""
    return [*command[:-1], "--bind", str(folder), str(folder), command[-1]]


#: What the Linux says on its serial line when it can be spoken to.
READY = "onpanic: ready"
WENT_ON = "onpanic: went on"

INIT = f"""\
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
for module in pvpanic pvpanic-mmio pvpanic-pci; do insmod /$module.ko; done
exec < /dev/ttyS0 > /dev/ttyS0 2>&1
stty -echo
echo {READY}
while read word; do
  case $word in
    panic) echo c > /proc/sysrq-trigger ;;
    report)
      for device in /sys/bus/pci/devices/*; do
        read vendor < $device/vendor; read kind < $device/device
        read start rest < $device/resource
        [ $vendor$kind = 0x1b360x0011 ] && devmem $start 8 1
      done
      echo "{WENT_ON}" ;;
    *) echo "onpanic: heard $word" ;;
  esac
done
"""


@dataclass(frozen=True)
class Linux:
    """Debian's kernel with a shell that does as it is told on the serial line.

    * `panic` is a real panic.  Such a kernel does nothing more but to wait for its reboot. That it
      was let go on shows a second later, by ``panic=1``: it resets itself (QEMU's RESET with
      `guest-reset`, libvirt's REBOOT). As long as it is stopped it does not. `READY` comes again
      after ten seconds.
    * `report` is what a panic does to ``-device pvpanic-pci``, and nothing else: where the guest is
      let go on it says `WENT_ON`, and listens.
    * Any other word is repeated, as `onpanic: heard WORD`.
    """

    kernel: Path
    initramfs: Path
    command_line: str = "quiet panic=1"
    mebibytes: int = 96

    def options(self, folder: Path) -> list[str]:
        """Return QEMU's options; its serial line is at `folder`/serial, what was said there in serial.log."""
        boot = ["-kernel", str(self.kernel), "-initrd", str(self.initramfs), "-append", self.command_line]
        serial = f"socket,id=serial,path={folder}/serial,server=on,wait=off,logfile={folder}/serial.log"
        return ["-m", str(self.mebibytes), *boot, "-chardev", serial, "-serial", "chardev:serial"]

    def os(self) -> str:
        """Return what libvirt's <os> has of it."""
        boot = f"<kernel>{self.kernel}</kernel><initrd>{self.initramfs}</initrd>"
        return f"{boot}<cmdline>{self.command_line}</cmdline>"

    def serial(self, folder: Path) -> str:
        """Return libvirt's device for the serial line of `options`."""
        source = f"<source mode='bind' path='{folder}/serial'/><log file='{folder}/serial.log'/>"
        return f"<serial type='unix'>{source}<target port='0'/></serial>"

    def copied(self, folder: Path) -> "Linux":
        """Return it with its files copied to where anybody can read them."""
        kernel, initramfs = folder / "kernel", folder / "initramfs"
        for path, content in ((kernel, self.kernel), (initramfs, self.initramfs)):
            path.write_bytes(content.read_bytes())
            path.chmod(0o644)
        return replace(self, kernel=kernel, initramfs=initramfs)


def linux(into: Path) -> Linux:
    """Return a Linux, fetched and built in a folder if it is not there yet.

    :raise FetchError: When it cannot be had.
    """
    into.mkdir(parents=True, exist_ok=True)
    with (into / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another test run may want the same
        root = fetch("bookworm", ("linux-image-cloud-amd64", "busybox-static"), into=into).path
        (kernel,) = root.glob("boot/vmlinuz-*")
        modules = root.glob("usr/lib/modules/*/kernel/drivers/misc/pvpanic/*.ko")
        files = {module.name: module.read_bytes() for module in sorted(modules)}
        files |= {"init": INIT.encode(), "bin/busybox": (root / "bin/busybox").read_bytes()}
        content = archive(files)
        initramfs = into / f"initramfs-{sha256(content).hexdigest()[:16]}.gz"
        if not initramfs.exists():
            half = initramfs.with_suffix(".half")
            half.write_bytes(gzip.compress(content, mtime=0))
            half.chmod(0o644)
            half.rename(initramfs)
    return Linux(kernel, initramfs)


def archive(files: Mapping[str, bytes]) -> bytes:
    """Return an initramfs: cpio's `newc`, as the kernel's buffer-format.rst has it."""
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


def say(serial: Path, word: str) -> None:
    """Say a word on a serial line, and hang up: nobody has to read what is answered."""
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(PATIENCE)
        line.connect(str(serial))
        line.sendall(word.encode() + b"\n")


def until(reached: Callable[[], object]) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + PATIENCE
    while not reached():
        assert time.monotonic() < deadline, "it has not come to that"
        time.sleep(0.01)


def told(log: Path, text: str, times: int = 1) -> None:
    """Wait until a text is in a serial line's log, so many times."""
    until(lambda: log.exists() and log.read_bytes().count(text.encode()) >= times)


def internal_error(start: Callable[..., Any], folder: Path) -> list[str]:
    """Return the options of a QEMU that starts in `internal-error`, as after a fault of KVM.

    `start` is the fixture `guest`.  The state travels as text in a migration of a panicked guest,
    and both states have the same length.  Such a guest goes on after `system_reset` only,
    and panics no more: see `panics`.
    """
    options = ["-device", "pvpanic", "-no-shutdown", *disk(folder / "panics.img", panics())]
    state = folder / "internal-error.state"
    panicked = start(*options)
    until(lambda: panicked.status == "guest-panicked")
    panicked.ask("migrate", uri=f"exec:cat > {shlex.quote(str(state))}")
    until(lambda: panicked.ask("query-migrate").get("status") == "completed")
    panicked.end()
    _patch(state)
    return [*options, "-incoming", f"exec:cat {shlex.quote(str(state))}"]


def internal_error_in_libvirt(domain: Any, folder: Path) -> Any:
    """Save a panicked domain to a folder of libvirt's user, and restore it in `internal-error`; return it.

    libvirt tells STARTED (restored, 2) and SUSPENDED (restored, 4), and shows PAUSED (migration):
    [3, 2]. See `with_unknown_pause` for the [3, 0] that a fault of KVM has.
    """
    connection, name, paused = domain.connect(), domain.name(), 4
    state = folder / f"{name}.saved"
    domain.saveFlags(str(state), None, paused)
    _patch(state)
    connection.restoreFlags(str(state), None, paused)
    state.unlink()
    return connection.lookupByName(name)


def _patch(state: Path) -> None:
    content = state.read_bytes()
    assert content.count(b"guest-panicked") == 1
    with state.open("r+b") as file:
        file.seek(content.index(b"guest-panicked"))
        file.write(b"internal-error")


def with_unknown_pause(uri: str, name: str) -> None:
    """Let libvirt believe that a domain was running, while its daemon is down: see `restarted`.

    That is what it believes of a guest that stopped meanwhile, of which it tells no event.
    """
    status = folder_of(uri) / f"qemu/run/{name}.xml"
    running, count = re.subn(
        r"<domstatus state='paused' reason='\w+'",
        "<domstatus state='running' reason='booted'",
        status.read_text(),
    )
    assert count == 1
    status.write_text(running)


def folder_of(uri: str) -> Path:
    """Return where the tests' libvirt has its own things."""
    return Path(uri.partition("socket=")[2]).parent


@contextmanager
def restarted(uri: str, meanwhile: Callable[[], object] = lambda: None) -> Iterator[None]:
    """End the daemon behind a URI of the fixture `libvirtd`, and start it again: a context.

    Guests live on. Every connection is lost; domains are for the caller to destroy, by a new one.
    """
    path = Path(uri.partition("socket=")[2])
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(str(path))
        got = line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    number, user, _ = struct.unpack("3i", got)
    process = Path(f"/proc/{number}")
    words, pairs = ((process / name).read_bytes().split(b"\0")[:-1] for name in ("cmdline", "environ"))
    handle = os.pidfd_open(number)
    signal.pidfd_send_signal(handle, signal.SIGTERM)
    assert select.select([handle], [], [], PATIENCE)[0]
    os.close(handle)
    meanwhile()
    again: dict[str, Any] = {"user": user, "extra_groups": []} if os.geteuid() == 0 else {}
    again["env"] = dict(pair.split(b"=", 1) for pair in pairs)
    daemon = subprocess.Popen(words, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **again)
    try:
        with socket.socket(socket.AF_UNIX) as line:
            until(lambda: line.connect_ex(str(path)) == 0)
        yield
    finally:
        daemon.terminate()
        daemon.wait()


NOTE, LOAD = 4, 1  # kinds of segments


class Segment(NamedTuple):
    """A part of an ELF file: bytes of it, and the physical address that they had in the guest."""

    kind: int
    offset: int
    address: int
    size: int


def segments(core: Path) -> list[Segment]:
    """Read the program headers of an ELF file of 64 bits, as elf(5) has them."""
    with core.open("rb") as file:
        header = file.read(64)
        assert header[:6] == b"\x7fELF\x02\x01", "it is not ELF of 64 bits, little-endian"
        (start,) = struct.unpack_from("<Q", header, 32)
        size, count = struct.unpack_from("<HH", header, 54)
        file.seek(start)
        rows = [struct.unpack_from("<IIQQQQ", file.read(size)) for _ in range(count)]
    return [Segment(kind, offset, address, length) for kind, _, offset, _, address, length in rows]


def elf_notes(core: Path) -> list[str]:
    """Return the names of a core's notes: a CORE and a QEMU for each CPU of a guest."""
    names = []
    for part in segments(core):
        place, end = part.offset, part.offset + part.size
        while part.kind == NOTE and place < end:
            name, body = struct.unpack("<II", _read(core, place, 8))
            names.append(_read(core, place + 12, name).rstrip(b"\0").decode())
            place += 12 + (name + 3) // 4 * 4 + (body + 3) // 4 * 4
    return names


def memory(core: Path, address: int, size: int) -> bytes:
    """Return a guest's memory from a core."""
    for part in segments(core):
        if part.kind == LOAD and part.address <= address and address + size <= part.address + part.size:
            return _read(core, part.offset + address - part.address, size)
    raise AssertionError(f"{address:#x} is not in it")


def complete(core: Path) -> bool:
    """Return whether all that the program headers speak of is in the file."""
    end = core.stat().st_size
    return all(part.offset + part.size <= end for part in segments(core))


def _read(core: Path, offset: int, size: int) -> bytes:
    with core.open("rb") as file:
        file.seek(offset)
        return file.read(size)
