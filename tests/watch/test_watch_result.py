"""What a watcher has left undone."""

import asyncio
from pathlib import Path

from onpanic.core.libvirt_api import libvirt_module
from onpanic.watch import Line, WatchResult
from onpanic.watch.reporting.watch_result import FailureRecorder
from onpanic.watch.rules.incident import Incident

from ..played.libvirt import PlayedLibvirt
from .running import DEADLINE
from .test_played_domains import domains_at, policy_of, xml


def test_guests_that_are_not_as_their_policy_asks() -> None:
    """Those with an action that failed, now or before, unless something else has handled them."""
    recorder = FailureRecorder()
    recorder(Line("action", "error", domain="failed", action="coredump", outcome="failed"))
    recorder(Line("action", "notice", domain="kept", action="preserve", outcome="kept"))
    recorder(Line("problem", "error", domain="problem"))
    incidents = [
        Incident("1", "limited", error="5 restarts in 300 s", resolved=False),
        Incident("2", "handled", error="5 restarts in 300 s"),
        Incident("3", "in progress", finished=False, resolved=False),
        Incident("4", "kept", resolved=False),
    ]
    failed = ("failed", "in progress", "limited")
    assert recorder.result(incidents, ["x"]) == WatchResult(failed, ("x",))


async def test_a_libvirt_that_is_lost(played_libvirt: PlayedLibvirt, tmp_path: Path) -> None:
    """It is not waited for without end."""
    played_libvirt.add(xml(policy_of("ignore")))
    async with domains_at(tmp_path, lost=0.01) as (domains, _):
        assert domains.unreachable == []
        error = libvirt_module().VIR_ERR_SYSTEM_ERROR
        played_libvirt.fail("open", error, "Failed to connect socket", times=10**6)
        played_libvirt.disconnect()
        async with asyncio.timeout(DEADLINE):
            while not domains.unreachable:
                await asyncio.sleep(0.001)
            await domains.wait_idle()
        assert domains.unreachable == ["libvirt"]


async def test_a_guest_without_an_answer_of_libvirt(played_libvirt: PlayedLibvirt, tmp_path: Path) -> None:
    """It is not waited for without end, and the other guests are seen to."""
    hung = played_libvirt.add(xml(policy_of("ignore")))
    other = played_libvirt.add(xml(policy_of("ignore"), name="other"))
    hung.panic()
    other.panic()
    busy = libvirt_module().VIR_ERR_OPERATION_TIMEOUT
    played_libvirt.fail("state", busy, "cannot acquire state change lock", domain="guest", times=10**6)
    async with domains_at(tmp_path, patience=0.05) as (domains, lines), asyncio.timeout(DEADLINE):
        await domains.wait_idle()
        assert domains.unreachable == ["guest"]
        assert [line.domain for line in lines if line.outcome == "done"] == ["other"]
