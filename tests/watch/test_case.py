"""A case, on a guest that is played: every race, fault and kill ends as the policy says."""

import asyncio
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from onpanic.probe.decision import Policy
from onpanic.watch.guest import Look
from onpanic.watch.settings import Settings

from .played import SECOND, Killed, PlayedGuest, Watch

ACTIONS = ("ignore", "restart", "destroy", "preserve", "rename-restart", "pause")

# How a guest ends with a policy: its condition, its name, and what was done to it
ENDS = {
    "ignore": ("fine", "guest", ["continue"]),
    "restart": ("fine", "guest", ["restart"]),
    "destroy": ("off", "guest", ["destroy"]),
    "preserve": ("panicked", "guest", []),
    "pause": ("panicked", "guest", []),
    "rename-restart": ("fine", "guest-restart-1", ["destroy", "rename", "start"]),
}


def policies() -> list[Policy]:
    return [
        Policy(a, coredump) for a in ACTIONS for coredump in (False, True) if not (coredump and a == "ignore")
    ]


@pytest.mark.parametrize("policy", policies(), ids=lambda p: f"{p.on_panic}-{p.coredump}")
async def test_a_policy_is_carried_out(policy: Policy, tmp_path: Path) -> None:
    guest = PlayedGuest(policy)
    async with Watch(guest, tmp_path) as watch:
        guest.panic()
        watch.case.panicked("")
        await watch.case.settled()
        condition, name, steps = ENDS[policy.on_panic]
        assert (guest.condition, guest.name) == (condition, name)
        assert guest.log == [*(["coredump"] if policy.coredump else []), *steps]
        assert watch.said[0] == ("panicked",)
        assert [said[1] for said in watch.said[1:] if said[2] == "done"] == guest.log
        before = list(guest.log), len(watch.lines)
        await watch.look()
        watch.case.panicked("")  # the other notifier
        await watch.case.settled()
        assert (guest.log, len(watch.lines)) == before or policy.on_panic not in ("preserve", "pause")


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have restarts wait for nothing."""
    monkeypatch.setattr("onpanic.watch.limits._FIRST_DELAY", 0.0)


@pytest.mark.usefixtures("at_once")
@given(
    st.sampled_from(policies()),
    st.booleans(),
    st.lists(st.integers(0, 14), max_size=6),
    st.sampled_from(["panicked", "internal-error"]),
)
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_killed_at_any_moment_it_ends_the_same(
    policy: Policy, transient: bool, kills: list[int], trouble: str
) -> None:
    """Wherever the watcher is killed, and how often: started again, it brings about the same end."""
    if trouble == "internal-error":
        if policy.on_panic in ("ignore", "pause"):
            return
        policy = Policy("pause", on_crash=policy.on_panic, on_crash_coredump=policy.coredump)
    value = policy.on_panic if trouble == "panicked" else str(policy.on_crash)

    async def live() -> PlayedGuest:
        guest = PlayedGuest(policy, transient=transient, condition=trouble)  # type: ignore[arg-type]
        with TemporaryDirectory() as name:
            for patience in [*kills, None]:
                guest.patience = patience
                watch = Watch(guest, Path(name), Settings(start_limit=100))
                try:
                    await watch.case._attend()
                except Killed:
                    assert patience is not None
                watch.journal.close()
        return guest

    guest = asyncio.run(live())
    condition, name, steps = ENDS[value]
    if condition == "panicked":
        condition = trouble
    if condition == "off" and transient:
        condition = "gone"
    assert (guest.condition, guest.name) == (condition, name)
    dumped = policy.coredump or policy.on_crash_coredump
    assert len(guest.dumps) == dumped  # one file, however often it was begun
    done = [step for step in guest.log if step != "coredump"]
    if transient:
        steps = [step for step in steps if step != "rename"]
    if value == "restart":  # it may be killed between a reset and going on
        assert done in (["restart"], ["continue"])
        return
    assert done == steps


async def test_a_dump_that_fails_never_loses_the_guest(tmp_path: Path) -> None:
    """It stays as it is; the dump is tried again when the watcher is told to, and then all the rest."""
    guest = PlayedGuest(Policy("destroy", coredump=True), "panicked", fails={"coredump": "No space left"})
    async with Watch(guest, tmp_path) as watch:
        await watch.look()
        assert (guest.condition, guest.log) == ("panicked", [])
        assert watch.said == [("panicked",), ("action", "coredump", "failed")]
        assert watch.lines[-1].detail == "No space left"
        await watch.look()
        assert len(watch.lines) == 2
        guest.fails.clear()
        await watch.look(retry=True)
        assert (guest.condition, guest.log) == ("off", ["coredump", "destroy"])


async def test_a_dump_of_libvirts_that_fails_is_not_made_a_second_time(tmp_path: Path) -> None:
    guest = PlayedGuest(Policy("restart", coredump=True), acts="coredump-restart", busy=3)
    async with Watch(guest, tmp_path) as watch:
        await watch.look()
        guest.panic()
        watch.case.panicked("")
        await asyncio.sleep(0)
        watch.case.dump_ended("No space left")
        await watch.case.settled()
        assert (guest.condition, guest.log) == ("panicked", [])
        assert [said for said in watch.said if said[0] == "action"] == [
            ("action", "coredump", "failed", "libvirt"),
            ("action", "coredump", "failed"),
        ]


async def test_a_guest_without_a_policy_is_left_alone(tmp_path: Path) -> None:
    guest = PlayedGuest(None)
    async with Watch(guest, tmp_path) as watch:
        guest.panic()
        watch.case.panicked("")
        await watch.case.settled()
        assert (guest.condition, guest.log, watch.lines) == ("panicked", [], [])


async def test_what_libvirt_does_by_itself_is_waited_for(tmp_path: Path) -> None:
    """It is reported as libvirt's."""
    guest = PlayedGuest(Policy("destroy"), acts="destroy")
    async with Watch(guest, tmp_path) as watch:
        guest.panic()
        guest.busy = 2
        watch.case.panicked("")
        await asyncio.sleep(0.08)  # between two looks
        guest.condition = "off"
        await watch.case.settled()
        assert guest.log == []
        assert watch.said == [("panicked",), ("action", "destroy", "done", "libvirt")]


async def test_what_libvirt_has_missed_is_done(tmp_path: Path) -> None:
    """It was not there when the guest panicked."""
    guest = PlayedGuest(Policy("restart"), acts="restart", condition="panicked")
    async with Watch(guest, tmp_path) as watch:
        await watch.look()
        assert (guest.condition, guest.log) == ("fine", ["restart"])


async def test_panics_that_libvirt_was_faster_with_are_reported_each(tmp_path: Path) -> None:
    guest = PlayedGuest(Policy("restart"), acts="restart")
    async with Watch(guest, tmp_path) as watch:
        await watch.look()
        for _ in range(2):
            watch.case.panicked("")
            watch.case.went_on()
        await watch.case.settled()
        assert watch.said == [*[("panicked",), ("action", "restart", "done", "libvirt")] * 2, ("limit",)]


async def test_the_two_notifiers_of_a_guest_are_one_panic(tmp_path: Path) -> None:
    guest = PlayedGuest(Policy("preserve", coredump=True))
    async with Watch(guest, tmp_path) as watch:
        guest.panic()
        watch.case.panicked("")
        watch.case.panicked("")
        await watch.case.settled()
        assert watch.said.count(("panicked",)) == 1
        assert guest.log == ["coredump"]


async def test_a_preserved_guest_that_panics_anew_is_dumped_anew(tmp_path: Path) -> None:
    """However short it ran in between, and whether anybody watched it or not."""
    guest = PlayedGuest(Policy("preserve", coredump=True))
    async with Watch(guest, tmp_path) as watch:
        guest.panic()
        watch.case.panicked("")
        await watch.case.settled()
        watch.case.went_on()
        watch.case.panicked("")
        await watch.case.settled()
        assert guest.log == ["coredump"] * 2
    guest.ran += SECOND  # it ran while nobody watched
    async with Watch(guest, tmp_path) as watch:
        await watch.look(retry=True)
        assert guest.log == ["coredump"] * 3
    async with Watch(guest, tmp_path) as watch:
        await watch.look(retry=True)
        assert guest.log == ["coredump"] * 3


async def test_what_was_found_before_it_went_on_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The event may be faster than the answer."""
    guest = PlayedGuest(Policy("preserve", coredump=True), "panicked")
    async with Watch(guest, tmp_path) as watch:
        await watch.look()
        look = guest.look

        async def slow(*, curious: bool) -> Look:
            found = await look(curious=curious)
            if guest.condition == "panicked":
                guest.condition = "fine"
                watch.case.went_on()
            return found

        monkeypatch.setattr(guest, "look", slow)
        await watch.look()
        assert watch.said.count(("panicked",)) == 1
        assert watch.said[-1] == ("over",)


async def test_what_somebody_else_has_seen_to_is_said_once(tmp_path: Path) -> None:
    guest = PlayedGuest(Policy("pause"))
    async with Watch(guest, tmp_path) as watch:
        guest.panic()
        watch.case.panicked("")
        await watch.case.settled()
        guest.condition = "fine"
        for _ in range(2):
            watch.case.went_on()
            await watch.case.settled()
        assert watch.said == [("panicked",), ("action", "pause", "kept"), ("over",)]
        assert list(tmp_path.glob("*.json")) == []  # and forgotten


async def test_a_name_that_cannot_be_had_is_no_reason_to_stay_down(tmp_path: Path) -> None:
    guest = PlayedGuest(Policy("rename-restart"), "panicked", fails={"rename": "it has snapshots"})
    async with Watch(guest, tmp_path) as watch:
        await watch.look()
        assert (guest.condition, guest.name) == ("fine", "guest")
        assert ("action", "rename", "failed") in watch.said


@pytest.mark.parametrize("transient", [False, True])
async def test_a_guest_that_cannot_be_started_again_is_not_forgotten(transient: bool, tmp_path: Path) -> None:
    """It was ended to have another name; it is started as soon as somebody says that it can be."""
    guest = PlayedGuest(
        Policy("rename-restart"), "panicked", transient=transient, fails={"start": "its disk is away"}
    )
    quick = Settings(start_interval=0.05)
    async with Watch(guest, tmp_path, quick) as watch:
        await watch.look()
        await asyncio.sleep(0.3)  # the restart does not count any more
        await watch.look()
        assert watch.said[-1] == ("action", "start", "failed")
        await watch.look(retry=True)
        assert watch.said.count(("action", "start", "failed")) == 2
    guest.fails.clear()
    async with Watch(guest, tmp_path, quick) as watch:
        await watch.look(retry=True)
        assert (guest.condition, guest.name) == ("fine", "guest-restart-1")


async def test_a_guest_that_was_undefined_is_forgotten(tmp_path: Path) -> None:
    guest = PlayedGuest(Policy("rename-restart"), "panicked", fails={"start": "its disk is away"})
    async with Watch(guest, tmp_path, Settings(start_interval=0.05)) as watch:
        await watch.look()
        guest.condition = "gone"
        await watch.look(retry=True)
        await asyncio.sleep(0.3)
        assert list(tmp_path.glob("*.json")) == []


async def test_a_guest_that_is_gone_before_its_policy_is_read(tmp_path: Path) -> None:
    guest = PlayedGuest(Policy("destroy"), "gone")
    async with Watch(guest, tmp_path) as watch:
        watch.case.panicked("")
        await asyncio.wait_for(watch.case.settled(), 60)
        assert watch.lines == []


async def test_a_guest_that_went_on_while_its_dump_waited_is_not_dumped(tmp_path: Path) -> None:
    guest = PlayedGuest(Policy("destroy", coredump=True), "panicked")
    async with Watch(guest, tmp_path, Settings(dumps=1)) as watch:
        async with watch.office.dumps:  # another guest's
            watch.case.wake()
            while not list(tmp_path.glob("*.json")):
                await asyncio.sleep(0)
            await asyncio.sleep(0.05)
            guest.condition = "fine"
        await watch.case.settled()
        assert (guest.condition, guest.log) == ("fine", [])
        assert watch.said[-1] == ("over",)


async def test_a_dump_that_lets_vcpus_run_is_made_once(tmp_path: Path) -> None:
    """KVM's do some work for it."""
    guest = PlayedGuest(Policy("preserve", coredump=True), "panicked", ran_by_dump=500_000_000)
    for _ in range(3):
        async with Watch(guest, tmp_path) as watch:
            await watch.look(retry=True)
            await watch.look()
    assert guest.log == ["coredump"]


async def test_who_does_not_answer_is_waited_for(tmp_path: Path) -> None:
    guest = PlayedGuest(Policy("restart"), "panicked", hangs=3)
    async with Watch(guest, tmp_path) as watch:
        await watch.look()
        assert guest.condition == "fine"
        assert watch.said == [("waiting",), ("panicked",), ("action", "restart", "done")]


async def test_a_step_that_is_not_the_time_for_is_taken_later(tmp_path: Path) -> None:
    """However often it was asked for."""
    guest = PlayedGuest(Policy("preserve", coredump=True), "panicked", dumped_by_another=5)
    async with Watch(guest, tmp_path) as watch:
        await watch.look()
        assert guest.log == ["coredump"]
        assert watch.said.count(("waiting",)) == 1


async def test_a_limit_of_one_restart_holds_for_libvirt_too(tmp_path: Path) -> None:
    guest = PlayedGuest(Policy("restart"), acts="restart")
    async with Watch(guest, tmp_path, Settings(start_limit=1)) as watch:
        await watch.look()
        watch.case.panicked("")
        await watch.case.settled()
        watch.case.went_on()
        assert guest.log == ["libvirt: preserve"]
        guest.panic()
        watch.case.panicked("")
        await watch.case.settled()
        assert watch.said[-1] == ("action", "restart", "start-limit-hit")


async def test_what_was_begun_when_the_connection_was_lost_is_taken_up_again(tmp_path: Path) -> None:
    guest = PlayedGuest(Policy("restart"), "panicked")
    async with Watch(guest, tmp_path) as watch:
        guest.lost = True
        await watch.look()
        assert (guest.condition, watch.lines) == ("panicked", [])
        guest.lost = False
        await watch.look()
        assert guest.condition == "fine"


async def test_a_bug_in_one_case_does_not_end_it(tmp_path: Path) -> None:
    guest = PlayedGuest(Policy("pause"), "panicked", fails=None)  # type: ignore[arg-type]
    guest.policy = Policy("destroy")
    async with Watch(guest, tmp_path) as watch:
        await watch.look()
        assert watch.said[-1] == ("problem",)
        guest.fails = {}
        await watch.look()
        assert guest.condition == "off"


async def test_a_folder_that_is_full_is_no_reason_not_to_act(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_path: Path, _data: bytes, *, mode: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("onpanic.watch.journal.write_whole", full)
    guest = PlayedGuest(Policy("restart"), "panicked")
    async with Watch(guest, tmp_path) as watch:
        await watch.look()
        assert guest.condition == "fine"
        assert "No space left on device" in watch.complaints[0]


async def test_a_dry_run_does_nothing(tmp_path: Path) -> None:
    guest = PlayedGuest(Policy("destroy", coredump=True), "panicked")
    async with Watch(guest, tmp_path, dry_run=True) as watch:
        await watch.look()
        await watch.look()
        assert (guest.condition, guest.log) == ("panicked", [])
        assert watch.said == [("panicked",), ("action", "destroy", "dry-run")]
        assert list(tmp_path.iterdir()) == []


# The start limit


async def test_the_start_limit_holds_over_a_restart_of_the_watcher(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onpanic.watch.limits._FIRST_DELAY", 0.01)
    guest = PlayedGuest(Policy("restart"), "panicked", panics_again=100)
    async with Watch(guest, tmp_path, Settings(start_limit=3)) as watch:
        await watch.look()
        assert guest.log == ["restart"] * 3
        assert watch.said[-1] == ("action", "restart", "start-limit-hit")
        assert guest.condition == "panicked"
    async with Watch(guest, tmp_path, Settings(start_limit=3)) as watch:
        await watch.look(retry=True)
        assert (guest.condition, watch.lines) == ("panicked", [])
    async with Watch(guest, tmp_path, Settings(start_limit=4)) as watch:
        await watch.look(retry=True)
        assert guest.log == ["restart"] * 4


async def test_a_delay_ends_when_somebody_else_sees_to_the_guest(tmp_path: Path) -> None:
    guest = PlayedGuest(Policy("restart"), "panicked", panics_again=1)
    async with Watch(guest, tmp_path) as watch:
        watch.case.wake()
        while ("action", "restart", "delayed") not in watch.said:
            await asyncio.sleep(0)
        guest.condition = "fine"
        watch.case.went_on()
        await asyncio.wait_for(watch.case.settled(), 0.9)  # it would be a second
        assert guest.log == ["restart"]


async def test_libvirts_own_restarts_are_held_back_and_given_back(tmp_path: Path) -> None:
    """A guest that panics again and again is restarted by the watcher, until it is quiet."""
    guest = PlayedGuest(Policy("restart"), acts="restart")
    async with Watch(guest, tmp_path, Settings(start_interval=0.3)) as watch:
        await watch.look()
        for _ in range(2):
            watch.case.panicked("")
            await watch.case.settled()
            watch.case.went_on()
        assert guest.log == ["libvirt: preserve"]
        guest.panic()
        watch.case.panicked("")
        deadline = time.monotonic() + 60
        while guest.log != ["libvirt: preserve", "restart", "libvirt: restart"]:
            await asyncio.sleep(0.01)
            assert time.monotonic() < deadline, guest.log
        assert guest.acts == "restart"


async def test_libvirts_word_is_given_back_when_the_watcher_ends(tmp_path: Path) -> None:
    guest = PlayedGuest(Policy("restart"), acts="restart")
    async with Watch(guest, tmp_path) as watch:
        await watch.look()
        for _ in range(2):
            watch.case.panicked("")
            await watch.case.settled()
            watch.case.went_on()
        assert guest.acts == ""
    assert guest.acts == "restart"
