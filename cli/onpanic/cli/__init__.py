"""The command ``onpanic``: finds the subcommand in the table of `commands`, and runs it.

Only the module of the subcommand is imported, and only if it is needed: ``onpanic --version`` starts
almost as fast as the interpreter.  For the same reason this module imports nothing but `os` and `sys`
at the top: `typing`, `signal` and `contextlib` would each take longer than it does.

Results go to stdout, everything else to stderr.  The exit statuses are in `exit_status`.
"""

import os
import sys

from onpanic.cli.commands import COMMANDS, PLAIN
from onpanic.cli.output import print_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import ModuleType
    from typing import NoReturn

__all__ = ("console", "main")


def main(argv: "Sequence[str] | None" = None, *, before_run: "Callable[[], None] | None" = None) -> int:
    """Run the command line and return the exit status.  Raises nothing.

    :param argv: The arguments; those of the process if None.
    :param before_run: Called before a subcommand is loaded that may take a while.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    try:
        status = _run(argv, before_run)
        if sys.stdout:
            sys.stdout.flush()
    except BaseException as error:  # noqa: BLE001
        return _status_of(error)
    return status


def console() -> "NoReturn":
    """Run `main` as the command ``onpanic``, and end the process; a signal ends it at once."""
    _replace_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    status = main(before_run=_handle_signals)
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:  # `main` has reported it
        pass
    os._exit(status)  # finalising the interpreter takes a tenth of the whole command


def _run(argv: list[str], before_run: "Callable[[], None] | None") -> int:
    if argv[:1] == ["--version"]:
        from onpanic.core.version import __version__

        print(f"onpanic {__version__}")
        return 0
    name = next((known for known in COMMANDS if argv[: len(known.split())] == known.split()), None)
    if name is None:
        return _without_command(argv)
    path, rest = COMMANDS[name][0], argv[len(name.split()) :]
    if name in PLAIN:
        answered: int | None = _imported(PLAIN[name]).run_plain(rest)
        if answered is not None:
            return answered
    if before_run:
        before_run()
    from onpanic.cli.options import parse

    module = _imported(path)
    status: int = module.run(parse(name, module, rest))
    return status


def _status_of(error: BaseException) -> int:
    try:
        from onpanic.cli.exit_status import status_of

        return status_of(error)
    except BaseException:  # noqa: BLE001  no memory or no file descriptor is left to report it
        print_error(f"onpanic: {type(error).__name__}: {error}")
        return 70  # as `exit_status` has it


def _without_command(argv: list[str]) -> int:
    """Handle a command line without a known subcommand: print the overview if it was asked for.

    :raise UsageError: When the arguments name no command.
    """
    group = [name for name in COMMANDS if " " in name and name.split()[0] in argv[:1]]
    if argv[bool(group) :] in ([], ["-h"], ["--help"]):
        from onpanic.cli.commands import overview

        print(overview(argv[0] if group else ""), end="")
        return 0
    from onpanic.core.errors import UsageError

    if group:
        raise UsageError(f"{group[0].split()[0]} has no command {argv[1]!r}", f"it has: {', '.join(group)}")
    kind = "option" if argv[0].startswith("-") else "command"
    raise UsageError(f"there is no {kind} {argv[0]!r}", "onpanic --help lists the commands")


def _imported(path: str) -> "ModuleType":
    import importlib

    return importlib.import_module(path)


def _handle_signals() -> None:
    from onpanic.cli.signals import exit_on_signals

    exit_on_signals()


def _replace_closed_streams() -> None:
    """Open what was closed, so that no other file gets the number of a standard stream.

    What is read from stdin or written to stdout then fails with EBADF, which `exit_status` reports.
    """
    for number, flags in enumerate((os.O_WRONLY, os.O_RDONLY, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, flags), True)  # the lowest free number; children need it
    if sys.stdin is None:
        sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", encoding="utf-8", closefd=False)
