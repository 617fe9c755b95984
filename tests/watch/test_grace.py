"""The grace period: a guest that panicked runs on, and its policy waits until it has not helped itself."""

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from onpanic.probe.decision.policy import Policy
from onpanic.watch import watch_monitors
from onpanic.watch.guests.guest import DumpProgress, DumpResult
from onpanic.watch.rules.incident import Incident
from onpanic.watch.rules.panic_details import PanicDetails
from onpanic.watch.rules.settings import Settings

from .played_guest import Clock, PlayedGuest, Watch
from .played_monitor import PlayedMonitor
from .running import RunningWatcher

GRACE = Settings(grace=30.0)


class RunningGuest(PlayedGuest):
    """A guest that can be dumped, reset and ended while it runs, as QEMU and libvirt can."""

    def shut_down(self) -> None:
        self.condition, self.ending = "off", "shutdown"

    async def dump(self, incident: Incident, progress: DumpProgress) -> DumpResult:
        runs, self.condition = self.condition == "healthy", "panicked"
        made = await super().dump(incident, progress)
        if runs:
            self.condition = "healthy"
        return made

    def _restart(self, incident: Incident) -> None:
        self.condition = "panicked"
        super()._restart(incident)

    def _destroy(self, incident: Incident) -> None:
        self.condition = "panicked"
        super()._destroy(incident)


async def continued(watch: Watch, guest: PlayedGuest) -> None:
    """Panic, and wait until the guest runs on."""
    guest.panic()
    watch.supervisor.on_panicked(PanicDetails())
    await watch.until(lambda: ("action", "continue", "done") in watch.events)
    assert guest.condition == "healthy"


@pytest.mark.parametrize(
    ("policy", "steps", "condition"),
    [
        (Policy("restart"), ["continue", "restart"], "healthy"),
        (Policy("restart", coredump=True), ["continue", "coredump", "restart"], "healthy"),
        (Policy("destroy", coredump=True), ["continue", "coredump", "destroy"], "off"),
        (Policy("rename-restart"), ["continue", "destroy", "rename", "start"], "healthy"),
    ],
    ids=lambda value: f"{value.on_panic}-{value.coredump}" if isinstance(value, Policy) else "",
)
async def test_the_policy_is_carried_out_afterwards(
    policy: Policy, steps: list[str], condition: str, tmp_path: Path
) -> None:
    """The guest runs on until then, and is dumped as it is then."""
    guest, clock = RunningGuest(policy), Clock()
    async with Watch(guest, tmp_path, GRACE, clock=clock) as watch:
        await watch.reconcile()
        await continued(watch, guest)
        clock.now += 29
        watch.supervisor.trigger()
        await asyncio.sleep(0.01)
        assert guest.log == ["continue"]
        clock.now += 1
        await watch.reconcile()
        assert guest.log == steps
        assert guest.condition == condition
        assert [event[1] for event in watch.events if event[-1] == "done"] == steps
        assert watch.events.count(("panicked",)) == 1


@pytest.mark.parametrize(
    ("helps", "detail"),
    [
        (lambda watch, _: watch.supervisor.on_reset(), "it was reset"),
        (lambda watch, _: watch.supervisor.on_crashloaded(PanicDetails()), "its crash kernel has taken over"),
        (lambda _, guest: guest.shut_down(), "it has shut down"),
    ],
    ids=["reset", "crashloaded", "shutdown"],
)
async def test_a_guest_that_helps_itself_is_left_alone(
    helps: Callable[[Watch, RunningGuest], object], detail: str, tmp_path: Path
) -> None:
    """It has dumped its memory and rebooted by itself, or is doing so."""
    guest, clock = RunningGuest(Policy("restart", coredump=True)), Clock()
    async with Watch(guest, tmp_path, GRACE, clock=clock) as watch:
        await watch.reconcile()
        await continued(watch, guest)
        helps(watch, guest)
        watch.supervisor.trigger()
        await watch.idle()
        clock.now += 60
        await watch.reconcile()
        assert guest.log == ["continue"]
        assert watch.lines[-1].detail == f"the guest has helped itself: {detail}"


async def test_a_guest_whose_qemu_stays_has_shut_down_all_the_same(folder: Path, tmp_path: Path) -> None:
    """With -no-shutdown QEMU reports the shutdown, and does not exit."""
    monitor = PlayedMonitor()
    async with monitor.at(folder / "qmp") as address:
        watching = partial(watch_monitors, [address], Policy("destroy"))
        async with RunningWatcher(watching, tmp_path, GRACE) as watcher:
            await watcher.until("connected")
            monitor.panic()
            await watcher.until("action", action="continue", outcome="done")
            monitor.status = "shutdown"
            monitor.event("SHUTDOWN", guest=True, reason="guest-shutdown")
            over = await watcher.until("over")
            assert over.detail == "the guest has helped itself: it has shut down"
        assert monitor.count("quit") == 0


async def test_its_next_panic_has_a_grace_period_of_its_own(tmp_path: Path) -> None:
    """After its own reset it is another failure."""
    guest = RunningGuest(Policy("restart"))
    async with Watch(guest, tmp_path, GRACE) as watch:
        await watch.reconcile()
        for times in (1, 2):
            guest.panic()
            watch.supervisor.on_panicked(PanicDetails())
            await watch.until(lambda: watch.events.count(("action", "continue", "done")) == times)  # noqa: B023
            watch.supervisor.on_reset()
            await watch.idle()
        assert guest.log == ["continue", "continue"]
        assert watch.events.count(("panicked",)) == 2


async def test_another_notifier_tells_of_the_panic_when_the_guest_runs_on(tmp_path: Path) -> None:
    """The guest is continued again, and the grace period is the same."""
    guest, clock = RunningGuest(Policy("destroy"), panics_again=1), Clock()
    async with Watch(guest, tmp_path, GRACE, clock=clock) as watch:
        await watch.reconcile()
        guest.panic()
        watch.supervisor.on_panicked(PanicDetails())
        await watch.until(lambda: guest.log == ["continue", "continue"])
        watch.supervisor.on_panicked(PanicDetails())
        clock.now += 30
        await watch.reconcile()
        assert guest.condition == "off"
        assert watch.events.count(("panicked",)) == 1


async def test_a_guest_that_panics_at_each_continue_does_not_help_itself(tmp_path: Path) -> None:
    """It is continued three times."""
    guest = RunningGuest(Policy("destroy"), panics_again=100)
    async with Watch(guest, tmp_path, GRACE) as watch:
        await watch.reconcile()
        guest.panic()
        await watch.panicked()
        assert guest.log == ["continue", "continue", "continue", "destroy"]


async def test_a_watcher_that_was_not_there_does_not_guess(tmp_path: Path) -> None:
    """Whether a running guest has rebooted meanwhile is not known, and to restart it could do harm."""
    guest, clock = RunningGuest(Policy("restart")), Clock()
    async with Watch(guest, tmp_path, GRACE, clock=clock) as watch:
        await watch.reconcile()
        await continued(watch, guest)
        watch.supervisor.on_gap()
        clock.now += 30
        await watch.reconcile()
        assert guest.log == ["continue"]
        assert watch.events[-1] == ("action", "restart", "failed")
        assert "the watcher was not there to see it" in watch.lines[-1].detail
        count = len(watch.lines)
        await watch.reconcile(retry=True)
        assert (guest.log, len(watch.lines)) == (["continue"], count)


async def test_a_guest_that_could_not_be_continued_has_its_grace_period_later(tmp_path: Path) -> None:
    """It begins when the guest runs on, so that it has the time to help itself."""
    guest, clock = RunningGuest(Policy("destroy"), fails={"continue": "not now"}), Clock()
    async with Watch(guest, tmp_path, GRACE, clock=clock) as watch:
        await watch.reconcile()
        guest.panic()
        await watch.panicked()
        assert watch.events[-1] == ("action", "continue", "failed")
    guest.fails.clear()
    clock.now += 60
    async with Watch(guest, tmp_path, GRACE, clock=clock) as watch:
        watch.supervisor.trigger(retry=True)
        await watch.until(lambda: guest.log == ["continue"])
        clock.now += 20
        watch.supervisor.trigger()
        await asyncio.sleep(0.01)
        assert guest.log == ["continue"]


async def test_a_policy_has_a_grace_period_of_its_own(tmp_path: Path) -> None:
    """It goes before the setting; 0 is none."""
    guest = RunningGuest(Policy("destroy", grace=0.0))
    async with Watch(guest, tmp_path, GRACE) as watch:
        await watch.reconcile()
        guest.panic()
        await watch.panicked()
        assert guest.log == ["destroy"]


@pytest.mark.parametrize("policy", [Policy("preserve"), Policy("ignore"), Policy("pause")], ids=str)
async def test_only_what_ends_or_restarts_a_guest_waits(policy: Policy, tmp_path: Path) -> None:
    """There is nothing to wait with otherwise."""
    guest = RunningGuest(policy)
    async with Watch(guest, tmp_path, GRACE) as watch:
        await watch.reconcile()
        guest.panic()
        await watch.panicked()
        assert ("continue" in guest.log) == (policy.on_panic == "ignore")
        assert guest.condition == ("healthy" if policy.on_panic == "ignore" else "panicked")


async def test_a_libvirt_that_acts_at_once_is_a_warning(tmp_path: Path) -> None:
    """A domain that was translated without a grace period; the watcher does what libvirt has missed."""
    guest = RunningGuest(Policy("destroy"), libvirt_action="destroy")
    async with Watch(guest, tmp_path, GRACE) as watch:
        await watch.reconcile()
        guest.panic()
        await watch.panicked()
        assert guest.log == ["destroy"]
        assert "before the grace period" in next(x.detail for x in watch.lines if x.event == "problem")


async def test_a_guest_that_reboots_and_panics_at_once_has_failed_anew(tmp_path: Path) -> None:
    """Even if its state is read only then."""
    guest, clock = RunningGuest(Policy("destroy")), Clock()
    async with Watch(guest, tmp_path, GRACE, clock=clock) as watch:
        await watch.reconcile()
        await continued(watch, guest)
        clock.now += 20
        watch.supervisor.on_reset()
        guest.panic()
        watch.supervisor.on_panicked(PanicDetails())
        await watch.until(lambda: guest.log == ["continue", "continue"])
        clock.now += 20
        watch.supervisor.trigger()
        await asyncio.sleep(0.01)
        assert guest.log == ["continue", "continue"]
        clock.now += 10
        await watch.reconcile()
        assert guest.log == ["continue", "continue", "destroy"]
        assert watch.events.count(("panicked",)) == 2


async def test_a_guest_that_somebody_ends_within_its_grace_period_is_left_alone(tmp_path: Path) -> None:
    """It has not helped itself."""
    guest, clock = RunningGuest(Policy("restart")), Clock()
    async with Watch(guest, tmp_path, GRACE, clock=clock) as watch:
        await watch.reconcile()
        await continued(watch, guest)
        guest.condition = "off"
        watch.supervisor.trigger()
        await watch.idle()
        clock.now += 60
        await watch.reconcile()
        assert guest.log == ["continue"]
        assert watch.lines[-1].detail == "something else has handled the guest: it is off"
