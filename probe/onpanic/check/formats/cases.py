"""A report as test cases, for the formats that test runners read."""

from typing import Literal

import msgspec

from onpanic.check.findings import Finding
from onpanic.check.report import Report
from onpanic.check.tags import TAGS, Severity
from onpanic.probe.foreign import printable

from .text import machines

__all__ = ("Case", "Outcome", "cases")

Outcome = Literal["pass", "info", "fail", "error", "skip"]


class Case(msgspec.Struct, frozen=True):
    """One test case.

    :param name: A tag, or ``probe`` where the emulator was not checked.
    :param outcome: ``info`` is a pass with something to say.
    :param notes: What was found, a line each.
    """

    name: str
    outcome: Outcome
    notes: tuple[str, ...] = ()


def cases(report: Report, fail_on: Severity) -> list[Case]:
    """Return a case for each tag; the same ones for every build, so that their history can be kept."""
    if report.problem:
        return [
            Case(
                "probe", "error", tuple(printable(words) for words in (report.problem, report.hint) if words)
            )
        ]
    if report.skipped:
        return [Case("probe", "skip", (printable(report.skipped),))]
    failing = {finding.tag for finding in report.failing(fail_on)}
    return [_case(report, tag, fails=tag in failing) for tag in TAGS]


def _case(report: Report, tag: str, *, fails: bool) -> Case:
    found = [finding for finding in report.findings if finding.tag == tag]
    notes = [words for finding in found for words in (_said(finding), finding.remedy)]
    known = [one for one in report.expected if one.finding.tag == tag]
    notes += [f"expected ({printable(one.reason)}): {_said(one.finding)}" for one in known]
    return Case(tag, "fail" if fails else "info" if notes else "pass", tuple(notes))


def _said(finding: Finding) -> str:
    where = f" ({machines(finding)})" if finding.machines else ""
    return f"{finding.severity}: {printable(finding.evidence, 300)}{where}"
