"""One object for each emulator, one per line."""

from collections.abc import Sequence
from typing import Any

import msgspec

from onpanic.check.findings import Finding
from onpanic.check.report import Report
from onpanic.check.tags import Severity
from onpanic.core.untrusted import wellformed

__all__ = ("printed",)


def printed(reports: Sequence[Report], fail_on: Severity) -> str:
    """Return the reports as JSON."""
    return "".join(msgspec.json.encode(wellformed(_object(r, fail_on))).decode() + "\n" for r in reports)


def _object(report: Report, fail_on: Severity) -> dict[str, Any]:
    failing = report.failing(fail_on)
    return {
        "emulator": report.emulator,
        "name": report.name,
        "version": report.version,
        "machines": list(report.machines),
        "ok": not report.problem and not failing,
        "findings": [_finding(finding) | {"fails": finding in failing} for finding in report.findings],
        "expected": [_finding(one.finding) | {"expected": one.reason} for one in report.expected],
        "problem": report.problem,
        "hint": report.hint,
        "skipped": report.skipped,
    }


def _finding(finding: Finding) -> dict[str, Any]:
    own: dict[str, Any] = msgspec.to_builtins(finding)
    return own | {"reason": finding.reason, "remedy": finding.remedy}
