"""Domains of a played libvirt that hang, and that are gone; and what an application keeps of its own."""

import asyncio
import gc
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from onpanic.core.libvirt_api import libvirt_module
from onpanic.watch.guests.call_pool import CallLimits
from onpanic.watch.supervision.supervisor import Supervisor

from ..played.libvirt import PlayedLibvirt
from .running import DEADLINE
from .test_played_domains import domains_at, no_thread_left, panic, policy_of, until, watching, xml

__all__ = ("no_thread_left",)


async def test_policies_that_cannot_be_read_yet(played_libvirt: PlayedLibvirt, tmp_path: Path) -> None:
    """The other domains' panics are handled meanwhile, and these as soon as libvirt answers."""
    stuck = [played_libvirt.add(xml(policy_of("ignore"), name=f"stuck{number}")) for number in range(3)]
    hangs = [played_libvirt.hang("XMLDesc", domain=domain.name) for domain in stuck]
    for domain in (*stuck, played_libvirt.add(xml(policy_of("ignore")))):
        domain.panic()
    async with watching(tmp_path) as watcher:
        await watcher.until("action", domain="guest", outcome="done")
        assert len(watcher.actions) == 1
        for hang in hangs:
            hang.release()
        await watcher.until("action", outcome="done", times=4)
        assert "4 domains with a policy" in (await watcher.until("watching")).detail


@pytest.mark.parametrize("late", [False, True])
async def test_a_policy_is_read_again(late: bool, played_libvirt: PlayedLibvirt, tmp_path: Path) -> None:
    """When libvirt answers after all, and by a resync if it was busy."""
    domain = played_libvirt.add(xml(policy_of("ignore")))
    domain.panic()
    if late:
        hang = played_libvirt.hang("XMLDesc")
    else:
        played_libvirt.fail("XMLDesc", libvirt_module().VIR_ERR_OPERATION_TIMEOUT, "cannot acquire lock")
    limits = CallLimits(prompt=0.005, deadline=0.05)
    async with domains_at(tmp_path, limits=limits, resync=DEADLINE if late else 0.01) as (_, lines):
        await until(lambda: [line for line in lines if line.event == "problem"])
        assert not [line for line in lines if line.event == "action"]
        if late:
            hang.release()
        await until(lambda: [line for line in lines if line.event == "action"])


@pytest.fixture
def new_objects_only() -> Iterator[None]:
    """Let the garbage collector look at new objects only, which is fast."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def supervisors() -> int:
    """Return how many new supervisors there are."""
    gc.collect()
    return sum(isinstance(thing, Supervisor) for thing in gc.get_objects())


@pytest.mark.usefixtures("new_objects_only")
async def test_domains_that_come_and_go_leave_nothing(played_libvirt: PlayedLibvirt, tmp_path: Path) -> None:
    """No supervisor, and not the details of panics that libvirt reports no more."""

    def come_and_go(number: int) -> None:
        text = xml(policy_of("preserve") if number % 2 else "", name=f"guest{number}")
        domain = played_libvirt.add(text, persistent=number % 3 == 0)
        played_libvirt.monitor_event(domain, "GUEST_PANICKED", {"mark of a panic": number})
        domain.destroy()
        if domain.persistent:
            domain.undefine()

    def marks() -> int:
        return sum(type(thing) is dict and "mark of a panic" in thing for thing in gc.get_objects())

    async with domains_at(tmp_path):
        for number in range(40):
            await asyncio.to_thread(come_and_go, number)
        await asyncio.to_thread(played_libvirt.wait_delivered)
        await until(lambda: supervisors() == 0 and not marks())


@pytest.mark.usefixtures("new_objects_only")
async def test_a_domain_that_is_gone_unnoticed(played_libvirt: PlayedLibvirt, tmp_path: Path) -> None:
    """A resync forgets it; one that stays, or is gone in the middle of an incident, is remembered."""
    text = policy_of("rename-restart")
    gone, stays = (played_libvirt.add(xml(text, name=name), persistent=False) for name in ("gone", "stays"))
    async with domains_at(tmp_path, resync=0.01) as (domains, lines):
        assert supervisors() == 2
        played_libvirt.fail("createXML", libvirt_module().VIR_ERR_OPERATION_FAILED, "its disk is away")
        await panic(stays)
        await until(lambda: [line for line in lines if line.outcome == "failed"])
        played_libvirt.domains.remove(gone)
        gone.gone = True
        await until(lambda: supervisors() == 1)
        await domains.reload()
        await until(lambda: [line for line in lines if (line.action, line.outcome) == ("start", "done")])
        assert [domain.name for domain in played_libvirt.domains] == ["stays-restart-1"]


async def test_a_domain_that_comes_back_is_not_forgotten(
    played_libvirt: PlayedLibvirt, tmp_path: Path
) -> None:
    """Even if it starts while it is found to be gone."""
    domain = played_libvirt.add(persistent=False)
    text = xml(policy_of("ignore")).replace("</name>", f"</name><uuid>{domain.uuid}</uuid>")
    async with domains_at(tmp_path) as (_, lines):

        def come_back() -> None:
            played_libvirt.add(text, persistent=False)
            played_libvirt.wait_delivered()

        code = libvirt_module().VIR_ERR_NO_DOMAIN
        played_libvirt.on("lookupByUUIDString", come_back)
        played_libvirt.fail("lookupByUUIDString", code, "Domain not found")
        await asyncio.to_thread(domain.destroy)
        await until(lambda: [line for line in lines if line.event == "policy"])
        await panic(played_libvirt.domains[0])
        await until(lambda: [line for line in lines if line.outcome == "done"])


async def test_the_applications_handlers_stay(played_libvirt: PlayedLibvirt, tmp_path: Path) -> None:
    """Of signals, and of libvirt's errors."""

    def signal_handlers() -> list[Any]:
        return [signal.getsignal(number) for number in sorted(signal.valid_signals())]

    def on_error(_context: object, _error: object) -> None:
        return None

    libvirt_module().registerErrorHandler(on_error, "the application's")
    before = signal_handlers()
    domain = played_libvirt.add(xml(policy_of("ignore")))
    async with watching(tmp_path) as watcher:
        await watcher.until("watching")
        await panic(domain)
        await watcher.until("action", outcome="done")
        assert signal_handlers() == before
        assert played_libvirt.error_handler == (on_error, "the application's")
    assert signal_handlers() == before
    assert played_libvirt.error_handler == (on_error, "the application's")
