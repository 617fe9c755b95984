"""Text for people: a summary of each emulator, then its findings, the most severe first."""

from collections.abc import Iterator, Sequence

from onpanic.check.findings import Finding
from onpanic.check.report import Report
from onpanic.check.tags import SEVERITIES, Severity
from onpanic.core.untrusted import printable

__all__ = ("machines", "printed", "verdict")

_SHOWN = 4


def printed(reports: Sequence[Report], fail_on: Severity) -> str:  # noqa: ARG001
    """Return a paragraph for each emulator."""
    return "\n".join("\n".join(_lines(report)) + "\n" for report in reports)


def verdict(report: Report) -> str:
    """Return a summary of a report, in a few words."""
    if report.problem:
        return "could not be checked"
    if report.skipped:
        return "skipped"
    counts = {severity: sum(f.severity == severity for f in report.findings) for severity in SEVERITIES}
    parts = [f"{n} {name}{'s' * (n > 1 and name != 'info')}" for name, n in counts.items() if n]
    known = [f"{len(report.expected)} expected"] if report.expected else []
    number = f"{len(report.machines)} machine type{'s' * (len(report.machines) != 1)}"
    return f"{', '.join(parts + known) or 'nothing found'} on {number}"


def machines(finding: Finding) -> str:
    """Return the machine types that a finding is about; only some, if there are many."""
    names = [printable(name, 60) for name in finding.machines]
    more = len(names) - _SHOWN
    return ", ".join(names if more <= 1 else [*names[:_SHOWN], f"and {more} more"])


def _lines(report: Report) -> Iterator[str]:
    version = f"{printable(report.version)}: " if report.version else ""
    yield f"{printable(report.emulator)}: {version}{verdict(report)}"
    if report.problem or report.skipped:
        yield f"  {printable(report.problem or report.skipped)}"
    if report.hint:
        yield f"  {printable(report.hint)}"
    for finding in report.findings:
        where = machines(finding)
        yield f"  {finding.severity:8} {finding.tag}{': ' * bool(where)}{where}"
        yield f"           {printable(finding.evidence, 300)}"
        yield f"           {finding.remedy}"
    for one in report.expected:
        where = machines(one.finding)
        yield f"  expected {one.finding.tag}{': ' * bool(where)}{where} ({printable(one.reason)})"
