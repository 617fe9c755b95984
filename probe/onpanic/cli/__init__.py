"""The command ``onpanic``.

Each subcommand is a module with ``HELP``, ``configure(parser)`` and ``run(arguments)``;
only the one that was asked for is imported, so that ``onpanic probe`` starts fast.
Results go to stdout, everything else to stderr.  Exit status: 0 ok, 1 refused, 2 could
not run, 77 skipped.
"""

import argparse
import contextlib
import io
import json
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import NoReturn

from onpanic.probe.errors import OnpanicError
from onpanic.probe.foreign import printable
from onpanic.probe.version import __version__

__all__ = (
    "COMMANDS",
    "complain",
    "console",
    "interruptible",
    "main",
    "print_json",
    "print_note",
    "seconds",
)

#: Subcommands, in the order of the help, with the module that each is.
COMMANDS = {
    "probe": "onpanic.cli.probe",
    "accept": "onpanic.cli.accept",
    "check": "onpanic.cli.check",
    "to-libvirt": "onpanic.cli.to_libvirt",
    "from-libvirt": "onpanic.cli.from_libvirt",
    "domcaps": "onpanic.cli.domcaps",
    "status": "onpanic.cli.status",
    "resume": "onpanic.cli.resume",
    "watch": "onpanic.cli.watch",
    "matrix collect": "onpanic.cli.matrix.collect",
    "matrix build": "onpanic.cli.matrix.build",
    "matrix show": "onpanic.cli.matrix.show",
    "matrix diff": "onpanic.cli.matrix.diff",
    "explain": "onpanic.cli.explain",
}

#: What is said last when a signal ends the command.
last_words = ""

_ERROR = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status.

    :param argv: The arguments; those of the process if None.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        return _run(words)
    except OnpanicError as error:
        complain(error.message, error.hint)
        return error.exit_status
    except KeyboardInterrupt as end:
        return 128 + (end.args[0] if end.args else signal.SIGINT)
    except SystemExit as end:  # argparse's
        return end.code if isinstance(end.code, int) else _ERROR
    except BrokenPipeError:
        with contextlib.suppress(OSError):  # the reader has seen enough; nor is stdout flushed at exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except OSError as error:  # what is printed cannot be written
        print(f"onpanic: {error}", file=sys.stderr)
        return _ERROR


def console() -> NoReturn:
    """Be the command: run `main` and end the process, on a signal at once."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # nohup(1)
            signal.signal(number, _leave)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # None if it was closed
            stream.reconfigure(errors="backslashreplace")
    status = main()
    with contextlib.suppress(OSError, AttributeError):  # `main` has said so; or it was closed
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(status)  # taking the interpreter down tidily costs a tenth of the whole command


def _run(words: list[str]) -> int:
    name = next((known for known in COMMANDS if words[: len(known.split())] == known.split()), "")
    if not name:
        of_it = [two for two in COMMANDS if two.split()[0] in words[:1]]
        if of_it and words[1:] not in ([], ["-h"], ["--help"]):
            raise OnpanicError(f"no command {' '.join(words[:2])}", f"there are: {', '.join(of_it)}")
        _overview().parse_args(["--help"] if of_it or not words else words[:1])
    module = import_module(COMMANDS[name])
    parser = argparse.ArgumentParser(
        prog=f"onpanic {name}",
        description=module.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.configure(parser)
    # argparse has no notion of "all the rest is a command"
    rest = words[len(name.split()) :]
    command = rest[rest.index("--") + 1 :] if "--" in rest else []
    arguments = parser.parse_intermixed_args(rest[: rest.index("--")] if "--" in rest else rest)
    arguments.command = command
    if "--" in rest and not command:
        raise OnpanicError("nothing follows --", "name the command that starts an emulator")
    if command and not getattr(module, "TAKES_COMMAND", False):
        raise OnpanicError(f"onpanic {name} takes no command after --", f"onpanic {name} --help")
    status: int = module.run(arguments)
    if sys.stdout:
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


def seconds(text: str) -> float:
    """Read an option's value as seconds.

    :raise argparse.ArgumentTypeError: When it is no time to wait.
    """
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 86400:
        raise argparse.ArgumentTypeError("more than 0 seconds, and less than a day")
    return value


def complain(message: str, hint: str = "") -> None:
    """Say on stderr what failed and what to do, a line each, behind what was printed before."""
    if sys.stdout:
        sys.stdout.flush()
    print(f"onpanic: {printable(message)}", file=sys.stderr)
    if hint:
        print(f"onpanic: hint: {hint}", file=sys.stderr)


def print_note(message: str, remedy: str = "") -> None:
    """Say on stderr what is worth knowing, and what to do about it, a line each; no complaint."""
    print(f"onpanic: note: {printable(message)}", file=sys.stderr)
    if remedy:
        print(f"onpanic: note:   {printable(remedy)}", file=sys.stderr)


def print_json(data: bytes) -> None:
    """Print a JSON document on a line of its own, in whatever encoding stdout has."""
    text = data.decode()
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(json.loads(text))  # in ASCII
    print(text)


def _leave(number: int, _frame: object) -> None:
    """End at once: an exception from here can be lost, and the lifeline ends the emulators."""
    if sys.stderr and sys.stderr.isatty():
        os.write(sys.stderr.fileno(), b"\033[?25h")  # the cursor that a progress bar hides
    if sys.stderr and last_words:
        os.write(sys.stderr.fileno(), f"\nonpanic: {last_words}\n".encode())
    os._exit(128 + number)


@contextmanager
def interruptible() -> Iterator[None]:
    """Let signals raise KeyboardInterrupt for a while: there are processes to end that no lifeline ends."""

    def interrupt(number: int, _frame: object) -> NoReturn:
        raise KeyboardInterrupt(number)

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        for number in numbers:
            if before[number] != signal.SIG_IGN:
                signal.signal(number, interrupt)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
