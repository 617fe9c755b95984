"""Check emulators as a distribution ships them: what they do when a guest panics.

Findings go to stdout, the worst first; onpanic explain TAG says what one means.  Exit
status: 0 nothing found, 1 a finding at least as bad as --fail-on, 2 an emulator could not
be checked (the others are, all the same).
"""

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from onpanic.cli import complain
from onpanic.cli.emulators import add_plan, host, probed
from onpanic.probe.errors import OnpanicError, StartError
from onpanic.probe.foreign import printable
from onpanic.probe.host import resolved
from onpanic.probe.launch import name_of

if TYPE_CHECKING:  # the functions load these once the emulators have been asked
    from onpanic.check import Expectation, Report
    from onpanic.probe.record import CapabilityRecord

TAKES_COMMAND = True
HELP = "is this QEMU fit to be shipped?"

_LONGEST = 2**20  # bytes of an expectation file
_FORMATS = ("text", "json", "junit", "tap", "tmt")
_SEVERITIES = ("error", "warning", "info")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_plan(parser)
    against = parser.add_argument_group("what to hold it against")
    against.add_argument("--expect", type=Path, metavar="FILE", help="findings that are known, with reasons")
    against.add_argument(
        "--baseline",
        type=Path,
        metavar="RECORD",
        help="an older build's record: what changed, on all machine types unless --machine names some",
    )
    output = parser.add_argument_group("output")
    output.add_argument("--format", choices=_FORMATS, default="text")
    output.add_argument(
        "--fail-on", choices=_SEVERITIES, default="error", help="exit status 1 from this severity on"
    )
    output.add_argument(
        "--skip-missing", action="store_true", help="exit status 77 if there is no such emulator"
    )
    output.add_argument("-q", "--quiet", action="store_true", help="print nothing if nothing fails")


def run(arguments: argparse.Namespace) -> int:
    """Check, print, and return the exit status."""
    commands = [[name] for name in arguments.emulators] + ([arguments.command] if arguments.command else [])
    expectations, baseline = _expectations(arguments.expect), _baseline(arguments.baseline)
    if baseline is not None and not arguments.machine:
        arguments.all_machines = True
    commands = [resolved(c) for c in commands or host(skip_missing=arguments.skip_missing)]
    results = probed(commands, arguments)

    from onpanic.check import Asked, Report, exit_status, report_of, with_stale_entries
    from onpanic.check.formats import FORMATS
    from onpanic.cli.files import write_result

    asked = Asked(tuple(arguments.machine), arguments.all_machines, arguments.acpi)
    check = partial(report_of, asked=asked, expectations=expectations, baseline=baseline)
    reports: list[Report] = []
    for command, name, result in zip(commands, _names(commands), results, strict=True):
        report = _report(printable(" ".join(command)), name, result, check)
        if report.problem and arguments.skip_missing and isinstance(result, StartError) and result.missing:
            report = Report(report.emulator, name, skipped=report.problem)
        reports.append(report)
    reports = with_stale_entries(reports, expectations, complete=arguments.all_machines)
    for report in reports:
        if report.problem:
            complain(report.problem, report.hint)
    status = exit_status(reports, arguments.fail_on)
    if status or not arguments.quiet:
        printed = FORMATS[arguments.format](reports, arguments.fail_on)
        if arguments.format == "text":
            print(printed, end="")
        else:  # whatever encoding stdout has
            write_result(None, printed.encode())
    return status


def _names(commands: Sequence[Sequence[str]]) -> list[str]:
    """Return a name for each emulator; those that would be the same are numbered."""
    names = [printable(name_of(command)) for command in commands]
    return [
        name if names.count(name) == 1 else f"{name}-{names[: i + 1].count(name)}"
        for i, name in enumerate(names)
    ]


def _report(
    emulator: str,
    name: str,
    result: "CapabilityRecord | OnpanicError",
    check: "Callable[[CapabilityRecord, str, str], Report]",
) -> "Report":
    from onpanic.check import Report

    try:
        if isinstance(result, OnpanicError):
            raise result
        return check(result, emulator, name)
    except OnpanicError as error:
        return Report(emulator, name, problem=error.message, hint=error.hint)


def _expectations(path: Path | None) -> "tuple[Expectation, ...]":
    if path is None:
        return ()
    from onpanic.check import ExpectationError, parsed
    from onpanic.cli.files import read_bounded

    try:
        data = read_bounded(path, _LONGEST)
        if len(data) > _LONGEST:
            raise ExpectationError(f"{path}: longer than {_LONGEST >> 10} KiB", "is it the right file?")
        return parsed(data.decode(), str(path))
    except UnicodeDecodeError as error:
        raise ExpectationError(f"{path}: not UTF-8", "it is a TOML file") from error


def _baseline(path: Path | None) -> "CapabilityRecord | None":
    if path is None:
        return None
    from onpanic.cli.files import read_record

    return read_record(path)
