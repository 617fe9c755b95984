"""Guests that really panic: boot sectors, an s390x kernel, and QEMU's internal error.

None of them needs KVM.  Without it a boot sector panics within a tenth of a second.  A Linux is in
`linux_kernels`.
"""

import re
import shlex
import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from ..running.libvirtd import folder_of

#: Seconds after which a wait has failed: more than the watcher needs to find what no event reported.
DEADLINE = 120

# goto start; halt: hlt; goto halt; start: cli
BEGIN = "eb03 f4ebfd fa"
# if clock[0x50] == 0x5a: goto halt; clock[0x50] = 0x5a
ONCE = "b050 e670 e471 3c5a 74f2 b050 e670 b05a e671"
# ecx = {count}; do ecx -= 1 while ecx
DELAY = "66b9{count} 6649 75fc"
# write {value} to port 0x505, and give QEMU time to stop the vCPU
REPORT = "ba0505 b0{value:02x} ee eb00"
# write 0x2000 to port 0x604, which turns an ACPI machine off
OFF = "ba0406 b80020 ef"
# halt: hlt; goto halt
HALT = "f4 ebfd"

#: The address of the 64-bit count of `counts`, and the count at which it panics.
COUNT = 0x8000
COUNT_AT_PANIC = 3 << 20


def sector(code: str) -> bytes:
    """Return a boot sector.

    :param code: Its code, in hexadecimal digits.
    """
    return bytes.fromhex(code).ljust(510, b"\0") + b"\x55\xaa"


def panics() -> bytes:
    """Return a guest that panics, turns itself off once it is continued, and halts after a reset."""
    return sector(BEGIN + ONCE + REPORT.format(value=1) + OFF + HALT)


def panics_for_ever(delay: int = 10_000_000) -> bytes:
    """Return a guest that panics after `delay` rounds of a loop, at every boot, and halts once continued."""
    count = delay.to_bytes(4, "little").hex()
    return sector(BEGIN + DELAY.format(count=count) + REPORT.format(value=1) + HALT)


def waits() -> bytes:
    """Return a guest that does nothing.  Its panic can be caused through the monitor."""
    return sector(BEGIN + HALT)


def crashloads() -> bytes:
    """Return a guest that reports that its crash kernel takes over, and halts."""
    return sector(BEGIN + REPORT.format(value=2) + HALT)


def counts() -> bytes:
    """Return a guest that counts, panics at `COUNT_AT_PANIC`, and counts on once it is continued.

    It prints a letter on the serial port every 2**20 counts, from `a` to `z` and again from `a`:
    `abcd` was continued, `abca` was reset.
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
    """Write a boot sector to a file that every user can use, and return QEMU's options for it."""
    path.write_bytes(content)
    path.chmod(0o666)
    return ["-drive", f"file={path},format=raw"]


def s390x(path: Path) -> list[str]:
    """Write a kernel for s390x that enters a disabled wait, and return QEMU's options for it.

    QEMU reports that as a panic with `info`.
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
    """Return the command of another Debian suite's emulator, with a folder bound into its root."""
    return [*command[:-1], "--bind", str(folder), str(folder), command[-1]]


def send_command(serial: Path, word: str) -> None:
    """Send a command to a serial port, without reading the output."""
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(DEADLINE)
        line.connect(str(serial))
        line.sendall(word.encode() + b"\n")


def until(reached: Callable[[], object]) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + DEADLINE
    while not reached():
        assert time.monotonic() < deadline, "the condition does not hold"
        time.sleep(0.01)


def wait_for_text(log: Path, text: str, times: int = 1) -> None:
    """Wait until a text is in a serial port's log, a number of times."""
    until(lambda: log.exists() and log.read_bytes().count(text.encode()) >= times)


def internal_error(start: Callable[..., Any], folder: Path) -> list[str]:
    """Return the options of a QEMU that starts in `internal-error`, as after a failure of KVM.

    A panicked guest is migrated to a file, in which the run state is text; both states have the same
    length.  Such a guest runs only after `system_reset`, and does not panic again, see `panics`.

    :param start: The fixture `guest`.
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

    libvirt sends STARTED (restored, 2) and SUSPENDED (restored, 4), and shows PAUSED (migration):
    [3, 2].  After a failure of KVM it would be [3, 0], see `with_unknown_pause`.
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
    """Change libvirt's status file of a domain to running, while the daemon is down, see `restarted`.

    libvirt then finds a guest that has stopped meanwhile, for which it has no event.
    """
    status = folder_of(uri) / f"qemu/run/{name}.xml"
    running, count = re.subn(
        r"<domstatus state='paused' reason='\w+'",
        "<domstatus state='running' reason='booted'",
        status.read_text(),
    )
    assert count == 1
    status.write_text(running)


NOTE, LOAD = 4, 1  # types of segments


class Segment(NamedTuple):
    """A segment of an ELF file, and the physical address that its bytes had in the guest."""

    kind: int
    offset: int
    address: int
    size: int


def segments(core: Path) -> list[Segment]:
    """Read the program headers of a 64-bit ELF file, see elf(5)."""
    with core.open("rb") as file:
        header = file.read(64)
        assert header[:6] == b"\x7fELF\x02\x01", "it is not a 64-bit little-endian ELF file"
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
    raise AssertionError(f"{address:#x} is in no segment")


def complete(core: Path) -> bool:
    """Return whether the file has all bytes that its program headers name."""
    end = core.stat().st_size
    return all(part.offset + part.size <= end for part in segments(core))


def _read(core: Path, offset: int, size: int) -> bytes:
    with core.open("rb") as file:
        file.seek(offset)
        return file.read(size)
