"""Run a QEMU, and tell why its guest panicked.

The command after -- runs on this terminal.  Added to it are a panic notifier and the vmcoreinfo device,
where its machine type takes them, and a QMP monitor for onpanic.  SIGINT, SIGTERM, SIGHUP and SIGQUIT are
passed on to it.

Exit status: 86 if the guest panicked; 87 if it resets itself in a loop; 124 if it has run for the time of
--timeout; QEMU's own otherwise.  With 86, 87 and 124, what the guest said last is printed on stderr.
"""

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from onpanic.cli.options import add_lines, count, seconds
from onpanic.cli.output import print_error
from onpanic.core.errors import FileError, UsageError

if TYPE_CHECKING:
    from onpanic.run.run_result import RunResult

TAKES_COMMAND = True

_LINES = 40
_RESETS = 20


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.usage = "%(prog)s [options] -- QEMU..."
    add_lines(parser, _LINES)
    parser.add_argument(
        "--timeout", type=seconds, metavar="SECONDS", help="end the guest after SECONDS (default: never)"
    )
    parser.add_argument(
        "--look",
        type=seconds,
        metavar="SECONDS",
        help="look for a panic in the guest's log every SECONDS, which stops it for a moment; for guests "
        "without a notifier's driver (default: never)",
    )
    parser.add_argument(
        "--dump", type=Path, metavar="FILE", help="write the guest's memory to FILE if it panicked, as ELF"
    )
    parser.add_argument("--report", type=Path, metavar="FILE", help="write the result to FILE, as JSON")
    parser.add_argument(
        "--resets",
        type=count,
        default=_RESETS,
        metavar="N",
        help=f"end a guest that resets itself N times, within 10 s each; 0: never (default: {_RESETS})",
    )
    parser.add_argument("--no-notifier", action="store_true", help="do not add a panic notifier")
    parser.add_argument("--no-vmcoreinfo", action="store_true", help="do not add the device vmcoreinfo")
    parser.add_argument(
        "--keep",
        action="store_true",
        help="do not end QEMU after a panic: the guest stays stopped, e.g. for a debugger",
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the command until it ends, print what is to be said, and return the exit status."""
    if not arguments.command:
        raise UsageError("onpanic run requires a command", "onpanic run -- qemu-system-x86_64 ...")
    result = _run(arguments)
    from onpanic.run.run_result import result_lines

    for line in result_lines(result, arguments.lines):
        print_error(line)
    if arguments.report is not None:
        _write(arguments.report, result)
    return result.status


def _run(arguments: argparse.Namespace) -> "RunResult":
    from onpanic.probe.emulator.reaper import Reaper
    from onpanic.run.accepted_devices import accepted_devices
    from onpanic.run.run_command import read_command
    from onpanic.run.run_settings import RunSettings
    from onpanic.run.run_start import start_run
    from onpanic.run.signal_forwarder import SignalForwarder

    command = read_command(arguments.command)
    for path in filter(None, (arguments.dump, arguments.report)):
        _check_file(path)
    settings = RunSettings(
        arguments.timeout, arguments.dump, arguments.resets, arguments.keep, arguments.look
    )
    with Reaper() as reaper:
        accepted = accepted_devices(
            command,
            reaper,
            notifier=not arguments.no_notifier,
            vmcoreinfo=not arguments.no_vmcoreinfo,
        )
        with SignalForwarder() as signals:
            started = start_run(command, accepted, reaper, signals)
            import asyncio  # what follows is loaded while QEMU starts

            from onpanic.run.run_guest import run_guest

            return asyncio.run(run_guest(started, settings, _say))


def _write(path: Path, result: "RunResult") -> None:
    """Write the result, and say so if that fails: how the run ended counts more."""
    import msgspec

    from onpanic.core.files import write_atomically

    try:
        write_atomically(path, msgspec.json.encode(result) + b"\n")
    except OSError as error:
        print_error(f"onpanic: no report: {path}: {error.strerror}")


def _check_file(path: Path) -> None:
    """Check that a file can be written at the end.

    :raise FileError: When it is a folder, or cannot be written, or made in its own folder.
    """
    if path.is_dir():
        raise FileError(f"{path}: is a folder", "name a file")
    if path.exists() and not path.is_file():  # a pipe or a device is written to as it is
        if not os.access(path, os.W_OK):
            raise FileError(f"{path}: cannot be written to", "name another file")
    elif not os.access(path.parent, os.W_OK):
        raise FileError(
            f"{path.parent}: is not a folder that can be written to", "name a file in another folder"
        )


def _say(text: str) -> None:
    """Print a line while QEMU may have taken the terminal's line ends away."""
    print_error(f"onpanic: {text}" + "\r" * (sys.stderr is not None and sys.stderr.isatty()))
