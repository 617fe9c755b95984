"""The rules: which step comes next, when a guest may be restarted, and how files and guests are named."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onpanic.probe.decision.policy import ON_CRASH, Policy
from onpanic.probe.decision.rules import refusal_of_policy
from onpanic.watch.rules.dump_files import dump_name
from onpanic.watch.rules.incident import Incident
from onpanic.watch.rules.naming import renamed
from onpanic.watch.rules.policy_steps import (
    FAILURES,
    Action,
    Condition,
    Failure,
    Step,
    action_for,
    fulfils,
    next_step,
    shortfall,
)
from onpanic.watch.rules.restart_limit import RestartLimit

ACTIONS = ("ignore", "restart", "destroy", "preserve", "rename-restart", "pause", "nothing")
CONDITIONS: tuple[Condition, ...] = (
    "healthy",
    "panicked",
    "internal-error",
    "reset",
    "off",
    "gone",
    "changing",
    "unknown",
)

# The condition after a step; a transient domain is gone when it is destroyed
AFTER: dict[str, Condition] = {
    "continue": "healthy",
    "restart": "healthy",
    "destroy": "off",
    "start": "healthy",
}


@pytest.mark.parametrize(
    ("policy", "failure", "action"),
    [
        (Policy("default"), "panicked", Action("ignore")),
        (Policy("ignore", on_crash="destroy"), "panicked", Action("ignore")),
        (Policy("restart", coredump=True), "panicked", Action("restart", coredump=True)),
        (Policy("pause"), "panicked", Action("pause")),
        (Policy("pause"), "internal-error", Action("nothing")),
        (Policy("pause", on_crash="destroy"), "internal-error", Action("destroy")),
        (
            Policy("pause", on_crash="preserve", on_crash_coredump=True),
            "internal-error",
            Action("preserve", True),
        ),
        (Policy("pause", on_crash="coredump-restart"), "internal-error", Action("restart", True)),
    ],
)
def test_the_action_of_a_policy(policy: Policy, failure: Failure, action: Action) -> None:
    """<on_panic> covers panics, <on_crash> QEMU's internal errors."""
    assert refusal_of_policy(policy, "qemu") is None
    assert action_for(policy, failure) == action


@pytest.mark.parametrize(
    ("action", "steps"),
    [
        (Action("ignore"), ["continue"]),
        (Action("restart"), ["restart"]),
        (Action("restart", coredump=True), ["coredump", "restart"]),
        (Action("destroy"), ["destroy"]),
        (Action("destroy", coredump=True), ["coredump", "destroy"]),
        (Action("preserve"), []),
        (Action("preserve", coredump=True), ["coredump"]),
        (Action("pause"), []),
        (Action("pause", coredump=True), ["coredump"]),
        (Action("rename-restart"), ["destroy", "rename", "start"]),
        (Action("rename-restart", coredump=True), ["coredump", "destroy", "rename", "start"]),
        (Action("nothing"), []),
    ],
    ids=lambda value: f"{value.action}-{value.coredump}" if isinstance(value, Action) else "",
)
def test_the_steps_of_an_action(action: Action, steps: list[str]) -> None:
    """From a panic until no step is left."""
    assert walk(action, "panicked") == steps


def walk(action: Action, condition: Condition, *, anew: bool = False) -> list[str]:
    steps: list[str] = []
    dumped = begun = renamed = False
    while step := next_step(action, condition, dumped=dumped, begun=begun, renamed=renamed, anew=anew):
        steps.append(step)
        dumped, renamed = dumped or step == "coredump", renamed or step == "rename"
        begun = begun or step in ("restart", "destroy")
        condition = AFTER.get(step, condition)
        assert len(steps) < 10
    assert fulfils(action, condition)
    return steps


@pytest.mark.parametrize("coredump", [False, True])
def test_a_restart_of_a_guest_that_a_reset_ends(coredump: bool) -> None:
    """Its emulator is ended and started again."""
    steps = walk(Action("restart", coredump), "panicked", anew=True)
    assert steps == [*(["coredump"] if coredump else []), "destroy", "start"]


@pytest.mark.parametrize("condition", ["off", "gone"])
def test_a_guest_that_its_reset_has_ended_is_started_again(condition: Condition) -> None:
    """The watcher has begun to restart it."""
    step = next_step(Action("restart"), condition, dumped=False, begun=True, renamed=False)
    assert step == "start"


@pytest.mark.parametrize(
    ("step", "worked"),
    [
        ("continue", ("healthy", "panicked", "internal-error", "off", "gone")),
        ("restart", ("healthy", "panicked", "internal-error")),
        ("start", ("healthy", "panicked", "internal-error", "reset")),
        ("destroy", ("off", "gone")),
        ("rename", CONDITIONS),
    ],
)
def test_a_step_has_worked_if_the_guest_is_as_it_promises(step: Step, worked: tuple[str, ...]) -> None:
    """A guest may fail again at once, turn itself off once it is continued, or be started with -S."""
    assert {condition for condition in CONDITIONS if not shortfall(step, condition)} == set(worked)


@given(st.sampled_from(ACTIONS), st.booleans(), st.sampled_from(CONDITIONS), st.booleans(), st.booleans())
def test_a_guest_that_something_else_has_handled_is_left_alone(
    action: str, coredump: bool, condition: Condition, dumped: bool, renamed: bool
) -> None:
    """The watcher starts or continues only what it has ended or begun to reset itself."""
    step = next_step(Action(action, coredump), condition, dumped=dumped, begun=False, renamed=renamed)
    assert condition in FAILURES or step is None


@given(st.sampled_from(ACTIONS), st.sampled_from(FAILURES))
def test_the_dump_comes_first(action: str, failure: Failure) -> None:
    """No other step may lose the memory before."""
    assert (
        next_step(Action(action, coredump=True), failure, dumped=False, begun=False, renamed=False)
        == "coredump"
    )


@given(st.sampled_from(ON_CRASH), st.booleans())
def test_on_crash_is_carried_out_as_on_panic_is(action: str, coredump: bool) -> None:
    """The same value leads to the same steps."""
    policy = Policy("pause", on_crash=action, on_crash_coredump=coredump)
    on_crash = walk(action_for(policy, "internal-error"), "internal-error")
    assert on_crash == walk(action_for(Policy(action, coredump), "panicked"), "panicked")


@pytest.mark.parametrize(
    ("cpu_time", "finished", "resolved", "same"),
    [
        (100, True, False, True),
        (None, True, False, True),
        (10**9, True, False, False),  # it ran in between
        (10**9, False, False, True),  # but what is in progress is continued
        (100, True, True, False),
    ],
)
def test_an_incident_is_told_from_the_next_one(
    cpu_time: int | None, finished: bool, resolved: bool, same: bool
) -> None:
    """By the CPU time, the start of the guest, and whether it has run."""
    incident = Incident(
        "key", "guest", "panicked", instance="1", cpu_time=100, finished=finished, resolved=resolved
    )
    assert incident.is_about("panicked", "1", cpu_time) == same
    assert not incident.is_about("panicked", "2", cpu_time)
    assert not incident.is_about("internal-error", "1", cpu_time)


# The restart limit


def test_each_restart_waits_twice_as_long() -> None:
    """Until the limit is reached."""
    restarts: list[float] = []
    now, delays = 1000.0, []
    while (due := RestartLimit(5, 300).due(restarts, now)) is not None:
        delays.append(due - now)
        restarts.append(due)
        now = due + 1
    assert delays == [0, 1, 2, 4, 8]


@given(st.lists(st.floats(0, 1000), max_size=20), st.floats(0, 1000), st.integers(0, 8), st.floats(1, 500))
def test_the_restart_limit(restarts: list[float], now: float, burst: int, interval: float) -> None:
    """No interval has more restarts than are allowed, and an interval without restarts forgets them all."""
    limit = RestartLimit(burst, interval)
    due = limit.due(restarts, now)
    assert (due is None) == (0 < burst <= len(limit.recent(restarts, now)))
    assert due is None or now <= due <= now + 60
    assert limit.recent(restarts, max([*restarts, now]) + interval + 1) == []


def test_a_guest_without_a_restart_limit_is_restarted_for_ever() -> None:
    """Its back-off stays at the maximum."""
    limit = RestartLimit(0, 10_000)
    assert limit.due([float(at) for at in range(5000)], 5000) == 5060


# Names


def test_the_name_after_a_rename_restart() -> None:
    """It has a number, which no other guest's name may have."""
    assert renamed("web", []) == "web-restart-1"
    assert renamed("web-restart-1", ["web-restart-1"]) == "web-restart-2"
    assert renamed("web-1", ["web-1-restart-1"]) == "web-1-restart-2"


@given(st.text(min_size=1), st.text("0123456789abcdef", max_size=36), st.floats(0, 4e9))
def test_the_name_of_a_dump(name: str, uuid: str, at: float) -> None:
    """It is safe, whatever the guest is called."""
    found = dump_name(name, uuid, at)
    assert "/" not in found
    assert not found.startswith(".")
    assert found.isascii()
    assert len(found) < 100
