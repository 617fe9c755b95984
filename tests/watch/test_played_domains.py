"""Domains of a played libvirt: policies, races, faults of libvirt, and what is left of a connection."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from onpanic.core.errors import FailedError, GoneError, LostError, SourceError
from onpanic.core.libvirt_api import libvirt_module
from onpanic.shims.domain_xml.policy_xml import NAMESPACE
from onpanic.watch import Line, Settings, WatchResult, watch_domains
from onpanic.watch.guests.libvirt_connection import LibvirtConnection
from onpanic.watch.guests.libvirt_guest import LibvirtGuest
from onpanic.watch.guests.watched_domain import WatchedDomain
from onpanic.watch.reporting.metric_values import MetricValues
from onpanic.watch.rules.incident import Incident
from onpanic.watch.sources.domains import Domains
from onpanic.watch.supervision.context import WatchContext
from onpanic.watch.supervision.journal import Journal

from ..played.libvirt import PRESERVE, Call, PlayedDomain, PlayedLibvirt
from .running import DEADLINE, RunningWatcher

# A policy's value: libvirt's <on_crash>, the last action and who takes it
POLICIES = {
    "ignore": ("preserve", ("continue", "done"), ""),
    "restart": ("restart", ("restart", "done"), "libvirt"),
    "destroy": ("destroy", ("destroy", "done"), "libvirt"),
    "preserve": ("preserve", ("preserve", "kept"), ""),
    "pause": ("preserve", ("pause", "kept"), ""),
    "rename-restart": ("preserve", ("start", "done"), ""),
}


def policy_of(on_panic: str, on_crash: str = "preserve", more: str = "", attributes: str = "") -> str:
    """Return a policy's metadata, as `to_libvirt` writes it."""
    element = f"<on_panic{attributes}>{on_panic}</on_panic>{more}"
    return f'<policy xmlns="{NAMESPACE}">{element}<wrote on_crash="{on_crash}"/></policy>'


def xml(policy: str, on_crash: str = "preserve", name: str = "guest") -> str:
    """Return a domain's XML with a policy in its metadata."""
    document = PRESERVE.replace("<on_crash>preserve<", f"<on_crash>{on_crash}<").replace(
        "<name>guest</name>", f"<name>{name}</name>"
    )
    return document.replace("<os>", f"<metadata>{policy}</metadata><os>", 1)


def watching(state: Path, settings: Settings | None = None, **options: Any) -> RunningWatcher:
    return RunningWatcher(partial(watch_domains, None), state, settings, **options)


async def panic(domain: PlayedDomain) -> None:
    """Let a domain panic, beside the event loop."""
    await asyncio.to_thread(domain.panic)


@pytest.fixture(autouse=True)
def no_thread_left() -> Iterator[None]:
    """Assert that each test leaves no thread of a connection."""
    yield
    deadline = time.monotonic() + 5
    while call_threads():
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.mark.parametrize("coredump", [False, True])
@pytest.mark.parametrize("value", POLICIES)
async def test_a_policy_is_carried_out(
    value: str, coredump: bool, played_libvirt: PlayedLibvirt, folder: Path, tmp_path: Path
) -> None:
    """By libvirt as far as it can, and by the watcher otherwise."""
    if value == "ignore" and coredump:
        return
    on_crash, last, by = POLICIES[value]
    if coredump and by:
        on_crash = f"coredump-{on_crash}"
    attributes = " coredump='yes'" if coredump else ""
    played_libvirt.dump_folder = str(folder)
    domain = played_libvirt.add(xml(policy_of(value, on_crash, attributes=attributes), on_crash))
    async with watching(tmp_path, Settings(dump_dir=str(folder))) as watcher:
        await watcher.until("watching")
        await panic(domain)
        done = await watcher.until("action", action=last[0], outcome=last[1])
        assert (done.by, done.uuid) == (by, domain.uuid)
        steps = [("destroy", "done"), ("rename", "done"), last] if value == "rename-restart" else [last]
        if coredump:
            await watcher.until("action", action="coredump", outcome="done", by=by)
            steps.insert(0, ("coredump", "done"))
        # libvirt's own may be found before its events arrive
        assert sorted(watcher.actions) == sorted(steps) if by else watcher.actions == steps
        assert len(watcher.logged("panicked")) == 1
    assert domain.name == ("guest-restart-1" if value == "rename-restart" else "guest")
    assert len(domain.dumps) == len(list(folder.iterdir())) == coredump
    assert [line for line in watcher.lines if line.event == "problem"] == []


@pytest.mark.parametrize("value", ["ignore", "preserve", "rename-restart", "restart"])
async def test_a_panic_while_no_watcher_ran(
    value: str, played_libvirt: PlayedLibvirt, tmp_path: Path
) -> None:
    """What libvirt has done is its own; the watcher does the rest as soon as it runs, and only once."""
    on_crash, last, by = POLICIES[value]
    domain = played_libvirt.add(xml(policy_of(value, on_crash), on_crash))
    domain.panic()
    for actions in ([] if by else [last], []):
        async with watching(tmp_path, once=True) as watcher:
            await watcher.end()
            assert watcher.actions[-1:] == actions
    state = domain.state[0]
    assert state == (6 if value == "preserve" else 1)


@pytest.mark.parametrize("value", ["destroy", "rename-restart"])
async def test_a_transient_domain(value: str, played_libvirt: PlayedLibvirt, tmp_path: Path) -> None:
    """libvirt removes it before the event arrives; it is started again from its XML."""
    on_crash = POLICIES[value][0]
    async with watching(tmp_path) as watcher:
        await watcher.until("watching")
        text = xml(policy_of(value, on_crash), on_crash)
        domain = await asyncio.to_thread(played_libvirt.add, text, persistent=False)
        await watcher.until("policy")
        await panic(domain)
        action, outcome = POLICIES[value][1]
        await watcher.until("action", action=action, outcome=outcome)
        assert (await watcher.until("panicked")).policy == f"<on_panic>{value}</on_panic>"
    names = [domain.name for domain in played_libvirt.domains]
    assert names == (["guest-restart-1"] if value == "rename-restart" else [])


async def test_the_guest_goes_on_after_a_pause(played_libvirt: PlayedLibvirt, tmp_path: Path) -> None:
    """Someone continues it, and its next panic is a new one."""
    domain = played_libvirt.add(xml(policy_of("pause")))
    async with watching(tmp_path) as watcher:
        await watcher.until("watching")
        await panic(domain)
        await watcher.until("action", outcome="kept")
        await asyncio.to_thread(domain.resume)
        await watcher.until("over")
        await panic(domain)
        await watcher.until("action", outcome="kept", times=2)
        assert len(watcher.logged("panicked")) == 2


async def test_the_metrics_of_a_preserved_guest(played_libvirt: PlayedLibvirt, tmp_path: Path) -> None:
    """Its incident stays open over a restart of the watcher, until someone starts the guest anew."""
    domain = played_libvirt.add(xml(policy_of("preserve")))
    labels = ("guest", domain.uuid, "preserve", "kept")

    def incidents(lines: list[Line]) -> list[tuple[str, ...]]:
        values = MetricValues()
        for line in lines:
            values(line)
        found = {metric.name: samples for metric, samples in values.samples()}
        assert found["onpanic_last_observation_timestamp_seconds"][0][1]
        return [tuple(labels) for labels, _ in found["onpanic_guest_incident_open"]]

    async with watching(tmp_path) as watcher:
        await watcher.until("watching")
        await panic(domain)
        await watcher.until("action", outcome="kept")
        assert incidents(watcher.lines) == [labels]
    async with watching(tmp_path) as watcher:
        await watcher.until("unresolved")
        assert incidents(watcher.lines) == [labels]
        await asyncio.to_thread(domain.destroy)
        await watcher.until("over")
        assert incidents(watcher.lines) == []
        await asyncio.to_thread(domain.start)
        assert watcher.logged("action") == []


async def test_a_guest_that_was_started_anew_meanwhile(played_libvirt: PlayedLibvirt, tmp_path: Path) -> None:
    """The next watcher says that its incident is over."""
    domain = played_libvirt.add(xml(policy_of("preserve")))
    async with watching(tmp_path) as watcher:
        await watcher.until("watching")
        await panic(domain)
        await watcher.until("action", outcome="kept")
    await asyncio.to_thread(domain.destroy)
    await asyncio.to_thread(domain.start)
    async with watching(tmp_path) as watcher:
        await watcher.until("over")
        assert watcher.logged("unresolved") == []


@pytest.mark.parametrize(
    ("on_crash", "actions"),
    [("<on_crash>destroy</on_crash>", [("destroy", "done")]), ("", [("nothing", "kept")])],
)
async def test_an_internal_error_is_covered_by_on_crash(
    on_crash: str, actions: list[tuple[str, str]], played_libvirt: PlayedLibvirt, tmp_path: Path
) -> None:
    """libvirt does not know why such a guest is paused, so QEMU is asked."""
    domain = played_libvirt.add(xml(policy_of("preserve", more=on_crash)))
    domain.stop("internal-error")
    async with watching(tmp_path, once=True) as watcher:
        await watcher.end()
        assert watcher.actions == actions
        assert len(watcher.logged("internal-error")) == 1
    assert domain.run_state == ("" if on_crash else "internal-error")


async def test_a_domain_that_is_paused_by_someone_is_left_alone(
    played_libvirt: PlayedLibvirt, tmp_path: Path
) -> None:
    """Nothing is logged about it."""
    domain = played_libvirt.add(xml(policy_of("destroy", "destroy"), "destroy"))
    async with watching(tmp_path) as watcher:
        await watcher.until("watching")
        await asyncio.to_thread(domain.suspend)
        await asyncio.to_thread(domain.resume)
        await asyncio.to_thread(played_libvirt.wait_delivered)
    assert [line.event for line in watcher.lines if line.level != "debug"] == ["watching", "stopping"]


async def test_a_crash_kernel_is_not_disturbed(played_libvirt: PlayedLibvirt, tmp_path: Path) -> None:
    """libvirt and QEMU both report it; it is logged once."""
    domain = played_libvirt.add(xml(policy_of("preserve")))
    async with watching(tmp_path) as watcher:
        await watcher.until("watching")
        await asyncio.to_thread(domain.crashload)
        await watcher.until("crashloaded")
        await panic(domain)
        await watcher.until("action", outcome="kept")
        assert len(watcher.logged("crashloaded")) == 1


async def test_a_libvirt_without_the_right_to_monitor_events(
    played_libvirt: PlayedLibvirt, tmp_path: Path
) -> None:
    """One warning, and panics are handled without QEMU's details."""
    code = libvirt_module().VIR_ERR_OPERATION_DENIED
    played_libvirt.fail("qemuMonitorEventRegister", code, "authentication failed")
    domain = played_libvirt.add(xml(policy_of("ignore")))
    async with watching(tmp_path) as watcher:
        assert "authentication failed" in (await watcher.until("problem")).detail
        await asyncio.to_thread(domain.crashload)
        await watcher.until("crashloaded")
        await asyncio.to_thread(domain.panic, info={"type": "s390"})
        assert (await watcher.until("panicked")).detail == ""
        await watcher.until("action", action="continue", outcome="done")


async def test_a_panic_with_details(played_libvirt: PlayedLibvirt, tmp_path: Path) -> None:
    """QEMU's event comes before libvirt's, which has none; the state that is read may come before both."""
    domain = played_libvirt.add(xml(policy_of("preserve")))
    async with domains_at(tmp_path) as (domains, lines):
        await asyncio.wait_for(domains.wait_idle(), DEADLINE)
        await asyncio.to_thread(domain.panic, info={"type": "hyper-v", "arg1": 0xD1})
        await until(lambda: [line for line in lines if line.event == "panicked"])
        line = next(line for line in lines if line.event == "panicked")
        assert (line.panic, line.code, line.detail) == ("hyper-v", "0xd1", "hyper-v arg1=0xd1")


async def test_a_guest_that_panics_again_and_again(played_libvirt: PlayedLibvirt, tmp_path: Path) -> None:
    """The watcher replaces libvirt's action, and restores it when it stops."""
    domain = played_libvirt.add(xml(policy_of("restart", "restart"), "restart"))
    async with watching(tmp_path, Settings(start_limit=2)) as watcher:
        await watcher.until("watching")
        for times in (1, 2):
            await panic(domain)
            await watcher.until("action", by="libvirt", times=times)
        await watcher.until("limit")
        assert domain.on_crash == "preserve"
        await panic(domain)
        await watcher.until("action", outcome="start-limit-hit")
        assert domain.state[0] == 6
    assert domain.on_crash == "restart"


# Policies


async def test_a_policy_that_is_broken_and_repaired(played_libvirt: PlayedLibvirt, tmp_path: Path) -> None:
    """Each problem is logged once, and the panic is handled once the policy is valid."""
    domain = played_libvirt.add(xml(policy_of("explode")))
    async with watching(tmp_path) as watcher:
        assert "unknown-value" in (await watcher.until("problem", domain="guest")).detail
        await panic(domain)
        broken = policy_of("pause", attributes=" coredump='maybe'")
        await asyncio.to_thread(domain.set_metadata, policy_of("explode"), broken)
        assert "maybe" in (await watcher.until("problem", domain="guest", times=2)).detail
        await asyncio.to_thread(domain.set_metadata, broken, policy_of("ignore"))
        await watcher.until("policy")
        await watcher.until("action", action="continue", outcome="done")
        assert len(watcher.logged("problem")) == 2


async def test_an_on_crash_that_was_changed_is_a_warning(
    played_libvirt: PlayedLibvirt, tmp_path: Path
) -> None:
    """And what libvirt does then is reported as a failure of the policy."""
    domain = played_libvirt.add(xml(policy_of("preserve"), "destroy"))
    async with watching(tmp_path) as watcher:
        assert "on_crash" in (await watcher.until("problem")).detail
        await watcher.until("watching")
        await panic(domain)
        lost = await watcher.until("action", action="preserve", outcome="lost", by="libvirt")
        assert lost.detail == "the guest is off: its <on_crash> is to destroy it"


async def test_a_policy_that_cannot_be_read(played_libvirt: PlayedLibvirt, tmp_path: Path) -> None:
    """libvirt's message is logged, and the other domains are watched."""
    played_libvirt.add(xml(policy_of("ignore")))
    other = played_libvirt.add(xml(policy_of("ignore"), name="other"))
    code = libvirt_module().VIR_ERR_INTERNAL_ERROR
    played_libvirt.fail("XMLDesc", code, "out of order", domain="guest")
    async with watching(tmp_path) as watcher:
        assert "out of order" in (await watcher.until("problem", domain="guest")).detail
        assert "1 domain with a policy" in (await watcher.until("watching")).detail
        await panic(other)
        await watcher.until("action", domain="other", outcome="done")


async def test_a_guest_that_is_gone_when_it_is_started_again(
    played_libvirt: PlayedLibvirt, tmp_path: Path
) -> None:
    """The name is in use by then; libvirt's message is logged and the guest is not forgotten."""
    domain = played_libvirt.add(xml(policy_of("rename-restart")))
    code = libvirt_module().VIR_ERR_OPERATION_FAILED
    played_libvirt.fail("create", code, "its disk is away")
    async with watching(tmp_path) as watcher:
        await watcher.until("watching")
        await panic(domain)
        failed = await watcher.until("action", action="start", outcome="failed")
        assert failed.detail == "its disk is away"
        watcher.reload.set()
        await watcher.until("action", action="start", outcome="done")
    assert (domain.name, domain.state[0]) == ("guest-restart-1", 1)


# Dumps


async def test_a_dump_that_hangs(played_libvirt: PlayedLibvirt, folder: Path, tmp_path: Path) -> None:
    """It is given up, with lines about its progress before; the connection's other calls work."""
    domain = played_libvirt.add(xml(policy_of("preserve", attributes=" coredump='yes'")))
    hang = played_libvirt.hang("dump")
    domain.progress = (1, 2)
    settings = Settings(dump_dir=str(folder), dump_timeout=1.5, progress=0.001)
    async with watching(tmp_path, settings) as watcher:
        await watcher.until("watching")
        await panic(domain)
        await watcher.until("progress", done=1, total=2)
        failed = await watcher.until("action", action="coredump", outcome="failed")
        assert "longer than 1.5 s" in failed.detail
        hang.release()


async def test_a_dump_that_fails(played_libvirt: PlayedLibvirt, folder: Path, tmp_path: Path) -> None:
    """libvirt's message is logged, and the guest stays as it is."""
    attributes = " coredump='yes'"
    domain = played_libvirt.add(xml(policy_of("rename-restart", attributes=attributes)))
    domain.dump_fails = "No space left on device"
    async with watching(tmp_path, Settings(dump_dir=str(folder))) as watcher:
        await watcher.until("watching")
        await panic(domain)
        failed = await watcher.until("action", action="coredump", outcome="failed")
        assert failed.detail == "No space left on device"
        assert domain.state[0] == 6


async def test_a_dump_of_libvirt_that_fails(played_libvirt: PlayedLibvirt, tmp_path: Path) -> None:
    """QEMU reports it; the watcher neither repeats it nor ends the guest."""
    attributes = " coredump='yes'"
    policy = policy_of("destroy", "coredump-destroy", attributes=attributes)
    domain = played_libvirt.add(xml(policy, "coredump-destroy"))
    domain.dump_fails = "No space left on device"
    async with watching(tmp_path) as watcher:
        await watcher.until("watching")
        await panic(domain)
        error = {"result": {"status": "failed"}, "error": "No space left on device"}
        await asyncio.to_thread(played_libvirt.monitor_event, domain, "DUMP_COMPLETED", error)
        await watcher.until("action", action="coredump", outcome="failed", by="libvirt")
        watcher.reload.set()
        await watcher.until("reloaded")
        assert watcher.actions == [("coredump", "failed")]
        assert domain.state[0] == 6
        assert Call("coreDumpWithFormat", "guest") not in played_libvirt.calls


async def test_a_dump_that_someone_else_makes(
    played_libvirt: PlayedLibvirt, folder: Path, tmp_path: Path
) -> None:
    """Its end is an event, after which the watcher makes its own."""
    domain = played_libvirt.add(xml(policy_of("preserve", attributes=" coredump='yes'")))
    message = "internal error: There is a dump in process, please wait."
    played_libvirt.fail("coreDumpWithFormat", libvirt_module().VIR_ERR_INTERNAL_ERROR, message)
    async with watching(tmp_path, Settings(dump_dir=str(folder))) as watcher:
        await watcher.until("watching")
        await panic(domain)
        await watcher.until("waiting")
        completed = {"result": {"status": "completed"}}
        await asyncio.to_thread(played_libvirt.monitor_event, domain, "DUMP_COMPLETED", completed)
        await watcher.until("action", action="preserve", outcome="kept")
        assert len(domain.dumps) == 1


@pytest.mark.parametrize(
    ("uri", "folder_of_dumps"),
    [
        ("qemu:///system", "/var/lib/libvirt/qemu/dump"),
        ("qemu+unix:///session?socket=/run/x/libvirt/libvirt-sock", "/run/x/libvirt/qemu/dump"),
        ("qemu:///embed?root=/srv/root", "/srv/root/lib/qemu/dump"),
        ("qemu:///session", "/home/x/libvirt/qemu/dump"),
    ],
)
async def test_the_default_folder_of_dumps(
    uri: str, folder_of_dumps: str, played_libvirt: PlayedLibvirt, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is where libvirt puts its own."""
    monkeypatch.setenv("XDG_CONFIG_HOME", "/home/x")
    connection = LibvirtConnection(uri, lambda _: None, print)
    await connection.open()
    guest = LibvirtGuest(WatchedDomain(connection, "u", "guest", Settings, lambda: False, print))
    assert await guest.dump_path(0) == f"{folder_of_dumps}/guest-u-19700101T000000Z.core"
    await connection.close()


# Faults of libvirt


async def test_a_libvirt_that_is_restarted(played_libvirt: PlayedLibvirt, tmp_path: Path) -> None:
    """The watcher connects again, however often that fails, and handles what has happened meanwhile."""
    domain = played_libvirt.add(xml(policy_of("ignore")))
    async with watching(tmp_path) as watcher:
        await watcher.until("watching")
        code = libvirt_module().VIR_ERR_SYSTEM_ERROR
        played_libvirt.fail("open", code, "Failed to connect socket", times=2)
        await asyncio.to_thread(played_libvirt.disconnect)
        await panic(domain)
        await watcher.until("disconnected")
        assert "Failed to connect socket" in (await watcher.until("problem")).detail
        await watcher.until("connected")
        await watcher.until("action", action="continue", outcome="done")
        assert len(watcher.logged("problem")) == 1
    statuses = [one for sent in watcher.notifications for one in sent if one.startswith("STATUS=")]
    assert statuses == ["STATUS=watching", "STATUS=waiting for libvirt", "STATUS=watching"]


async def test_a_libvirt_that_cannot_be_reached(played_libvirt: PlayedLibvirt, tmp_path: Path) -> None:
    """The watcher does not start; nor does it with another driver."""
    played_libvirt.fail("open", libvirt_module().VIR_ERR_SYSTEM_ERROR, "Failed to connect socket")
    with pytest.raises(SourceError, match="Failed to connect socket"):
        await watch_domains(None, Settings(), print, state=tmp_path)
    played_libvirt.driver = "TEST"
    with pytest.raises(SourceError, match="driver TEST reports no panics"):
        await watch_domains(None, Settings(), print, state=tmp_path)


async def test_a_libvirt_that_does_not_answer_at_first(played_libvirt: PlayedLibvirt, tmp_path: Path) -> None:
    """The watcher can be stopped all the same, and has watched nothing."""
    hang = played_libvirt.hang("getType")
    async with watching(tmp_path) as watcher:
        await asyncio.to_thread(hang.wait)
    assert watcher.lines == []
    hang.release()


async def test_a_resync_finds_what_no_event_reports(played_libvirt: PlayedLibvirt, tmp_path: Path) -> None:
    """Events may be lost; a resync that fails is a warning, and there is another one."""
    domain = played_libvirt.add(xml(policy_of("ignore")))
    async with domains_at(tmp_path, resync=0.01) as (_, lines):
        played_libvirt.fail("getAllDomainStats", libvirt_module().VIR_ERR_INTERNAL_ERROR, "busy")
        await until(lambda: [line for line in lines if line.detail == "busy"])
        domain.state, domain.run_state = (6, 1), "guest-panicked"
        await until(lambda: [line for line in lines if line.event == "action"])


async def test_a_connection_that_may_only_read(played_libvirt: PlayedLibvirt, tmp_path: Path) -> None:
    """libvirt's message is logged, and the guest stays as it is."""
    domain = played_libvirt.add(xml(policy_of("ignore")))
    domain.panic()
    async with domains_at(tmp_path, opener=libvirt_module().openReadOnly) as (domains, lines):
        await asyncio.wait_for(domains.wait_idle(), DEADLINE)
        (failed,) = [line for line in lines if line.event == "action"]
        assert (failed.action, failed.outcome) == ("continue", "failed")
        assert "read only access" in failed.detail
        assert domain.state[0] == 6


@asynccontextmanager
async def domains_at(
    state: Path, *, patience: float = 60.0, **options: Any
) -> AsyncIterator[tuple[Domains, list[Line]]]:
    """Watch domains, with options that `watch_domains` does not have; a context with the log lines."""
    lines: list[Line] = []
    journal = Journal(state, print, boot_id="boot")
    assert journal.try_acquire()
    context = WatchContext(journal, Settings(), lines.append, patience=patience)
    domains = Domains(None, context, **options)
    running = asyncio.create_task(domains.run())
    try:
        await asyncio.wait_for(domains.ready.wait(), DEADLINE)
        yield domains, lines
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await domains.close()
        journal.close()


async def until(reached: Callable[[], object]) -> None:
    """Wait until a condition holds."""
    async with asyncio.timeout(DEADLINE):
        while not reached():
            await asyncio.sleep(0.001)


async def test_a_libvirt_that_has_stopped_sending_events(played_libvirt: PlayedLibvirt) -> None:
    """It sends them again to whoever connects."""
    domain = played_libvirt.add()
    played_libvirt.blocked = True
    events: list[str] = []
    connection = LibvirtConnection(None, lambda event: events.append(event.kind), print)
    await connection.open()
    await panic(domain)
    await until(lambda: "crashed" in events)
    await connection.close()


async def test_errors_of_calls(played_libvirt: PlayedLibvirt) -> None:
    """Each has its class, by libvirt's code and whether the connection is alive."""
    libvirt = libvirt_module()
    lost: list[str] = []
    connection = LibvirtConnection(None, lambda _: None, lost.append)
    with pytest.raises(LostError, match="no connection"):
        await connection.call(lambda c: c.getURI())
    await connection.open()
    with pytest.raises(GoneError):
        await connection.call(lambda c: c.lookupByUUIDString("c7a5fdbd-edaf-9455-926a-d65c16db1809"))
    played_libvirt.fail("getURI", libvirt.VIR_ERR_OPERATION_FAILED, "no")
    with pytest.raises(FailedError, match="no"):
        await connection.call(lambda c: c.getURI())
    played_libvirt.fail("open", libvirt.VIR_ERR_SYSTEM_ERROR, "gone")
    with pytest.raises(LostError, match="gone"):
        await connection.call_unbounded(lambda c: c.getURI(), guest="u")
    assert lost == ["libvirt: gone"]
    await connection.close()


async def test_a_domain_that_ends_while_it_is_read(played_libvirt: PlayedLibvirt) -> None:
    """Its state is read again; it is not a failure of libvirt."""
    domain = played_libvirt.add()
    domain.panic()
    connection = LibvirtConnection(None, lambda _: None, print)
    await connection.open()
    guest = LibvirtGuest(WatchedDomain(connection, domain.uuid, "guest", Settings, lambda: False, print))
    played_libvirt.on("jobStats", domain.destroy)
    assert (await guest.read_state(ask_qemu=True)).condition == "off"
    domain.undefine()
    assert (await guest.read_state(ask_qemu=True)).condition == "gone"
    await connection.close()


async def test_a_step_for_a_guest_that_has_changed(played_libvirt: PlayedLibvirt) -> None:
    """Another start of it is not touched."""
    domain = played_libvirt.add()
    domain.panic()
    connection = LibvirtConnection(None, lambda _: None, print)
    await connection.open()
    guest = LibvirtGuest(WatchedDomain(connection, domain.uuid, "guest", Settings, lambda: False, print))
    incident = Incident(domain.uuid, "guest", "panicked", instance="0")
    with pytest.raises(Exception, match="has changed"):
        await guest.take_step("destroy", incident, print)
    assert domain.state[0] == 6
    await connection.close()


# What is left


def call_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "libvirt call"]


async def until_released(played: PlayedLibvirt) -> None:
    """Wait until no connection and no thread is left."""
    await until(lambda: not played.connections and not call_threads())


async def test_a_watcher_that_has_stopped_leaves_nothing(
    played_libvirt: PlayedLibvirt, tmp_path: Path
) -> None:
    """No connection and no thread; and the application's error handler stays."""
    domain = played_libvirt.add(xml(policy_of("preserve")))
    async with watching(tmp_path) as watcher:
        await watcher.until("watching")
        await panic(domain)
        await watcher.until("action", outcome="kept")
    await until_released(played_libvirt)
    assert played_libvirt.error_handler is None


async def test_a_watcher_that_is_cancelled_leaves_nothing(
    played_libvirt: PlayedLibvirt, tmp_path: Path
) -> None:
    """Wherever it is cancelled."""
    domain = played_libvirt.add(xml(policy_of("preserve")))
    domain.panic()
    for steps in range(0, 200, 10):
        tasks = asyncio.all_tasks()
        async with watching(tmp_path) as watcher:
            for _ in range(steps):
                await asyncio.sleep(0)
            await watcher.cancel()
        assert asyncio.all_tasks() - tasks == set()
        await until_released(played_libvirt)


async def test_a_cancellation_that_comes_together_with_the_connection(played_libvirt: PlayedLibvirt) -> None:
    """It is not lost: else a watcher that is stopped then would run on."""
    connection = LibvirtConnection(None, lambda _: None, print)
    opening = asyncio.create_task(connection.open())
    await asyncio.sleep(0)
    calls = len(played_libvirt.calls)
    time.sleep(0.3)  # noqa: ASYNC251  libvirt answers while the event loop is busy
    assert len(played_libvirt.calls) > calls
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    await until_released(played_libvirt)


async def test_a_libvirt_that_is_not_there_costs_nothing(
    played_libvirt: PlayedLibvirt, tmp_path: Path
) -> None:
    """However often a connection is tried, no thread is left of it."""
    played_libvirt.fail("open", libvirt_module().VIR_ERR_SYSTEM_ERROR, "No such file", times=20)
    connection = LibvirtConnection(None, lambda _: None, print)
    for _ in range(20):
        with pytest.raises(SourceError, match="No such file"):
            await connection.open()
    await until_released(played_libvirt)


def test_it_works_in_a_thread(played_libvirt: PlayedLibvirt, tmp_path: Path) -> None:
    """With an event loop of its own."""
    domain = played_libvirt.add(xml(policy_of("ignore")))
    domain.panic()
    lines: list[Line] = []
    work = watch_domains(None, Settings(), lines.append, state=tmp_path, once=True)
    thread = threading.Thread(target=lambda: asyncio.run(work))
    thread.start()
    thread.join(DEADLINE)
    assert not thread.is_alive()
    assert [(line.action, line.outcome) for line in lines if line.event == "action"] == [("continue", "done")]


async def test_a_domain_without_a_policy(played_libvirt: PlayedLibvirt, tmp_path: Path) -> None:
    """Nothing is logged about it."""
    domain = played_libvirt.add()
    async with watching(tmp_path) as watcher:
        assert "0 domains with a policy" in (await watcher.until("watching")).detail
        await panic(domain)
        await asyncio.to_thread(played_libvirt.wait_delivered)
    assert [line.event for line in watcher.lines if line.level != "debug"] == ["watching", "stopping"]


async def test_once_where_a_domain_cannot_be_asked(played_libvirt: PlayedLibvirt, tmp_path: Path) -> None:
    """The other domains are seen to."""
    played_libvirt.add(xml(policy_of("ignore")))
    other = played_libvirt.add(xml(policy_of("ignore"), name="other"))
    other.panic()
    played_libvirt.fail("XMLDesc", libvirt_module().VIR_ERR_OPERATION_TIMEOUT, "it is busy", domain="guest")
    async with watching(tmp_path, once=True) as watcher:
        await watcher.until("action", domain="other", action="continue", outcome="done")
        await watcher.end()
    assert watcher.result == WatchResult(unreachable=("guest",))


async def test_once_while_another_watcher_acts(played_libvirt: PlayedLibvirt, tmp_path: Path) -> None:
    """There is nothing to do, and nothing to wait for."""
    played_libvirt.add(xml(policy_of("pause")))
    async with watching(tmp_path) as first:
        await first.until("watching")
        async with watching(tmp_path, once=True) as second:
            await second.end()
        assert [line.event for line in second.lines] == ["standby"]


async def test_a_policy_that_was_defined_for_a_running_domain(
    played_libvirt: PlayedLibvirt, tmp_path: Path
) -> None:
    """The domain keeps what it was started with, which is said; its next start has the new policy."""
    domain = played_libvirt.add(xml(policy_of("pause")))
    async with watching(tmp_path) as watcher:
        await watcher.until("watching")
        domain.redefine(xml(policy_of("destroy")))
        problem = await watcher.until("problem", domain="guest")
        assert "<on_panic>destroy</on_panic>, which takes effect when it is" in problem.detail
        await panic(domain)
        await watcher.until("action", action="pause", outcome="kept")
