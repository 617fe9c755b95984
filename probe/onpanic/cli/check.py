"""Check emulators as a distribution ships them: what they do when a guest panics.

Findings go to stdout, the worst first; onpanic explain TAG says what one means.  Exit
status: 0 nothing found, 1 a finding at least as bad as --fail-on, 2 an emulator could not
be checked (the others are, all the same).
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from onpanic.cli import complain
from onpanic.cli.emulators import add_plan, host, probed
from onpanic.probe.errors import OnpanicError, StartError
from onpanic.probe.foreign import printable
from onpanic.probe.host import resolved

if TYPE_CHECKING:
    from onpanic.check import Expectation, Report
    from onpanic.probe.record import CapabilityRecord

TAKES_COMMAND = True
HELP = "is this QEMU fit to be shipped?"

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

    from onpanic.check import exit_status
    from onpanic.check.formats import FORMATS

    reports = [
        _report(printable(" ".join(command)), result, expectations, baseline, arguments)
        for command, result in zip(commands, results, strict=True)
    ]
    for report in reports:
        if report.problem:
            complain(report.problem, report.hint)
        elif report.skipped:
            print(f"onpanic: skipped: {report.skipped}", file=sys.stderr)
    status = exit_status(reports, arguments.fail_on)
    if status or not arguments.quiet:
        print(FORMATS[arguments.format](reports, arguments.fail_on), end="")
    return status


def _report(
    emulator: str,
    result: "CapabilityRecord | OnpanicError",
    expectations: "tuple[Expectation, ...]",
    baseline: "CapabilityRecord | None",
    arguments: argparse.Namespace,
) -> "Report":
    from onpanic.check import Report, report_of

    try:
        if isinstance(result, OnpanicError):
            raise result
        return report_of(
            result,
            emulator,
            expectations=expectations,
            baseline=baseline,
            complete=arguments.all_machines and not arguments.machine,
        )
    except OnpanicError as error:
        if arguments.skip_missing and isinstance(error, StartError) and error.missing:
            return Report(emulator, skipped=error.message)
        return Report(emulator, problem=error.message, hint=error.hint)


def _expectations(path: Path | None) -> "tuple[Expectation, ...]":
    if path is None:
        return ()
    from onpanic.check import ExpectationError, parsed
    from onpanic.cli.files import read_bounded

    try:
        return parsed(read_bounded(path, 2**20).decode(), str(path))
    except UnicodeDecodeError as error:
        raise ExpectationError(f"{path}: not UTF-8", "it is a TOML file") from error


def _baseline(path: Path | None) -> "CapabilityRecord | None":
    if path is None:
        return None
    from onpanic.cli.files import read_record

    return read_record(path)
