"""The Test Anything Protocol, version 13: a test point for each emulator and tag."""

from collections.abc import Sequence

from onpanic.check.formats.cases import TestPoint, test_points
from onpanic.check.report import Report
from onpanic.check.tags import Severity
from onpanic.core.untrusted import printable

__all__ = ("printed",)


def printed(reports: Sequence[Report], fail_on: Severity) -> str:
    """Return the reports as one stream."""
    points = [
        (report.name or report.emulator, case) for report in reports for case in test_points(report, fail_on)
    ]
    lines = ["TAP version 13", f"1..{len(points)}"]
    for number, (emulator, case) in enumerate(points, 1):
        lines.append(_point(number, f"{_plain(emulator)}: {case.name}", case))
        lines += [f"# {note}" for note in case.notes]
    return "\n".join([*lines, ""])


def _point(number: int, name: str, case: TestPoint) -> str:
    if case.outcome == "skip":
        return f"ok {number} - {name} # SKIP {_plain(case.notes[0])}"
    return f"{'not ok' if case.outcome in ('fail', 'error') else 'ok'} {number} - {name}"


def _plain(text: str) -> str:
    """Return a text without the characters that start a directive."""
    return printable(text).replace("#", " ").replace("\\", " ")
