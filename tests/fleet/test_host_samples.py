"""The alert rules about hosts that are there to be copied, and Prometheus' opinion of a host's metrics."""

import re
from pathlib import Path

import msgspec
import pytest

from onpanic.fleet.outputs.host_metrics import HOST_METRICS, host_metrics

from ..running.promtool import Promtool
from .fleets import emulator, host

SAMPLES = Path(__file__).parent.parent.parent / "docs/samples/prometheus"
RULES = SAMPLES / "onpanic-hosts.rules.yml"
RULE_TESTS = SAMPLES / "onpanic-hosts.rules.test.yml"


@pytest.mark.consumers
def test_prometheus_accepts_the_metrics_of_a_host(promtool: Promtool) -> None:
    """Of one with everything, and of one about which little is known."""
    broken = msgspec.structs.replace(emulator("7.2.22"), path='/opt/"odd\\name', record=None, problem="no")
    for found in (host(emulators=[emulator("10.0", machines=["pc", "q35"]), broken]), host(libvirt=None)):
        assert promtool("check", "metrics", stdin=host_metrics(found)) == ""


def test_rules_are_about_metrics_that_hosts_have() -> None:
    """Also in their unit tests, and with labels that a host's metrics have."""
    text = host_metrics(host())
    for file in (RULES, RULE_TESTS):
        for name, selector in re.findall(r"\b(onpanic_host_\w+)\b(?:{([^}]*)})?", file.read_text()):
            assert name in {metric.name for metric in HOST_METRICS}
            (sample,) = re.findall(rf"^{name}(?:{{(.*)}})? ", text, re.MULTILINE)[:1]
            known = {*re.findall(r'(\w+)="', sample), "instance", "job"}
            assert {*re.findall(r"(\w+)=['\"]", selector)} <= known
