"""Check what emulators do when a guest panics, as a distribution's CI does before it ships them.

Findings go to stdout, the most severe first; onpanic explain TAG explains one.

Exit status: 0 if nothing was found; 1 if a finding is at least as severe as --fail-on; 2 if an
emulator could not be checked (the others are checked all the same).
"""

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from onpanic.cli.emulators import add_plan, host, probed
from onpanic.cli.output import complain
from onpanic.core.errors import ExpectationError, FileError, OnpanicError, StartError
from onpanic.core.untrusted import printable
from onpanic.probe.emulator.command_line import program_name
from onpanic.probe.host import resolve_command

if TYPE_CHECKING:  # imported by the functions, after the emulators were probed
    from onpanic.check import Expectation, Report
    from onpanic.probe.record.capability_record import CapabilityRecord

TAKES_COMMAND = True

_LIMIT = 2**20  # bytes of an expectation file
_FORMATS = ("text", "json", "junit", "tap", "tmt")
_SEVERITIES = ("error", "warning", "info")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_plan(parser)
    against = parser.add_argument_group("what to compare with")
    against.add_argument("--expect", metavar="FILE", help="a file of expected findings, with reasons")
    against.add_argument(
        "--baseline",
        metavar="RECORD",
        help="an older build's record; changes are findings (on all machine types, or those of --machine)",
    )
    output = parser.add_argument_group("output")
    output.add_argument(
        "--format", choices=_FORMATS, default="text", help="form of the output (default: text)"
    )
    output.add_argument(
        "--fail-on", choices=_SEVERITIES, default="error", help="exit with status 1 from this severity on"
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
    commands = [resolve_command(c) for c in commands or host(skip_missing=arguments.skip_missing)]
    results = probed(commands, arguments)

    from onpanic.check import Asked, Report, exit_status, report_of, with_stale_entries
    from onpanic.check.formats import FORMATS
    from onpanic.cli.argument_files import write_result

    asked = Asked(tuple(arguments.machine), arguments.all_machines, arguments.acpi, arguments.notifier)
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
        else:  # in UTF-8, whatever stdout's encoding is
            write_result(None, printed.encode())
    return status


def _names(commands: Sequence[Sequence[str]]) -> list[str]:
    """Return a name for each emulator; equal ones are numbered."""
    names = [printable(program_name(command)) for command in commands]
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


def _expectations(path: str | None) -> "tuple[Expectation, ...]":
    """Return the entries of an expectation file.  Raises `ExpectationError`."""
    if path is None:
        return ()
    from onpanic.check import parsed
    from onpanic.cli.argument_files import read_bounded

    try:
        data = read_bounded(path, _LIMIT)
        if len(data) > _LIMIT:
            raise ExpectationError(f"{path}: longer than {_LIMIT >> 10} KiB", "is it the right file?")
        return parsed(data.decode(), path)
    except UnicodeDecodeError as error:
        raise ExpectationError(f"{path}: not UTF-8", "it is a TOML file") from error
    except FileError as error:
        raise ExpectationError(error.message, error.hint) from error


def _baseline(path: str | None) -> "CapabilityRecord | None":
    if path is None:
        return None
    from onpanic.cli.argument_files import read_record

    return read_record(path)
