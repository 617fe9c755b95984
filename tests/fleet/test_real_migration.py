"""What is said about migration is what real libvirts and QEMUs do: libvirt 9.0 and 12.8 or later."""

import json
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from onpanic.fleet import DomainGuest, Fleet, PlainGuest, migration_of, translate_for_fleet
from onpanic.fleet.hosts.host_record import HostLibvirt
from onpanic.probe import CapabilityRecord, probe
from onpanic.probe.decision.policy import Policy
from onpanic.shims import Libvirt

from ..running.libvirtd import HOST, folder_of
from ..watch import panicking_guests as guests
from .fleets import emulator, fleet, host

pytestmark = [pytest.mark.libvirt, pytest.mark.emulators]

MACHINE = "pc-q35-7.2"
#: It has this path for every daemon.
EMULATOR = "/usr/bin/qemu-system-x86_64"
NEWEST = "sid"
PANIC = "o /b 0x505 1"
READ_EVENTS = "i /b 0x505"

DOMAIN = """\
<domain type="qemu">
  <name>migrating</name>
  <memory unit="MiB">16</memory>
  <os><type arch="x86_64" machine="{machine}">hvm</type></os>
  <features><acpi/></features>
  {policy}
  <devices>
    <emulator>{emulator}</emulator>
    <disk type="file"><source file="{disk}"/><target dev="sda" bus="sata"/></disk>
    {panic}
  </devices>
</domain>
"""


class RealHost:
    """A libvirt with a QEMU.

    :ivar record: What is known about it, as onpanic host would record it.
    """

    def __init__(self, name: str, connection: Any, folder: Path, known: CapabilityRecord) -> None:
        self.name, self.connection, self.folder = name, connection, folder
        number = connection.getLibVersion()
        version = f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"
        found = emulator("7.2.22", machines=[MACHINE], kvm=False)
        self.record = msgspec.structs.replace(
            host(name, emulators=[msgspec.structs.replace(found, path=EMULATOR, record=known)]),
            libvirt=HostLibvirt.of("qemu:///session", version, Libvirt.of_connection(connection)),
        )


@pytest.fixture(scope="module")
def pair(
    libvirt: Any, shared_uri: Callable[[str], str], debian_emulator: Callable[..., list[str]]
) -> Iterator[tuple[RealHost, RealHost]]:
    """Return an old host and a new one."""
    found = []
    for name, command in ((HOST, [EMULATOR]), (NEWEST, debian_emulator(NEWEST))):
        known = msgspec.structs.replace(probe(command, machines=[MACHINE]), evidence=msgspec.UNSET)
        found.append(RealHost(name, libvirt.open(shared_uri(name)), folder_of(shared_uri(name)), known))
    old, new = found
    if old.connection.getLibVersion() > 9_000_000 or new.connection.getLibVersion() < 12_006_000:
        pytest.skip("these are not libvirt 9.0 or earlier, and 12.6 or later")
    with closing(old.connection), closing(new.connection):
        yield old, new


@pytest.fixture
def disk(pair: tuple[RealHost, RealHost]) -> Path:
    """Return a disk that both daemons see, with a guest that waits."""
    folder = pair[0].folder
    folder.chmod(0o777)
    path = folder / "migrating.img"
    guests.disk(path, guests.waits())
    path.chmod(0o666)
    return path


def domain(disk: Path, policy: str, panic: str = "") -> str:
    return DOMAIN.format(machine=MACHINE, policy=policy, emulator=EMULATOR, disk=disk, panic=panic)


def both(pair: tuple[RealHost, RealHost]) -> Fleet:
    return fleet(*(one.record for one in pair))


def said(
    pair: tuple[RealHost, RealHost], guest: DomainGuest | PlainGuest, here: RealHost, there: RealHost
) -> list[str]:
    """Return what is said to stand in the way of a guest: the codes."""
    found = migration_of(both(pair), guest, between=(here.name, there.name)).pair
    assert found is not None
    return [one.code for one in found.hindrances]


@pytest.fixture
def migrated(libvirt: Any) -> Iterator[Callable[..., Any]]:
    """Return a function that starts a guest on one host, and migrates it live to another one."""
    started: list[Any] = []

    def migrate(
        xml: str,
        here: RealHost,
        there: RealHost,
        before: Callable[[Any], object] | None = None,
        paused: bool = False,
    ) -> Any:
        started.append(here.connection.createXML(xml))
        if before is not None:
            before(started[-1])
        flags = libvirt.VIR_MIGRATE_LIVE | libvirt.VIR_MIGRATE_UNSAFE
        flags |= libvirt.VIR_MIGRATE_PAUSED * paused
        where = {libvirt.VIR_MIGRATE_PARAM_URI: "tcp:127.0.0.1"}
        started.append(started[-1].migrate3(there.connection, where, flags))
        return started[-1]

    yield migrate
    for one in started:
        with suppress(libvirt.libvirtError):
            one.destroy()


def monitor(guest: Any, command: str) -> str:
    import libvirt_qemu

    return str(
        libvirt_qemu.qemuMonitorCommand(guest, command, libvirt_qemu.VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP)
    )


def run_state(guest: Any) -> str:
    import libvirt_qemu

    answer = libvirt_qemu.qemuMonitorCommand(guest, '{"execute": "query-status"}', 0)
    return str(json.loads(answer)["return"]["status"])


@pytest.mark.parametrize("onwards", [True, False], ids=["to newer", "to older"])
def test_a_guest_keeps_its_policy_and_its_events(
    onwards: bool, pair: tuple[RealHost, RealHost], disk: Path, migrated: Callable[..., Any]
) -> None:
    """A domain for both hosts migrates both ways, and is preserved when it panics there."""
    here, there = pair if onwards else pair[::-1]
    xml = domain(disk, "<on_panic>preserve</on_panic>")
    found = translate_for_fleet(xml, both(pair), same_events=True).translation
    assert found is not None
    assert said(pair, DomainGuest.from_xml(found.xml), here, there) == []
    guest = migrated(found.xml, here, there)
    assert monitor(guest, READ_EVENTS).split()[-1] == "0x03"
    monitor(guest, PANIC)
    guests.until(lambda: guest.state() == [6, 1])
    assert run_state(guest) == "guest-panicked"


@pytest.mark.parametrize("onwards", [True, False], ids=["to newer", "to older"])
def test_without_the_same_events_a_guest_sees_others(
    onwards: bool, pair: tuple[RealHost, RealHost], disk: Path, migrated: Callable[..., Any]
) -> None:
    """The migration works, so it is not called impossible."""
    here, there = pair if onwards else pair[::-1]
    assert said(pair, PlainGuest(Policy("preserve"), MACHINE), here, there) == ["event-mask-differs"]
    found = translate_for_fleet(domain(disk, "<on_panic>preserve</on_panic>"), both(pair))
    assert found.translation is not None
    assert "guest-sees-difference" in [note.code for note in found.notes]
    seen: list[str] = []
    guest = migrated(
        found.translation.xml, here, there, lambda one: seen.append(monitor(one, READ_EVENTS).split()[-1])
    )
    events = ["0x03", "0x07"]
    assert [*seen, monitor(guest, READ_EVENTS).split()[-1]] == (events if onwards else events[::-1])


@pytest.mark.parametrize("paused", [False, True], ids=["", "--paused"])
def test_a_preserved_guest_is_continued_unless_it_migrates_paused(
    paused: bool, pair: tuple[RealHost, RealHost], disk: Path, migrated: Callable[..., Any]
) -> None:
    here, there = pair
    found = translate_for_fleet(domain(disk, "<on_panic>preserve</on_panic>"), both(pair)).translation
    assert found is not None

    def panic(guest: Any) -> None:
        monitor(guest, PANIC)
        guests.until(lambda: guest.state() == [6, 1])

    guest = migrated(found.xml, here, there, panic, paused)
    assert (run_state(guest) == "running") is not paused


def test_an_older_libvirt_refuses_preserve_running(
    pair: tuple[RealHost, RealHost], disk: Path, migrated: Callable[..., Any], libvirt: Any
) -> None:
    """What was translated for the newer host alone cannot migrate; what is for both can."""
    old, new = pair
    xml = domain(disk, "<on_panic>ignore</on_panic>", "<panic model='isa'/>")
    alone = translate_for_fleet(xml, fleet(new.record)).translation
    assert alone is not None
    assert said(pair, DomainGuest.from_xml(alone.xml), new, old) == ["on-crash-not-known"]
    with pytest.raises(libvirt.libvirtError, match="preserve-running"):
        migrated(alone.xml, new, old)
    for_both = translate_for_fleet(xml, both(pair)).translation
    assert for_both is not None
    for one in pair:
        one.connection.domainXMLToNative("qemu-argv", for_both.xml)


def test_an_older_libvirt_refuses_the_pci_notifier(
    pair: tuple[RealHost, RealHost], disk: Path, migrated: Callable[..., Any], libvirt: Any
) -> None:
    """A domain with it is not translated for both; the refusal names the older host."""
    old, new = pair
    panic = "<panic model='pvpanic'/>"
    with pytest.raises(libvirt.libvirtError, match="pvpanic"):
        migrated(domain(disk, "<on_crash>restart</on_crash>", panic), new, old)
    xml = domain(disk, "<on_panic>restart</on_panic>", panic)
    hindrances = translate_for_fleet(xml, both(pair)).hindrances
    assert [(one.code, one.hosts) for one in hindrances] == [("libvirt-too-old", (HOST,))]


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        (EMULATOR, "/usr/libexec/qemu-kvm", "no-emulator-at-path"),
        ('type="qemu"', 'type="hvf"', "no-domain-type"),
        (MACHINE, "pc-q35-99.0", "no-machine-type"),
    ],
    ids=lambda word: word if "-" in word else "",
)
def test_what_a_host_lacks_its_libvirt_refuses(
    old: str, new: str, code: str, pair: tuple[RealHost, RealHost], disk: Path, libvirt: Any
) -> None:
    """An emulator, a type of domain (macOS has this one), or a machine type."""
    xml = domain(disk, "<on_panic>restart</on_panic>").replace(old, new)
    hindrances = translate_for_fleet(xml, both(pair)).hindrances
    assert [(one.code, one.hosts) for one in hindrances] == [(code, (HOST, NEWEST))]
    for one in pair:
        with pytest.raises(libvirt.libvirtError):
            one.connection.defineXML(xml)
