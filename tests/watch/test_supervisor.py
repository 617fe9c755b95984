"""The supervisor, with a guest in memory: every race, fault and kill ends as the policy says."""

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onpanic.core.errors import BusyError, FailedError
from onpanic.probe.decision.policy import Policy
from onpanic.watch.reporting.lines import Line
from onpanic.watch.rules.incident import Incident
from onpanic.watch.rules.observation import GuestState
from onpanic.watch.rules.panic_details import PanicDetails
from onpanic.watch.rules.settings import Settings

from .played_guest import DEADLINE, SECOND, Clock, Killed, PlayedGuest, Watch

ACTIONS = ("ignore", "restart", "destroy", "preserve", "rename-restart", "pause")
INTERVAL = Settings().start_interval

# How a guest ends with a policy: its condition, its name, and the steps
ENDS = {
    "ignore": ("healthy", "guest", ["continue"]),
    "restart": ("healthy", "guest", ["restart"]),
    "destroy": ("off", "guest", ["destroy"]),
    "preserve": ("panicked", "guest", []),
    "pause": ("panicked", "guest", []),
    "rename-restart": ("healthy", "guest-restart-1", ["destroy", "rename", "start"]),
}


def policies() -> list[Policy]:
    return [
        Policy(a, coredump) for a in ACTIONS for coredump in (False, True) if not (coredump and a == "ignore")
    ]


@pytest.mark.parametrize("policy", policies(), ids=lambda p: f"{p.on_panic}-{p.coredump}")
async def test_a_policy_is_carried_out(policy: Policy, tmp_path: Path) -> None:
    """Each step is logged, and a second notifier's report of the same panic changes nothing."""
    guest = PlayedGuest(policy)
    async with Watch(guest, tmp_path) as watch:
        guest.panic()
        await watch.panicked()
        condition, name, steps = ENDS[policy.on_panic]
        assert (guest.condition, guest.name) == (condition, name)
        assert guest.log == [*(["coredump"] if policy.coredump else []), *steps]
        assert watch.events[0] == ("panicked",)
        assert [event[1] for event in watch.events[1:] if event[2] == "done"] == guest.log
        before = list(guest.log), len(watch.lines)
        await watch.reconcile()
        await watch.panicked()
        assert (guest.log, len(watch.lines)) == before or policy.on_panic not in ("preserve", "pause")


@given(
    st.sampled_from(policies()),
    st.booleans(),
    st.lists(st.integers(0, 14), max_size=6),
    st.sampled_from(["panicked", "internal-error"]),
    st.sampled_from(["", "known", "unknown"]),
)
@settings(max_examples=settings().max_examples * 3 // 2)
def test_killed_at_any_moment_it_ends_the_same(
    policy: Policy, transient: bool, kills: list[int], failure: str, reset_ends: str
) -> None:
    """Wherever the watcher is killed, and however often: started again, it reaches the same end."""
    if failure == "internal-error":
        if policy.on_panic in ("ignore", "pause"):
            return
        policy = Policy("pause", on_crash=policy.on_panic, on_crash_coredump=policy.coredump)
    value = policy.on_panic if failure == "panicked" else str(policy.on_crash)

    async def live() -> PlayedGuest:
        guest = PlayedGuest(
            policy,
            transient=transient,
            condition=failure,  # type: ignore[arg-type]
            reset_ends="-no-reboot" if reset_ends == "known" else "",
            no_reboot=reset_ends == "unknown",
        )
        with TemporaryDirectory() as name:
            for calls in [*kills, None]:
                guest.calls_left = calls
                watch = Watch(guest, Path(name), Settings(start_limit=100))
                try:
                    async with asyncio.timeout(DEADLINE):
                        await watch.supervisor.reconcile()
                except Killed:
                    assert calls is not None
                watch.journal.close()
        return guest

    guest = asyncio.run(live())
    condition, name, steps = ENDS[value]
    if condition == "panicked":
        condition = failure
    if condition == "off" and transient:
        condition = "gone"
    assert (guest.condition, guest.name) == (condition, name)
    dumped = policy.coredump or policy.on_crash_coredump
    assert len(guest.dumps) == dumped  # one file, however often it was begun
    done = [step for step in guest.log if step != "coredump"]
    if transient:
        steps = [step for step in steps if step != "rename"]
    if value == "restart" and reset_ends:
        steps = [*done[:-1], "start"]  # it may be killed once the guest has ended
    elif value == "restart":  # it may be killed between the reset and the continue
        assert done in (["restart"], ["continue"])
        return
    assert done == steps


async def test_a_failed_dump_never_loses_the_guest(tmp_path: Path) -> None:
    """The guest stays as it is.  A reload tries the dump again, and then takes the other steps."""
    guest = PlayedGuest(Policy("destroy", coredump=True), "panicked", fails={"coredump": "No space left"})
    async with Watch(guest, tmp_path) as watch:
        await watch.reconcile()
        assert (guest.condition, guest.log) == ("panicked", [])
        assert watch.events == [("panicked",), ("action", "coredump", "failed")]
        assert watch.lines[-1].detail == "No space left"
        await watch.reconcile()
        assert len(watch.lines) == 2
        guest.fails.clear()
        await watch.reconcile(retry=True)
        assert (guest.condition, guest.log) == ("off", ["coredump", "destroy"])


async def test_a_failed_dump_of_libvirt_is_not_repeated(tmp_path: Path) -> None:
    """The guest stays as libvirt has left it."""
    guest = PlayedGuest(Policy("restart", coredump=True), libvirt_action="coredump-restart", busy=3)
    async with Watch(guest, tmp_path) as watch:
        await watch.reconcile()
        guest.panic()
        watch.supervisor.on_panicked(PanicDetails())
        await asyncio.sleep(0)
        watch.supervisor.on_dump_completed("No space left")
        await watch.idle()
        assert (guest.condition, guest.log) == ("panicked", [])
        actions = [event for event in watch.events if event[0] == "action"]
        assert actions == [("action", "coredump", "failed", "libvirt")]


async def test_the_watchers_own_dump_is_not_reported_as_libvirts(tmp_path: Path) -> None:
    """The event about its end may come after its result."""
    guest = PlayedGuest(Policy("preserve", coredump=True), "panicked")
    async with Watch(guest, tmp_path) as watch:
        await watch.reconcile()
        watch.supervisor.on_dump_completed("")
        await watch.idle()
        assert watch.events == [("panicked",), ("action", "coredump", "done"), ("action", "preserve", "kept")]
        watch.supervisor.on_running()
        watch.supervisor.on_panicked(PanicDetails())
        watch.supervisor.on_dump_completed("")  # of the next panic, and libvirt's
        assert watch.events[-1] == ("action", "coredump", "done", "libvirt")
        await watch.idle()


async def test_a_guest_without_a_policy_is_left_alone(tmp_path: Path) -> None:
    """Nothing is done, and nothing is logged."""
    guest = PlayedGuest(None)
    async with Watch(guest, tmp_path) as watch:
        guest.panic()
        await watch.panicked()
        assert (guest.condition, guest.log, watch.lines) == ("panicked", [], [])


async def test_libvirts_own_action_is_waited_for(tmp_path: Path) -> None:
    """It is reported as libvirt's."""
    guest = PlayedGuest(Policy("destroy"), libvirt_action="destroy")
    async with Watch(guest, tmp_path) as watch:
        guest.panic()
        guest.busy = 3
        watch.supervisor.on_panicked(PanicDetails())
        await watch.until(lambda: guest.busy == 0)
        guest.condition = "off"
        await watch.idle()
        assert guest.log == []
        assert watch.events == [("panicked",), ("action", "destroy", "done", "libvirt")]


async def test_what_libvirt_has_missed_is_done(tmp_path: Path) -> None:
    """libvirt was not running when the guest panicked."""
    guest = PlayedGuest(Policy("restart"), libvirt_action="restart", condition="panicked")
    async with Watch(guest, tmp_path) as watch:
        await watch.reconcile()
        assert (guest.condition, guest.log) == ("healthy", ["restart"])


async def test_each_panic_that_libvirt_has_handled_is_reported(tmp_path: Path) -> None:
    """Two panics before the guest's state could be read are two lines."""
    guest = PlayedGuest(Policy("restart"), libvirt_action="restart")
    async with Watch(guest, tmp_path) as watch:
        await watch.reconcile()
        for _ in range(2):
            watch.supervisor.on_panicked(PanicDetails())
            watch.restarted_by_libvirt()
        await watch.idle()
        assert watch.events == [*[("panicked",), ("action", "restart", "done", "libvirt")] * 2, ("limit",)]


async def test_two_notifiers_report_one_panic(tmp_path: Path) -> None:
    """It is logged once, and dumped once."""
    guest = PlayedGuest(Policy("preserve", coredump=True))
    async with Watch(guest, tmp_path) as watch:
        guest.panic()
        watch.supervisor.on_panicked(PanicDetails())
        await watch.panicked()
        assert watch.events.count(("panicked",)) == 1
        assert guest.log == ["coredump"]


async def test_a_preserved_guest_that_panics_again_is_dumped_again(tmp_path: Path) -> None:
    """However short it ran in between, and whether a watcher ran then or not."""
    guest = PlayedGuest(Policy("preserve", coredump=True))
    async with Watch(guest, tmp_path) as watch:
        guest.panic()
        await watch.panicked()
        watch.supervisor.on_running()
        await watch.panicked()
        assert guest.log == ["coredump"] * 2
    guest.cpu_time += SECOND  # it ran while no watcher did
    async with Watch(guest, tmp_path, clock=Clock(1_000_001)) as watch:
        await watch.reconcile(retry=True)
        assert guest.log == ["coredump"] * 3
    async with Watch(guest, tmp_path, clock=Clock(1_000_002)) as watch:
        await watch.reconcile(retry=True)
        assert guest.log == ["coredump"] * 3


class EarlyEventGuest(PlayedGuest):
    """A guest that runs again before the answer about its state arrives, and whose event arrives first."""

    watch: Watch | None = None

    async def read_state(self, *, ask_qemu: bool) -> GuestState:
        found = await super().read_state(ask_qemu=ask_qemu)
        if self.watch and self.condition == "panicked":
            self.condition = "healthy"
            self.watch.supervisor.on_running()
        return found


async def test_a_state_that_is_older_than_an_event_is_not_relied_on(tmp_path: Path) -> None:
    """The event may arrive before the answer."""
    guest = EarlyEventGuest(Policy("preserve", coredump=True), "panicked")
    async with Watch(guest, tmp_path) as watch:
        await watch.reconcile()
        guest.watch = watch
        await watch.reconcile()
        assert watch.events.count(("panicked",)) == 1
        assert watch.events[-1] == ("over",)


async def test_what_something_else_has_handled_is_logged_once(tmp_path: Path) -> None:
    """And the incident is removed from the journal."""
    guest = PlayedGuest(Policy("pause"))
    async with Watch(guest, tmp_path) as watch:
        guest.panic()
        await watch.panicked()
        guest.condition = "healthy"
        for _ in range(2):
            watch.supervisor.on_running()
            await watch.idle()
        assert watch.events == [("panicked",), ("action", "pause", "kept"), ("over",)]
        assert list(tmp_path.glob("*.json")) == []


async def test_a_guest_that_cannot_be_renamed_is_started_all_the_same(tmp_path: Path) -> None:
    """It keeps its name."""
    guest = PlayedGuest(Policy("rename-restart"), "panicked", fails={"rename": "it has snapshots"})
    async with Watch(guest, tmp_path) as watch:
        await watch.reconcile()
        assert (guest.condition, guest.name) == ("healthy", "guest")
        assert ("action", "rename", "failed") in watch.events


@pytest.mark.parametrize("transient", [False, True])
async def test_a_guest_that_cannot_be_started_is_not_forgotten(transient: bool, tmp_path: Path) -> None:
    """It was ended to be renamed; each reload tries to start it, however late."""
    guest = PlayedGuest(
        Policy("rename-restart"), "panicked", transient=transient, fails={"start": "its disk is away"}
    )
    clock = Clock()
    async with Watch(guest, tmp_path, clock=clock) as watch:
        await watch.reconcile()
        clock.now += INTERVAL + 1  # the restart no longer counts
        await watch.reconcile()
        assert watch.events[-1] == ("action", "start", "failed")
        await watch.reconcile(retry=True)
        assert watch.events.count(("action", "start", "failed")) == 2
    guest.fails.clear()
    async with Watch(guest, tmp_path, clock=clock) as watch:
        await watch.reconcile(retry=True)
        assert (guest.condition, guest.name) == ("healthy", "guest-restart-1")


async def test_a_guest_that_was_undefined_is_forgotten(tmp_path: Path) -> None:
    """Its restarts count until the interval has passed, and then its file is removed."""
    guest, clock = (
        PlayedGuest(Policy("rename-restart"), "panicked", fails={"start": "its disk is away"}),
        Clock(),
    )
    async with Watch(guest, tmp_path, clock=clock) as watch:
        await watch.reconcile()
        guest.condition = "gone"
        await watch.reconcile(retry=True)
        assert len(list(tmp_path.glob("*.json"))) == 1
        clock.now += INTERVAL + 1
        await watch.reconcile()
        assert list(tmp_path.glob("*.json")) == []


async def test_an_incident_is_forgotten_without_an_event(tmp_path: Path) -> None:
    """A timer of the supervisor does it."""
    guest, clock = PlayedGuest(Policy("restart"), "panicked"), Clock()
    async with Watch(guest, tmp_path, Settings(start_interval=0.01), clock=clock) as watch:
        await watch.reconcile()
        assert watch.events[-1] == ("action", "restart", "done")
        clock.now += 1
        await watch.until(lambda: not list(tmp_path.glob("*.json")))


async def test_a_guest_that_is_gone_before_its_policy_is_read(tmp_path: Path) -> None:
    """Nothing can be logged about it."""
    guest = PlayedGuest(Policy("destroy"), "gone")
    async with Watch(guest, tmp_path) as watch:
        await watch.panicked()
        assert watch.lines == []


async def test_a_guest_that_was_continued_while_its_dump_waited_is_not_dumped(tmp_path: Path) -> None:
    """Other guests' dumps may take minutes."""
    guest = PlayedGuest(Policy("destroy", coredump=True), "panicked")
    async with Watch(guest, tmp_path, Settings(dumps=1)) as watch:
        async with watch.context.dumps:  # another guest's dump
            watch.supervisor.trigger()
            await watch.until(lambda: "core" in "".join(p.read_text() for p in tmp_path.glob("*.json")))
            guest.condition = "healthy"
        await watch.until_idle_with_events()
        assert (guest.condition, guest.log) == ("healthy", [])
        assert watch.events[-1] == ("over",)


async def test_a_dump_that_lets_vcpus_run_is_made_once(tmp_path: Path) -> None:
    """KVM's vCPUs run for a moment when their registers are read."""
    guest = PlayedGuest(Policy("preserve", coredump=True), "panicked", dump_cpu_time=SECOND // 2)
    for _ in range(3):
        async with Watch(guest, tmp_path) as watch:
            await watch.reconcile(retry=True)
            await watch.reconcile()
    assert guest.log == ["coredump"]


async def test_a_libvirt_that_does_not_answer_is_asked_again(tmp_path: Path) -> None:
    """One line says that the watcher waits."""
    guest = PlayedGuest(Policy("restart"), "panicked", hangs=3)
    async with Watch(guest, tmp_path) as watch:
        await watch.reconcile()
        assert guest.condition == "healthy"
        assert watch.events == [("waiting",), ("panicked",), ("action", "restart", "done")]


async def test_a_step_that_must_wait_is_taken_later(tmp_path: Path) -> None:
    """However often it is refused."""
    guest = PlayedGuest(Policy("preserve", coredump=True), "panicked", other_dumps=5)
    async with Watch(guest, tmp_path) as watch:
        await watch.reconcile()
        assert guest.log == ["coredump"]
        assert watch.events.count(("waiting",)) == 1


async def test_a_step_without_effect_is_given_up(tmp_path: Path) -> None:
    """It is taken three times."""

    class Stubborn(PlayedGuest):
        def _destroy(self, incident: object) -> None:
            pass

    guest = Stubborn(Policy("rename-restart"), "panicked")
    async with Watch(guest, tmp_path) as watch:
        await watch.reconcile()
        assert guest.log == ["destroy"] * 3
        assert watch.events[-1] == ("action", "destroy", "failed")
        assert "no effect" in watch.lines[-1].detail


async def test_what_was_in_progress_when_the_connection_was_lost_is_resumed(tmp_path: Path) -> None:
    """The next connection triggers it."""
    guest = PlayedGuest(Policy("restart"), "panicked")
    async with Watch(guest, tmp_path) as watch:
        guest.lost = True
        await watch.reconcile()
        assert (guest.condition, watch.lines) == ("panicked", [])
        guest.lost = False
        await watch.reconcile()
        assert guest.condition == "healthy"


async def test_a_bug_does_not_end_a_supervisor(tmp_path: Path) -> None:
    """It is logged, and the next event is handled."""
    guest = PlayedGuest(Policy("destroy"), "panicked", fails=None)  # type: ignore[arg-type]
    async with Watch(guest, tmp_path) as watch:
        await watch.reconcile()
        assert watch.events[-1] == ("problem",)
        guest.fails = {}
        await watch.reconcile()
        assert guest.condition == "off"


async def test_a_full_disk_does_not_keep_the_watcher_from_acting(tmp_path: Path) -> None:
    """A warning says that the journal is incomplete."""

    def full(path: Path, data: bytes, *, mode: int | None = None) -> None:
        raise OSError(28, "No space left on device")

    guest = PlayedGuest(Policy("restart"), "panicked")
    async with Watch(guest, tmp_path, writer=full) as watch:
        await watch.reconcile()
        assert guest.condition == "healthy"
        assert "No space left on device" in watch.warnings[0]


async def test_a_dry_run_does_nothing(tmp_path: Path) -> None:
    """It logs once what would be done, and writes nothing."""
    guest = PlayedGuest(Policy("destroy", coredump=True), "panicked")
    async with Watch(guest, tmp_path, dry_run=True) as watch:
        await watch.reconcile()
        await watch.reconcile()
        assert (guest.condition, guest.log) == ("panicked", [])
        assert watch.events == [("panicked",), ("action", "destroy", "dry-run")]
        assert list(tmp_path.iterdir()) == []


# The restart limit


async def test_the_restart_limit_holds_over_a_restart_of_the_watcher(tmp_path: Path) -> None:
    """A higher limit allows more restarts."""
    guest, clock = PlayedGuest(Policy("restart"), "panicked", panics_again=100), Clock()
    async with Watch(guest, tmp_path, Settings(start_limit=3), clock=clock) as watch:
        await watch.reconcile()
        assert guest.log == ["restart"] * 3
        assert watch.events[-1] == ("action", "restart", "start-limit-hit")
        assert guest.condition == "panicked"
    async with Watch(guest, tmp_path, Settings(start_limit=3), clock=clock) as watch:
        await watch.reconcile(retry=True)
        assert (guest.condition, watch.events) == ("panicked", [("unresolved",)])
        assert watch.lines[-1].outcome == "start-limit-hit"
    async with Watch(guest, tmp_path, Settings(start_limit=4), clock=clock) as watch:
        await watch.reconcile(retry=True)
        assert guest.log == ["restart"] * 4


async def test_a_back_off_ends_when_something_else_handles_the_guest(tmp_path: Path) -> None:
    """The supervisor does not wait for the rest of it, which would be an hour."""
    guest = PlayedGuest(Policy("restart"), "panicked", panics_again=1)
    async with Watch(guest, tmp_path, restart_delay=3600) as watch:
        watch.supervisor.trigger()
        await watch.until(lambda: ("action", "restart", "delayed") in watch.events)
        guest.condition = "healthy"
        watch.supervisor.on_running()
        await watch.idle()
        assert guest.log == ["restart"]


async def test_a_clock_that_is_set_back_delays_no_restart(tmp_path: Path) -> None:
    """The back-off of an earlier watcher would otherwise end in eleven days."""
    guest = PlayedGuest(Policy("restart"), "panicked", panics_again=1)
    async with Watch(guest, tmp_path, restart_delay=3600) as watch:
        watch.supervisor.trigger()
        await watch.until(lambda: ("action", "restart", "delayed") in watch.events)
    assert guest.log == ["restart"]
    async with Watch(guest, tmp_path, clock=Clock(10_000)) as watch:
        await watch.reconcile()
    assert guest.log == ["restart"] * 2


async def test_a_limit_of_one_restart_holds_for_libvirt_too(tmp_path: Path) -> None:
    """libvirt's action is replaced after its first restart."""
    guest = PlayedGuest(Policy("restart"), libvirt_action="restart")
    async with Watch(guest, tmp_path, Settings(start_limit=1)) as watch:
        await watch.reconcile()
        await watch.panicked()
        watch.restarted_by_libvirt()
        assert guest.log == ["libvirt: preserve"]
        guest.panic()
        await watch.panicked()
        assert watch.events[-1] == ("action", "restart", "start-limit-hit")


async def test_libvirts_restarts_are_limited_until_the_guest_is_stable(tmp_path: Path) -> None:
    """The watcher restarts a guest that panics again and again, and restores libvirt's action later."""
    guest, clock = PlayedGuest(Policy("restart"), libvirt_action="restart"), Clock()
    async with Watch(guest, tmp_path, clock=clock) as watch:
        await watch.reconcile()
        for _ in range(2):
            await watch.panicked()
            watch.restarted_by_libvirt()
        assert guest.log == ["libvirt: preserve"]
        guest.panic()
        await watch.panicked()
        assert guest.log == ["libvirt: preserve", "restart"]
        clock.now += INTERVAL + 1
        await watch.reconcile()
        assert guest.log == ["libvirt: preserve", "restart", "libvirt: restart"]
        assert guest.libvirt_action == "restart"


async def test_libvirts_action_is_restored_when_the_watcher_stops(tmp_path: Path) -> None:
    """The next watcher finds libvirt as the policy wants it."""
    guest = PlayedGuest(Policy("restart"), libvirt_action="restart")
    async with Watch(guest, tmp_path) as watch:
        await watch.reconcile()
        for _ in range(2):
            await watch.panicked()
            watch.restarted_by_libvirt()
        assert guest.libvirt_action == ""
    assert guest.libvirt_action == "restart"


class RefusingGuest(PlayedGuest):
    """A guest whose libvirt refuses to change its action, a number of times."""

    refusals = 0

    async def set_libvirt_action(self, action: str) -> None:
        if self.refusals:
            self.refusals -= 1
            raise FailedError("not now")
        await super().set_libvirt_action(action)


async def test_a_libvirt_action_that_cannot_be_replaced(tmp_path: Path) -> None:
    """libvirt restarts the guest further on, and each attempt that fails is a warning."""
    guest = RefusingGuest(Policy("restart"), libvirt_action="restart")
    guest.refusals = 1
    async with Watch(guest, tmp_path) as watch:
        await watch.reconcile()
        for _ in range(2):
            await watch.panicked()
            watch.restarted_by_libvirt()
        assert [line.detail for line in watch.lines if line.event == "problem"] == [
            "the restart limit is not enforced: not now"
        ]
        await watch.panicked()
        assert guest.log == ["libvirt: preserve"]
        guest.refusals = 1
    assert watch.events[-1] == ("problem",)
    async with Watch(guest, tmp_path) as watch:  # the next watcher restores it
        pass
    assert guest.log == ["libvirt: preserve", "libvirt: restart"]


async def test_a_replaced_action_ends_with_the_guest(tmp_path: Path) -> None:
    """Another start of it has libvirt's own again."""
    guest = PlayedGuest(Policy("restart"), libvirt_action="restart")
    async with Watch(guest, tmp_path) as watch:
        await watch.reconcile()
        for _ in range(2):
            await watch.panicked()
            watch.restarted_by_libvirt()
        guest.instance += 1
        guest.libvirt_action = "restart"
        await watch.reconcile()
        incident = watch.supervisor.incident
        assert incident
        assert incident.overridden == ""
    assert guest.log == ["libvirt: preserve"]


# Guests that only pass through a state, and restarts that a reset would end


async def test_a_guest_that_shuts_down_has_not_been_seen_to(tmp_path: Path) -> None:
    """libvirt destroys it, and it is shut down for a moment before it is off."""
    guest = PlayedGuest(Policy("destroy"), libvirt_action="destroy")
    async with Watch(guest, tmp_path) as watch:
        guest.condition, guest.ending, guest.passes = "off", "crashed", 5
        await watch.panicked()
        assert watch.events == [("panicked",), ("action", "destroy", "done", "libvirt")]


async def test_a_guest_that_never_finishes_to_shut_down(tmp_path: Path) -> None:
    """It is a problem, and nothing is reported as done until it is off."""
    guest = PlayedGuest(Policy("destroy"), libvirt_action="destroy")
    async with Watch(guest, tmp_path, patience=0.01) as watch:
        watch.supervisor.assign(await guest.read_assignment())
        guest.passes = 1_000_000
        await watch.panicked()
        assert watch.events == [("panicked",), ("problem",)]
        guest.passes, guest.condition = 0, "off"
        await watch.reconcile()
        assert watch.events[-1] == ("action", "destroy", "done", "libvirt")


@pytest.mark.parametrize("transient", [False, True])
@pytest.mark.parametrize("known", [False, True])
async def test_a_restart_of_a_guest_that_a_reset_ends(known: bool, transient: bool, tmp_path: Path) -> None:
    """It is started again, whether its definition says so or the reset shows it."""
    guest = PlayedGuest(
        Policy("restart"),
        "panicked",
        transient=transient,
        reset_ends="-no-reboot" if known else "",
        no_reboot=not known,
    )
    async with Watch(guest, tmp_path) as watch:
        await watch.reconcile()
        assert (guest.condition, guest.name) == ("healthy", "guest")
        first = ("destroy", "done") if known else ("restart", "failed")
        assert watch.events == [("panicked",), ("action", *first), ("action", "start", "done")]


async def test_a_restart_of_libvirt_that_a_reset_ends(tmp_path: Path) -> None:
    """It has failed, and the watcher starts the guest again."""
    guest = PlayedGuest(Policy("restart"), libvirt_action="restart", reset_ends="-no-reboot")
    async with Watch(guest, tmp_path) as watch:
        await watch.reconcile()
        watch.supervisor.on_panicked(PanicDetails())
        watch.supervisor.on_running()  # for an instant
        guest.condition, guest.ending = "off", "shutdown"
        await watch.idle()
        assert guest.log == ["start"]
        assert watch.events == [
            ("panicked",),
            ("action", "restart", "failed", "libvirt"),
            ("action", "start", "done"),
        ]


async def test_a_panic_that_was_to_be_ignored_and_ends_the_guest(tmp_path: Path) -> None:
    """Its action was changed at run time; nothing says that QEMU has ignored the panic."""
    guest = PlayedGuest(Policy("ignore"), "off", ending="crashed")
    async with Watch(guest, tmp_path) as watch:
        watch.supervisor.assign(await guest.read_assignment())
        watch.supervisor.on_panicked(PanicDetails(), stopped=False)
        await watch.idle()
        assert watch.events == [("panicked",), ("action", "ignore", "lost")]
        assert watch.lines[-1].level == "error"
        assert watch.lines[-1].detail == "the guest is off: libvirt has destroyed it, or QEMU has crashed"


async def test_it_is_not_known_whether_the_guest_panicked(tmp_path: Path) -> None:
    """QEMU cannot be asked, which is logged once."""
    guest = PlayedGuest(Policy("restart"), "unknown")
    async with Watch(guest, tmp_path) as watch:
        watch.supervisor.assign(await guest.read_assignment())
        await watch.reconcile()
        await watch.reconcile()
        assert watch.events == []
        guest.detail = "read only"
        await watch.reconcile()
        await watch.reconcile()
        assert watch.events == [("problem",)]


# Panics that two notifiers report


@pytest.mark.parametrize("first", ["reported", "found", "found late"])
async def test_another_notifier_reports_a_panic_after_it_was_ignored(first: str, tmp_path: Path) -> None:
    """It stops the guest again at once: the guest is continued again, and one line is logged."""
    guest = PlayedGuest(Policy("ignore"), "panicked", cpu_time_of_a_run=2_000_000)
    clock = Clock()
    async with Watch(guest, tmp_path, clock=clock) as watch:
        if first == "reported":
            watch.supervisor.on_panicked(PanicDetails())
            clock.now += 5  # until libvirt answers
        await watch.reconcile()
        assert guest.log == ["continue"]
        clock.now += 0.5 if first == "found late" else 0
        guest.condition = "panicked"
        await watch.panicked()
        assert guest.log == ["continue"] * 2
        assert watch.events == [("panicked",), *[("action", "continue", "done")] * 2]


@pytest.mark.parametrize("because", ["it has run", "it was reset", "it was started"])
async def test_a_panic_soon_after_another_one_is_a_new_one(because: str, tmp_path: Path) -> None:
    """The guest has run for more than 20 ms, or it was reset or started again."""
    guest = PlayedGuest(Policy("ignore"), "panicked", cpu_time_of_a_run=0)
    async with Watch(guest, tmp_path) as watch:
        await watch.panicked()
        if because == "it has run":
            guest.cpu_time += 21_000_000
        elif because == "it was reset":
            watch.supervisor.on_reset()
        else:
            guest.instance += 1
        guest.condition = "panicked"
        await watch.panicked()
        assert watch.events == [("panicked",), ("action", "continue", "done")] * 2


async def test_a_report_that_comes_late_is_not_about_the_guest_that_was_started(tmp_path: Path) -> None:
    """It is about the panic for which the guest was ended."""
    guest = PlayedGuest(Policy("rename-restart", grace=0.1), "panicked")
    async with Watch(guest, tmp_path) as watch:
        watch.supervisor.on_panicked(PanicDetails())
        await watch.until(lambda: ("action", "continue", "done") in watch.events)
        watch.supervisor.on_panicked(PanicDetails())
        await watch.idle()
        assert guest.log == ["continue", "destroy", "rename", "start"]
        assert watch.events.count(("panicked",)) == 1


async def test_a_panic_that_is_seen_before_its_event_is_logged(tmp_path: Path) -> None:
    """Also if something else continues the guest before the watcher has come to it."""
    guest = PlayedGuest(Policy("preserve"))
    async with Watch(guest, tmp_path) as watch:
        await watch.reconcile()
        watch.supervisor.assign(await guest.read_assignment())
        guest.panic()
        watch.supervisor.trigger()
        await asyncio.sleep(0.002)
        guest.condition = "healthy"
        await watch.panicked()
        assert watch.events[0] == ("panicked",)


# Policies that change while they are waited for


@pytest.mark.parametrize("waits_for", ["back-off", "grace"])
async def test_a_policy_that_is_removed_is_not_carried_out(waits_for: str, tmp_path: Path) -> None:
    """The guest stays as it is, and a line says so."""
    grace = 3600.0 if waits_for == "grace" else 0.0
    guest = PlayedGuest(Policy("restart", grace=grace), "panicked", panics_again=1 - bool(grace))
    clock = Clock()
    async with Watch(guest, tmp_path, restart_delay=30, clock=clock) as watch:
        watch.supervisor.trigger()
        expected = ("action", "continue", "done") if grace else ("action", "restart", "delayed")
        await watch.until(lambda: expected in watch.events)
        before = list(guest.log), guest.condition
        guest.policy = None
        watch.supervisor.assign(None)
        clock.now += 7200
        await watch.reconcile()
        assert (guest.log, guest.condition) == before
        assert watch.events[-1] == (("over",) if grace else ("action", "restart", "kept"))
        assert watch.lines[-1].detail == f"its policy was removed: the guest is {guest.condition}"


async def test_a_policy_that_is_changed_during_a_back_off_is_carried_out_as_it_is_then(
    tmp_path: Path,
) -> None:
    """Another action follows at once."""
    guest = PlayedGuest(Policy("restart"), "panicked", panics_again=1)
    async with Watch(guest, tmp_path, restart_delay=3600) as watch:
        watch.supervisor.trigger()
        await watch.until(lambda: ("action", "restart", "delayed") in watch.events)
        guest.policy = Policy("destroy")
        watch.supervisor.assign(await guest.read_assignment())
        await watch.reconcile()
        assert (guest.condition, guest.log) == ("off", ["restart", "destroy"])


@pytest.mark.parametrize("action", ["preserve", "ignore"])
async def test_a_policy_that_no_longer_ends_the_guest_ends_its_grace_period(
    action: str, tmp_path: Path
) -> None:
    """The guest runs on."""
    guest = PlayedGuest(Policy("destroy", grace=3600), "panicked")
    async with Watch(guest, tmp_path) as watch:
        watch.supervisor.trigger()
        await watch.until(lambda: ("action", "continue", "done") in watch.events)
        guest.policy = Policy(action)
        watch.supervisor.assign(await guest.read_assignment())
        await watch.reconcile()
        assert (guest.condition, guest.log) == ("healthy", ["continue"])
        assert watch.events[-1] == ("over",)


# What libvirt is about to do


async def test_what_libvirt_does_is_reported_although_the_watcher_was_killed_meanwhile(
    tmp_path: Path,
) -> None:
    """The next watcher has not heard of the panic, and finds libvirt at work."""
    guest = PlayedGuest(Policy("restart"), "panicked", libvirt_action="restart", busy=1000)
    guest.reset_ends = "-no-reboot"
    async with Watch(guest, tmp_path) as watch:
        watch.supervisor.trigger()
        await watch.until(lambda: list(tmp_path.glob("*.json")))
    async with Watch(guest, tmp_path) as watch:
        watch.supervisor.assign(await guest.read_assignment())
        watch.supervisor.trigger(retry=True)
        await watch.until(lambda: guest.busy < 990)
        guest.busy, guest.condition, guest.ending = 0, "off", "shutdown"
        await watch.idle()
        assert (guest.condition, guest.log) == ("healthy", ["start"])
        assert watch.events == [("action", "restart", "failed", "libvirt"), ("action", "start", "done")]


# Steps that libvirt refuses for now


class OccupiedGuest(PlayedGuest):
    """A guest that libvirt does not reset for a while."""

    refusals = 5

    def _restart(self, incident: Incident) -> None:
        if self.refusals:
            self.refusals -= 1
            raise BusyError("another job", wait=0.001)
        super()._restart(incident)


async def test_a_restart_that_libvirt_refuses_for_now_counts_once(tmp_path: Path) -> None:
    """The restart limit is about restarts, not about attempts."""
    guest, clock = OccupiedGuest(Policy("restart"), "panicked"), Clock()
    async with Watch(guest, tmp_path, Settings(start_limit=2), clock=clock) as watch:
        await watch.reconcile()
        guest.panic()
        await watch.panicked()
        assert guest.log == ["restart"] * 2
        guest.panic()
        await watch.panicked()
        assert watch.events[-1] == ("action", "restart", "start-limit-hit")


# Steps that have no effect


@pytest.mark.parametrize(
    "policy", [Policy("ignore"), Policy("destroy", grace=3600)], ids=lambda p: p.on_panic
)
async def test_a_guest_that_stays_stopped_was_not_continued(policy: Policy, tmp_path: Path) -> None:
    """Nothing is reported as done."""

    class Stuck(PlayedGuest):
        def _continue(self, _incident: Incident) -> None:
            pass

    guest = Stuck(policy, "panicked")
    async with Watch(guest, tmp_path) as watch:
        await watch.reconcile()
        assert guest.log[:3] == ["continue"] * 3
        assert ("action", "continue", "done") not in watch.events


# The grace period of a guest that could not run


async def test_a_grace_period_begins_when_the_guest_runs_on(tmp_path: Path) -> None:
    """A watcher that is killed before it continues the guest leaves it stopped, however long."""
    guest, clock = PlayedGuest(Policy("destroy", grace=60), "panicked"), Clock()
    async with Watch(guest, tmp_path, clock=clock) as watch:
        guest.calls_left = 2
        with pytest.raises(Killed):
            await watch.supervisor.reconcile()
    guest.calls_left = None
    assert guest.log == []
    clock.now += 3600
    async with Watch(guest, tmp_path, clock=clock) as watch:
        watch.supervisor.trigger()
        await watch.until(lambda: guest.log)
        assert guest.log == ["continue"]
        assert guest.condition == "healthy"


async def test_a_guest_that_cannot_be_continued_within_its_grace_period(tmp_path: Path) -> None:
    """It is given up until a reload, although it has run since it panicked first."""
    guest = PlayedGuest(Policy("destroy", grace=60), "panicked")
    async with Watch(guest, tmp_path) as watch:
        watch.supervisor.trigger()
        await watch.until(lambda: ("action", "continue", "done") in watch.events)
        guest.panic()
        guest.fails = {"continue": "not now"}
        await watch.panicked()
        await watch.reconcile()
        assert watch.events.count(("panicked",)) == 2
        assert watch.events.count(("action", "continue", "failed")) == 1


async def test_a_guest_that_panics_after_a_grace_period_that_nobody_watched(tmp_path: Path) -> None:
    """It may have helped itself in between, so this is another panic with a grace period of its own."""
    guest, clock = PlayedGuest(Policy("destroy", grace=60), "panicked"), Clock()
    async with Watch(guest, tmp_path, clock=clock) as watch:
        watch.supervisor.trigger()
        await watch.until(lambda: ("action", "continue", "done") in watch.events)
    clock.now += 3600
    guest.panic()
    async with Watch(guest, tmp_path, clock=clock) as watch:
        watch.supervisor.trigger()
        await watch.until(lambda: len(watch.lines) == 2)
        assert watch.events == [("panicked",), ("action", "continue", "done")]
        assert guest.log == ["continue"] * 2


async def test_a_guest_that_somebody_continues_after_the_limit_was_hit_is_left_alone(tmp_path: Path) -> None:
    """It had a grace period, but did not run on in it: what runs now is not the watcher's to restart."""
    guest, clock = PlayedGuest(Policy("restart"), "panicked"), Clock()
    async with Watch(guest, tmp_path, Settings(start_limit=1), clock=clock) as watch:
        await watch.reconcile()
        guest.policy = Policy("restart", grace=60)
        watch.supervisor.assign(await guest.read_assignment())
        guest.panic()
        await watch.panicked()
        assert watch.events[-1] == ("action", "restart", "start-limit-hit")
        guest.condition = "healthy"
        watch.supervisor.on_running()
        await watch.idle()
        assert watch.lines[-1].event == "over"
        clock.now += INTERVAL + 1
        await watch.reconcile(retry=True)
        assert guest.log == ["restart"]


# Clocks, and restarts without end


async def test_the_wall_clock_is_set_back_while_a_restart_is_due(tmp_path: Path) -> None:
    """The guest is restarted when it would have been."""
    guest, clock, wall = PlayedGuest(Policy("restart"), "panicked", panics_again=1), Clock(), Clock()
    async with Watch(guest, tmp_path, restart_delay=30, clock=clock, wall_clock=wall) as watch:
        watch.supervisor.trigger()
        await watch.until(lambda: ("action", "restart", "delayed") in watch.events)
        wall.now -= 3600
        clock.now += 31
        await watch.reconcile()
        assert guest.log == ["restart"] * 2
        assert guest.condition == "healthy"


async def test_a_guest_without_a_limit_is_restarted_for_ever(tmp_path: Path) -> None:
    """However often; what is kept of it in the journal does not grow without end."""
    guest = PlayedGuest(Policy("restart"), "panicked", panics_again=1199)
    async with Watch(guest, tmp_path, Settings(start_limit=0, start_interval=0.01)) as watch:
        await watch.reconcile()
        assert guest.log == ["restart"] * 1200
        assert guest.condition == "healthy"
        assert {event for event in watch.events if event[0] == "action"} == {("action", "restart", "done")}


async def test_what_a_line_says_is_in_the_journal(tmp_path: Path) -> None:
    """A watcher that is killed as soon as it has said that a guest was dumped does not dump it again."""
    kept: dict[str, str] = {}

    def on_line(line: Line) -> None:
        kept[line.action] = "".join(path.read_text() for path in tmp_path.glob("*.json"))

    guest = PlayedGuest(Policy("preserve", coredump=True), "panicked")
    async with Watch(guest, tmp_path, on_line=on_line) as watch:
        await watch.reconcile()
    assert '"dumped":true' in kept["coredump"]
    assert '"over":false' in kept["preserve"]
    assert '"finished":false' not in kept["preserve"]
