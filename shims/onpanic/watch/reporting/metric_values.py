"""The metrics and their values, derived from log lines."""

import copy
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import Literal, get_args

import msgspec

from onpanic.watch.reporting.guest_table import GuestTable
from onpanic.watch.reporting.lines import Line
from onpanic.watch.reporting.panic_labels import (
    KINDS,
    NO_CODE,
    NO_REPORT,
    REASONS,
    code_label,
    kind_label,
    reason_label,
)
from onpanic.watch.rules.policy_steps import Step

__all__ = ("METRICS", "Histogram", "Metric", "MetricValues", "Samples")

_STATES = ("starting", "watching", "standby", "disconnected", "stopped")
_STATE_OF = {
    "watching": "watching",
    "connected": "watching",
    "standby": "standby",
    "disconnected": "disconnected",
    "stopping": "stopped",
}

_BUCKETS = (0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0, 300.0, 1800.0)  # seconds

_ACTIONS = [step for step in get_args(Step) if step != "explain"]  # which only reads

# Prometheus cannot see the first increase of a counter that was not there before
_ZERO_ACTIONS = (
    *((step, outcome, "onpanic") for step in _ACTIONS for outcome in ("done", "failed")),
    *((action, "done", "libvirt") for action in ("coredump", "restart", "destroy")),
    *((action, "failed", "libvirt") for action in ("coredump", "restart")),
    *((action, "start-limit-hit", "onpanic") for action in ("restart", "rename-restart")),
    *((action, "kept", "onpanic") for action in ("preserve", "pause")),
    ("ignore", "done", "QEMU"),
)


class Histogram(msgspec.Struct):
    """Durations.

    :param counts: How many fall into each bucket, in order; the last bucket has no bound.
    :param total: Their sum in seconds.
    """

    counts: list[int] = msgspec.field(default_factory=lambda: [0] * (len(_BUCKETS) + 1))
    total: float = 0.0

    def add(self, seconds: float) -> None:
        """Count a duration."""
        self.counts[bisect_left(_BUCKETS, seconds)] += 1
        self.total += seconds

    def cumulative(self) -> list[tuple[str, int]]:
        """Return each bucket's upper bound (the label `le`), and how many are within it."""
        bounds = [*map(str, _BUCKETS), "+Inf"]
        return list(zip(bounds, accumulate(self.counts), strict=True))


#: The samples of a metric, each with the values of its labels.
Samples = Sequence[tuple[Sequence[str], float | Histogram]]


class Metric(msgspec.Struct, frozen=True):
    """A metric.

    :param name: Its name, without the suffix ``_total`` of counters.
    :param kind: Its type.
    :param text: What it says.
    :param labels: The names of its labels.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    text: str
    labels: tuple[str, ...] = ()


_GUEST = ("domain", "uuid")

PANICS = Metric("onpanic_panics", "counter", "Guest panics", ("kind", "code"))
EXPLAINED = Metric("onpanic_panic_reasons", "counter", "Panics by what the guest's memory tells", ("reason",))
CRASHLOADS = Metric("onpanic_crashloads", "counter", "Panics that the guest handles itself (kdump)")
ERRORS = Metric("onpanic_internal_errors", "counter", "Internal errors of QEMU")
ACTIONS = Metric("onpanic_actions", "counter", "Actions on guests", ("action", "outcome", "by"))
LOST = Metric("onpanic_guests_lost", "counter", "Guests that have ended against their policy")
PROBLEMS = Metric("onpanic_problems", "counter", "Problems other than failed actions")
DURATIONS = Metric("onpanic_action_seconds", "histogram", "Duration of actions", ("action",))
GUEST_PANICS = Metric("onpanic_guest_panics", "counter", "Panics of a guest", _GUEST)
GUEST_PANICKED = Metric(
    "onpanic_guest_last_panic_timestamp_seconds",
    "gauge",
    "When a guest panicked last",
    (*_GUEST, "kind", "code"),
)
GUEST_OPEN = Metric(
    "onpanic_guest_incident_open",
    "gauge",
    "1 while a guest is left in its failure",
    (*_GUEST, "action", "outcome"),
)
WATCHING = Metric("onpanic_watching", "gauge", "1 while guests are watched")
STATE = Metric("onpanic_watcher_state", "gauge", "1 for the state that the watcher is in", ("state",))
OBSERVED = Metric(
    "onpanic_last_observation_timestamp_seconds",
    "gauge",
    "When libvirt last told the state of all domains; 0 before the first time, and without libvirt",
)

#: All metrics, in the order in which they are written.
METRICS = (
    *(PANICS, EXPLAINED, CRASHLOADS, ERRORS, ACTIONS, DURATIONS, LOST, PROBLEMS),
    *(GUEST_PANICS, GUEST_PANICKED, GUEST_OPEN, WATCHING, STATE, OBSERVED),
)


class MetricValues:
    """The values of all metrics.

    :param clock: Returns seconds since the epoch.
    :param monotonic: Returns monotonic seconds.
    """

    def __init__(
        self, clock: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._guests = GuestTable(clock, monotonic)
        self._counts: dict[Metric, dict[tuple[str, ...], float]] = {
            PANICS: {(kind, NO_CODE): 0.0 for kind in (NO_REPORT, *KINDS)},
            EXPLAINED: {(kind,): 0.0 for kind in REASONS},
            ACTIONS: dict.fromkeys(_ZERO_ACTIONS, 0.0),
            **{metric: {(): 0.0} for metric in (CRASHLOADS, ERRORS, LOST, PROBLEMS)},
        }
        self._durations: dict[tuple[str, ...], Histogram] = {}
        self._state = "starting"
        self._observed = 0.0

    def __call__(self, line: Line) -> None:
        """Count a line."""
        self._guests(line)
        if line.event == "panicked":
            self._count(PANICS, kind_label(line.panic), code_label(line.panic, line.code))
        elif line.event == "why":
            self._count(EXPLAINED, reason_label(line.kind))
        elif line.event == "crashloaded":
            self._count(CRASHLOADS)
        elif line.event == "internal-error":
            self._count(ERRORS)
        elif line.event == "action":
            self._count_action(line)
        elif line.event == "problem":
            self._count(PROBLEMS)
        elif line.event == "observed":
            self._observed = self._clock()
        elif line.event in _STATE_OF and not line.domain:  # else it is about one guest's monitor
            self._state = _STATE_OF[line.event]

    def samples(self) -> Iterator[tuple[Metric, Samples]]:
        """Yield each metric with a copy of its samples."""
        rows = self._guests.rows()
        found: dict[Metric, Samples] = {
            metric: list(counts.items()) for metric, counts in self._counts.items()
        }
        found[DURATIONS] = [(labels, copy.deepcopy(one)) for labels, one in self._durations.items()]
        found[GUEST_PANICS] = [((r.domain, r.uuid), r.panics) for r in rows if r.panics]
        found[GUEST_PANICKED] = [
            ((r.domain, r.uuid, r.kind, r.code), r.panicked_at) for r in rows if r.panicked_at
        ]
        found[GUEST_OPEN] = [((r.domain, r.uuid, r.action, r.outcome), 1.0) for r in rows if r.outcome]
        found[WATCHING] = [((), float(self._state == "watching"))]
        found[STATE] = [((state,), float(state == self._state)) for state in _STATES]
        found[OBSERVED] = [((), self._observed)]
        for metric in METRICS:
            yield metric, found[metric]

    def _count(self, metric: Metric, *labels: str) -> None:
        counts = self._counts[metric]
        counts[labels] = counts.get(labels, 0.0) + 1

    def _count_action(self, line: Line) -> None:
        self._count(ACTIONS, line.action, line.outcome, line.by or "onpanic")
        if line.outcome == "lost":
            self._count(LOST)
        if line.seconds is not None:
            self._durations.setdefault((line.action,), Histogram()).add(line.seconds)
