"""Dumps by real QEMUs and libvirts: formats, limits, and what is left when something ends a dump."""

import os
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from ..running.guest import Guest
from ..running.libvirtd import EVERY, folder_of
from . import panicking_guests as guests
from .conftest import WatchProcess
from .panicking_guests import until
from .test_played_domains import policy_of

pytestmark = [pytest.mark.emulators, pytest.mark.processes]

Start = Callable[..., Guest]
Watch = Callable[..., WatchProcess]

PANIC = ["-device", "pvpanic", "-no-shutdown"]
DUMPED = ["--on-panic", "preserve", "--coredump"]
MEBIBYTE = 2**20

# What files of QEMU's begin with.  kdump is in the flattened form unless it is raw.
STARTS = {
    "elf": b"\x7fELF",
    "kdump-zlib": b"makedumpfile",
    "kdump-lzo": b"makedumpfile",
    "kdump-snappy": b"makedumpfile",
    "kdump-raw-zlib": b"KDUMP   ",
    "kdump-raw-lzo": b"KDUMP   ",
    "kdump-raw-snappy": b"KDUMP   ",
}


def panic(one: Guest) -> None:
    one.ask("human-monitor-command", **{"command-line": "o /b 0x505 1"})


def in_folder(command: list[str], folder: Path) -> str:
    """Return a program that runs an emulator of a Debian suite, which may use a folder."""
    path = folder / "emulator"
    words = " ".join(guests.with_folder(command, folder))
    path.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
    path.chmod(0o755)
    return str(path)


def dumps(folder: Path) -> list[Path]:
    """Return the dumps in a folder, incomplete ones included."""
    return sorted(path for path in folder.iterdir() if "Z." in path.name)


# Formats


@pytest.mark.parametrize("suite", ["host", "bullseye", "trixie", "sid"])
def test_every_format_that_a_qemu_offers(
    suite: str, debian_emulator: Callable[..., list[str]], watch: Watch, folder: Path, tmp_path: Path
) -> None:
    """The file is one, and its name says so; of one that is not offered, the message says what is."""
    emulator = "qemu-system-x86_64" if suite == "host" else in_folder(debian_emulator(suite), folder)
    one = Guest(emulator, folder, *PANIC)
    try:
        offered = one.ask("query-dump-guest-memory-capability")["formats"]
        panic(one)
        for form in [*offered, "kdump-lzo"]:
            place = folder / form
            place.mkdir(exist_ok=True)
            options = ["--dump-dir", str(place), "--dump-format", form, "--state-dir", str(tmp_path / form)]
            watcher = watch("--qmp", str(one.path), *DUMPED, *options)
            line = watcher.until("action", action="coredump")
            watcher.stop()
            if form in offered and form != "win-dmp":
                assert line["outcome"] == "done"
                (path,) = place.iterdir()
                assert str(path) == line["coredump"]
                assert path.suffix == (".core" if form == "elf" else ".kdump")
                assert path.read_bytes().startswith(STARTS[form])
                continue
            assert line["outcome"] == "failed"
            assert "win-dump" in line["detail"] if form == "win-dmp" else ", ".join(offered) in line["detail"]
            assert list(place.iterdir()) == []
    finally:
        one.end()


def test_virtual_addresses(guest: Start, watch: Watch, folder: Path) -> None:
    """The program headers have them: the BIOS's protected mode has no paging, but QEMU makes the list."""
    one = guest(*PANIC)
    watcher = watch("--qmp", str(one.path), *DUMPED, "--dump-paging", "--dump-dir", str(folder))
    watcher.until("connected")
    panic(one)
    watcher.until("action", action="coredump", outcome="done")
    (core,) = dumps(folder)
    assert guests.elf_notes(core) == ["CORE", "QEMU"]


def windows(valid: bytes) -> bytes:
    """Return a guest that hands QEMU a dump header, as Windows' driver for fw_cfg does, and panics.

    :param valid: What the header begins with: ``PAGEDU64`` for a header that QEMU takes for one of Windows
        until it reads on.
    """
    note, size = 0x7D40, 0x2000  # the header of 64-bit Windows
    code = (
        # es = ds = 0; select fw_cfg's directory, and skip its length
        "31c0 8ed8 8ec0  ba1005 b81900 ef 42 b90400 ec e2fd"
        # do read an entry to 0x600 while its name does not go on with vmco
        "bf0006 b94000 ec aa e2fc  66813e0c06766d636f 75eb"
        # the selector of etc/vmcoreinfo, and then the descriptor's address
        "a10406 a3007d  ba1405 6631c0 66ef b218 66b800007d00 66ef"
    )
    content = bytearray(guests.sector(guests.BEGIN + code + guests.REPORT.format(value=1) + guests.HALT))

    def put(address: int, data: bytes) -> None:
        content[address - 0x7C00 : address - 0x7C00 + len(data)] = data

    put(0x7D00, struct.pack(">IIQ", 0x18, 16, 0x7D20))  # select and write 16 bytes from there
    put(0x7D20, struct.pack("<HHIQ", 1, 1, size + 24, note))  # an ELF note
    put(note, struct.pack("<III", 11, size, 0) + b"VMCOREINFO\0\0" + valid)
    return bytes(content)


DOMAIN = """\
<domain type="qemu" xmlns:qemu="http://libvirt.org/schemas/domain/qemu/1.0">
  <name>guest</name>
  <metadata>{policy}</metadata>
  <memory unit="MiB">16</memory>
  <os><type arch="x86_64" machine="pc">hvm</type></os>
  <features><acpi/><vmcoreinfo state="on"/></features>
  <on_crash>{on_crash}</on_crash>
  <devices>
    <disk type="file"><source file="{folder}/guest.img"/><target dev="hda" bus="ide"/></disk>
    <panic model="isa"/>
  </devices>
  <qemu:commandline>
    <qemu:arg value="-qmp"/>
    <qemu:arg value="unix:{folder}/guest.qmp,server=on,wait=off"/>
  </qemu:commandline>
</domain>
"""


def started(
    connection: Any, folder: Path, content: bytes, value: str = "preserve", on_crash: str = "preserve"
) -> Any:
    """Return a running domain whose policy is to dump it first."""
    guests.disk(folder / "guest.img", content)
    for core in (folder / "qemu/dump").iterdir():
        core.unlink()
    policy = policy_of(value, on_crash, attributes=" coredump='yes'")
    return connection.createXML(DOMAIN.format(policy=policy, on_crash=on_crash, folder=folder))


@pytest.mark.libvirt
@pytest.mark.parametrize(
    ("form", "extension", "detail"),
    [
        ("elf", ".core", None),
        ("kdump-zlib", ".kdump", None),
        ("win-dmp,elf", ".core", ""),
        ("kdump-snappy", "", "elf, kdump-zlib"),
    ],
)
def test_a_domain_with_a_bad_windows_header(
    form: str, extension: str, detail: str | None, connection: Any, uri: str, watch: Watch
) -> None:
    """It is dumped in every format but win-dmp, which its header makes fail."""
    folder = folder_of(uri)
    domain = started(connection, folder, windows(b"PAGEDU64"))
    watcher = watch("--connect", uri, "--dump-format", form)
    line = watcher.until("action", action="coredump")
    assert (line["outcome"] == "done") == bool(extension), line
    assert domain.state() == [6, 1]
    assert [path.suffix for path in dumps(folder / "qemu/dump")] == ([extension] if extension else [])
    if detail is None:
        assert "detail" not in line
    else:
        assert detail in line["detail"]
        assert "win-dmp" in line["detail"] or not extension


@pytest.mark.libvirt
@pytest.mark.libvirts(*EVERY)
def test_an_action_after_a_dump_of_libvirts_own(connection: Any, uri: str, watch: Watch) -> None:
    """libvirt 12.8 leaves a guest with a bad header as it is: the watcher dumps it, and ends it."""
    folder = folder_of(uri)
    watcher = watch("--connect", uri)
    watcher.until("watching")
    domain = started(connection, folder, windows(b"PAGEDU64"), value="destroy", on_crash="coredump-destroy")
    watcher.until("action", action="destroy", outcome="done")
    assert domain.UUIDString() not in [one.UUIDString() for one in connection.listAllDomains()]
    (core,) = (folder / "qemu/dump").iterdir()
    assert guests.elf_notes(core) == ["CORE", "QEMU", "VMCOREINFO"]


# libvirt's QEMUs


@pytest.mark.libvirt
@pytest.mark.libvirts(*EVERY)
def test_a_domain_is_not_dumped_behind_libvirts_back(connection: Any, uri: str, watch: Watch) -> None:
    """libvirt 9.0 would crash; the message names the way, and libvirt goes on."""
    folder = folder_of(uri)
    domain = started(connection, folder, guests.panics())
    until(lambda: domain.state() == [6, 1])
    watcher = watch("--qmp", f"{folder}/guest.qmp", *DUMPED, "--dump-dir", str(folder))
    line = watcher.until("action", action="coredump", outcome="failed")
    assert "onpanic watch --connect URI" in line["detail"]
    assert (watcher.stop(), dumps(folder), domain.state()) == (0, [], [6, 1])


# Limits


def test_the_oldest_dump_makes_room(guest: Start, watch: Watch, folder: Path) -> None:
    """As much as the guest has memory; the next dump is refused, since only the newest ones are left."""
    one = guest(*PANIC, "-name", "guest")
    old = [
        folder / f"{name}-2026010{day}T000000Z.core" for day, name in enumerate(("guest", "guest", "other"))
    ]
    for day, path in enumerate(old):
        path.write_bytes(bytes(10 * MEBIBYTE))
        os.utime(path, (day, day))
    options = ["--dump-dir", str(folder), "--dump-quota", "40M"]
    watcher = watch("--qmp", str(one.path), *DUMPED, *options)
    watcher.until("connected")
    panic(one)
    line = watcher.until("action", action="coredump", outcome="done")
    assert dumps(folder) == sorted([*old[1:], Path(line["coredump"])])


def test_a_full_disk_is_not_made_fuller(guest: Start, watch: Watch, folder: Path) -> None:
    """The guest is kept, and the message has the figures."""
    one = guest(*PANIC)
    watcher = watch("--qmp", str(one.path), *DUMPED, "--dump-dir", str(folder), "--dump-reserve", "1024T")
    watcher.until("connected")
    panic(one)
    line = watcher.until("action", action="coredump", outcome="failed")
    assert line["detail"].startswith("the dump needs up to 16M; ")
    assert (one.status, dumps(folder)) == ("guest-panicked", [])


SPACE = """
import asyncio, sys
from onpanic.watch import Settings
from onpanic.watch.guests.dump_space import space_for_dump

async def make_room():
    settings = Settings(dump_quota=25, dump_reserve=1)
    async with space_for_dump(sys.argv[1] + "/guest-20260103T000000Z.core", 10, settings, here=True) as note:
        print(note)

asyncio.run(make_room())
"""


@pytest.mark.parametrize(
    ("owner", "capabilities", "applied"),
    [(0, "-all", True), (65534, "-all", False), (65534, "-all,+dac_override", True)],
)
def test_limits_of_a_watcher_without_capabilities(
    owner: int, capabilities: str, applied: bool, folder: Path, unavailable: Callable[[str], NoReturn]
) -> None:
    """They are applied to a directory of its own; of one that it may not read, the line says so."""
    if os.geteuid() != 0:
        unavailable("not run by root")
    for day in (1, 2):
        (folder / f"guest-2026010{day}T000000Z.core").write_bytes(bytes(10))
        os.utime(folder / f"guest-2026010{day}T000000Z.core", (day, day))
    os.chown(folder, owner, owner)
    folder.chmod(0o750)
    bare = [
        "setpriv",
        f"--bounding-set={capabilities}",
        "--inh-caps=-all",
        "--no-new-privs",
        "--clear-groups",
    ]
    done = subprocess.run(
        [*bare, sys.executable, "-c", SPACE, str(folder)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    left = [path.name for path in dumps(folder)]
    if applied:
        assert (done.stdout, left) == ("\n", ["guest-20260102T000000Z.core"])
    else:
        assert f"dump-quota not applied: {folder}: Permission denied" in done.stdout
        assert len(left) == 2


# What is left


def dumping(guest: Start, watch: Watch, folder: Path, mebibytes: int = 2000) -> tuple[Guest, WatchProcess]:
    """Return a guest whose dump takes seconds and has begun, and its watcher."""
    one = guest(*PANIC, "-m", str(mebibytes))
    options = ["--dump-dir", str(folder), "--progress", "0.01"]
    watcher = watch("--qmp", str(one.path), *DUMPED, *options)
    watcher.until("connected")
    panic(one)
    watcher.until("progress")
    return one, watcher


def test_a_qemu_that_is_killed_during_a_dump(guest: Start, watch: Watch, folder: Path) -> None:
    """Its incomplete file is removed."""
    one, watcher = dumping(guest, watch, folder)
    one.process.kill()
    watcher.until("disconnected")
    until(lambda: dumps(folder) == [])
    assert watcher.stop() == 0


def test_a_watcher_that_is_stopped_during_a_dump(guest: Start, watch: Watch, folder: Path) -> None:
    """QEMU goes on, and what it writes is not removed."""
    one, watcher = dumping(guest, watch, folder)
    assert watcher.stop() == 0
    assert one.ask("query-dump")["status"] == "active"
    assert len(dumps(folder)) == 1


def test_a_watcher_that_is_killed_during_a_dump(guest: Start, watch: Watch, folder: Path) -> None:
    """QEMU goes on, and what it writes is not removed: the next watcher waits for it, and dumps again."""
    one, watcher = dumping(guest, watch, folder, mebibytes=1000)
    watcher.kill()
    assert one.ask("query-dump")["status"] == "active"
    again = watch("--qmp", str(one.path), *DUMPED, "--dump-dir", str(folder))
    again.until("action", action="coredump", outcome="done")
    assert again.stop() == 0
    (core,) = dumps(folder)
    assert core.suffix == ".core"
    assert guests.complete(core)


def test_a_watcher_and_a_qemu_that_are_killed_during_a_dump(guest: Start, watch: Watch, folder: Path) -> None:
    """The next watcher removes what is left, though the guest has gone."""
    one, watcher = dumping(guest, watch, folder)
    watcher.kill()
    one.process.kill()
    one.process.wait(guests.DEADLINE)
    assert len(dumps(folder)) == 1
    again = watch("--qmp", str(one.path), *DUMPED, "--dump-dir", str(folder))
    again.until("waiting")
    assert dumps(folder) == []


def test_a_dump_that_takes_too_long(guest: Start, watch: Watch, folder: Path) -> None:
    """It is given up; its file is removed when QEMU has written it."""
    one = guest(*PANIC, "-m", "2000")
    watcher = watch("--qmp", str(one.path), *DUMPED, "--dump-dir", str(folder), "--dump-timeout", "0.1")
    watcher.until("connected")
    panic(one)
    assert "QEMU continues it" in watcher.until("action", action="coredump", outcome="failed")["detail"]
    until(lambda: dumps(folder) == [])
    assert one.ask("query-dump")["status"] == "completed"
