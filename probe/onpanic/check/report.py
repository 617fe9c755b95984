"""What a check of one emulator came to, and what the exit status of all of them is."""

from collections.abc import Sequence

import msgspec

from onpanic.probe.record import CapabilityRecord

from .baseline import changes
from .expectations import Expectation, Expected, sorted_out
from .findings import Finding, findings_of, gathered
from .tags import SEVERITIES, Severity

__all__ = ("CANNOT_RUN", "FOUND", "NOTHING_FOUND", "SKIPPED", "Report", "exit_status", "report_of")

NOTHING_FOUND, FOUND, CANNOT_RUN, SKIPPED = 0, 1, 2, 77


class Report(msgspec.Struct, frozen=True):
    """What a check of one emulator came to.

    :param emulator: Its command, in one string.
    :param version: For example ``QEMU 7.2.22 (Debian …), x86_64``; empty if it did not say.
    :param machines: How many machine types were looked at.
    :param findings: What was found and not expected, the worst first.
    :param expected: What was found and expected.
    :param problem: Why it could not be checked, empty if it could.
    :param hint: What to do about the problem.
    :param skipped: Why it was not checked, and need not be; empty if it was.
    """

    emulator: str
    version: str = ""
    machines: int = 0
    findings: tuple[Finding, ...] = ()
    expected: tuple[Expected, ...] = ()
    problem: str = ""
    hint: str = ""
    skipped: str = ""

    def failing(self, fail_on: Severity) -> list[Finding]:
        """Return the findings that are at least as bad as a severity."""
        worst = SEVERITIES[: SEVERITIES.index(fail_on) + 1]
        return [finding for finding in self.findings if finding.severity in worst]


def report_of(
    record: CapabilityRecord,
    emulator: str,
    *,
    expectations: tuple[Expectation, ...] = (),
    baseline: CapabilityRecord | None = None,
    complete: bool = False,
) -> Report:
    """Check a record.

    :param record: What the emulator does.
    :param emulator: Its command, in one string.
    :param expectations: Findings that are known.
    :param baseline: An older build's record, to compare with.
    :param complete: The record has all machine types.
    :raise RecordError: When the baseline is of another architecture.
    """
    found = findings_of(record)
    if baseline is not None:
        found = gathered([*found, *changes(baseline, record, complete=complete)])
    left, expected = sorted_out(found, expectations, emulator)
    package = f" ({record.emulator.package})" if record.emulator.package else ""
    return Report(
        emulator=emulator,
        version=f"QEMU {record.emulator.version}{package}, {record.emulator.target or 'target not told'}",
        machines=len(record.machines),
        findings=tuple(left),
        expected=tuple(expected),
    )


def exit_status(reports: Sequence[Report], fail_on: Severity) -> int:
    """Return the exit status that reports come to.

    2 where an emulator could not be checked, else 1 where something was found, else 0; 77 if
    there was nothing to check.
    """
    if any(report.problem for report in reports):
        return CANNOT_RUN
    if any(report.failing(fail_on) for report in reports):
        return FOUND
    return SKIPPED if all(report.skipped for report in reports) else NOTHING_FOUND
