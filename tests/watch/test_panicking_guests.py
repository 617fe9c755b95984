"""Guests that really panic behave as documented, on real QEMUs and under a real libvirt."""

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

import pytest

from ..running.guest import Guest
from ..running.libvirtd import folder_of, restarted
from ..running.linux_kernels import READY, WENT_ON, Linux, kernel
from . import panicking_guests as guests
from .panicking_guests import until, wait_for_text

pytestmark = pytest.mark.emulators

Start = Callable[..., Guest]
PANIC = ["-device", "pvpanic", "-no-shutdown"]

XML = """\
<domain type="qemu">
  <name>{name}</name>
  <memory unit="MiB">{mebibytes}</memory>
  <os><type arch="x86_64" machine="pc">hvm</type>{os}</os>
  <features><acpi/></features>
  <on_crash>preserve</on_crash>
  <devices><panic model="isa"/>{devices}</devices>
</domain>
"""
PANICKED, UNKNOWN_PAUSE, MIGRATION_PAUSE = [6, 1], [3, 0], [3, 2]


def panicked(guest: Guest) -> None:
    until(lambda: guest.status == "guest-panicked")


def peek(guest: Guest) -> int:
    """Return what `counts` has counted."""
    words = guest.ask("human-monitor-command", **{"command-line": f"xp /1gx {guests.COUNT}"})
    return int(words.split()[1], 16)


def test_panics(guest: Start, folder: Path) -> None:
    """It turns itself off once it is continued, and halts after a reset."""
    one = guest(*PANIC, *guests.disk(folder / "disk", guests.panics()))
    panicked(one)
    one.ask("cont")
    until(lambda: one.status == "shutdown")
    one.ask("system_reset")
    one.ask("cont")
    halted(one)
    assert one.events.count("GUEST_PANICKED") == 1


def halted(guest: Guest) -> None:
    """Wait until the guest's CPU is halted in the boot sector, with interrupts off."""

    def reached() -> bool:
        registers = guest.ask("human-monitor-command", **{"command-line": "info registers"})
        return "EIP=00007c" in registers and "HLT=1" in registers

    until(reached)
    assert guest.status == "running"


def test_panics_for_ever(guest: Start, folder: Path) -> None:
    """It panics at every boot, and halts once it is continued."""
    one = guest(*PANIC, *guests.disk(folder / "disk", guests.panics_for_ever()))
    for _ in range(3):
        panicked(one)
        one.ask("system_reset")
        one.ask("cont")
    panicked(one)
    assert one.events.count("GUEST_PANICKED") == 4
    one.ask("cont")
    halted(one)


def test_waits(guest: Start, folder: Path) -> None:
    """It panics when the monitor makes it."""
    one = guest(*PANIC, *guests.disk(folder / "disk", guests.waits()))
    halted(one)
    one.ask("human-monitor-command", **{"command-line": "o /b 0x505 1"})
    panicked(one)
    one.ask("cont")
    halted(one)


def test_crashloads(guest: Start, folder: Path) -> None:
    """It reports its crash kernel, and nothing else."""
    one = guest(*PANIC, *guests.disk(folder / "disk", guests.crashloads()))
    halted(one)
    assert [event for event in one.events if event.startswith("GUEST")] == ["GUEST_CRASHLOADED"]


def test_counts(guest: Start, folder: Path) -> None:
    """It counts on once it is continued, and from 0 after a reset; its dump has the count."""
    said, core = folder / "said", folder / "core"
    disk = guests.disk(folder / "disk", guests.counts())
    one = guest(*PANIC, *disk, "-serial", f"file:{said}")
    panicked(one)
    assert peek(one) == guests.COUNT_AT_PANIC
    one.ask("dump-guest-memory", paging=False, protocol=f"file:{core}")
    assert guests.memory(core, guests.COUNT, 8) == guests.COUNT_AT_PANIC.to_bytes(8, "little")
    one.ask("cont")
    wait_for_text(said, "abcdef")
    assert peek(one) > guests.COUNT_AT_PANIC
    one.ask("system_reset")
    panicked(one)
    assert peek(one) == guests.COUNT_AT_PANIC
    assert said.read_text().endswith("abc")


def test_a_dump_is_complete_or_not(guest: Start, folder: Path) -> None:
    """A dump that lacks its last byte is not taken for a complete one."""
    core = folder / "core"
    one = guest(*PANIC, "-smp", "2", *guests.disk(folder / "disk", guests.waits()))
    one.ask("dump-guest-memory", paging=False, protocol=f"file:{core}")
    assert guests.elf_notes(core) == ["CORE", "CORE", "QEMU", "QEMU"]
    ram = [(part.address, part.size) for part in guests.segments(core) if part.kind == guests.LOAD]
    assert ram[0][0] == 0
    assert max(address + size for address, size in ram) >= 16 << 20
    assert guests.memory(core, (16 << 20) - 1, 1)
    assert guests.complete(core)
    core.chmod(0o600)  # QEMU made it to be read only
    with core.open("r+b") as file:
        file.truncate(max(part.offset + part.size for part in guests.segments(core)) - 1)
    assert not guests.complete(core)


def test_a_disabled_wait_of_s390x(debian_emulator: Callable[..., list[str]], folder: Path) -> None:
    """QEMU reports the PSW and the reason."""
    emulator = guests.with_folder(debian_emulator("trixie", "qemu-system-s390x"), folder)
    options = ["-accel", "tcg", "-display", "none", "-nodefaults", "-m", "16", "-S", "-qmp", "stdio"]
    command = [*emulator, *options, *guests.s390x(folder / "kernel")]
    said = subprocess.run(
        command,
        input='{"execute": "qmp_capabilities"}\n{"execute": "cont"}\n',
        capture_output=True,
        timeout=60,
        text=True,
        check=True,
    ).stdout
    (panic,) = (m for m in map(json.loads, said.splitlines()) if m.get("event") == "GUEST_PANICKED")
    assert panic["data"]["info"] == {
        "type": "s390",
        "core": 0,
        "psw-mask": 0x2000180000000,
        "psw-addr": 0xDEAD,
        "reason": "disabled-wait",
    }


def test_linux(guest: Start, folder: Path, linux: Linux) -> None:
    """It stays as it is while it is stopped, and reboots itself once it is continued."""
    log = folder / "serial.log"
    one = guest(*PANIC, *linux.options(folder))
    wait_for_text(log, READY)
    guests.send_command(folder / "serial", "hello")
    wait_for_text(log, "onpanic: heard hello")
    guests.send_command(folder / "serial", "panic")
    panicked(one)
    assert "RESET" not in one.events
    one.ask("cont")
    until(lambda: one.status == "running" and "RESET" in one.events)
    assert one.events.count("GUEST_PANICKED") == 1


def test_linux_goes_on_after_a_report(guest: Start, folder: Path, linux: Linux) -> None:
    """The kernel itself has not panicked, so it runs on."""
    log = folder / "serial.log"
    one = guest("-device", "pvpanic-pci", "-no-shutdown", *linux.options(folder))
    wait_for_text(log, READY)
    guests.send_command(folder / "serial", "report")
    panicked(one)
    assert WENT_ON not in log.read_text()
    one.ask("cont")
    wait_for_text(log, WENT_ON)
    guests.send_command(folder / "serial", "hello")
    wait_for_text(log, "onpanic: heard hello")
    assert "RESET" not in one.events


def test_linux_is_built_once(linux: Linux) -> None:
    """And every user can read its files."""
    assert kernel("bookworm") == linux
    for path in (linux.kernel, linux.initramfs):
        assert path.stat().st_mode & 0o444 == 0o444


def test_internal_error(guest: Start, folder: Path) -> None:
    """It can only be reset."""
    one = guest(*guests.internal_error(guest, folder))
    until(lambda: one.status == "internal-error")
    with pytest.raises(KeyError):
        one.ask("cont")  # is refused
    assert one.status == "internal-error"
    one.ask("system_reset")
    one.ask("cont")
    halted(one)


def domain(connection: Any, name: str, *, os: str = "", devices: str = "", mebibytes: int = 16) -> Any:
    """Start a guest under libvirt that is preserved when it panics."""
    return connection.createXML(XML.format(name=name, os=os, devices=devices, mebibytes=mebibytes))


def panicking(connection: Any, uri: str, name: str) -> Any:
    path = folder_of(uri) / f"{name}.img"
    guests.disk(path, guests.panics_for_ever())
    disk = f"<disk type='file'><source file='{path}'/><target dev='hda' bus='ide'/></disk>"
    found = domain(connection, name, devices=disk)
    until(lambda: found.state() == PANICKED)
    return found


def asked(domain: Any) -> str:
    import libvirt_qemu

    answer = libvirt_qemu.qemuMonitorCommand(domain, '{"execute": "query-status"}', 0)
    return str(json.loads(answer)["return"]["status"])


@pytest.mark.libvirt
def test_linux_under_libvirt(connection: Any, libvirt: Any, uri: str, linux: Linux) -> None:
    """It is preserved, and reboots itself once it is resumed."""
    reboots: list[str] = []
    number = connection.domainEventRegisterAny(
        None,
        libvirt.VIR_DOMAIN_EVENT_ID_REBOOT,
        lambda _connection, domain, _opaque: reboots.append(domain.name()),
        None,
    )
    place = folder_of(uri)
    here, log = linux.copied(place), place / "serial.log"
    one = domain(connection, "linux", os=here.os(), devices=here.serial(place), mebibytes=here.mebibytes)
    wait_for_text(log, READY)
    guests.send_command(place / "serial", "panic")
    until(lambda: one.state() == PANICKED)
    assert reboots == []
    one.resume()
    until(lambda: reboots)
    connection.domainEventDeregisterAny(number)


@pytest.fixture
def own(libvirt: Any, libvirtd: Callable[[], AbstractContextManager[str]]) -> Iterator[str]:
    """Return the URI of a daemon that may be restarted: it has no guests of other tests."""
    with libvirtd() as uri:
        yield uri


@pytest.mark.libvirt
def test_internal_error_under_libvirt(connection: Any, libvirt: Any, uri: str) -> None:
    """libvirt shows why it is paused, and can only reset it."""
    heard: list[tuple[int, int]] = []
    number = connection.domainEventRegisterAny(
        None,
        libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE,
        lambda _connection, _domain, event, detail, _opaque: heard.append((event, detail)),
        None,
    )
    one = panicking(connection, uri, "faulty")
    one = guests.internal_error_in_libvirt(one, folder_of(uri))
    assert (one.state(), asked(one)) == (MIGRATION_PAUSE, "internal-error")
    suspended = (libvirt.VIR_DOMAIN_EVENT_SUSPENDED, libvirt.VIR_DOMAIN_EVENT_SUSPENDED_RESTORED)
    until(lambda: suspended in heard)
    connection.domainEventDeregisterAny(number)
    with pytest.raises(libvirt.libvirtError, match="Resetting the Virtual Machine is required"):
        one.resume()
    one.reset()
    one.resume()
    until(lambda: one.state() == PANICKED)


@pytest.mark.libvirt
def test_internal_error_that_libvirt_was_down_for(libvirt: Any, own: str) -> None:
    """libvirt shows it as paused for an unknown reason."""
    before = libvirt.open(own)
    one = panicking(before, own, "faulty")
    guests.internal_error_in_libvirt(one, folder_of(own))
    with restarted(own, lambda: guests.with_unknown_pause(own, "faulty")):
        connection = libvirt.open(own)
        try:
            until(lambda: connection.lookupByName("faulty").state() == UNKNOWN_PAUSE)
            assert asked(connection.lookupByName("faulty")) == "internal-error"
        finally:
            with suppress(libvirt.libvirtError):
                connection.lookupByName("faulty").destroy()
            connection.close()
            before.close()
