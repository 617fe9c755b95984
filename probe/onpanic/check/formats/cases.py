"""Test cases of a report, for the formats that test runners read."""

from typing import Literal

import msgspec

from onpanic.check.findings import Finding
from onpanic.check.formats.text import machines
from onpanic.check.report import Report
from onpanic.check.tags import TAGS, Severity
from onpanic.core.untrusted import printable

__all__ = ("Outcome", "TestPoint", "test_points")

Outcome = Literal["pass", "info", "fail", "error", "skip"]


class TestPoint(msgspec.Struct, frozen=True):
    """One test case.

    :param name: A tag, or ``probe`` if the emulator was not checked.
    :param outcome: ``info`` is a pass with notes.
    :param notes: What was found, one line each.
    """

    name: str
    outcome: Outcome
    notes: tuple[str, ...] = ()


def test_points(report: Report, fail_on: Severity) -> list[TestPoint]:
    """Return a case for each tag, found or not: a CI system needs the same cases for every build."""
    if report.problem:
        notes = (printable(line) for line in (report.problem, report.hint) if line)
        return [TestPoint("probe", "error", tuple(notes))]
    if report.skipped:
        return [TestPoint("probe", "skip", (printable(report.skipped),))]
    failing = {finding.tag for finding in report.failing(fail_on)}
    return [_case(report, tag, fails=tag in failing) for tag in TAGS]


def _case(report: Report, tag: str, *, fails: bool) -> TestPoint:
    found = [finding for finding in report.findings if finding.tag == tag]
    notes = [line for finding in found for line in (_line(finding), finding.remedy)]
    known = [one for one in report.expected if one.finding.tag == tag]
    notes += [f"expected ({printable(one.reason)}): {_line(one.finding)}" for one in known]
    return TestPoint(tag, "fail" if fails else "info" if notes else "pass", tuple(notes))


def _line(finding: Finding) -> str:
    where = f" ({machines(finding)})" if finding.machines else ""
    return f"{finding.severity}: {printable(finding.evidence, 300)}{where}"
