"""Every promise is kept: real guests panic under policies, and end as these say.

By default each pair of values of the cases occurs once, on the host's libvirt and on the newest one.
With ``ONPANIC_PROMISES=pairs`` the pairs are on every libvirt; ``ONPANIC_PROMISES=all`` runs the full
product on every libvirt, each in six minutes (``-k host`` chooses one).
"""

import itertools
import os
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from onpanic.probe import CapabilityRecord, probe
from onpanic.shims import Libvirt, to_libvirt

from ..running.libvirtd import EVERY, HOST_AND_NEWEST, folder_of, restarted
from . import panicking_guests as guests
from .conftest import WatchProcess
from .promised_guests import ALL, WATCHERS, Case, End, end_of, pairwise

PROMISES = os.environ.get("ONPANIC_PROMISES", "")

pytestmark = [
    pytest.mark.libvirt,
    pytest.mark.emulators,
    pytest.mark.libvirts(*(EVERY if PROMISES else HOST_AND_NEWEST)),
]

Watch = Callable[..., WatchProcess]

XML = """\
<domain type="qemu" xmlns:qemu="http://libvirt.org/schemas/domain/qemu/1.0">
  <name>{name}</name>
  <uuid>{uuid}</uuid>
  <memory unit="MiB">16</memory>
  <os><type arch="x86_64" machine="pc">hvm</type></os>
  <features><acpi/></features>
  {elements}
  <on_panic{coredump}>{value}</on_panic>
  <devices>
    <disk type="file"><source file="{disk}"/><target dev="hda" bus="ide"/></disk>
    <panic model="isa"/>
  </devices>
  <qemu:commandline>
    <qemu:arg value="-qmp"/>
    <qemu:arg value="unix:{monitor},server=on,wait=off"/>
    {arguments}
  </qemu:commandline>
</domain>
"""
ELEMENTS = {"on-reboot-destroy": "<on_reboot>destroy</on_reboot>"}
ARGUMENTS = {"no-reboot": "<qemu:arg value='-no-reboot'/>"}
PANIC = b'{"execute": "human-monitor-command", "arguments": {"command-line": "o /b 0x505 1"}}'
PARALLEL = 10
BATCH = 48  # guests at the same time
NUMBERS = itertools.count()


class Host:
    """A libvirt, with the guests that run there."""

    def __init__(self, libvirt: Any, uri: str, until_the_end: ExitStack) -> None:
        self._until_the_end = until_the_end
        self.libvirt = libvirt
        self.uri = uri
        self.folder = folder_of(uri)
        self.folder.chmod(0o777)
        self.connection = libvirt.open(uri)

    def again(self) -> None:
        """Connect again."""
        self.connection = self.libvirt.open(self.uri)

    def restart(self, meanwhile: Callable[[], object]) -> None:
        """Restart the daemon, and do something while there is none."""
        self._until_the_end.enter_context(restarted(self.uri, meanwhile))
        self.again()

    def cores(self, domain_name: str) -> list[Path]:
        """Return the dumps of a guest, libvirt's own and the watcher's."""
        found = (self.folder / "qemu/dump").glob("*")
        return [path for path in found if domain_name.partition("-")[0] in path.name]


class Promise:
    """A guest that must end as its policy says.

    :ivar host: The libvirt that it runs under.
    """

    def __init__(self, case: Case, host: Host, record: CapabilityRecord) -> None:
        number = next(NUMBERS)
        self.case = case
        self.name = f"g{number:03}-{case.name}"
        self.host = host
        self._hosts = {host}  # where it has been
        self.uuid = str(uuid.uuid4())
        self._monitor = f"{host.folder}/{number}.qmp"
        disk = host.folder / f"{number}.img"
        guests.disk(disk, guests.waits())
        xml = XML.format(
            name=self.name,
            uuid=self.uuid,
            value=case.value,
            coredump=" coredump='yes'" if case.coredump else "",
            elements=ELEMENTS.get(case.kind, ""),
            arguments=ARGUMENTS.get(case.kind, ""),
            disk=disk,
            monitor=self._monitor,
        )
        done = to_libvirt(xml, record, libvirt=Libvirt.of_connection(host.connection))
        self.written = done.xml

    def start(self) -> None:
        if self.case.lifetime == "transient":
            self.host.connection.createXML(self.written)
        else:
            self.host.connection.defineXML(self.written).create()

    @property
    def domain(self) -> Any:
        return self.host.connection.lookupByUUIDString(self.uuid)

    def panic(self) -> None:
        """Make it panic, through a monitor that libvirt does not know, and wait until it has."""
        with socket.socket(socket.AF_UNIX) as line, line.makefile() as said:
            line.settimeout(guests.DEADLINE)
            line.connect(self._monitor)
            said.readline()
            line.sendall(b'{"execute": "qmp_capabilities"}' + PANIC)
            while "GUEST_PANICKED" not in said.readline():
                pass

    def save_and_restore(self) -> None:
        """Save it and restore it as it was, if it runs."""
        if not self._active():
            return
        path = str(self.host.folder / f"{self.name}.saved")
        self.domain.save(path)
        self.host.connection.restore(path)
        Path(path).unlink()

    def migrate(self, other: Host) -> None:
        """Migrate it to another libvirt of this host, in the state that it is in, if it runs."""
        if not self._active():
            return
        libvirt = self.host.libvirt
        domain = self.domain
        flags = libvirt.VIR_MIGRATE_LIVE | libvirt.VIR_MIGRATE_UNSAFE
        if domain.isPersistent():
            flags |= libvirt.VIR_MIGRATE_PERSIST_DEST | libvirt.VIR_MIGRATE_UNDEFINE_SOURCE
        if domain.state()[0] != libvirt.VIR_DOMAIN_RUNNING:
            flags |= libvirt.VIR_MIGRATE_PAUSED
        form = libvirt.VIR_DOMAIN_XML_SECURE | libvirt.VIR_DOMAIN_XML_MIGRATABLE
        xml = domain.XMLDesc(form)
        monitor = self._monitor.replace(".qmp", ".moved")  # the old QEMU removes its socket
        parameters = {
            libvirt.VIR_MIGRATE_PARAM_DEST_XML: xml.replace(self._monitor, monitor),
            libvirt.VIR_MIGRATE_PARAM_URI: "tcp:127.0.0.1",
        }
        if domain.isPersistent():
            parameters[libvirt.VIR_MIGRATE_PARAM_PERSIST_XML] = domain.XMLDesc(
                form | libvirt.VIR_DOMAIN_XML_INACTIVE
            ).replace(self._monitor, monitor)
        domain.migrate3(other.connection, parameters, flags)
        self.host, self._monitor = other, monitor
        self._hosts.add(other)

    def settled(self) -> bool:
        """Return whether libvirt has come to an end with its panic, as it does without a watcher."""
        value, ends = self.case.value, self.case.reset_ends
        wrote = "restart" if value == "restart" and not ends else "destroy" if value == "destroy" else ""
        state = {"restart": ("running",), "destroy": ("off",)}.get(wrote, ("panicked", "running"))
        return self.condition() in state

    def _active(self) -> bool:
        try:
            return bool(self.domain.isActive())
        except self.host.libvirt.libvirtError:
            return False

    def condition(self) -> str:
        """Return how it is: as QEMU says, if it runs."""
        libvirt = self.host.libvirt
        try:
            domain = self.domain
            state, _ = domain.state()
            if state == libvirt.VIR_DOMAIN_SHUTOFF:
                return "off"
            if state == libvirt.VIR_DOMAIN_SHUTDOWN:
                return "shutting down"
            status = run_state(domain)
        except libvirt.libvirtError as error:
            code = error.get_error_code()
            gone = code in (libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_OPERATION_INVALID)
            return "off" if gone else f"error: {error}"
        if status == "running":
            return "running" if state == libvirt.VIR_DOMAIN_RUNNING else "running, not for libvirt"
        return {"guest-panicked": "panicked"}.get(status, status)

    def end(self) -> End:
        """Return how it has ended."""
        condition, renamed = self.condition(), False
        if condition != "off":
            try:
                renamed = self.domain.name() == f"{self.name}-restart-1"
            except self.host.libvirt.libvirtError:  # the watcher is about to start it again
                condition = "off"
        return End(condition, renamed, bool(self._cores()))

    def _cores(self) -> list[Path]:
        return [core for host in self._hosts for core in host.cores(self.name)]

    def clean_up(self) -> None:
        libvirt = self.host.libvirt
        with suppress(libvirt.libvirtError):
            domain = self.domain
            with suppress(OSError, ValueError):  # libvirt asks QEMU first, and waits
                pid = self.host.folder / f"qemu/run/{domain.name()}.pid"
                os.kill(int(pid.read_text(encoding="ascii")), 9)
            with suppress(libvirt.libvirtError):
                domain.destroy()
            domain.undefine()
        for core in self._cores():
            core.unlink()


def run_state(domain: Any) -> str:
    import json

    import libvirt_qemu

    answer = libvirt_qemu.qemuMonitorCommand(domain, '{"execute": "query-status"}', 0)
    return str(json.loads(answer)["return"]["status"])


@pytest.fixture(scope="module")
def record(domcaps_emulator: str) -> CapabilityRecord:
    return probe(domcaps_emulator, machines=["pc"])


@pytest.fixture(scope="module")
def hosts(libvirt: Any, libvirtd: Callable[[], AbstractContextManager[str]]) -> Iterator[list[Host]]:
    """Return three libvirts: one to migrate from, one to migrate to, and one that may be restarted."""
    with ExitStack() as stack:
        yield [Host(libvirt, stack.enter_context(libvirtd()), stack) for _ in range(3)]


def batches(watcher: str) -> list[list[Case]]:
    chosen = ALL if PROMISES == "all" else pairwise()
    cases = [case for case in chosen if case.watcher == watcher]
    return [cases[start : start + BATCH] for start in range(0, len(cases), BATCH)]


def each(promises: list[Promise], work: Callable[[Promise], object]) -> None:
    with ThreadPoolExecutor(PARALLEL) as pool:
        list(pool.map(work, promises))


@pytest.mark.parametrize(
    ("watcher", "cases"),
    [
        pytest.param(name, cases, id=f"{name}-{i}")
        for name in WATCHERS
        for i, cases in enumerate(batches(name))
    ],
)
def test_every_guest_ends_as_its_policy_says(
    watcher: str, cases: list[Case], hosts: list[Host], record: CapabilityRecord, watch: Watch, tmp_path: Path
) -> None:
    """With a watcher, with one that comes later, and without one, as far as libvirt alone can."""
    here, there, restartable = hosts
    for host in hosts:
        host.again()
    ignores = Libvirt.of_connection(here.connection).preserve_running
    promises = [
        Promise(case, restartable if case.kind == "libvirt-restarted" else here, record) for case in cases
    ]

    def of(kind: str) -> list[Promise]:
        return [promise for promise in promises if promise.case.kind == kind]

    def start_watchers() -> list[WatchProcess]:
        found = []
        for number, host in enumerate(hosts):
            folder = str(tmp_path / f"{number}")
            found.append(watch("--connect", host.uri, "--state-dir", folder, "--start-limit", "0"))
        for one in found:
            one.until("watching")
        return found

    def wait_for(reached: Callable[[Promise], bool], of: list[Promise]) -> None:
        deadline = time.monotonic() + guests.DEADLINE
        left = of
        while left := [promise for promise in left if not reached(promise)]:
            assert time.monotonic() < deadline, {promise.name: promise.end() for promise in left}
            time.sleep(0.05)

    def as_promised(promise: Promise) -> bool:
        return promise.end() == end_of(promise.case, ignores=ignores)

    watchers: list[WatchProcess] = []
    with ExitStack() as stack:
        stack.callback(lambda: each(promises, Promise.clean_up))
        if watcher == "before":
            watchers = start_watchers()
        each(promises, Promise.start)
        each(of("saved-before"), Promise.save_and_restore)
        each(of("migrated-before"), lambda promise: promise.migrate(there))
        restarts = of("libvirt-restarted")
        others = [promise for promise in promises if promise not in restarts]
        each(others, Promise.panic)
        if restarts:
            restartable.restart(lambda: each(restarts, Promise.panic))
        if watcher == "before":
            wait_for(as_promised, [p for p in promises if p.case.kind in ("saved-after", "migrated-after")])
        else:
            wait_for(Promise.settled, others)
        each(of("saved-after"), Promise.save_and_restore)
        each(of("migrated-after"), lambda promise: promise.migrate(there))
        if watcher == "after":
            watchers = start_watchers()
        wait_for(as_promised, promises)
        for one in watchers:
            assert one.stop() == 0
        wrong = {promise.name: promise.end() for promise in promises if not as_promised(promise)}
        assert wrong == {}
        failed = [line for one in watchers for line in one.lines if line.get("outcome") == "failed"]
        assert failed == []
        problems = [line["detail"] for one in watchers for line in one.logged("problem")]
        assert [detail for detail in problems if "Failed to connect" not in detail] == []
