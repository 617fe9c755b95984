"""Policies that are carried out on a real Xen, each with the watcher there before the crash, and after it."""

import asyncio
import gzip
import os
import socket
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from onpanic.shims.domain_xml.policy_xml import NAMESPACE
from onpanic.watch import Line, Settings, watch_domains
from onpanic.watch.guests.libvirt_connection import LibvirtConnection
from onpanic.watch.guests.watched_domain import WatchedDomain
from onpanic.watch.guests.xen_dumps import incompleteness
from onpanic.watch.guests.xen_guest import XenGuest

from ..running.xen_guests import GUESTS
from ..running.xen_lab import XenLab
from ..watch.running import RunningWatcher

libvirt = pytest.importorskip("libvirt")

# Policies with the <on_crash> that they are translated to, and what becomes of a guest that then waits
RUNS, OFF, CRASHED = "running", "off", "crashed"
POLICIES = [
    ("preserve", "preserve", CRASHED, [("preserve", "kept", "")]),
    ("destroy", "destroy", OFF, [("destroy", "done", "libvirt")]),
    ("destroy", "preserve", OFF, [("destroy", "done", "")]),
    ("restart", "restart", RUNS, [("restart", "done", "libvirt")]),
    ("restart", "preserve", RUNS, [("destroy", "done", ""), ("start", "done", "")]),
    (
        "rename-restart",
        "preserve",
        RUNS,
        [("destroy", "done", ""), ("rename", "done", ""), ("start", "done", "")],
    ),
    ("coredump-destroy", "preserve", OFF, [("coredump", "done", ""), ("destroy", "done", "")]),
]
LEFT_TO_THE_WATCHER = [policy for policy in POLICIES[:-1] if policy[1] == "preserve"]


class Lab:
    """Domains with a policy in a lab.

    :ivar xen: The lab.
    """

    def __init__(self, xen: XenLab) -> None:
        self.xen = xen
        self.connection = libvirt.open(xen.uri)

    def define(self, name: str, policy: str, on_crash: str, image: str = "pv-crash") -> Any:
        """Define a domain, start it paused, and return it; when it is started again it only waits."""
        action = policy.removeprefix("coredump-")
        dump = " coredump='yes'" if action != policy else ""
        kernel = self.xen.put(f"{name}.elf", GUESTS[image])
        domain = self.connection.defineXML(
            f"<domain type='xen'><name>{name}</name><metadata><policy xmlns='{NAMESPACE}'>"
            f"<on_panic>crash</on_panic><on_crash{dump}>{action}</on_crash><wrote on_crash='{on_crash}'/>"
            f"</policy></metadata><memory>32768</memory><os><type arch='x86_64' machine='xenpv'>linux</type>"
            f"<kernel>{kernel}</kernel></os><on_crash>{on_crash}</on_crash></domain>"
        )
        domain.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED)
        self.xen.put(f"{name}.elf", GUESTS["pv-wait"])
        return domain

    def state(self, name: str) -> str:
        """Return how a domain is."""
        domain = self.connection.lookupByName(name)
        if domain.state()[0] == libvirt.VIR_DOMAIN_SHUTOFF:
            return CRASHED if domain.isActive() else OFF
        return RUNS

    def clean(self) -> None:
        """Remove all domains."""
        for domain in self.connection.listAllDomains():
            if domain.ID() != 0:
                if domain.isActive():
                    domain.destroy()
                domain.undefine()


@pytest.fixture
def lab(xen: XenLab) -> Iterator[Lab]:
    """Yield the lab; no domain is left in it."""
    found = Lab(xen)
    yield found
    found.clean()
    found.connection.close()


def watching(lab: Lab, state: Path, **settings: Any) -> RunningWatcher:
    return RunningWatcher(partial(watch_domains, lab.xen.uri), state, Settings(why_timeout=0, **settings))


def taken(lines: list[Line]) -> list[tuple[str, str, str]]:
    """Return the actions that lines tell of: what, with which outcome, by whom."""
    return [(line.action, line.outcome, line.by) for line in lines if line.event == "action"]


@pytest.mark.parametrize(("policy", "on_crash", "state", "actions"), POLICIES)
async def test_a_policy_is_carried_out_at_once(
    lab: Lab, tmp_path: Path, policy: str, on_crash: str, state: str, actions: list[tuple[str, str, str]]
) -> None:
    """The watcher is there when the guest crashes."""
    domain = await asyncio.to_thread(lab.define, "guest", policy, on_crash)
    async with watching(lab, tmp_path) as watcher:
        await watcher.until("watching")
        await asyncio.to_thread(domain.resume)
        await watcher.until_true(lambda: len(taken(watcher.lines)) >= len(actions))
        assert taken(watcher.lines) == actions
    assert len(watcher.logged("panicked")) == 1
    name = "guest-restart-1" if policy == "rename-restart" else "guest"
    assert lab.state(name) == state
    assert lab.connection.lookupByName(name).UUIDString() == domain.UUIDString()
    assert all("QEMU" not in line.detail for line in watcher.lines)


@pytest.mark.parametrize(("policy", "on_crash", "state", "actions"), LEFT_TO_THE_WATCHER)
async def test_a_policy_is_carried_out_later(
    lab: Lab, tmp_path: Path, policy: str, on_crash: str, state: str, actions: list[tuple[str, str, str]]
) -> None:
    """The watcher is started when the guest has crashed, and does what is due."""
    domain = await asyncio.to_thread(lab.define, "guest", policy, on_crash)
    await asyncio.to_thread(domain.resume)
    while lab.state("guest") == RUNS:
        await asyncio.sleep(0.05)
    watcher = RunningWatcher(
        partial(watch_domains, lab.xen.uri), tmp_path, Settings(why_timeout=0), once=True
    )
    async with watcher:
        await watcher.end()
    assert taken(watcher.lines) == actions
    assert lab.state("guest-restart-1" if policy == "rename-restart" else "guest") == state


@pytest.mark.parametrize("undefined", [False, True])
async def test_a_killed_watcher_is_continued(lab: Lab, tmp_path: Path, *, undefined: bool) -> None:
    """The next watcher does the rest, also if the domain has lost its old name and not got its new one."""
    domain = await asyncio.to_thread(lab.define, "guest", "rename-restart", "preserve")
    await asyncio.to_thread(domain.resume)
    async with watching(lab, tmp_path) as first:
        await first.until("action", action="destroy")
        await first.cancel()
    if undefined:
        await asyncio.to_thread(lab.clean)
    async with watching(lab, tmp_path) as second:
        await second.until("action", action="start")
    assert ("destroy", "done", "") not in taken(second.lines)
    renamed = lab.connection.lookupByName("guest-restart-1")
    assert renamed.UUIDString() == domain.UUIDString()
    assert renamed.isPersistent()
    assert lab.state("guest-restart-1") == RUNS


async def test_a_failed_dump_keeps_the_guest(lab: Lab, tmp_path: Path) -> None:
    """A guest that libvirt preserves, and that cannot be dumped, is not destroyed."""
    domain = await asyncio.to_thread(lab.define, "guest", "coredump-destroy", "preserve", "pv-undumpable")
    async with watching(lab, tmp_path) as watcher:
        await watcher.until("watching")
        await asyncio.to_thread(domain.resume)
        line = await watcher.until("action", action="coredump")
    assert line.outcome == "failed"
    assert lab.state("guest") == CRASHED


async def test_the_restart_limit(lab: Lab, tmp_path: Path) -> None:
    """libvirt's endless restarts end at the limit, and its action is restored when the watcher stops."""
    domain = await asyncio.to_thread(lab.define, "guest", "restart", "restart")
    lab.xen.put("guest.elf", GUESTS["pv-crash"])
    async with watching(lab, tmp_path, start_limit=3) as watcher:
        await watcher.until("watching")
        await asyncio.to_thread(domain.resume)
        await watcher.until("action", outcome="start-limit-hit")
        assert lab.state("guest") == CRASHED
        assert "<on_crash>preserve<" in domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
    assert "<on_crash>restart<" in domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)


async def test_an_action_that_is_changed_while_libvirt_restarts_the_guest(lab: Lab) -> None:
    """libvirt forgets such a change, so that it is made again."""
    domain = await asyncio.to_thread(lab.define, "guest", "restart", "restart")
    lab.xen.put("guest.elf", GUESTS["pv-crash"])
    connection = LibvirtConnection(lab.xen.uri, lambda _: None, print)
    await connection.open()
    watched = WatchedDomain(connection, domain.UUIDString(), "guest", Settings, lambda: False, print)
    guest = XenGuest(watched, xl_list=no_xl, here=False)
    await asyncio.to_thread(domain.resume)
    while lab.state("guest") != OFF:
        await asyncio.sleep(0.01)
    await guest.set_libvirt_action("preserve")
    for _ in range(2):  # the start that was under way when it was changed, and the next one
        while lab.state("guest") != CRASHED:
            await asyncio.sleep(0.01)
        await asyncio.sleep(1)
    assert lab.state("guest") == CRASHED
    assert "<on_crash>preserve<" in domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
    await connection.close()


async def no_xl() -> None:
    """Stand for a host that cannot ask Xen."""


async def test_a_crash_that_libvirt_does_not_know_of(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In dom0 the watcher asks ``xl``: a guest that was preserved, suspended and resumed does not run.

    What ``xl`` answers is a real answer, but of the moment before.
    """
    domain = await asyncio.to_thread(lab.define, "guest", "destroy", "preserve")
    await asyncio.to_thread(domain.resume)
    while lab.state("guest") != CRASHED:
        await asyncio.sleep(0.1)
    domain.suspend()
    domain.resume()
    assert lab.state("guest") == RUNS
    xl = tmp_path / "xl"
    xl.write_text(f"#!/bin/sh\ncat <<'EOF'\n{lab.xen.run('xl list -v').stdout}EOF\n")
    xl.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(socket, "gethostname", lambda: "dom0")
    async with watching(lab, tmp_path) as watcher:
        await watcher.until("action", action="destroy", outcome="done")
    assert not watcher.logged("problem")
    assert lab.state("guest") == OFF


async def test_dumps_of_libvirt(lab: Lab, tmp_path: Path) -> None:
    """A dump that libvirt has made is told from one that has failed, and from one that is cut off."""
    folder = "/var/lib/libvirt/libxl/dump"
    for name, image in (("dumped", "pv-crash"), ("undumpable", "pv-undumpable")):
        domain = await asyncio.to_thread(lab.define, name, "coredump-destroy", "coredump-destroy", image)
        await asyncio.to_thread(domain.resume)
        while lab.state(name) != OFF:
            await asyncio.sleep(0.1)
    done = lab.xen.run(
        f"cd {folder} && gzip -1c dumped-2* > /run/lab/dumped.gz && cat undumpable-2* > /run/lab/undumpable"
    )
    assert done.returncode == 0, done
    whole, part, none = tmp_path / "whole", tmp_path / "part", tmp_path / "none"
    content = gzip.decompress(lab.xen.get("dumped.gz"))
    for path, written in ((whole, content), (part, content[: 1 << 20]), (none, lab.xen.get("undumpable"))):
        path.write_bytes(written)
    assert not incompleteness(whole)
    assert incompleteness(part) == f"it has {1 << 20} of {len(content)} bytes"
    assert incompleteness(none) == "it is empty"
