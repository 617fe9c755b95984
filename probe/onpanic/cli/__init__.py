"""The command ``onpanic``.

Each subcommand is a module with ``HELP``, ``configure(parser)`` and ``run(arguments)``;
only the one that was asked for is imported, so that ``onpanic probe`` starts fast.
Results go to stdout, everything else to stderr.  Exit status: 0 ok, 1 refused, 2 could
not run, 77 skipped.
"""

import argparse
import contextlib
import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

from onpanic.probe.errors import OnpanicError
from onpanic.probe.version import __version__

__all__ = ("COMMANDS", "console", "main")

#: Subcommands, in the order of the help, with the module that each is.
COMMANDS = {
    "probe": "onpanic.cli.probe",
    "accept": "onpanic.cli.accept",
    "explain": "onpanic.cli.explain",
}

_OK, _ERROR, _INTERRUPTED = 0, 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status.

    :param argv: The arguments; those of the process if None.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)  # so that emulators end and files are whole
    try:
        return _run(words)
    except OnpanicError as error:
        print(f"onpanic: {error.message}", file=sys.stderr)
        if error.hint:
            print(f"onpanic: hint: {error.hint}", file=sys.stderr)
        return _ERROR
    except KeyboardInterrupt:
        return _INTERRUPTED
    except SystemExit as end:  # argparse's, or a signal's
        return end.code if isinstance(end.code, int) else _ERROR
    except BrokenPipeError:
        with contextlib.suppress(OSError):  # the reader has seen enough; nor is stdout flushed at exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _OK
    except OSError as error:  # what is printed cannot be written
        print(f"onpanic: {error}", file=sys.stderr)
        return _ERROR


def console() -> NoReturn:
    """Be the command: run `main` and end the process."""
    status = main()
    with contextlib.suppress(OSError):  # `main` has said so
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(status)  # taking the interpreter down tidily costs a tenth of the whole command


def _run(words: list[str]) -> int:
    name = words[0] if words else ""
    if name not in COMMANDS:
        _overview().parse_args(words or ["--help"])
    module = import_module(COMMANDS[name])
    parser = argparse.ArgumentParser(
        prog=f"onpanic {name}",
        description=module.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.configure(parser)
    # argparse has no notion of "all the rest is a command"
    rest = words[1:]
    command = rest[rest.index("--") + 1 :] if "--" in rest else []
    arguments = parser.parse_intermixed_args(rest[: rest.index("--")] if "--" in rest else rest)
    arguments.command = command
    status: int = module.run(arguments)
    sys.stdout.flush()
    return status


def _overview() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="onpanic", description="What happens when a QEMU guest panics, and what may be promised?"
    )
    parser.add_argument("--version", action="version", version=f"onpanic {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, module in COMMANDS.items():
        commands.add_parser(name, help=import_module(module).HELP)
    return parser


def _leave(number: int, _frame: object) -> None:
    raise SystemExit(128 + number)
