"""JUnit XML for Jenkins and GitLab: a suite for each emulator, a case for each tag."""

import re
from collections.abc import Iterator, Sequence
from xml.sax.saxutils import escape, quoteattr

from onpanic.check.formats.cases import TestPoint, test_points
from onpanic.check.report import Report
from onpanic.check.tags import Severity
from onpanic.core.untrusted import wellformed

__all__ = ("printed",)

# Characters that XML 1.0 does not allow, not even escaped
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def printed(reports: Sequence[Report], fail_on: Severity) -> str:
    """Return the reports as one document."""
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', "<testsuites>"]
    for report in reports:
        lines += _suite(report.name or report.emulator, test_points(report, fail_on))
    return "\n".join([*lines, "</testsuites>", ""])


def _suite(emulator: str, found: Sequence[TestPoint]) -> Iterator[str]:
    count = {kind: sum(case.outcome == kind for case in found) for kind in ("fail", "error", "skip")}
    counts = f'failures="{count["fail"]}" errors="{count["error"]}" skipped="{count["skip"]}"'
    yield f'  <testsuite name={_quoted(emulator)} tests="{len(found)}" {counts}>'
    for case in found:
        head = f'    <testcase classname={_quoted(emulator)} name="{case.name}"'
        yield f"{head}>{_inside(case)}</testcase>" if case.notes else f"{head}/>"
    yield "  </testsuite>"


def _inside(case: TestPoint) -> str:
    first, *rest = case.notes
    if case.outcome == "skip":
        return f"<skipped message={_quoted(first)}/>"
    if case.outcome == "info":
        return f"<system-out>{_text(case.notes)}</system-out>"
    element = "failure" if case.outcome == "fail" else "error"
    return f'<{element} type="{case.name}" message={_quoted(first)}>{_text(rest)}</{element}>'


def _text(lines: Sequence[str]) -> str:
    return escape(_FORBIDDEN.sub("?", wellformed("\n".join(lines))))


def _quoted(text: str) -> str:
    return quoteattr(_FORBIDDEN.sub("?", wellformed(text)))
