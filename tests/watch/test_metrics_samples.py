"""The alert rules and the dashboard that are there to be copied, and Prometheus' opinion of the metrics."""

import json
import re
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from onpanic.watch.reporting.lines import Line
from onpanic.watch.reporting.metric_values import METRICS, Metric
from onpanic.watch.reporting.metrics import Metrics

from ..running.promtool import Promtool
from .conftest import WatchProcess
from .panicking_guests import until

SAMPLES = Path(__file__).parent.parent.parent / "docs/samples"
RULES = SAMPLES / "prometheus/onpanic.rules.yml"
SCRAPES = SAMPLES / "prometheus/prometheus.yml"
RULE_TESTS = SAMPLES / "prometheus/onpanic.rules.test.yml"
DASHBOARD = json.loads((SAMPLES / "grafana/onpanic.json").read_text())

#: Metrics of Prometheus and of node_exporter.
OTHERS = {"up", "node_textfile_mtime_seconds"}
#: Labels that Prometheus adds.
TARGET = {"instance", "job"}
#: Grafana's own variables, with a value that PromQL accepts.
BUILT_IN = {"$__rate_interval": "5m", "$__range": "24h"}


def written() -> set[str]:
    """Return the names that a watcher writes, of the samples of histograms, too."""
    suffixes = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_count", "_sum")}
    return {metric.name + suffix for metric in METRICS for suffix in suffixes[metric.kind]}


def metric_of(name: str) -> Metric:
    """Return the metric that a sample belongs to."""
    (found,) = (m for m in METRICS if re.fullmatch(rf"{m.name}(_total|_bucket|_count|_sum)?", name))
    return found


def rule_expressions() -> Iterator[str]:
    """Yield the expressions of the alert rules."""
    for block in re.split(r"\n *- alert: ", RULES.read_text())[1:]:
        (found,) = re.findall(r"expr: (?:\|\n)?(.*?)\n *for:", block, re.DOTALL)
        yield found


def targets() -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield each query of the dashboard, after its panel."""
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            yield panel, target


# Prometheus


@pytest.mark.consumers
@pytest.mark.parametrize("name", ["onpanic", "onpanic-hosts"])
def test_prometheus_accepts_the_rules(name: str, promtool: Promtool) -> None:
    """As they are, with their unit tests, in which every alert fires at one time and not at another one."""
    rules, rule_tests = (SAMPLES / f"prometheus/{name}.rules{kind}.yml" for kind in ("", ".test"))
    assert "SUCCESS" in promtool("check", "rules", rules)
    assert "SUCCESS" in promtool("test", "rules", rule_tests)
    alerts = re.findall(r"alert: (\w+)", rules.read_text())
    cases = re.findall(r"alertname: (\w+)\n +(exp_alerts:)?", rule_tests.read_text())
    assert set(cases) == {(alert, word) for alert in alerts for word in ("", "exp_alerts:")}


@pytest.mark.consumers
def test_prometheus_accepts_the_configuration(promtool: Promtool) -> None:
    """It finds the rules beside it."""
    said = promtool("check", "config", SCRAPES)
    assert "2 rule files found" in said
    assert "SUCCESS" in said


def test_the_alert_on_a_watcher_that_is_down_covers_the_samples() -> None:
    """Its selectors match the job of the sample configuration, and the file of the sample drop-in."""
    alert = RULES.read_text().partition("OnpanicWatcherDown")[2]
    (file,) = re.findall(r'file=~"(.*)"', alert.partition("- alert:")[0])
    (job,) = re.findall(r'job=~"(.*)"', alert.partition("- alert:")[0])
    drop_in = (SAMPLES / "systemd/onpanic-watch.service.d/20-metrics-file.conf").read_text()
    (written_to,) = re.findall(r"--metrics-file (\S+)", drop_in)
    assert re.fullmatch(file, written_to)
    jobs = re.findall(r"job_name: (.*)", SCRAPES.read_text())
    assert [bool(re.fullmatch(job, one)) for one in jobs] == [True, False]


@pytest.mark.consumers
def test_prometheus_sees_a_rule_that_is_wrong(promtool: Promtool, tmp_path: Path) -> None:
    """Its unit tests fail when a limit changes."""
    (tmp_path / RULES.name).write_text(RULES.read_text().replace("< 600", "< 60"))
    (tmp_path / RULE_TESTS.name).write_text(RULE_TESTS.read_text())
    with pytest.raises(AssertionError, match="OnpanicGuestPanicked"):
        promtool("test", "rules", tmp_path / RULE_TESTS.name)


def test_rules_say_what_is_wrong() -> None:
    """Each alert has a duration, a severity, a summary and a description."""
    alerts = re.split(r"\n *- alert: ", RULES.read_text())[1:]
    assert alerts
    for alert in alerts:
        for member in (
            r"for: \d+m",
            r"severity: (warning|critical)",
            "summary: .*instance|summary: .*domain",
            "description:",
        ):
            assert re.search(member, alert), (alert, member)


def test_rules_are_about_metrics_that_exist() -> None:
    """Nothing else would notice: a metric that does not exist fires no alert."""
    expressions = list(rule_expressions())
    assert len(expressions) == len(re.findall("- alert:", RULES.read_text()))
    for expression in expressions:
        names = set(re.findall(r"\b(?:onpanic|node)_\w+|\bup\b", expression))
        assert names
        assert names <= written() | OTHERS
    tested = set(re.findall(r"\b(?:onpanic|node)_\w+(?={)|\bup(?={)", RULE_TESTS.read_text()))
    assert tested <= written() | OTHERS


def test_the_labels_in_rules_exist() -> None:
    """In selectors, and in the annotations and unit tests."""
    for block in re.split(r"\n *- alert: ", RULES.read_text())[1:]:
        (expression,) = re.findall(r"expr: (?:\|\n)?(.*?)\n *for:", block, re.DOTALL)
        names = set(re.findall(r"\bonpanic_\w+", expression))
        labels = {"file"} if not names or OTHERS & set(re.findall(r"\w+", expression)) else set()
        labels |= {label for name in names for label in metric_of(name).labels} | TARGET
        assert set(re.findall(r"\$labels\.(\w+)", block)) <= labels
        assert set(re.findall(r'(\w+)=~?"', expression)) <= labels
    for name, selector in re.findall(r"(onpanic_\w+){([^}]*)}", RULE_TESTS.read_text()):
        given = set(re.findall(r'(\w+)="', selector))
        assert given == {*metric_of(name).labels, *TARGET} - ({"le"} if "bucket" not in name else set())


# What a watcher writes


@pytest.mark.consumers
def test_prometheus_accepts_all_metrics(promtool: Promtool, tmp_path: Path) -> None:
    """With names, units and help texts that follow its conventions."""
    path = tmp_path / "onpanic.prom"
    metrics = Metrics(path)
    metrics(Line("panicked", domain='a "guest"\\', uuid="u", panic="hyper-v", code="0xd1"))
    metrics(Line("action", domain='a "guest"\\', uuid="u", action="coredump", outcome="done", seconds=1.5))
    metrics(Line("action", domain='a "guest"\\', uuid="u", action="preserve", outcome="kept"))
    metrics.close()
    text = path.read_text()
    assert promtool("check", "metrics", stdin=text) == ""
    names = set(re.findall(r"^(\w+)(?={| )", text, re.MULTILINE))
    assert names == written()
    for metric in METRICS:
        labels = re.findall(rf"^{metric.name}(?:_total|_sum)?{{(.*)}} ", text, re.MULTILINE)
        assert {n for one in labels for n in re.findall(r'(\w+)="', one)} == set(metric.labels)


@pytest.mark.consumers
@pytest.mark.emulators
def test_prometheus_accepts_what_a_watcher_writes(
    promtool: Promtool, guest: Callable[..., Any], watch: Callable[..., WatchProcess], folder: Path
) -> None:
    """A real QEMU panics and is preserved; the file is complete when the watcher has ended."""
    path = folder / "onpanic.prom"
    one = guest("-device", "pvpanic", "-no-shutdown", "-name", "guest")
    watcher = watch("--qmp", str(one.path), "--on-panic", "pause", "--metrics-file", str(path))
    watcher.until("connected")
    one.ask("human-monitor-command", **{"command-line": "o /b 0x505 1"})
    watcher.until("action", outcome="kept")
    labels = 'action="pause",domain="guest",outcome="kept",uuid=""'
    until(lambda: f"onpanic_guest_incident_open{{{labels}}} 1.0" in path.read_text())
    assert watcher.stop() == 0
    text = path.read_text()
    assert promtool("check", "metrics", stdin=text) == ""
    assert 'onpanic_panics_total{code="none",kind="unspecified"} 1.0' in text
    assert 'onpanic_watcher_state{state="stopped"} 1.0' in text


# Grafana


def test_the_dashboard_asks_for_metrics_that_exist() -> None:
    """And for labels that these metrics have, in queries, legends and columns."""
    for panel, target in targets():
        expression = target["expr"]
        names = set(re.findall(r"\bonpanic_\w+", expression))
        assert names
        assert names <= written()
        labels = {label for name in names for label in metric_of(name).labels} | TARGET
        labels |= {"le"} if any(name.endswith("_bucket") for name in names) else set()
        used = set(re.findall(r'(\w+)=~?"', expression)) | set(re.findall(r"{{(\w+)}}", json.dumps(target)))
        for grouped in re.findall(r"by \(([^)]*)\)", expression):
            used |= set(grouped.split(", "))
        for transformation in panel.get("transformations", []):
            used |= set(transformation["options"]["renameByName"]) - {"Value"}
        assert used <= labels
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            (name,) = re.findall(r"label_values\((\w+), instance\)", variable["query"]["query"])
            assert name in written()


@pytest.mark.consumers
def test_prometheus_accepts_the_queries_of_the_dashboard(promtool: Promtool, tmp_path: Path) -> None:
    """With values in place of Grafana's variables."""
    rules = []
    for panel, target in targets():
        expression = target["expr"].replace("$instance", ".*")
        for name, value in BUILT_IN.items():
            expression = expression.replace(name, value)
        assert "$" not in expression
        record = f"panel{panel['id']}:{target['refId'].lower()}"
        rules.append({"record": record, "expr": expression})
    path = tmp_path / "panels.yml"
    path.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
    assert f"{len(rules)} rules found" in promtool("check", "rules", path)


def test_the_dashboard_is_laid_out() -> None:
    """On 24 columns, where no panel covers another one, and with an identifier for each."""
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len({panel["title"] for panel in panels}) == len(panels)
    spots = [panel["gridPos"] for panel in panels]
    assert all(spot["x"] >= 0 and spot["x"] + spot["w"] <= 24 for spot in spots)
    for one, other in combinations(spots, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or above


def test_the_dashboard_works_with_any_data_source() -> None:
    """It names none, and uses no variable that it does not define."""
    text = json.dumps(DASHBOARD)
    defined = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)", text)) - {name.removeprefix("$") for name in BUILT_IN}
    assert used == defined == {"datasource", "instance"}
    assert set(re.findall(r'"uid": "([^"]*)"', text)) == {"onpanic", "${datasource}"}
    for panel, target in targets():
        assert panel["datasource"] == target["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    assert not {"id", "__inputs", "__requires"} & set(DASHBOARD)


def test_the_dashboard_is_a_file_that_grafana_can_read() -> None:
    """In the classic form, which every Grafana imports: its panels are of types that are part of Grafana."""
    assert {panel["type"] for panel in DASHBOARD["panels"]} <= {"stat", "table", "timeseries", "heatmap"}
    assert isinstance(DASHBOARD["schemaVersion"], int)
    for panel in DASHBOARD["panels"]:
        assert {"title", "gridPos", "targets", "fieldConfig", "options"} <= set(panel)
        assert [target["refId"] for target in panel["targets"]] == list("ABC"[: len(panel["targets"])])
