"""Options: the parser of a subcommand, and the types of values that several subcommands take."""

import argparse
from collections.abc import Sequence
from types import ModuleType

from onpanic.core.errors import UsageError

__all__ = (
    "add_lines",
    "add_policy_details",
    "add_timeout",
    "count",
    "jobs",
    "parse",
    "parser_of",
    "seconds",
    "text",
)

_MOST_JOBS = 10_000
_MOST_COUNTED = 9_999_999


def parser_of(name: str, module: ModuleType) -> argparse.ArgumentParser:
    """Return the parser of a subcommand, which its manual page and its completion are written from, too.

    :param name: The subcommand.
    :param module: Its module, see `onpanic.cli.commands.COMMANDS`.
    """
    parser = argparse.ArgumentParser(
        prog=f"onpanic {name}",
        description=module.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.configure(parser)
    return parser


def parse(name: str, module: ModuleType, argv: Sequence[str]) -> argparse.Namespace:
    """Parse the arguments of a subcommand.

    :param name: The subcommand.
    :param module: Its module, see `onpanic.cli.commands.COMMANDS`.
    :param argv: The arguments after the subcommand.
    :return: The arguments; ``command`` has those after ``--``, which argparse cannot keep together.
    :raise UsageError: When nothing follows ``--``, or the subcommand takes none.
    :raise SystemExit: When the arguments are wrong, or ask for help; usage or help has been printed.
    """
    parser = parser_of(name, module)
    rest = list(argv)
    _check(rest)
    command = rest[rest.index("--") + 1 :] if "--" in rest else []
    arguments = parser.parse_intermixed_args(rest[: rest.index("--")] if "--" in rest else rest)
    arguments.command = command
    if "--" in rest and not command:
        raise UsageError("nothing follows --", "name the command that starts an emulator")
    if command and not getattr(module, "TAKES_COMMAND", False):
        raise UsageError(f"onpanic {name} takes no command after --", f"onpanic {name} --help")
    return arguments


def _check(argv: Sequence[str]) -> None:
    """Raise `UsageError` for arguments that no option takes, and that argparse or the system mishandles."""
    for argument in argv:
        if "\0" in argument:
            raise UsageError("an argument has a NUL byte", "no name, number or address has one")
        if argument.startswith("-") and argument.endswith("=--"):  # argparse makes a list of it
            raise UsageError(
                f"{argument}: -- is not a value", "leave the option out, or give it another value"
            )


def add_policy_details(group: argparse._ActionsContainer) -> None:
    """Add the options of a policy beside its ``<on_panic>`` value."""
    group.add_argument("--coredump", action="store_true", help="with a dump of the guest's memory first")
    group.add_argument("--on-crash", metavar="V", help="the <on_crash> value beside it")
    group.add_argument(
        "--on-crash-coredump", action="store_true", help="with a dump first on a crash as well"
    )
    group.add_argument(
        "--grace", type=float, metavar="SECONDS", help="let the guest help itself for so long first"
    )


def add_timeout(group: argparse._ActionsContainer, default: float, what: str) -> None:
    """Add the option ``--timeout``.

    :param default: Seconds.
    :param what: What the time is for, for the help.
    """
    group.add_argument(
        "--timeout", type=seconds, default=default, metavar="SECONDS", help=f"{what} (default: {default:g})"
    )


def add_lines(group: argparse._ActionsContainer, default: int) -> None:
    """Add the option ``--lines``.

    :param default: How many lines of a guest's log are shown without it.
    """
    said = f"how many lines of the guest's log to show, from its end (default: {default})"
    group.add_argument("--lines", type=count, default=default, metavar="N", help=said)


def seconds(text: str) -> float:
    """Return the value of an option as seconds.

    :raise argparse.ArgumentTypeError: When it is not between 0 and a day.
    """
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 86400:
        raise argparse.ArgumentTypeError("more than 0 seconds, and less than a day")
    return value


def count(text: str) -> int:
    """Return the value of an option that says how many.

    :raise argparse.ArgumentTypeError: When it is not a number, or negative or very large.
    """
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(_MOST_COUNTED))):
        raise argparse.ArgumentTypeError(f"a number from 0 to {_MOST_COUNTED}")
    return int(text)


def jobs(text: str) -> int:
    """Return the value of ``--jobs``.

    :raise argparse.ArgumentTypeError: When it is not a number, or negative or very large.
    """
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else _MOST_JOBS + 1
    if number > _MOST_JOBS:
        raise argparse.ArgumentTypeError(f"a number up to {_MOST_JOBS}; 0 for one more than there are CPUs")
    return number


def text(value: str) -> str:
    """Return the value of an option that is passed to libvirt, which takes UTF-8 only.

    :raise argparse.ArgumentTypeError: When it holds bytes that are not UTF-8.
    """
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise argparse.ArgumentTypeError("not UTF-8") from error
    return value
