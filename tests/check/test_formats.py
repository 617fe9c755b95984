"""What each ``--format`` of a check holds: every emulator, every finding, and nothing that breaks it."""

import json
import re
from collections.abc import Callable
from xml.etree import ElementTree as ET

import pytest

from onpanic.check import TAGS, Expectation, Report, report_of
from onpanic.check.formats import FORMATS
from onpanic.probe import CapabilityRecord
from onpanic.probe.record.capability_record import MachineRecord

HOSTILE = "]]>&\x1b[2J\n--- <'\""


@pytest.fixture(scope="module")
def reports(record: Callable[..., CapabilityRecord], machine: Callable[..., MachineRecord]) -> list[Report]:
    """Return reports of a good build, a bad one, one that is expected to be bad, and two without answers."""
    bad = record(machine("pc", cont_after_panic="no"), machine("q35", cont_after_panic="no"))
    known = [Expectation(tag="cont-refused-after-panic", reason="it is old")]
    return [
        report_of(record(), "/usr/bin/good"),
        report_of(bad, "/usr/bin/bad"),
        report_of(bad, "/usr/bin/known", expectations=known),
        Report("/usr/bin/broken", problem=f"it ended {HOSTILE}", hint="run it by hand"),
        Report("/usr/bin/absent", skipped="no such file or command"),
    ]


@pytest.mark.parametrize("name", FORMATS)
def test_each_emulator_and_finding_is_there(name: str, reports: list[Report]) -> None:
    printed = FORMATS[name](reports, "error")
    for word in ("good", "bad", "known", "broken", "absent", "it ended", "no such file"):
        assert word in printed, word
    assert "\x1b" not in printed
    assert printed.endswith("\n")


def test_text(reports: list[Report]) -> None:
    good, bad, known, broken, absent = FORMATS["text"](reports, "error").split("\n\n")
    assert good.endswith("nothing found on 1 machine type")
    assert "1 error on 2 machine types" in bad
    assert "  error    cont-refused-after-panic: pc, q35" in bad
    assert "1 expected on 2 machine types" in known
    assert "(it is old)" in known
    assert "could not be checked" in broken
    assert "skipped" in absent


def test_json(reports: list[Report]) -> None:
    lines = [json.loads(line) for line in FORMATS["json"](reports, "error").splitlines()]
    assert [[finding["tag"] for finding in line["findings"]] for line in lines] == [
        [],
        ["cont-refused-after-panic"],
        [],
        [],
        [],
    ]


def test_json_names_the_notifier(
    record: Callable[..., CapabilityRecord], machine: Callable[..., MachineRecord]
) -> None:
    """Programs need not read the evidence."""
    broken = machine(panic_reported="no", further={"pvpanic": {"cont_after_panic": "no"}})
    report = report_of(record(broken, set_action_command="no"), "/usr/bin/bad")
    (line,) = FORMATS["json"]([report], "error").splitlines()
    assert [(one["tag"], one["notifier"]) for one in json.loads(line)["findings"]] == [
        ("cont-refused-after-panic", "pvpanic"),
        ("panic-not-reported", "isa"),
        ("panic-action-not-settable", ""),
    ]


@pytest.mark.parametrize("name", FORMATS)
def test_a_further_notifier_is_named(
    name: str, record: Callable[..., CapabilityRecord], machine: Callable[..., MachineRecord]
) -> None:
    report = report_of(record(machine(further={"pvpanic": {"cont_after_panic": "no"}})), "/usr/bin/bad")
    printed = FORMATS[name]([report], "error")
    assert "cont-after-panic of the pvpanic notifier: seen of cont-after-panic" in printed


def test_junit(reports: list[Report]) -> None:
    suites = list(ET.fromstring(FORMATS["junit"](reports, "error")))
    assert [tuple(suite.get(n) for n in ("failures", "errors", "skipped")) for suite in suites] == [
        ("0", "0", "0"),
        ("1", "0", "0"),
        ("0", "0", "0"),
        ("0", "1", "0"),
        ("0", "0", "1"),
    ]
    assert {case.get("name") for case in suites[0].iter("testcase")} == set(TAGS)


def test_tap(reports: list[Report]) -> None:
    lines = FORMATS["tap"](reports, "error").splitlines()
    points = [line for line in lines if re.match(r"(not )?ok \d+ ", line)]
    assert f"1..{len(points)}" in lines
    assert [line.startswith("not ok") for line in points].count(True) == 2
    assert [re.search(r"ok (\d+)", line)[1] for line in points] == [  # type: ignore[index]
        str(number) for number in range(1, len(points) + 1)
    ]
