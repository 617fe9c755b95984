"""Real guests that panic under a real libvirt, with a watcher: what becomes of them is what was promised."""

import asyncio
import os
import random
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

import pytest

from onpanic.probe import CapabilityRecord, SourceError, probe
from onpanic.shims import Libvirt, to_libvirt
from onpanic.shims.policy import NAMESPACE
from onpanic.watch import Line, Settings, watch_domains
from onpanic.watch.hypervisor import Hypervisor

from . import guests
from .conftest import Watching
from .guests import folder_of, until

pytestmark = [pytest.mark.libvirt, pytest.mark.emulators]

Watch = Callable[..., Watching]
Run = Callable[..., subprocess.CompletedProcess[str]]

XML = """\
<domain type="qemu" xmlns:qemu="http://libvirt.org/schemas/domain/qemu/1.0">
  <name>{name}</name>
  <memory unit="MiB">{mebibytes}</memory>
  <os><type arch="x86_64" machine="pc">hvm</type>{os}</os>
  <features><acpi/></features>
  {policy}
  <devices>
    <disk type="file"><source file="{disk}"/><target dev="hda" bus="ide"/></disk>
    {devices}
  </devices>
  <qemu:commandline>
    <qemu:arg value="-qmp"/>
    <qemu:arg value="unix:{folder}/{name}.qmp,server=on,wait=off"/>
  </qemu:commandline>
</domain>
"""
PANIC = b'{"execute": "human-monitor-command", "arguments": {"command-line": "o /b 0x505 1"}}'
PANICKED, RUNNING_AGAIN, WENT_ON, CRASHED_OFF = [6, 1], [1, 9], [1, 5], [5, 3]
BOOTED = [1, 1]


class Domains:
    """Domains of one libvirt, started with policies, and ended."""

    def __init__(self, libvirt: Any, uri: str, record: CapabilityRecord) -> None:
        self.libvirt = libvirt
        self.uri = uri
        self.folder = folder_of(uri)
        self.connection = libvirt.open(uri)
        self._record = record
        self._uuids: list[str] = []

    def start(
        self,
        policy: str,
        sector: bytes | None = None,
        *,
        name: str = "guest",
        transient: bool = False,
        system: str = "",
        devices: str = "<panic model='isa'/>",
        mebibytes: int = 16,
    ) -> Any:
        disk = self.folder / f"{name}.img"
        guests.disk(disk, sector or guests.panics())
        xml = XML.format(
            name=name,
            policy=policy,
            disk=disk,
            os=system,
            devices=devices,
            mebibytes=mebibytes,
            folder=self.folder,
        )
        xml = to_libvirt(xml, self._record, libvirt=Libvirt.of_connection(self.connection)).xml
        if transient:
            domain = self.connection.createXML(xml)
        else:
            domain = self.connection.defineXML(xml)
            domain.create()
        self._uuids.append(domain.UUIDString())
        return domain

    def panic(self, domain: Any) -> None:
        """Have it panic, through a monitor that libvirt knows nothing of."""
        with socket.socket(socket.AF_UNIX) as line, line.makefile() as said:
            line.settimeout(guests.PATIENCE)
            line.connect(f"{self.folder}/{domain.name()}.qmp")
            said.readline()
            line.sendall(b'{"execute": "qmp_capabilities"}')
            line.sendall(PANIC)
            while "GUEST_PANICKED" not in said.readline():
                pass

    def again(self) -> None:
        """Connect again."""
        self.connection = self.libvirt.open(self.uri)

    def domain(self, domain: Any) -> Any:
        return self.connection.lookupByUUIDString(domain.UUIDString())

    def cores(self) -> list[Path]:
        """Return the dumps of the watcher's and, by their names, of libvirt's own."""
        return sorted((self.folder / "qemu/dump").glob("*"))

    def end(self) -> None:
        def destroy(uuid: str) -> None:
            with suppress(self.libvirt.libvirtError):
                domain = self.connection.lookupByUUIDString(uuid)
                with suppress(OSError):  # libvirt asks QEMU first, and waits
                    os.kill(int((self.folder / f"qemu/run/{domain.name()}.pid").read_text()), signal.SIGKILL)
                with suppress(self.libvirt.libvirtError):
                    domain.destroy()
                domain.undefine()

        with ThreadPoolExecutor() as pool:
            list(pool.map(destroy, set(self._uuids)))
        for core in self.cores():
            core.unlink()
        with suppress(self.libvirt.libvirtError):
            self.connection.close()


@pytest.fixture(scope="module")
def record() -> CapabilityRecord:
    return probe("qemu-system-x86_64", machines=["pc"])


@pytest.fixture
def domains(libvirt: Any, uri: str, record: CapabilityRecord) -> Iterator[Domains]:
    found = Domains(libvirt, uri, record)
    for core in found.cores():  # other tests'
        core.unlink()
    yield found
    found.end()


@pytest.fixture
def own(
    libvirt: Any, libvirtd: Callable[[], AbstractContextManager[str]], record: CapabilityRecord
) -> Iterator[Domains]:
    """Domains of a daemon that may be restarted."""
    with libvirtd() as uri:
        found = Domains(libvirt, uri, record)
        yield found
        with suppress(libvirt.libvirtError):
            found.again()
        found.end()


def on_panic(value: str, coredump: bool = False) -> str:
    attribute = " coredump='yes'" if coredump else ""
    return f"<on_panic{attribute}>{value}</on_panic>"


IMPOSSIBLE = ("ignore", True)
# value: its state then, what was done by whom without a dump
ENDS: dict[str, tuple[list[int], list[tuple[str, str]]]] = {
    "ignore": (WENT_ON, [("continue", "done")]),
    "restart": (RUNNING_AGAIN, [("restart", "done")]),
    "destroy": (CRASHED_OFF, [("destroy", "done")]),
    "preserve": (PANICKED, [("preserve", "kept")]),
    "pause": (PANICKED, [("pause", "kept")]),
    "rename-restart": (BOOTED, [("destroy", "done"), ("rename", "done"), ("start", "done")]),
}
POLICIES = [
    (value, coredump) for value in ENDS for coredump in (False, True) if (value, coredump) != IMPOSSIBLE
]


@pytest.mark.parametrize(("value", "coredump"), POLICIES)
def test_a_policy_is_carried_out(value: str, coredump: bool, domains: Domains, watch: Watch) -> None:
    """By libvirt what libvirt can, by the watcher the rest."""
    watcher = watch("--connect", domains.uri)
    watcher.until("watching")
    serial = f"<serial type='file'><source path='{domains.folder}/said'/><target port='0'/></serial>"
    (domains.folder / "said").unlink(missing_ok=True)
    sector = guests.counts() if value == "ignore" else guests.waits()
    one = domains.start(on_panic(value, coredump), sector, devices=f"<panic model='isa'/>{serial}")
    if value != "ignore":
        domains.panic(one)
    state, steps = ENDS[value]
    watcher.until("action", action=steps[-1][0], outcome=steps[-1][1])
    until(lambda: domains.domain(one).state() == state)
    if value == "ignore":
        guests.told(domains.folder / "said", "abcdef")
    assert domains.domain(one).name() == ("guest-restart-1" if value == "rename-restart" else "guest")
    assert watcher.actions() == [*([("coredump", "done")] if coredump else []), *steps]
    by_libvirt = value in ("restart", "destroy")
    assert all(("by" in line) == by_libvirt for line in watcher.said("action"))
    assert len(watcher.said("panicked")) == 1
    assert all(line["uuid"] == one.UUIDString() for line in watcher.said("action"))
    assert watcher.stop() == 0
    assert len(domains.cores()) == coredump
    for core in domains.cores():
        assert guests.elf_notes(core) == ["CORE", "QEMU"]
        assert guests.complete(core)


@pytest.mark.parametrize("value", ["destroy", "rename-restart"])
def test_a_transient_domain_that_is_gone(value: str, domains: Domains, watch: Watch) -> None:
    """libvirt forgets it before it says so."""
    watcher = watch("--connect", domains.uri)
    watcher.until("watching")
    one = domains.start(on_panic(value), guests.waits(), transient=True)
    watcher.until("policy")
    domains.panic(one)
    if value == "destroy":
        assert watcher.until("action", action="destroy", outcome="done")["by"] == "libvirt"
    else:
        watcher.until("action", action="start", outcome="done")
        again = domains.domain(one)
        assert (again.name(), again.isPersistent(), again.state()) == ("guest-restart-1", 0, BOOTED)
    assert watcher.until("panicked")["policy"] == on_panic(value)


@pytest.mark.parametrize("value", ["ignore", "preserve", "rename-restart", "restart"])
def test_a_panic_while_nobody_watched(value: str, domains: Domains, watch: Watch) -> None:
    """What libvirt did by itself was its own; the rest is done as soon as somebody watches."""
    one = domains.start(on_panic(value, coredump=value == "preserve"), guests.waits())
    domains.panic(one)
    until(lambda: one.state() in (PANICKED, RUNNING_AGAIN))
    watcher = watch("--connect", domains.uri, "--once")
    assert watcher.wait() == 0
    state, steps = ENDS[value]
    if value == "restart":
        assert (one.state(), watcher.said("action")) == (RUNNING_AGAIN, [])
        return
    assert domains.domain(one).state() == state
    assert watcher.actions() == [*([("coredump", "done")] if value == "preserve" else []), *steps]
    assert watch("--connect", domains.uri, "--once").wait() == 0
    assert len(domains.cores()) == (value == "preserve")


@pytest.mark.parametrize("coredump", [False, True])
def test_a_panic_while_libvirt_was_down(coredump: bool, own: Domains, watch: Watch) -> None:
    """libvirt does nothing about it when it is there again, so the watcher does; it connects by itself."""
    one = own.start(on_panic("restart", coredump), guests.waits())
    watcher = watch("--connect", own.uri)
    watcher.until("watching")
    with guests.restarted(own.uri, lambda: own.panic(one)):
        watcher.until("disconnected")
        watcher.until("connected")
        watcher.until("action", action="restart", outcome="done")
        own.again()
        assert own.domain(one).state()[0] == 1
        assert watcher.actions() == [*([("coredump", "done")] if coredump else []), ("restart", "done")]
        assert all("by" not in line for line in watcher.said("action"))
        assert len(own.cores()) == coredump
        own.end()


@pytest.mark.parametrize(
    ("on_crash", "steps"),
    [
        ("<on_crash coredump='yes'>restart</on_crash>", [("coredump", "done"), ("restart", "done")]),
        ("", []),
    ],
)
def test_an_internal_error_is_what_on_crash_is_about(
    on_crash: str, steps: list[tuple[str, str]], own: Domains, watch: Watch
) -> None:
    """Without it, libvirt's own way stands: the guest stays."""
    one = own.start(f"{on_panic('preserve')}{on_crash}", guests.panics())
    until(lambda: one.state() == PANICKED)
    one = guests.internal_error_in_libvirt(one, own.folder)
    name = one.name()
    with guests.restarted(own.uri, lambda: guests.with_unknown_pause(own.uri, name)):
        own.again()
        until(lambda: own.domain(one).state() == [3, 0])
        watcher = watch("--connect", own.uri, "--once")
        assert watcher.wait() == 0
        assert watcher.actions() == steps
        assert len(watcher.said("internal-error")) == bool(steps)
        state = own.domain(one).state()[0]
        assert state == (1 if steps else 3)
        own.end()


def test_a_guest_that_goes_on_after_a_pause(
    domains: Domains, watch: Watch, onpanic: Run, linux: guests.Linux
) -> None:
    """A real Linux: it is dumped, its status is said, and it reboots by itself once it may go on."""
    place = domains.folder
    here = linux.copied(place)
    watcher = watch("--connect", domains.uri)
    watcher.until("watching")
    (place / "serial.log").unlink(missing_ok=True)
    one = domains.start(
        on_panic("pause", coredump=True),
        system=here.os(),
        devices=f"<panic model='isa'/>{here.serial(place)}",
        mebibytes=here.mebibytes,
    )
    guests.told(place / "serial.log", guests.READY)
    guests.say(place / "serial", "panic")
    watcher.until("action", action="pause", outcome="kept")
    guest = ["--domain", "guest", "--connect", domains.uri]
    assert onpanic("status", *guest).stdout.startswith("guest: paused (panicked): ")
    assert one.state() == PANICKED
    (core,) = domains.cores()
    assert guests.complete(core)
    assert b"Linux version" in core.read_bytes()
    assert onpanic("resume", *guest).returncode == 0
    watcher.until("over")
    guests.told(place / "serial.log", guests.READY, times=2)
    assert len(watcher.said("panicked")) == 1


def test_a_libvirt_that_is_not_there_costs_nothing(libvirt: Any, tmp_path: Path) -> None:
    """However often it is tried: no thread is left of an attempt."""

    async def attempts() -> None:
        hypervisor = Hypervisor(f"qemu+unix:///session?socket={tmp_path}/none", print, print)
        for _ in range(20):
            with pytest.raises(SourceError, match="No such file"):
                await hypervisor.open()

    before = threading.active_count()
    asyncio.run(attempts())
    until(lambda: threading.active_count() <= before + 1)  # libvirt's events may have begun


def test_a_crash_kernel_is_left_to_its_work(domains: Domains, watch: Watch) -> None:
    watcher = watch("--connect", domains.uri)
    watcher.until("watching")
    one = domains.start(on_panic("destroy"), guests.crashloads())
    watcher.until("crashloaded")
    assert one.state()[0] == 1
    assert watcher.said("action") == []


def test_two_watchers_do_not_act_twice(domains: Domains, watch: Watch) -> None:
    """One stands by, and acts when the other is killed."""
    one = domains.start(on_panic("preserve", coredump=True), guests.waits())
    first = watch("--connect", domains.uri)
    first.until("watching")
    second = watch("--connect", domains.uri)
    second.until("standby")
    domains.panic(one)
    first.until("action", action="preserve", outcome="kept")
    first.kill()
    second.until("watching")
    one.resume()
    second.until("over")
    domains.panic(one)
    second.until("action", action="preserve", outcome="kept")
    assert len(second.said("panicked")) == 1
    assert second.stop() == 0


def test_a_guest_that_panics_again_and_again(domains: Domains, watch: Watch) -> None:
    """libvirt would restart it for ever; it is restarted later and later, and at last not any more."""
    watcher = watch("--connect", domains.uri, "--start-limit", "3")
    watcher.until("watching")
    one = domains.start(on_panic("restart"), guests.panics_for_ever())
    watcher.until("action", outcome="start-limit-hit")
    until(lambda: one.state() == PANICKED)
    done = [(line["outcome"], line.get("by", "")) for line in watcher.said("action", action="restart")]
    assert done[:2] == [("done", "libvirt")] * 2
    assert done[-1] == ("start-limit-hit", "")
    assert len(watcher.said("panicked")) == len([outcome for outcome, _ in done if outcome == "done"]) + 1
    assert "<on_crash>preserve</on_crash>" in one.XMLDesc()
    assert watcher.stop() == 0
    assert "<on_crash>restart</on_crash>" in one.XMLDesc()  # libvirt's again
    assert watch("--connect", domains.uri, "--start-limit", "3", "--once").wait() == 0
    assert one.state() == PANICKED


@pytest.mark.parametrize("number", range(2))
@pytest.mark.parametrize("value", ["ignore", "preserve", "rename-restart", "restart"])
def test_killed_at_any_moment_it_ends_the_same(
    value: str, number: int, domains: Domains, watch: Watch
) -> None:
    """The watcher is killed again and again, at moments of chance, until one may go on."""
    chance = random.Random(f"{value}{number}")
    coredump = value != "ignore"
    one = domains.start(on_panic(value, coredump), guests.waits(), transient=number == 0, mebibytes=64)
    for attempt in range(4):
        watcher = watch("--connect", domains.uri)
        watcher.until("watching")
        if attempt == 0:
            domains.panic(one)
        time.sleep(chance.choice([chance.uniform(0, 0.1), chance.uniform(0, 2)]))
        watcher.kill()
    assert watch("--connect", domains.uri, "--once").wait() == 0
    found = domains.domain(one)
    state, _ = ENDS[value]
    assert found.state() == state
    assert found.name() == ("guest-restart-1" if value == "rename-restart" else "guest")
    assert len(domains.cores()) == coredump
    assert all(guests.complete(core) for core in domains.cores())


def test_a_dump_that_fails_never_loses_the_guest(domains: Domains, watch: Watch) -> None:
    """libvirt's own words are said; when there is room it is made, and all the rest is done."""
    one = domains.start(on_panic("rename-restart", coredump=True), guests.waits())
    watcher = watch("--connect", domains.uri, "--dump-dir", "/nowhere")
    watcher.until("watching")
    domains.panic(one)
    failed = watcher.until("action", action="coredump", outcome="failed")
    assert "/nowhere" in failed["detail"]
    assert "No such file or directory" in failed["detail"]
    assert one.state() == PANICKED
    other = domains.start(on_panic("ignore"), guests.waits(), name="other")
    domains.panic(other)
    watcher.until("action", domain="other", action="continue", outcome="done")
    assert watcher.stop() == 0
    assert watch("--connect", domains.uri, "--once").wait() == 0
    assert domains.domain(one).state() == BOOTED
    assert len(domains.cores()) == 1


def test_no_right_to_act(
    domains: Domains, libvirt: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """libvirt's own words are said, and the guest stays as it is."""
    one = domains.start(on_panic("ignore"), guests.waits())
    domains.panic(one)
    until(lambda: one.state() == PANICKED)
    monkeypatch.setattr("onpanic.watch.hypervisor.connect", libvirt.openReadOnly)
    lines: list[Line] = []
    asyncio.run(watch_domains(domains.uri, Settings(), lines.append, state=tmp_path, once=True))
    (failed,) = [line for line in lines if line.event == "action"]
    assert (failed.action, failed.outcome) == ("continue", "failed")
    assert "read only access" in failed.detail
    assert one.state() == PANICKED


def test_a_dump_of_libvirts_that_fails_never_loses_the_guest(domains: Domains, watch: Watch) -> None:
    watcher = watch("--connect", domains.uri)
    watcher.until("watching")
    one = domains.start(on_panic("destroy", coredump=True), guests.waits())
    dumps = domains.folder / "qemu/dump"
    mode = dumps.stat().st_mode & 0o777
    dumps.chmod(0o500)
    try:
        domains.panic(one)
        failed = watcher.until("action", action="coredump", outcome="failed")
        assert "Permission denied" in failed["detail"]
        assert one.state() == PANICKED
    finally:
        dumps.chmod(mode)
    assert watcher.stop() == 0


def test_a_policy_that_was_broken_by_hand(domains: Domains, watch: Watch, libvirt: Any) -> None:
    """It is said, the guest is left alone, and when the policy is mended it is carried out."""

    def write(text: str) -> None:
        live = libvirt.VIR_DOMAIN_AFFECT_LIVE
        one.setMetadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, text, "onpanic", NAMESPACE, live)

    one = domains.start(on_panic("preserve"), guests.waits())
    other = domains.start(on_panic("ignore"), guests.waits(), name="other")
    write("<policy><on_panic>explode</on_panic></policy>")
    watcher = watch("--connect", domains.uri)
    watcher.until("watching")
    assert "unknown-value" in watcher.until("problem", domain="guest")["detail"]
    domains.panic(one)
    domains.panic(other)
    watcher.until("action", domain="other", outcome="done")
    assert watcher.said("action", domain="guest") == []
    write("<nonsense/>")
    write("<policy><on_panic coredump='maybe'>pause</on_panic></policy>")
    assert "maybe" in watcher.until("problem", domain="guest", times=2)["detail"]
    write("<policy><on_panic>ignore</on_panic></policy>")
    watcher.until("action", domain="guest", action="continue", outcome="done")
    assert one.state() == WENT_ON


def test_what_libvirt_will_do_in_spite_of_the_policy_is_said(
    domains: Domains, watch: Watch, libvirt: Any
) -> None:
    """Somebody has changed <on_crash> since."""
    one = domains.start(on_panic("preserve"), guests.waits())
    one.setLifecycleAction(libvirt.VIR_DOMAIN_LIFECYCLE_CRASH, 0, libvirt.VIR_DOMAIN_AFFECT_LIVE)
    watcher = watch("--connect", domains.uri)
    assert "<on_crash> was changed" in watcher.until("problem")["detail"]
    domains.panic(one)
    destroyed = watcher.until("action", action="destroy", outcome="done", by="libvirt")
    assert "the policy's, which is to preserve" in destroyed["detail"]


def test_a_domain_that_disappears_while_it_is_waited_for(domains: Domains, watch: Watch) -> None:
    """Somebody lets it go on; it turns itself off, and is gone."""
    one = domains.start(on_panic("rename-restart"), guests.panics(), transient=True)
    watcher = watch("--connect", domains.uri)
    watcher.until("action", outcome="delayed")  # the second of them
    domains.domain(one).resume()
    watcher.until("over")
    until(
        lambda: one.UUIDString() not in [found.UUIDString() for found in domains.connection.listAllDomains()]
    )
    assert watcher.stop() == 0


def test_a_dry_run_only_says_what_would_be_done(domains: Domains, watch: Watch, state: Path) -> None:
    """Beside a watcher that acts, too."""
    one = domains.start(on_panic("rename-restart", coredump=True), guests.waits())
    domains.panic(one)
    until(lambda: one.state() == PANICKED)
    watcher = watch("--connect", domains.uri, "--dry-run", "--once")
    assert watcher.wait() == 0
    assert watcher.actions() == [("rename-restart", "dry-run")]
    assert one.state() == PANICKED
    assert not state.exists()
    assert domains.cores() == []


def test_guests_that_libvirt_has_not_come_to_are_left_to_it(domains: Domains, watch: Watch) -> None:
    """It ends one after the other; until then the others show as paused, and are none of the watcher's."""
    on_crash = "<on_crash>destroy</on_crash>"
    policies = {f"slow{number}": on_panic("destroy") for number in range(3)}
    policies |= {"restarted": on_panic("restart") + on_crash, "ignored": on_panic("ignore") + on_crash}
    found = {name: domains.start(text, guests.waits(), name=name) for name, text in policies.items()}
    watcher = watch("--connect", domains.uri)
    watcher.until("watching")
    for one in found.values():
        domains.panic(one)
    watcher.until("action", domain="restarted", action="restart", outcome="done", by="libvirt")
    watcher.until("action", domain="ignored", action="continue", outcome="done")
    watcher.until("action", action="destroy", outcome="done", by="libvirt", times=3)
    assert found["restarted"].state() == RUNNING_AGAIN
    assert found["ignored"].state() == WENT_ON
    assert watcher.stop() == 0
    assert len(watcher.said("panicked")) == len(watcher.said("action")) == 5


def test_a_burst(domains: Domains, watch: Watch) -> None:
    """Twelve guests panic at once: none is missed, none is seen to twice."""
    names = [f"guest{number}" for number in range(12)]
    found = [domains.start(on_panic("ignore"), guests.waits(), name=name) for name in names]
    watcher = watch("--connect", domains.uri)
    watcher.until("watching")
    with ThreadPoolExecutor(12) as pool:
        list(pool.map(domains.panic, found))
    watcher.until("action", outcome="done", times=12)
    assert all(one.state() == WENT_ON for one in found)
    assert watcher.stop() == 0
    assert sorted(line["domain"] for line in watcher.said("action")) == sorted(names)
    assert len(watcher.said("panicked")) == 12
