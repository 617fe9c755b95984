"""The result of checking one emulator, and the exit status of several results."""

from collections.abc import Sequence

import msgspec

from onpanic.check.baseline import changes
from onpanic.check.expectations import Expectation, Expected, separated, stale
from onpanic.check.findings import Asked, Finding, findings_of, grouped
from onpanic.check.tags import SEVERITIES, Severity
from onpanic.probe.emulator.notifier_models import NotifierModel
from onpanic.probe.record.capability_record import CapabilityRecord

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
    """The result of checking one emulator.

    :param emulator: Its command, in one string.
    :param name: A short name that is unique among the reports of one run.
    :param version: For example ``QEMU 7.2.22 (Debian …), x86_64``; empty if it is unknown.
    :param machines: The machine types that were checked.
    :param findings: Findings that are not expected, the most severe first.
    :param expected: Findings that are expected.
    :param problem: Why the emulator could not be checked; empty if it was.
    :param hint: What to do about the problem.
    :param skipped: Why the emulator was skipped; empty if it was not.
    :param notifiers: The models of the notifiers that were judged.
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
    notifiers: tuple[NotifierModel, ...] = ()

    def failing(self, fail_on: Severity) -> list[Finding]:
        """Return the findings that are at least as severe as `fail_on`."""
        severe = SEVERITIES[: SEVERITIES.index(fail_on) + 1]
        return [finding for finding in self.findings if finding.severity in severe]


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

    :param record: The emulator's record.
    :param emulator: Its command, in one string.
    :param name: See `Report`.
    :param asked: What the emulator was asked for.
    :param expectations: Entries of an expectation file, about this emulator or others.
    :param baseline: An older build's record, to compare with.
    :raise RecordError: When the baseline is of another architecture, or of other machine types.
    """
    version = record.emulator.build
    machines = [machine for machine in record.machines if machine.started and machine.name != "none"]
    if not machines:
        problem = next((m.problem for m in record.machines if m.problem), "the only machine type is none")
        hint = "name another with --machine, or start the emulator by hand to see why"
        return Report(emulator, name, version, problem=f"no machine type starts: {problem}", hint=hint)
    found = findings_of(record, asked)
    if baseline is not None:
        found = grouped([*found, *changes(baseline, record, asked)])
    left, expected = separated(found, [entry for entry in expectations if entry.is_of(emulator, name)])
    names = tuple(machine.name for machine in machines)
    return Report(emulator, name, version, names, tuple(left), tuple(expected), notifiers=asked.notifiers)


def with_stale_entries(
    reports: Sequence[Report], expectations: Sequence[Expectation], *, complete: bool
) -> list[Report]:
    """Return reports with a finding for each part of an expectation that matches nothing.

    It is added to the first report that the expectation is about.  If one of those emulators could not
    be checked, nothing is added, since its findings are unknown.

    :param complete: Whether all machine types were checked.
    """
    extra: dict[int, list[Finding]] = {}
    for entry in expectations:
        about = [report for report in reports if entry.is_of(report.emulator, report.name)]
        judged = {model for report in about for model in report.notifiers}
        if entry.was_judged(judged) and about and not any(one.problem or one.skipped for one in about):
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
    """Return the exit status of a run.

    2 if an emulator could not be checked, else 1 if a finding is at least as severe as `fail_on`, else
    77 if all emulators were skipped, else 0.
    """
    if any(report.problem for report in reports):
        return CANNOT_RUN
    if any(report.failing(fail_on) for report in reports):
        return FOUND
    return SKIPPED if all(report.skipped for report in reports) else NOTHING_FOUND
