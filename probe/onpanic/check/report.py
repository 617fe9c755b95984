"""What a check of one emulator came to, and what the exit status of all of them is."""

from collections.abc import Sequence

import msgspec

from onpanic.probe.record import CapabilityRecord

from .baseline import changes
from .expectations import Expectation, Expected, sorted_out, stale
from .findings import Asked, Finding, findings_of, gathered
from .tags import SEVERITIES, Severity

__all__ = (
    "CANNOT_RUN",
    "FOUND",
    "NOTHING_FOUND",
    "SKIPPED",
    "Report",
    "exit_status",
    "report_of",
    "with_stale_entries",
)

NOTHING_FOUND, FOUND, CANNOT_RUN, SKIPPED = 0, 1, 2, 77


class Report(msgspec.Struct, frozen=True):
    """What a check of one emulator came to.

    :param emulator: Its command, in one string.
    :param name: In a word, for where a command is too long; no two of one run have the same.
    :param version: For example ``QEMU 7.2.22 (Debian …), x86_64``; empty if it did not say.
    :param machines: The machine types that were looked at.
    :param findings: What was found and not expected, the worst first.
    :param expected: What was found and expected.
    :param problem: Why it could not be checked, empty if it could.
    :param hint: What to do about the problem.
    :param skipped: Why it was not checked, and need not be; empty if it was.
    """

    emulator: str
    name: str = ""
    version: str = ""
    machines: tuple[str, ...] = ()
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
    name: str = "",
    *,
    asked: Asked = Asked(),  # noqa: B008
    expectations: Sequence[Expectation] = (),
    baseline: CapabilityRecord | None = None,
) -> Report:
    """Check a record.

    :param record: What the emulator does.
    :param emulator: Its command, in one string.
    :param name: See `Report`.
    :param asked: What the record was to be of.
    :param expectations: Findings that are known.
    :param baseline: An older build's record, to compare with.
    :raise RecordError: When the baseline cannot be compared with.
    """
    version = record.emulator.build
    machines = [machine for machine in record.machines if machine.started and machine.name != "none"]
    if not machines:
        problem = next((m.problem for m in record.machines if m.problem), "there is none but none")
        hint = "name another with --machine, or see what the emulator itself says"
        return Report(emulator, name, version, problem=f"no machine type starts: {problem}", hint=hint)
    found = findings_of(record, asked)
    if baseline is not None:
        found = gathered([*found, *changes(baseline, record, asked)])
    left, expected = sorted_out(found, [entry for entry in expectations if entry.is_of(emulator, name)])
    names = tuple(machine.name for machine in machines)
    return Report(emulator, name, version, names, tuple(left), tuple(expected))


def with_stale_entries(
    reports: Sequence[Report], expectations: Sequence[Expectation], *, complete: bool
) -> list[Report]:
    """Return reports with a finding for each part of an expectation that nothing answers to.

    It stands in the first report that the expectation is about.  Where one of those could not
    be checked, nobody knows if it would have answered.

    :param complete: All machine types were looked at.
    """
    extra: dict[int, list[Finding]] = {}
    for entry in expectations:
        about = [report for report in reports if entry.is_of(report.emulator, report.name)]
        if about and not any(report.problem or report.skipped for report in about):
            found = [f for report in about for f in (*report.findings, *(e.finding for e in report.expected))]
            machines = {machine for report in about for machine in report.machines}
            extra.setdefault(id(about[0]), []).extend(stale(entry, found, machines, complete=complete))
    return [
        msgspec.structs.replace(
            report,
            findings=tuple(sorted([*report.findings, *extra.get(id(report), [])], key=lambda one: one.rank)),
        )
        for report in reports
    ]


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
