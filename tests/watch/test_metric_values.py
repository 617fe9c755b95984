"""What the metrics count, and how many time series they can have."""

from collections.abc import Iterator

from hypothesis import given, settings
from hypothesis import strategies as st

from onpanic.watch.guests.events import panic_details
from onpanic.watch.reporting.guest_table import GUESTS, RETENTION
from onpanic.watch.reporting.lines import Line
from onpanic.watch.reporting.metric_values import METRICS, Histogram, MetricValues
from onpanic.watch.reporting.panic_labels import KINDS, code_label, kind_label, known_codes

Labels = tuple[str, ...]


class Watched:
    """The metrics, with clocks that the test sets.

    :ivar wall: Seconds since the epoch.
    :ivar monotonic: Monotonic seconds.
    """

    def __init__(self) -> None:
        self.wall, self.monotonic = 1_000_000.0, 50.0
        self.values = MetricValues(lambda: self.wall, lambda: self.monotonic)

    def __call__(self, *lines: Line) -> None:
        for line in lines:
            self.values(line)

    def samples(self, name: str) -> dict[Labels, float]:
        (found,) = (samples for metric, samples in self.values.samples() if metric.name == name)
        return {tuple(labels): value for labels, value in found if not isinstance(value, Histogram)}

    def above_zero(self, name: str) -> dict[Labels, float]:
        return {labels: value for labels, value in self.samples(name).items() if value}


def panicked(number: int = 0, panic: str = "", code: str = "") -> Line:
    return Line("panicked", domain=f"guest-{number}", uuid=f"uuid-{number}", panic=panic, code=code)


def action(action: str, outcome: str, number: int = 0, by: str = "") -> Line:
    return Line(
        "action", domain=f"guest-{number}", uuid=f"uuid-{number}", action=action, outcome=outcome, by=by
    )


def test_panics_by_kind_and_code() -> None:
    """A guest without a report is not said to have pvpanic, and codes that are not public share one value."""
    watched = Watched()
    watched(panicked(), panicked(1, "hyper-v", "0xd1"), panicked(2, "hyper-v", "0xd1"))
    watched(panicked(3, "hyper-v", "0xabcdef"), panicked(4, "hyper-v"), panicked(5, "later", "5"))
    watched(panicked(6, "s390", "disabled-wait"))
    assert watched.above_zero("onpanic_panics") == {
        ("unspecified", "none"): 1,
        ("hyper-v", "0xd1"): 2,
        ("hyper-v", "other"): 1,
        ("hyper-v", "none"): 1,
        ("other", "other"): 1,
        ("s390", "disabled-wait"): 1,
    }


REGISTER = st.integers(0, 2**64) | st.integers(0, 0x200)
REPORT = st.fixed_dictionaries(
    {"type": st.sampled_from([*KINDS, "later"]) | st.text()},
    optional={
        **dict.fromkeys(("arg1", "arg2", "error-code", "set", "code"), REGISTER),
        "reason": st.text() | st.just("disabled-wait"),
    },
)


@settings(max_examples=30)
@given(st.lists(REPORT, max_size=20))
def test_no_guest_makes_label_values(reports: list[dict[str, object]]) -> None:
    """Each is a public code or one of two words, so that there are at most 475 series."""
    kinds = {"unspecified", "other", *KINDS}
    known = {(kind, code) for kind in KINDS for code in known_codes(kind)}
    possible = known | {(kind, word) for kind in kinds for word in ("none", "other")}
    assert len(possible) == 475
    watched = Watched()
    for report in reports:
        details = panic_details({"info": report})
        watched(panicked(0, details.kind, details.code))
        assert kind_label(details.kind) in kinds
    assert set(watched.samples("onpanic_panics")) <= possible
    assert sum(watched.samples("onpanic_panics").values()) == len(reports)


def test_public_codes() -> None:
    """The first and the last of a range count, and one beyond it does not."""
    for code in ("0x1", "0x82", "0xd1", "0x1df", "0xc000021a", "0xdeaddead"):
        assert code_label("hyper-v", code) == code
    for code in ("0x83", "0x1e0", "0xd1 ", "209", "disabled-wait"):
        assert code_label("hyper-v", code) == "other"
    assert code_label("sev", "0x1:0xf") == "0x1:0xf"
    assert code_label("sev", "0x2:0x0") == code_label("tdx", "0x1") == code_label("", "x") == "other"


def histories() -> Iterator[tuple[list[Line], Labels | None]]:
    """Yield lines about a guest, and the action and outcome that leave it in its failure, if it is."""
    over = Line("over", domain="guest-0", uuid="uuid-0")
    unresolved = Line(
        "unresolved", domain="guest-0", uuid="uuid-0", action="restart", outcome="start-limit-hit"
    )
    yield [panicked()], None
    yield [panicked(), action("preserve", "kept")], ("preserve", "kept")
    yield [panicked(), action("coredump", "done"), action("preserve", "kept")], ("preserve", "kept")
    yield [panicked(), action("coredump", "failed", by="libvirt")], ("coredump", "failed")
    yield [panicked(), action("coredump", "failed"), action("coredump", "done")], ("coredump", "failed")
    yield [panicked(), action("preserve", "kept"), over], None
    yield [panicked(), action("preserve", "kept"), panicked()], None
    yield [panicked(), action("restart", "start-limit-hit"), action("restart", "done")], None
    yield [panicked(), action("ignore", "lost")], None
    yield [panicked(), action("restart", "dry-run")], None
    yield [unresolved], ("restart", "start-limit-hit")
    yield [action("destroy", "done")], None


def test_open_incidents() -> None:
    """One is open from the action that leaves the guest as it is until something has changed that."""
    for lines, left in histories():
        watched = Watched()
        watched(*lines)
        expected = {("guest-0", "uuid-0", *left): 1.0} if left else {}
        assert watched.samples("onpanic_guest_incident_open") == expected, lines


def test_series_of_guests_that_are_gone() -> None:
    """They end two days after the last line, but those of an open incident do not; totals never shrink."""
    watched = Watched()
    watched(panicked(1), panicked(2, "s390", "disabled-wait"), action("preserve", "kept", 2))
    watched.monotonic += RETENTION - 1
    assert len(watched.samples("onpanic_guest_panics")) == 2
    watched.monotonic += 2
    assert watched.samples("onpanic_guest_panics") == {("guest-2", "uuid-2"): 1}
    watched(Line("over", domain="guest-2", uuid="uuid-2"))
    watched.monotonic += RETENTION + 1
    for name in ("panics", "last_panic_timestamp_seconds", "incident_open"):
        assert watched.samples(f"onpanic_guest_{name}") == {}
    assert sum(watched.samples("onpanic_panics").values()) == 2


def test_guests_that_come_and_go() -> None:
    """The ones seen last keep their series, and those with an open incident."""
    watched = Watched()
    watched(panicked(0), action("preserve", "kept", 0))
    for number in range(1, 3000):
        watched(panicked(number), action("destroy", "done", number))
    found = watched.samples("onpanic_guest_panics")
    newest = {(f"guest-{n}", f"uuid-{n}") for n in range(3000 - GUESTS + 1, 3000)}
    assert set(found) == newest | {("guest-0", "uuid-0")}
    assert watched.samples("onpanic_panics")["unspecified", "none"] == 3000


def test_all_guests_at_once() -> None:
    """Not even with an open incident each do they have more series."""
    watched = Watched()
    for number in range(GUESTS + 10):
        watched(panicked(number), action("preserve", "kept", number))
    assert len(watched.samples("onpanic_guest_incident_open")) == GUESTS


def test_a_guest_has_one_series_about_its_last_panic() -> None:
    """With the time and the kind of that one, also after it was renamed."""
    watched = Watched()
    watched(panicked(1, "hyper-v", "0xd1"))
    watched.wall += 10
    watched(Line("panicked", domain="guest-1-restart-1", uuid="uuid-1", panic="hyper-v", code="0x7b"))
    labels = ("guest-1-restart-1", "uuid-1")
    assert watched.samples("onpanic_guest_last_panic_timestamp_seconds") == {
        (*labels, "hyper-v", "0x7b"): 1_000_010.0
    }
    assert watched.samples("onpanic_guest_panics") == {labels: 2}


def test_a_name_that_no_label_can_have() -> None:
    """It is made printable, and no two series have the same name then."""
    watched = Watched()
    watched(Line("panicked", domain="a\ud800\n\x1b[31m" + "x" * 1000))
    watched(Line("panicked", domain="a \x1b[31m" + "x" * 1000))
    found = dict(watched.values.samples())
    assert [len(samples) for metric, samples in found.items() if metric.name == "onpanic_guest_panics"] == [1]
    ((name, _),) = watched.samples("onpanic_guest_panics")
    assert name.encode().isascii()
    assert name.isprintable()
    assert len(name) < 250


def test_the_state_of_the_watcher() -> None:
    """One guest's monitor that is lost does not mean that guests are no longer watched."""
    watched = Watched()

    def state() -> tuple[list[Labels], float]:
        return [*watched.above_zero("onpanic_watcher_state")], watched.samples("onpanic_watching")[()]

    assert state() == ([("starting",)], 0)
    for event, name in (
        ("standby", "standby"),
        ("watching", "watching"),
        ("disconnected", "disconnected"),
        ("connected", "watching"),
    ):
        watched(Line(event))
        assert state() == ([(name,)], float(name == "watching"))
    watched(Line("disconnected", domain="guest"), Line("standby", domain="guest"))
    assert state() == ([("watching",)], 1)
    watched(Line("stopping"))
    assert state() == ([("stopped",)], 0)


def test_the_last_observation() -> None:
    """Its time, and not that of another line."""
    watched = Watched()
    assert watched.samples("onpanic_last_observation_timestamp_seconds") == {(): 0}
    watched(Line("observed", "debug"))
    watched.wall += 10
    watched(Line("problem"))
    assert watched.samples("onpanic_last_observation_timestamp_seconds") == {(): 1_000_000}


def test_counters_that_alerts_are_about_begin_at_zero() -> None:
    """Prometheus cannot see the first increase of one that was not there before."""
    watched = Watched()
    actions = watched.samples("onpanic_actions")
    assert actions["restart", "start-limit-hit", "onpanic"] == 0
    assert actions["coredump", "failed", "libvirt"] == 0
    assert watched.samples("onpanic_guests_lost") == {(): 0}
    assert watched.samples("onpanic_panics")["unspecified", "none"] == 0
    watched(action("ignore", "lost"), action("coredump", "failed", by="libvirt"))
    assert watched.samples("onpanic_guests_lost") == {(): 1}
    assert watched.samples("onpanic_actions")["coredump", "failed", "libvirt"] == 1


def test_each_metric_is_described_once() -> None:
    """Its labels are those of its samples."""
    watched = Watched()
    watched(panicked(1, "hyper-v", "0xd1"), action("preserve", "kept", 1))
    watched(Line("action", domain="x", action="restart", outcome="done", seconds=1.0))
    found = list(watched.values.samples())
    assert [metric for metric, _ in found] == list(METRICS)
    assert len({metric.name for metric in METRICS}) == len(METRICS)
    for metric, samples in found:
        assert samples
        assert {len(labels) for labels, _ in samples} == {len(metric.labels)}
