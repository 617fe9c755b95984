"""Domains of a real libvirt whose guests panic: libvirt and the watcher carry out their policies."""

import asyncio
import json
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

import pytest

from onpanic.probe import CapabilityRecord, probe
from onpanic.shims import Libvirt, to_libvirt
from onpanic.shims.domain_xml.policy_xml import NAMESPACE
from onpanic.watch import Line, Settings
from onpanic.watch.sources.domains import Domains as WatchedDomains
from onpanic.watch.supervision.context import WatchContext
from onpanic.watch.supervision.journal import Journal

from ..running.libvirtd import EVERY, folder_of, restarted
from ..running.linux_kernels import READY, Linux
from . import panicking_guests as guests
from .conftest import WatchProcess
from .panicking_guests import until

pytestmark = [pytest.mark.libvirt, pytest.mark.emulators]
on_every_libvirt = pytest.mark.libvirts(*EVERY)

Watch = Callable[..., WatchProcess]
Run = Callable[..., subprocess.CompletedProcess[str]]

XML = """\
<domain type="qemu" xmlns:qemu="http://libvirt.org/schemas/domain/qemu/1.0">
  <name>{name}</name>
  <memory unit="MiB">{mebibytes}</memory>
  <os><type arch="x86_64" machine="pc">hvm</type>{os}</os>
  <features><acpi/><vmcoreinfo state="on"/></features>
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
    """Domains of one libvirt, which are started with policies.

    :ivar target: What this libvirt supports.
    """

    def __init__(self, libvirt: Any, uri: str, record: CapabilityRecord) -> None:
        self.libvirt = libvirt
        self.uri = uri
        self.folder = folder_of(uri)
        self.connection = libvirt.open(uri)
        self.target = Libvirt.of_connection(self.connection)
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
        xml = to_libvirt(xml, self._record, libvirt=self.target).xml
        if transient:
            domain = self.connection.createXML(xml)
        else:
            domain = self.connection.defineXML(xml)
            domain.create()
        self._uuids.append(domain.UUIDString())
        return domain

    def panic(self, domain: Any) -> None:
        """Make it panic, through a monitor that libvirt does not know."""
        with socket.socket(socket.AF_UNIX) as line, line.makefile() as said:
            line.settimeout(guests.DEADLINE)
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

    def end_of(self, value: str) -> tuple[list[int], list[tuple[str, str]]]:
        """Return the state of a domain after a panic under a policy, and the actions without a dump."""
        if value == "ignore" and self.target.preserve_running:
            return RUNNING_AGAIN, [("ignore", "done")]
        return ENDS[value]

    def ended_by(self, value: str) -> str | None:
        """Return who carries out a policy; None for the watcher."""
        if value == "ignore" and self.target.preserve_running:
            return "QEMU"
        return "libvirt" if value in ("restart", "destroy") else None

    def cores(self) -> list[Path]:
        """Return the dumps, the watcher's and libvirt's own."""
        return sorted(set((self.folder / "qemu/dump").glob("*")) - set(self.texts()))

    def texts(self) -> list[Path]:
        """Return the files with what guests said last."""
        return sorted((self.folder / "qemu/dump").glob("*.why.txt"))

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
        for file in (*self.cores(), *self.texts()):
            file.unlink()
        with suppress(self.libvirt.libvirtError):
            self.connection.close()


@pytest.fixture(scope="module")
def record(domcaps_emulator: str) -> CapabilityRecord:
    return probe(domcaps_emulator, machines=["pc"])


@pytest.fixture
def domains(libvirt: Any, uri: str, record: CapabilityRecord) -> Iterator[Domains]:
    found = Domains(libvirt, uri, record)
    for file in (*found.cores(), *found.texts()):  # other tests'
        file.unlink()
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


# value: its state then, what was done without a dump; see also `Domains.end_of`
ENDS: dict[str, tuple[list[int], list[tuple[str, str]]]] = {
    "ignore": (WENT_ON, [("continue", "done")]),
    "restart": (RUNNING_AGAIN, [("restart", "done")]),
    "destroy": (CRASHED_OFF, [("destroy", "done")]),
    "preserve": (PANICKED, [("preserve", "kept")]),
    "pause": (PANICKED, [("pause", "kept")]),
    "rename-restart": (BOOTED, [("destroy", "done"), ("rename", "done"), ("start", "done")]),
}


@on_every_libvirt
@pytest.mark.parametrize("value", ENDS)
def test_a_policy_is_carried_out(value: str, domains: Domains, watch: Watch) -> None:
    """By libvirt as far as it can, and by the watcher otherwise; with a dump if the policy can have one."""
    carried_out(domains, watch, value, coredump=value != "ignore")


@pytest.mark.parametrize("value", [value for value in ENDS if value != "ignore"])
def test_a_policy_without_a_dump_is_carried_out(value: str, domains: Domains, watch: Watch) -> None:
    carried_out(domains, watch, value, coredump=False)


def carried_out(domains: Domains, watch: Watch, value: str, *, coredump: bool) -> None:
    """Assert that a guest's policy is carried out once, by libvirt or the watcher."""
    watcher = watch("--connect", domains.uri)
    watcher.until("watching")
    serial = f"<serial type='file'><source path='{domains.folder}/said'/><target port='0'/></serial>"
    (domains.folder / "said").unlink(missing_ok=True)
    sector = guests.counts() if value == "ignore" else guests.waits()
    one = domains.start(on_panic(value, coredump), sector, devices=f"<panic model='isa'/>{serial}")
    if value != "ignore":
        domains.panic(one)
    state, steps = domains.end_of(value)
    watcher.until("action", action=steps[-1][0], outcome=steps[-1][1])
    until(lambda: domains.domain(one).state() == state)
    if value == "ignore":
        guests.wait_for_text(domains.folder / "said", "abcdef")
    assert domains.domain(one).name() == ("guest-restart-1" if value == "rename-restart" else "guest")
    assert watcher.actions() == [*([("coredump", "done")] if coredump else []), *steps]
    assert all(line.get("by") == domains.ended_by(value) for line in watcher.logged("action"))
    assert len(watcher.logged("panicked")) == 1
    assert all(line["uuid"] == one.UUIDString() for line in watcher.logged("action"))
    assert watcher.stop() == 0
    assert len(domains.cores()) == coredump
    for core in domains.cores():
        assert guests.elf_notes(core) == ["CORE", "QEMU"]
        assert guests.complete(core)


@on_every_libvirt
@pytest.mark.parametrize("value", ["destroy", "rename-restart"])
def test_a_transient_domain(value: str, domains: Domains, watch: Watch) -> None:
    """libvirt removes it before the event arrives."""
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


@on_every_libvirt
@pytest.mark.parametrize("value", ["ignore", "preserve", "rename-restart", "restart"])
def test_a_panic_while_no_watcher_ran(value: str, domains: Domains, watch: Watch) -> None:
    """The watcher does what libvirt and QEMU have not done, as soon as it runs."""
    one = domains.start(on_panic(value, coredump=value == "preserve"), guests.waits())
    domains.panic(one)
    until(lambda: one.state() in (PANICKED, RUNNING_AGAIN))
    watcher = watch("--connect", domains.uri, "--once")
    assert watcher.wait() == 0
    state, steps = domains.end_of(value)
    if domains.ended_by(value):
        assert (one.state(), watcher.logged("action")) == (state, [])
        return
    assert domains.domain(one).state() == state
    assert watcher.actions() == [*([("coredump", "done")] if value == "preserve" else []), *steps]
    assert watch("--connect", domains.uri, "--once").wait() == 0
    assert len(domains.cores()) == (value == "preserve")


@on_every_libvirt
@pytest.mark.parametrize("coredump", [False, True])
def test_a_panic_while_libvirt_was_down(coredump: bool, own: Domains, watch: Watch) -> None:
    """A restarted libvirt does nothing about it, so the watcher does, once it has connected again."""
    one = own.start(on_panic("restart", coredump), guests.waits())
    watcher = watch("--connect", own.uri)
    watcher.until("watching")
    with restarted(own.uri, lambda: own.panic(one)):
        watcher.until("disconnected")
        watcher.until("connected")
        watcher.until("action", action="restart", outcome="done")
        own.again()
        assert own.domain(one).state()[0] == 1
        assert watcher.actions() == [*([("coredump", "done")] if coredump else []), ("restart", "done")]
        assert all("by" not in line for line in watcher.logged("action"))
        assert len(own.cores()) == coredump
        own.end()


@pytest.mark.parametrize(
    ("on_crash", "steps"),
    [
        ("<on_crash coredump='yes'>restart</on_crash>", [("coredump", "done"), ("restart", "done")]),
        ("", [("nothing", "kept")]),
    ],
)
def test_an_internal_error_is_covered_by_on_crash(
    on_crash: str, steps: list[tuple[str, str]], own: Domains, watch: Watch
) -> None:
    """Without <on_crash>, the guest stays as it is."""
    one = own.start(f"{on_panic('preserve')}{on_crash}", guests.panics())
    until(lambda: one.state() == PANICKED)
    one = guests.internal_error_in_libvirt(one, own.folder)
    name = one.name()
    with restarted(own.uri, lambda: guests.with_unknown_pause(own.uri, name)):
        own.again()
        until(lambda: own.domain(one).state() == [3, 0])
        watcher = watch("--connect", own.uri, "--once")
        assert watcher.wait() == 0
        assert watcher.actions() == steps
        assert len(watcher.logged("internal-error")) == 1
        assert own.domain(one).state()[0] == (1 if on_crash else 3)
        own.end()


def test_a_guest_that_goes_on_after_a_pause(
    domains: Domains, watch: Watch, onpanic: Run, linux: Linux
) -> None:
    """A real Linux is explained, dumped, shown by `onpanic status`, and reboots once it is continued."""
    place = domains.folder
    here = linux.copied(place)
    watcher = watch("--connect", domains.uri, "--why-timeout", "60", TMPDIR=str(place))
    watcher.until("watching")
    (place / "serial.log").unlink(missing_ok=True)
    one = domains.start(
        on_panic("pause", coredump=True),
        system=here.os(),
        devices=f"<panic model='isa'/>{here.serial(place)}",
        mebibytes=here.mebibytes,
    )
    guests.wait_for_text(place / "serial.log", READY)
    guests.send_command(place / "serial", "panic")
    watcher.until("action", action="pause", outcome="kept")
    guest = ["--domain", "guest", "--connect", domains.uri]
    status = onpanic("status", *guest).stdout
    assert status.startswith("guest: paused (panicked): ")
    assert "  reason     sysrq triggered crash" in status.splitlines()
    assert json.loads(onpanic("why", "--format", "json", *guest).stdout)["kind"] == "sysrq"
    assert one.state() == PANICKED
    said = watcher.until("why")
    assert (said["kind"], said["reason"]) == ("sysrq", "sysrq triggered crash")
    (core,), (text,) = domains.cores(), domains.texts()
    assert (said["why"], text.stat().st_mode & 0o777) == (str(text), 0o600)
    assert text.name == f"{core.stem}.why.txt"
    assert "Kernel panic - not syncing: sysrq triggered crash" in text.read_text("utf-8")
    assert watcher.actions() == [("coredump", "done"), ("pause", "kept")]  # none is told of a reading
    assert "custom-monitor" not in (place / "qemu/log/guest.log").read_text()
    assert list(place.glob("onpanic-why-*")) == []
    assert guests.complete(core)
    assert b"Linux version" in core.read_bytes()
    assert onpanic("resume", *guest).returncode == 0
    watcher.until("over")
    guests.wait_for_text(place / "serial.log", READY, times=2)
    assert len(watcher.logged("panicked")) == 1


def test_a_guest_that_helps_itself_within_its_grace_period(
    domains: Domains, watch: Watch, linux: Linux
) -> None:
    """A real Linux reboots itself once it is continued, and is left alone from then on."""
    place = domains.folder
    here = linux.copied(place)
    watcher = watch("--connect", domains.uri)
    watcher.until("watching")
    (place / "serial.log").unlink(missing_ok=True)
    one = domains.start(
        "<on_panic coredump='yes' grace='60'>destroy</on_panic>",
        system=here.os(),
        devices=f"<panic model='isa'/>{here.serial(place)}",
        mebibytes=here.mebibytes,
    )
    guests.wait_for_text(place / "serial.log", READY)
    guests.send_command(place / "serial", "panic")
    over = watcher.until("over")
    assert over["detail"] == "the guest has helped itself: it was reset"
    guests.wait_for_text(place / "serial.log", READY, times=2)
    assert one.state()[0] == 1
    assert len(watcher.logged("panicked")) == 1
    assert set(watcher.actions()) == {("continue", "done")}
    assert domains.cores() == []


@pytest.mark.parametrize("value", ["restart", "destroy", "rename-restart"])
def test_a_policy_is_carried_out_after_the_grace_period(value: str, domains: Domains, watch: Watch) -> None:
    """The guest halts once it is continued; it is dumped, and ended or reset, while it runs."""
    watcher = watch("--connect", domains.uri, "--start-limit", "1")
    watcher.until("watching")
    one = domains.start(
        f"<on_panic coredump='yes' grace='1'>{value}</on_panic>", guests.panics_for_ever(), name=value
    )
    last = {"restart": "restart", "destroy": "destroy", "rename-restart": "start"}[value]
    watcher.until("action", action=last, outcome="done")
    done = [action for action, outcome in watcher.actions() if outcome == "done"]
    between = {"rename-restart": ["destroy", "rename"]}.get(value, [])
    assert done[: 3 + len(between)] == ["continue", "coredump", *between, last]
    if value == "destroy":
        assert one.state()[0] == 5
    else:
        watcher.until("action", outcome="start-limit-hit")
    assert guests.complete(domains.cores()[0])


def test_a_crash_kernel_is_not_disturbed(domains: Domains, watch: Watch) -> None:
    """The event is logged, and nothing is done."""
    watcher = watch("--connect", domains.uri)
    watcher.until("watching")
    one = domains.start(on_panic("destroy"), guests.crashloads())
    watcher.until("crashloaded")
    assert one.state()[0] == 1
    assert watcher.logged("action") == []


def test_two_watchers_do_not_act_twice(domains: Domains, watch: Watch) -> None:
    """The second stands by, and acts when the first is killed."""
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
    time.sleep(1.1)  # an idle guest's panic right after it was continued is another notifier's report
    domains.panic(one)
    second.until("action", action="preserve", outcome="kept")
    assert len(second.logged("panicked")) == 1
    assert second.stop() == 0


def test_a_guest_that_panics_again_and_again(domains: Domains, watch: Watch) -> None:
    """The watcher limits libvirt's restarts, and restores libvirt's action when it stops."""
    watcher = watch("--connect", domains.uri, "--start-limit", "3")
    watcher.until("watching")
    one = domains.start(on_panic("restart"), guests.panics_for_ever())
    watcher.until("action", outcome="start-limit-hit")
    until(lambda: one.state() == PANICKED)
    done = [(line["outcome"], line.get("by", "")) for line in watcher.logged("action", action="restart")]
    assert done[:2] == [("done", "libvirt")] * 2
    assert done[-1] == ("start-limit-hit", "")
    assert len(watcher.logged("panicked")) == len([outcome for outcome, _ in done if outcome == "done"]) + 1
    assert "<on_crash>preserve</on_crash>" in one.XMLDesc()
    assert watcher.stop() == 0
    assert "<on_crash>restart</on_crash>" in one.XMLDesc()  # libvirt's again
    assert watch("--connect", domains.uri, "--start-limit", "3", "--once").wait() == 1
    assert one.state() == PANICKED


def test_killed_at_any_moment_it_ends_the_same(domains: Domains, watch: Watch) -> None:
    """The watcher of guests with different policies is killed several times, until one may finish."""
    chance = random.Random(1)
    ends_by_reset = "<on_reboot>destroy</on_reboot>"
    policies = {value: on_panic(value, coredump=True) for value in ("preserve", "rename-restart", "restart")}
    policies |= {"ignore": on_panic("ignore"), "restart-anew": on_panic("restart", True) + ends_by_reset}
    found = {
        f"{kind}-{value}": domains.start(
            policy, guests.waits(), name=f"{kind}-{value}", transient=kind == "transient", mebibytes=64
        )
        for value, policy in policies.items()
        for kind in ("transient", "persistent")
    }
    for attempt in range(4):
        watcher = watch("--connect", domains.uri)
        watcher.until("watching")
        if attempt == 0:
            with ThreadPoolExecutor() as pool:
                list(pool.map(domains.panic, found.values()))
        time.sleep(chance.choice([chance.uniform(0, 0.1), chance.uniform(0, 1)]))
        watcher.kill()
    assert watch("--connect", domains.uri, "--once").wait() == 0
    for name, one in found.items():
        value = name.partition("-")[2]
        again = domains.domain(one)
        assert (name, again.state()) == (
            name,
            BOOTED if value == "restart-anew" else domains.end_of(value)[0],
        )
        assert again.name() == (f"{name}-restart-1" if value == "rename-restart" else name)
    assert len(domains.cores()) == len([name for name in found if "ignore" not in name])
    assert all(guests.complete(core) for core in domains.cores())


def test_a_failed_dump_never_loses_the_guest(domains: Domains, watch: Watch) -> None:
    """libvirt's message is logged; once the dump is possible, it is made and the other steps follow."""
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
    watcher.until("action", domain="other", outcome="done")
    assert watcher.stop() == 0
    assert watch("--connect", domains.uri, "--once").wait() == 0
    assert domains.domain(one).state() == BOOTED
    assert len(domains.cores()) == 1


def test_a_connection_that_may_only_read(domains: Domains, libvirt: Any, tmp_path: Path) -> None:
    """libvirt's message is logged, and the guest stays as it is."""
    one = domains.start(on_panic("rename-restart"), guests.waits())
    domains.panic(one)
    until(lambda: one.state() == PANICKED)
    lines: list[Line] = []

    async def watch_once() -> None:
        journal = Journal(tmp_path, print)
        assert journal.try_acquire()
        context = WatchContext(journal, Settings(), lines.append)
        source = WatchedDomains(domains.uri, context, opener=libvirt.openReadOnly)
        running = asyncio.create_task(source.run())
        async with asyncio.timeout(guests.DEADLINE):
            await source.ready.wait()
            await source.wait_idle()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await source.close()
        journal.close()

    asyncio.run(watch_once())
    (failed,) = [line for line in lines if line.event == "action"]
    assert (failed.action, failed.outcome) == ("destroy", "failed")
    assert "read only access" in failed.detail
    assert one.state() == PANICKED


@on_every_libvirt
def test_a_failed_dump_of_libvirt_never_loses_the_guest(domains: Domains, watch: Watch) -> None:
    """libvirt leaves the guest as it is, and so does the watcher."""
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


def test_a_policy_that_is_broken_and_repaired(domains: Domains, watch: Watch, libvirt: Any) -> None:
    """The problem is logged, and the panic is handled once the policy is valid."""

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
    assert watcher.logged("action", domain="guest") == []
    write("<nonsense/>")
    write("<policy><on_panic coredump='maybe'>pause</on_panic></policy>")
    until(lambda: any("maybe" in line["detail"] for line in watcher.logged("problem", domain="guest")))
    write("<policy><on_panic>ignore</on_panic></policy>")
    watcher.until("action", domain="guest", action="continue", outcome="done")
    assert one.state() == WENT_ON


@on_every_libvirt
def test_an_on_crash_that_was_changed_is_a_warning(domains: Domains, watch: Watch, libvirt: Any) -> None:
    """And what libvirt does then is reported as a failure of the policy."""
    one = domains.start(on_panic("preserve"), guests.waits())
    one.setLifecycleAction(libvirt.VIR_DOMAIN_LIFECYCLE_CRASH, 0, libvirt.VIR_DOMAIN_AFFECT_LIVE)
    watcher = watch("--connect", domains.uri)
    assert "<on_crash> was changed" in watcher.until("problem")["detail"]
    domains.panic(one)
    lost = watcher.until("action", action="preserve", outcome="lost", by="libvirt")
    assert lost["detail"] == "the guest is off: its <on_crash> is to destroy it"


@pytest.mark.libvirts("sid")
def test_an_action_that_was_changed_at_run_time(domains: Domains, watch: Watch, libvirt: Any) -> None:
    """libvirt then goes by the old value in part, so QEMU is asked, and nothing is done before it is seen."""
    import libvirt_qemu

    watcher = watch("--connect", domains.uri)
    watcher.until("watching")
    stopped = domains.start(on_panic("ignore"), guests.waits(), name="stopped")
    ended = domains.start(on_panic("ignore"), guests.waits(), name="ended")
    watcher.until("policy", times=2)
    # As libvirt leaves it behind when <on_crash> becomes preserve-running
    command = '{"execute": "set-action", "arguments": {"panic": "pause"}}'
    libvirt_qemu.qemuMonitorCommand(stopped, command, 0)
    ended.setLifecycleAction(libvirt.VIR_DOMAIN_LIFECYCLE_CRASH, 0, libvirt.VIR_DOMAIN_AFFECT_LIVE)
    domains.panic(stopped)
    domains.panic(ended)
    watcher.until("action", domain="stopped", action="continue", outcome="done")
    status = json.loads(libvirt_qemu.qemuMonitorCommand(stopped, '{"execute": "query-status"}', 0))
    assert status["return"]["status"] == "running"
    lost = watcher.until("action", domain="ended", action="ignore", outcome="lost")
    assert lost["detail"].startswith("the guest is off: ")  # why depends on the moment
    assert watcher.logged("action", action="ignore", outcome="done") == []
    assert watcher.stop() == 0


def test_a_domain_that_disappears_while_it_is_waited_for(domains: Domains, watch: Watch) -> None:
    """Someone continues it; it turns itself off, and is gone."""
    one = domains.start(on_panic("rename-restart"), guests.panics(), transient=True)
    watcher = watch("--connect", domains.uri)
    watcher.until("action", outcome="delayed")  # the second of its panics
    with suppress(domains.libvirt.libvirtError):  # it may be off before libvirt has QEMU's answer
        domains.domain(one).resume()
    watcher.until("over")
    until(
        lambda: one.UUIDString() not in [found.UUIDString() for found in domains.connection.listAllDomains()]
    )
    assert watcher.stop() == 0


def test_a_dry_run_does_nothing(domains: Domains, watch: Watch, state: Path) -> None:
    """It logs what would be done."""
    one = domains.start(on_panic("rename-restart", coredump=True), guests.waits())
    domains.panic(one)
    until(lambda: one.state() == PANICKED)
    watcher = watch("--connect", domains.uri, "--dry-run", "--once")
    assert watcher.wait() == 0
    assert watcher.actions() == [("rename-restart", "dry-run")]
    assert one.state() == PANICKED
    assert not state.exists()
    assert domains.cores() == []


@on_every_libvirt
def test_guests_that_wait_for_libvirt_are_left_to_it(domains: Domains, watch: Watch) -> None:
    """libvirt handles one panic after the other, and shows the other guests as paused until then."""
    on_crash = "<on_crash>destroy</on_crash>"
    policies = {f"slow{number}": on_panic("destroy") for number in range(3)}
    policies |= {"restarted": on_panic("restart") + on_crash, "ignored": on_panic("ignore") + on_crash}
    found = {name: domains.start(text, guests.waits(), name=name) for name, text in policies.items()}
    watcher = watch("--connect", domains.uri)
    watcher.until("watching")
    for one in found.values():
        domains.panic(one)
    watcher.until("action", domain="restarted", action="restart", outcome="done", by="libvirt")
    watcher.until("action", domain="ignored", outcome="done")
    watcher.until("action", action="destroy", outcome="done", by="libvirt", times=3)
    assert found["restarted"].state() == RUNNING_AGAIN
    assert found["ignored"].state() == domains.end_of("ignore")[0]
    assert watcher.stop() == 0
    assert len(watcher.logged("panicked")) == len(watcher.logged("action")) == 5


def test_a_burst(domains: Domains, watch: Watch) -> None:
    """Twelve guests panic at once: none is missed, and none is continued twice."""
    names = [f"guest{number}" for number in range(12)]
    found = [domains.start(on_panic("ignore"), guests.waits(), name=name) for name in names]
    watcher = watch("--connect", domains.uri)
    watcher.until("watching")
    with ThreadPoolExecutor(12) as pool:
        list(pool.map(domains.panic, found))
    watcher.until("action", outcome="done", times=12)
    assert all(one.state() == domains.end_of("ignore")[0] for one in found)
    assert watcher.stop() == 0
    assert sorted(line["domain"] for line in watcher.logged("action")) == sorted(names)
    assert len(watcher.logged("panicked")) == 12
