"""Histories of a guest and its watchers: whatever happens, in whatever order, the policy's promise is kept.

``ONPANIC_HISTORIES=N`` runs N histories of each kind instead of a few.
"""

import os
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any, get_args
from unittest import TestCase

import pytest
from hypothesis import HealthCheck, Phase, assume, given, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from msgspec.structs import replace

from onpanic.probe.decision.policy import Policy
from onpanic.watch.rules.incident import Incident
from onpanic.watch.rules.observation import Assignment, GuestState, Observation, PanicReport, StepResult
from onpanic.watch.rules.policy_steps import ENDING, FAILURES, Action, Condition, Step
from onpanic.watch.rules.reconcile import reconcile
from onpanic.watch.rules.reconcile_settings import ReconcileSettings
from onpanic.watch.rules.restart_limit import RestartLimit
from onpanic.watch.rules.settings import Settings

from .guest_history import GuestHistory
from .played_guest import SECOND

HISTORIES = int(os.environ.get("ONPANIC_HISTORIES", "0"))
INTERVAL = Settings().start_interval

POLICIES = st.builds(
    Policy,
    st.sampled_from(["ignore", "restart", "destroy", "preserve", "rename-restart", "pause"]),
    st.booleans(),
    grace=st.sampled_from([None, None, 0.0, 20.0]),
).map(
    lambda policy: Policy(
        policy.on_panic,
        policy.coredump and policy.on_panic != "ignore",
        grace=policy.grace if policy.on_panic in ("restart", "destroy", "rename-restart") else None,
    )
)
SETTINGS = st.builds(
    Settings, start_limit=st.sampled_from([0, 1, 2, 3, 5]), grace=st.sampled_from([0.0, 0.0, 10.0])
)
TIMES = st.sampled_from([0.0, 0.0, 0.001, 0.02, 0.3, 1.0, 7.0, 25.0])
FAULTS = st.sampled_from(["fails", "busy", "no effect", "no answer", "late"])


class Histories(RuleBasedStateMachine):
    """Histories of one guest."""

    copies = 1

    def __init__(self) -> None:
        super().__init__()
        self.histories: list[GuestHistory] = []
        self._until_the_end = ExitStack()

    @initialize(
        policy=POLICIES,
        acting=st.booleans(),
        transient=st.booleans(),
        reset_ends=st.sampled_from([False, False, True]),
        ignored=st.booleans(),
        notifiers=st.sampled_from([1, 1, 2]),
        found=SETTINGS,
    )
    def begin(self, found: Settings, **traits: Any) -> None:
        for _ in range(self.copies):
            folder = self._until_the_end.enter_context(tempfile.TemporaryDirectory())
            history = GuestHistory(Path(folder), settings=found, **traits)
            self._until_the_end.callback(history.close)
            self.histories.append(history)
        self._do("start_watcher")

    def _do(self, operation: str, *arguments: Any) -> None:
        for history in self.histories:
            getattr(history, operation)(*arguments)

    def _set(self, **members: Any) -> None:
        for history in self.histories:
            for name, value in members.items():
                setattr(history, name, list(value) if isinstance(value, list) else value)

    @property
    def now(self) -> GuestHistory:
        """The first of the histories."""
        return self.histories[0]

    # The guest

    @precondition(lambda self: self.now.condition == "healthy")
    @rule(then=TIMES, misses=st.sampled_from([False, False, False, True]))
    def panic(self, then: float, misses: bool) -> None:
        self._set(libvirt_misses=misses)
        self._do("panic")
        self._do("pass_time", then)

    @precondition(lambda self: self.now.condition == "healthy" and not self.now.pending)
    @rule(how=st.sampled_from(["reset", "crashloaded", "shutdown"]), then=TIMES)
    def help_itself(self, how: str, then: float) -> None:
        self._do("help_itself", how)
        self._do("pass_time", then)

    @precondition(lambda self: self.now.condition == "panicked" and self.now.free)
    @rule(does=st.sampled_from(["continue", "reset", "destroy"]), then=TIMES)
    def somebody_handles_a_panic(self, does: str, then: float) -> None:
        self._do("somebody", does)
        self._do("pass_time", then)

    @precondition(lambda self: self.now.condition == "off")
    @rule(does=st.sampled_from(["start", "start", "undefine"]), then=TIMES)
    def somebody_finds_it_off(self, does: str, then: float) -> None:
        self._do("somebody", does)
        self._do("pass_time", then)

    # Time

    @rule(seconds=TIMES)
    def pass_time(self, seconds: float) -> None:
        self._do("pass_time", seconds)

    # Watchers

    @precondition(lambda self: self.now.watcher)
    @rule(after=st.integers(0, 12), then=TIMES)
    def kill_the_watcher(self, after: int, then: float) -> None:
        self._set(kill_after=after)
        self._do("pass_time", then)

    @precondition(lambda self: self.now.watcher)
    @rule()
    def another_watcher_takes_over(self) -> None:
        self._do("assert_another_stands_by")
        self._do("kill")
        self._do("start_watcher")

    @precondition(lambda self: self.now.watcher is None)
    @rule()
    def start_a_watcher(self) -> None:
        self._do("start_watcher")

    @precondition(lambda self: self.now.watcher)
    @rule()
    def stop_the_watcher(self) -> None:
        self._do("stop_watcher")

    @precondition(lambda self: self.now.connected)
    @rule(then=TIMES)
    def lose_the_connection(self, then: float) -> None:
        self._do("lose_connection")
        self._do("pass_time", then)

    @precondition(lambda self: not self.now.connected)
    @rule()
    def regain_the_connection(self) -> None:
        self._do("regain_connection")

    @rule(found=st.none() | SETTINGS)
    def reload(self, found: Settings | None) -> None:
        self._do("reload", found)

    @precondition(lambda self: self.now.condition not in ("off", "gone"))
    @rule(policy=st.none() | POLICIES)
    def change_the_policy(self, policy: Policy | None) -> None:
        self._do("change_policy", policy)

    # Faults

    @rule(faults=st.lists(FAULTS, min_size=1, max_size=4))
    def let_steps_fail(self, faults: list[str]) -> None:
        self._set(faults=faults)

    @rule(
        latency=st.sampled_from([0.0, 0.001, 0.03]),
        call_time=st.sampled_from([0.0, 0.004]),
        libvirt_delay=st.sampled_from([0.0, 0.02, 0.3]),
    )
    def slow_down(self, latency: float, call_time: float, libvirt_delay: float) -> None:
        self._set(latency=latency, call_time=call_time, libvirt_delay=libvirt_delay)

    @rule(hangs=st.integers(1, 4))
    def hang(self, hangs: int) -> None:
        self._set(hangs=hangs)

    @rule(events=st.integers(1, 2))
    def lose_events(self, events: int) -> None:
        self._set(lose_events=events)

    @rule()
    def let_libvirts_dump_fail(self) -> None:
        self._set(dump_fails=True)

    # What must be true

    @rule()
    def come_to_rest(self) -> None:
        for history in self.histories:
            self._rest(history)
            history.check_at_rest()

    def _rest(self, history: GuestHistory) -> None:
        history.lose_events, history.hangs, history.faults = 0, 0, []
        if not history.connected:
            history.regain_connection()
        history.kill_after = None
        if not history.watcher:
            history.start_watcher()
        history.settle()
        history.resync()
        history.settle()

    def teardown(self) -> None:
        """Check what must be true at the end, unless something has failed already, and end everything."""
        try:
            for history in self.histories if sys.exc_info()[0] is None else ():
                self._rest(history)
                history.check_at_rest()
                history.lose_connection()
                history.regain_connection()
                history.pass_time(INTERVAL + 100)
                history.settle()
                history.check_at_the_end()
        finally:
            for history in self.histories:
                note(history.text())
            self._until_the_end.close()


class TwoClocks(Histories):
    """The same history twice: in one of them the clock on the wall jumps, which must change nothing."""

    copies = 2

    @rule(hours=st.sampled_from([-24, -1, 1, 1000]))
    def set_the_wall_clock(self, hours: int) -> None:
        self.now.wall_offset += hours * 3600

    def teardown(self) -> None:
        """Compare the two histories as well."""
        compared = len(self.histories) == 2 and sys.exc_info()[0] is None
        super().teardown()
        if compared:
            jumping, steady = self.histories
            assert jumping.told == steady.told


def _case(machine: type[Histories], few: int) -> type[TestCase]:
    """Return the test case of a machine."""
    found = machine.TestCase
    found.settings = settings(
        max_examples=HISTORIES or few,
        stateful_step_count=25 if HISTORIES else 15,
        derandomize=not HISTORIES,
        phases=[Phase.generate],  # to shrink a history takes minutes
        suppress_health_check=list(HealthCheck),
    )
    return pytest.mark.timeout(3600 if HISTORIES else 60)(found)


TestHistories = _case(Histories, 60)
TestTwoClocks = _case(TwoClocks, 15)


# The pure rule

TIMESTAMPS = st.floats(0.0, 2000.0)
CONDITIONS = st.sampled_from(get_args(Condition))
INCIDENTS = st.none() | st.builds(
    Incident,
    st.just("played"),
    st.just("guest"),
    failure=st.sampled_from([None, *FAILURES]),
    action=st.builds(
        Action,
        st.sampled_from(["ignore", "restart", "destroy", "preserve", "rename-restart", "pause", "nothing"]),
        st.booleans(),
    ),
    instance=st.sampled_from(["1", "2"]),
    cpu_time=st.sampled_from([None, 0, SECOND]),
    found=TIMESTAMPS,
    grace_until=st.just(0.0) | TIMESTAMPS,
    due=st.just(0.0) | TIMESTAMPS,
    dumped=st.booleans(),
    begun=st.booleans(),
    step=st.sampled_from(["", *get_args(Step)]),
    tries=st.integers(0, 3),
    new_name=st.sampled_from(["", "guest-restart"]),
    xml=st.sampled_from(["", "<domain/>"]),
    error=st.sampled_from(["", "refused"]),
    finished=st.booleans(),
    resolved=st.booleans(),
    restarts=st.lists(TIMESTAMPS, max_size=6).map(sorted),
    overridden=st.sampled_from(["", "restart"]),
)
RESULTS = st.none() | st.builds(
    StepResult,
    st.sampled_from(get_args(Step)),
    TIMESTAMPS,
    st.sampled_from(["", "refused"]),
    st.booleans(),
)
OBSERVATIONS = st.builds(
    Observation,
    st.builds(
        GuestState,
        CONDITIONS,
        st.sampled_from(["1", "2"]),
        st.sampled_from([None, 0, SECOND, 2 * SECOND]),
        st.booleans(),
        ending=st.sampled_from(["", "shutdown", "crashed"]),
    ),
    at=TIMESTAMPS,
    since=TIMESTAMPS,
    watched_since=TIMESTAMPS,
    key=st.just("played"),
    name=st.just("guest"),
    stamp=st.just("then"),
    epoch=st.just(0.0),
    assignment=st.none()
    | st.builds(
        Assignment,
        POLICIES,
        st.sampled_from(["", "restart", "destroy", "coredump-restart"]),
        st.sampled_from(["", "-no-reboot"]),
    ),
    reports=st.lists(
        st.builds(
            PanicReport,
            TIMESTAMPS,
            st.just("then"),
            stopped=st.booleans(),
            logged=st.booleans(),
            repeated=st.booleans(),
        ),
        max_size=2,
    ).map(tuple),
    ran=st.booleans(),
    helped_itself=st.sampled_from(["", "reset", "crashloaded"]),
    first=st.booleans(),
    seen_well=st.booleans(),
    failed_cpu_time=st.sampled_from([None, 0, SECOND]),
    retry=st.booleans(),
    result=RESULTS,
)


@given(INCIDENTS, OBSERVATIONS, SETTINGS, TIMESTAMPS, st.booleans())
@settings(
    max_examples=HISTORIES * 3 or 100, derandomize=not HISTORIES, suppress_health_check=list(HealthCheck)
)
def test_the_rule_about_anything(
    incident: Incident | None, observation: Observation, found: Settings, now: float, dry_run: bool
) -> None:
    """Whatever the journal says: no step that the state of the guest rules out, and no clock on the wall."""
    assume(incident is None or incident.failure or incident.finished)  # without a failure nothing is left
    limit = RestartLimit(found.start_limit, INTERVAL)
    rules = ReconcileSettings(limit, grace=found.grace, dry_run=dry_run)
    action = reconcile(incident, observation, rules, now)
    assert action == reconcile(incident, observation, rules, now)
    later = replace(observation, epoch=observation.epoch + 3600)
    assert [action.step, action.wait, action.lines] == [
        (other := reconcile(incident, later, rules, now)).step,
        other.wait,
        other.lines,
    ]
    assert not (action.step and action.wait is not None)
    assert action.wait is None or action.wait > 0
    assert action.handled <= len(observation.reports)
    state, step = observation.state, action.step
    if step is None:
        return
    kept = action.incident
    assert kept
    assert state.condition not in ("changing", "unknown")
    assert not dry_run or step == "unlimit"
    if step in ("coredump", "destroy", "restart"):
        runs_on = state.condition == "healthy" and kept.grace_until
        assert state.condition in FAILURES or (runs_on and now >= kept.grace_until)
        assert not kept.finished
        assert observation.assignment or kept.begun
    if step in ("start", "rename"):
        assert state.condition in ("off", "gone")
        assert kept.begun
    if step == "continue":
        assert state.condition in (*FAILURES, "reset")
    if (
        step in ENDING
        and kept.action.action in ("restart", "rename-restart")
        and not (incident and (incident.begun or incident.due))
    ):
        assert not limit.burst or len(limit.recent(kept.restarts, now)) <= limit.burst
