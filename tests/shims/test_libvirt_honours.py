"""Real guests panic under a real libvirt, which does what the policy promises.

The guest is a boot sector.  It records in a byte of its clock's memory, which survives a reset, that it
has panicked, and panics.  If it is continued, it powers itself off.  So each outcome has its own events.
"""

import queue
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from onpanic.probe import CapabilityRecord, probe
from onpanic.probe.emulator.boot_image import checkstop_image
from onpanic.probe.emulator.notifier_models import NotifierModel
from onpanic.shims import Libvirt, RefusedError, Translation, to_libvirt

from ..running.emulators import FULL_SUITE
from ..running.libvirtd import EVERY, folder_of

pytestmark = [pytest.mark.libvirt, pytest.mark.libvirts(*EVERY), pytest.mark.emulators]

# ecx = 20,000,000; do ecx -= 1 while ecx, so that libvirt has started the guest when that ends
DELAY = "66b9002d3101 6649 75fc"
# if clock[0x50] == 0x5a: goto halt; clock[0x50] = 0x5a
ONCE = "fa b050 e670 e471 3c5a 74{halt:02x} b050 e670 b05a e671"
# write 1 to port 0x505
ISA = "ba0505 b001 ee"
# find 1b36:0011 on bus 0; its BAR 0 = 0xa0000, where no VGA is; enable it; a000:0000 = 1
PCI = (
    "66bb00000080 baf80c 6689d8 66ef bafc0c 66ed 663d361b1100 7409 6681c300080000 ebe2"
    " baf80c 67668d4310 66ef bafc0c 66b800000a00 66ef baf80c 67668d4304 66ef bafc0c b80200 ef"
    " b800a0 8ed8 c606000001"
)
# let QEMU stop us; write 0x2000 to port 0x604, which is off in ACPI; halt: hlt; goto halt
OFF = "eb00 ba0406 b80020 ef f4 ebfd"

XML = """\
<domain type="qemu">
  <name>{name}</name>
  <memory unit="MiB">16</memory>
  <os><type arch="x86_64" machine="pc">hvm</type></os>
  <features><acpi/></features>
  {policy}
  <devices>
    <disk type="file">
      <driver name="qemu" type="raw"/>
      <source file="{disk}"/>
      <target dev="hda" bus="ide"/>
    </disk>
    {devices}
  </devices>
</domain>
"""

POWERNV = """\
<domain type="qemu">
  <name>checkstop</name>
  <memory unit="GiB">1</memory>
  <os><type arch="ppc64" machine="powernv9">hvm</type><loader type="rom">{firmware}</loader></os>
  <on_panic>ignore</on_panic>
  <devices><controller type="usb" model="none"/><memballoon model="none"/></devices>
</domain>
"""

CRASHED = ("crashed", 0)  # panicked
RESUMED = ("resumed", 0)
STOPPED = ("stopped", 2)  # crashed
SUSPENDED = ("suspended", 0)
ENDED_BY_LIBVIRT = ("shutdown", 2)
WENT_ON = ("shutdown", 1)  # by the guest itself
PANICKED = [6, 1]  # VIR_DOMAIN_CRASHED, VIR_DOMAIN_CRASHED_PANICKED
RUNNING_CRASHED = [1, 9]
SHUTOFF_CRASHED = [5, 3]

Event = tuple[str, int]


class Guest:
    """A guest that panics: a persistent domain and its lifecycle events."""

    def __init__(self, domain: Any, translation: Translation[str], events: "queue.Queue[Event]") -> None:
        self.domain = domain
        self.notes = [note.code for note in translation.notes if note.code != "vmcoreinfo-off"]
        self._events = events

    def resume(self) -> None:
        """Continue it.  It may be off before libvirt has QEMU's answer, which is then an error."""
        with suppress(sys.modules["libvirt"].libvirtError):
            self.domain.resume()

    def events_until(self, last: Event) -> list[Event]:
        """Wait for an event, and return all events up to it.

        libvirt may or may not report that QEMU stopped before it reports why, and that it ends QEMU.
        """
        events = list(iter(lambda: self._events.get(timeout=60), last))
        return [*(event for event in events if event not in (SUSPENDED, ENDED_BY_LIBVIRT)), last]


Panic = Callable[..., Guest]
Until = Callable[[Callable[[], object]], None]


@pytest.fixture(scope="module")
def target(libvirt: Any, uri: str) -> Libvirt:
    """Return what this libvirt supports."""
    with closing(libvirt.open(uri)) as connection:
        return Libvirt.of_connection(connection)


@pytest.fixture(scope="module")
def panic(libvirt: Any, uri: str, domcaps_emulator: str, target: Libvirt) -> Iterator[Panic]:
    """Return a function that starts a guest with a policy, which panics.

    They are ended all together, because libvirt takes a while for each.
    """
    kinds = {
        getattr(libvirt, f"VIR_DOMAIN_EVENT_{name.upper()}"): name
        for name in ("started", "suspended", "resumed", "stopped", "shutdown", "crashed")
    }
    received: defaultdict[str, queue.Queue[Event]] = defaultdict(queue.Queue)
    connection = libvirt.open(uri)

    @cache
    def record(notifier: NotifierModel) -> CapabilityRecord:
        return probe(domcaps_emulator, machines=["pc"], notifier=notifier)

    def on_event(_connection: Any, domain: Any, event: int, detail: int, _opaque: Any) -> None:
        if event in kinds:
            received[domain.name()].put((kinds[event], detail))

    number = connection.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, on_event, None)
    domains: list[Any] = []

    def start(policy: str, devices: str = "", notifier: NotifierModel = "isa") -> Guest:
        name = f"panics{len(domains)}"
        disk = folder_of(uri) / f"{name}.img"
        disk.write_bytes(boot_sector(PCI if notifier == "pvpanic" else ISA))
        disk.chmod(0o666)
        xml = XML.format(name=name, policy=policy, disk=disk, devices=devices)
        translation = to_libvirt(xml, record(notifier), libvirt=target)
        domain = connection.defineXML(translation.xml)
        domains.append(domain)
        guest = Guest(domain, translation, received[name])  # before another thread asks for its events
        domain.create()
        if WENT_ON in guest.events_until(("started", 0)):
            received[name].put(WENT_ON)  # a guest that is quick ends before libvirt says that it has started
        return guest

    def end(domain: Any) -> None:
        with suppress(libvirt.libvirtError):
            domain.destroy()
        domain.undefine()

    yield start
    connection.domainEventDeregisterAny(number)
    with ThreadPoolExecutor() as pool:
        list(pool.map(end, domains))
    connection.close()


def boot_sector(panic: str) -> bytes:
    once, then = (bytes.fromhex(part) for part in (ONCE.format(halt=0), panic + OFF))
    halt = len(once) - 11 + len(then) - 3  # from behind the jump to where it goes
    code = bytes.fromhex(DELAY + ONCE.format(halt=halt)) + then
    return code.ljust(510, b"\0") + b"\x55\xaa"


def cores(guest: Guest, uri: str) -> list[Path]:
    return list((folder_of(uri) / "qemu/dump").glob(f"*-{guest.domain.name()}-*"))


@pytest.mark.parametrize("on_crash", ["", "<on_crash>destroy</on_crash>"])
def test_restart(on_crash: str, panic: Panic) -> None:
    """The same QEMU continues with a reset guest, whatever the policy for a crash is."""
    guest = panic(f"<on_panic>restart</on_panic>{on_crash}")
    number = guest.domain.ID()
    assert guest.events_until(RESUMED) == [CRASHED, RESUMED]
    assert guest.domain.state() == RUNNING_CRASHED
    assert guest.domain.ID() == number
    guest.domain.suspend()
    assert guest.events_until(SUSPENDED) == [SUSPENDED]  # nothing came between
    assert guest.notes == (["watch-on-crash"] if on_crash else [])


@pytest.mark.parametrize("on_crash", ["", "<on_crash>restart</on_crash>"])
def test_destroy(on_crash: str, panic: Panic) -> None:
    guest = panic(f"<on_panic>destroy</on_panic>{on_crash}")
    assert guest.events_until(STOPPED) == [CRASHED, STOPPED]
    assert guest.domain.state() == SHUTOFF_CRASHED
    assert guest.notes == (["watch-on-crash"] if on_crash else [])


@pytest.mark.parametrize(
    ("policy", "notes"),
    [
        ("<on_panic>preserve</on_panic>", []),
        ("<on_panic>pause</on_panic>", ["pause-shows-crashed"]),
        ("<on_panic coredump='yes'>preserve</on_panic>", ["watch-dumps"]),
        ("<on_panic>rename-restart</on_panic>", ["watch-renames"]),
        ("<on_panic grace='30'>restart</on_panic>", ["watch-waits"]),
        ("<on_panic coredump='yes' grace='30'>destroy</on_panic>", ["watch-waits", "watch-dumps"]),
    ],
)
def test_a_guest_that_is_kept_goes_on_when_it_is_told_to(
    policy: str, notes: list[str], panic: Panic, uri: str
) -> None:
    """The guest is preserved, and continues when it is told to."""
    guest = panic(policy)
    assert guest.notes == notes
    assert guest.events_until(CRASHED) == [CRASHED]
    assert guest.domain.state() == PANICKED
    guest.resume()
    assert guest.events_until(WENT_ON) == [RESUMED, WENT_ON]
    assert cores(guest, uri) == []


def test_a_panic_that_is_ignored_although_it_is_noticed(panic: Panic, target: Libvirt) -> None:
    """libvirt lets the guest run if it can, and preserves it otherwise."""
    guest = panic("<on_panic>ignore</on_panic>", "<panic model='isa'/>")
    assert guest.notes == ([] if target.preserve_running else ["watch-continues"])
    if target.preserve_running:  # the guest may be off before libvirt reports the panic
        assert set(guest.events_until(WENT_ON)) <= {CRASHED, WENT_ON}
        return
    assert guest.events_until(CRASHED) == [CRASHED]
    assert guest.domain.state() == PANICKED
    guest.resume()
    assert guest.events_until(WENT_ON) == [RESUMED, WENT_ON]


@pytest.mark.parametrize(
    "policy",
    [
        "<on_panic>ignore</on_panic>",
        "<on_panic>default</on_panic>",
        "<on_panic>ignore</on_panic><on_crash>restart</on_crash>",
    ],
)
def test_a_panic_that_is_ignored_is_not_noticed(policy: str, panic: Panic) -> None:
    assert panic(policy).events_until(WENT_ON) == [WENT_ON]


@pytest.mark.parametrize(
    ("value", "then", "state"),
    [("restart", RESUMED, RUNNING_CRASHED), ("destroy", STOPPED, SHUTOFF_CRASHED)],
)
def test_a_coredump_first(value: str, then: Event, state: list[int], panic: Panic, uri: str) -> None:
    """The coredump is an ELF file with the guest's memory, in libvirt's auto_dump_path."""
    guest = panic(f"<on_panic coredump='yes'>{value}</on_panic>")
    assert guest.events_until(then) == [CRASHED, then]
    assert guest.domain.state() == state
    (core,) = cores(guest, uri)
    content = core.read_bytes()
    assert content.startswith(b"\x7fELF")
    assert bytes.fromhex(ISA + OFF) in content


@pytest.mark.parametrize("value", ["restart", "destroy"])
def test_a_coredump_that_fails_leaves_the_guest_panicked(value: str, panic: Panic, uri: str) -> None:
    place = folder_of(uri) / "qemu/dump"
    mode = place.stat().st_mode
    place.chmod(0)
    try:
        guest = panic(f"<on_panic coredump='yes'>{value}</on_panic>")
        assert guest.notes == ["failed-dump-preserves"]
        assert guest.events_until(CRASHED) == [CRASHED]
        assert guest.domain.state() == PANICKED
        guest.resume()
        assert guest.events_until(WENT_ON) == [RESUMED, WENT_ON]
    finally:
        place.chmod(mode)


def test_the_pci_notifier(panic: Panic, domcaps_emulator: str) -> None:
    """The PCI notifier works, through <qemu:commandline> if this libvirt has no model for it."""
    if probe(domcaps_emulator, machines=["none"]).facts["pvpanic-pci-type"].answer == "no":
        with pytest.raises(RefusedError, match="panic-device-missing"):
            panic("<on_panic>restart</on_panic>", notifier="pvpanic")
        return
    guest = panic("<on_panic>restart</on_panic>", notifier="pvpanic")
    assert guest.events_until(RESUMED) == [CRASHED, RESUMED]
    assert guest.domain.state() == RUNNING_CRASHED


@pytest.mark.libvirts(FULL_SUITE)
def test_a_checkstop_does_not_end_a_guest_that_ignores_panics(
    libvirt: Any, uri: str, target: Libvirt, debian_emulator: Callable[..., list[str]], until: Until
) -> None:
    """QEMU reports it as a panic, although the domain has no notifier."""
    firmware = folder_of(uri) / "checkstop.bin"
    firmware.write_bytes(checkstop_image())
    firmware.chmod(0o644)
    record = probe(debian_emulator(FULL_SUITE, "qemu-system-ppc64"), machines=["powernv9"])
    done = to_libvirt(POWERNV.format(firmware=firmware), record, libvirt=target)
    assert [note.code for note in done.notes] == ["checkstop-reports"]
    with closing(libvirt.open(uri)) as connection:
        domain = connection.createXML(done.xml)
        try:
            until(lambda: domain.state() == PANICKED)
        finally:
            domain.destroy()
