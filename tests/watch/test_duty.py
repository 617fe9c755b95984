"""What is due: the table, and what holds of it whatever happens in between."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onpanic.probe.decision import ON_CRASH, Policy, objection
from onpanic.watch.duty import TROUBLES, Condition, Duty, Trouble, duty_of, next_step, outcome_of
from onpanic.watch.limits import due, recent
from onpanic.watch.naming import dump_name, renamed

ACTIONS = ("ignore", "restart", "destroy", "preserve", "rename-restart", "pause", "nothing")
CONDITIONS: tuple[Condition, ...] = ("fine", "panicked", "internal-error", "reset", "off", "gone")

# What becomes of a guest in a condition by a step; a transient domain is gone when it is destroyed
AFTER: dict[str, Condition] = {"continue": "fine", "restart": "fine", "destroy": "off", "start": "fine"}


@pytest.mark.parametrize(
    ("policy", "trouble", "duty"),
    [
        (Policy("default"), "panicked", Duty("ignore")),
        (Policy("ignore", on_crash="destroy"), "panicked", Duty("ignore")),
        (Policy("restart", coredump=True), "panicked", Duty("restart", coredump=True)),
        (Policy("pause"), "panicked", Duty("pause")),
        (Policy("pause"), "internal-error", Duty("nothing")),
        (Policy("pause", on_crash="destroy"), "internal-error", Duty("destroy")),
        (
            Policy("pause", on_crash="preserve", on_crash_coredump=True),
            "internal-error",
            Duty("preserve", True),
        ),
        (Policy("pause", on_crash="coredump-restart"), "internal-error", Duty("restart", True)),
    ],
)
def test_a_policy_says_what_is_to_be_done(policy: Policy, trouble: Trouble, duty: Duty) -> None:
    """<on_panic> is about panics, <on_crash> about QEMU's internal error."""
    assert objection(policy, "qemu") is None
    assert duty_of(policy, trouble) == duty


@pytest.mark.parametrize(
    ("duty", "steps"),
    [
        (Duty("ignore"), ["continue"]),
        (Duty("restart"), ["restart"]),
        (Duty("restart", coredump=True), ["coredump", "restart"]),
        (Duty("destroy"), ["destroy"]),
        (Duty("destroy", coredump=True), ["coredump", "destroy"]),
        (Duty("preserve"), []),
        (Duty("preserve", coredump=True), ["coredump"]),
        (Duty("pause"), []),
        (Duty("pause", coredump=True), ["coredump"]),
        (Duty("rename-restart"), ["destroy", "rename", "start"]),
        (Duty("rename-restart", coredump=True), ["coredump", "destroy", "rename", "start"]),
        (Duty("nothing"), []),
    ],
    ids=lambda value: f"{value.action}-{value.coredump}" if isinstance(value, Duty) else "",
)
def test_steps_from_a_panic_to_the_end(duty: Duty, steps: list[str]) -> None:
    assert walk(duty, "panicked") == steps


def walk(duty: Duty, condition: Condition, *, dumped: bool = False, begun: bool = False) -> list[str]:
    steps: list[str] = []
    renamed = False
    while step := next_step(duty, condition, dumped=dumped, begun=begun, renamed=renamed):
        steps.append(step)
        dumped, renamed = dumped or step == "coredump", renamed or step == "rename"
        begun = begun or step in ("restart", "destroy")
        condition = AFTER.get(step, condition)
        assert len(steps) < 10
    assert outcome_of(duty, condition)
    return steps


@given(st.sampled_from(ACTIONS), st.booleans(), st.sampled_from(CONDITIONS), st.booleans(), st.booleans())
def test_a_guest_that_somebody_else_has_seen_to_is_left_alone(
    action: str, coredump: bool, condition: Condition, dumped: bool, renamed: bool
) -> None:
    """Nothing is started, and nothing reset, that the watcher has not ended or begun to reset."""
    step = next_step(Duty(action, coredump), condition, dumped=dumped, begun=False, renamed=renamed)
    assert condition in TROUBLES or step is None


@given(st.sampled_from(ACTIONS), st.sampled_from(TROUBLES))
def test_nothing_is_lost_before_its_memory_is_dumped(action: str, trouble: Trouble) -> None:
    assert (
        next_step(Duty(action, coredump=True), trouble, dumped=False, begun=False, renamed=False)
        == "coredump"
    )


@given(st.sampled_from(ON_CRASH), st.booleans())
def test_on_crash_is_carried_out_as_on_panic_is(action: str, coredump: bool) -> None:
    policy = Policy("pause", on_crash=action, on_crash_coredump=coredump)
    duty = duty_of(policy, "internal-error")
    assert walk(duty, "internal-error") == walk(duty_of(Policy(action, coredump), "panicked"), "panicked")


# The start limit


def test_a_guest_that_panics_again_and_again_is_restarted_later_and_later() -> None:
    restarts: list[float] = []
    now, waits = 1000.0, []
    while (when := due(restarts, now, limit=5, interval=300)) is not None:
        waits.append(when - now)
        restarts.append(when)
        now = when + 1
    assert waits == [0, 1, 2, 4, 8]


@given(st.lists(st.floats(0, 1000), max_size=20), st.floats(0, 1000), st.integers(0, 8), st.floats(1, 500))
def test_the_start_limit(restarts: list[float], now: float, limit: int, interval: float) -> None:
    """No interval has more restarts than are allowed, and a quiet interval forgets them all."""
    when = due(restarts, now, limit=limit, interval=interval)
    assert (when is None) == (0 < limit <= len(recent(restarts, now, interval)))
    assert when is None or now <= when <= now + 60
    assert recent(restarts, max([*restarts, now]) + interval + 1, interval) == []


# Names


def test_a_guest_has_another_name_after_each_rename_restart() -> None:
    assert renamed("web", []) == "web-restart-1"
    assert renamed("web-restart-1", ["web-restart-1"]) == "web-restart-2"
    assert renamed("web-1", ["web-1-restart-1"]) == "web-1-restart-2"


@given(st.text(min_size=1), st.text("0123456789abcdef", max_size=36), st.floats(0, 4e9))
def test_a_dump_has_a_plain_file_name(name: str, uuid: str, at: float) -> None:
    found = dump_name(name, uuid, at)
    assert "/" not in found
    assert not found.startswith(".")
    assert found.isascii()
    assert len(found) < 100
