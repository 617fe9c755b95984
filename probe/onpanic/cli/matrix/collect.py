"""Collect capability records of many emulators, of all their machine types, into a folder.

Each record is written as soon as it is there.  A second run asks only what has changed, or
was missing; a record is never replaced by one that knows less.
"""

import argparse
import contextlib
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from onpanic.cli import complain, interruptible, print_json
from onpanic.cli.emulators import add_limits
from onpanic.probe.errors import OnpanicError
from onpanic.probe.host import resolved

if TYPE_CHECKING:
    from onpanic.matrix.collect import Outcome
    from onpanic.matrix.subjects import Subject

TAKES_COMMAND = True
HELP = "collect records of many emulators"

_OK, _ERROR = 0, 2


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("emulators", nargs="*", metavar="EMULATOR", help="path or name of a QEMU emulator")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="the records' folder")
    other = parser.add_argument_group("other sources")
    other.add_argument(
        "--debian",
        nargs="+",
        default=[],
        metavar="SUITE",
        help="all QEMU emulators of Debian suites (bullseye, bookworm, trixie, sid); installs nothing",
    )
    other.add_argument(
        "--suites", type=Path, metavar="DIR", help="where suites are unpacked (default: in your cache)"
    )
    other.add_argument(
        "--recordings", nargs="+", default=[], metavar="PATH", help="recordings, or folders of them"
    )
    other.add_argument(
        "--libvirt-replies",
        nargs="+",
        default=[],
        metavar="PATH",
        help="QMP replies recorded by libvirt's tests: files, or a folder or checkout",
    )
    how = parser.add_argument_group("how")
    how.add_argument("--acpi", action="store_true", help="boot the firmware, too, and read its tables")
    how.add_argument("--again", action="store_true", help="ask those that have not changed, too")
    add_limits(how)
    parser.add_argument("--format", choices=("text", "json"), default="text", help="json: an outcome a line")
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing on success")


def run(arguments: argparse.Namespace) -> int:
    """Collect, say what became of each, and return the exit status."""
    from onpanic.matrix.collect import Outcome, collect
    from onpanic.probe.survey import Plan

    start = time.monotonic()
    missing: list[Outcome] = []
    subjects: list[Subject] = []
    for what in _sources(arguments):
        if isinstance(what, Outcome):
            missing.append(what)
        else:
            subjects.append(what)
    if not subjects and not missing:
        raise OnpanicError(
            "nothing to collect", "name emulators, --debian, --recordings or --libvirt-replies"
        )
    plan = Plan(all_machines=True, acpi=arguments.acpi, timeout=arguments.timeout, jobs=arguments.jobs)
    try:
        with _progress(len(subjects), wanted=not arguments.quiet) as progress:
            outcomes = collect(subjects, plan, arguments.output, again=arguments.again, progress=progress)
    except OSError as error:
        raise OnpanicError(
            f"{arguments.output}: cannot be written: {error.strerror}", "name another folder"
        ) from error
    return _report([*missing, *outcomes], arguments, time.monotonic() - start)


def _sources(arguments: argparse.Namespace) -> "Iterator[Subject | Outcome]":
    """Yield what there is to collect, and what of it cannot be had."""
    commands = [[name] for name in arguments.emulators] + ([arguments.command] if arguments.command else [])
    for command in commands:
        yield from _attempt(" ".join(command), partial(_emulator, command))
    for suite in dict.fromkeys(arguments.debian):
        yield from _attempt(suite, partial(_suite, suite, arguments))
    for path in map(Path, arguments.recordings):
        yield from _attempt(str(path), partial(_recordings, path))
    for path in map(Path, arguments.libvirt_replies):
        yield from _attempt(str(path), partial(_replies, path))


def _attempt(name: str, make: "Callable[[], Iterable[Subject]]") -> "Iterable[Subject | Outcome]":
    from onpanic.matrix.collect import Outcome

    try:
        found = list(make())
    except OnpanicError as error:
        return [Outcome(name, "failed", why=error.message, hint=error.hint)]
    return found or [Outcome(name, "failed", why=f"{name}: holds nothing that can be collected")]


def _emulator(command: Sequence[str]) -> "Iterable[Subject]":
    from onpanic.matrix.subjects import emulator

    program, *rest = resolved(command)
    return [emulator([str(Path(program).absolute()) if "/" in program else program, *rest])]


def _recordings(path: Path) -> "Iterable[Subject]":
    from onpanic.matrix.subjects import recording

    return map(recording, sorted(path.glob("*.jsonl")) if path.is_dir() else [path])


def _replies(path: Path) -> "Iterable[Subject]":
    from onpanic.matrix.replies import replies_files
    from onpanic.matrix.subjects import replies

    return map(replies, replies_files(path) if path.is_dir() else [path])


def _suite(suite: str, arguments: argparse.Namespace) -> "Iterable[Subject]":
    from onpanic.matrix.debian import ALL_PACKAGES, FetchError, default_folder, fetch
    from onpanic.matrix.subjects import in_suite

    folder = arguments.suites or default_folder()
    if not arguments.quiet and sys.stderr:
        print(f"onpanic: {suite}: fetching its emulators, unless they are in {folder}", file=sys.stderr)
    try:
        with interruptible():  # apt's processes must not outlive this one
            return list(in_suite(fetch(suite, ALL_PACKAGES, into=folder)))
    except FetchError as error:
        message, _, hint = str(error).partition("\n")
        raise OnpanicError(message, hint.removeprefix("next: ")) from error


@contextmanager
def _progress(total: int, *, wanted: bool) -> "Iterator[Callable[[Outcome], None]]":
    """Show progress on a terminal, and what is done if the run is cut short."""
    from onpanic import cli

    done = 0

    def note(outcome: "Outcome") -> None:
        nonlocal done
        done += 1
        cli.last_words = f"{done} of {total} done; run it again to go on from there"
        show(outcome.machines)

    with contextlib.ExitStack() as stack:
        show: Callable[[int], None] = lambda _machines: None  # noqa: E731
        if wanted and sys.stderr and sys.stderr.isatty():
            from onpanic.cli.terminal import collection_progress

            show = stack.enter_context(collection_progress(total))
        yield note
    cli.last_words = ""


def _report(outcomes: "Sequence[Outcome]", arguments: argparse.Namespace, took: float) -> int:
    """Print what became of everything, and return the exit status."""
    import msgspec

    from onpanic.probe.foreign import wellformed

    for outcome in outcomes:
        if arguments.format == "json" and not arguments.quiet:
            print_json(msgspec.json.encode(wellformed(msgspec.to_builtins(outcome))))
        elif outcome.why:
            complain(f"{outcome.subject}: {outcome.why.removeprefix(f'{outcome.subject}: ')}", outcome.hint)
    counts = Counter(outcome.state for outcome in outcomes)
    if not arguments.quiet and arguments.format == "text":
        words = [f"{counts[state]} {state}" for state in ("collected", "unchanged", "kept", "failed")]
        said = ", ".join(word for word in words if not word.startswith("0 "))
        machines = sum(outcome.machines for outcome in outcomes)
        print(f"{arguments.output}: {said}; {machines} machine types asked in {took:.1f} s")
    return _ERROR if counts["failed"] or any(outcome.why for outcome in outcomes) else _OK
