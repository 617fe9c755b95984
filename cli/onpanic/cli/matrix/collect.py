"""Collect records of many emulators, with all their machine types, and of libvirts, in a folder.

Each record is written as soon as it is complete.  A second run asks only emulators that have
changed or have no record; a libvirt is asked in each run.  A record is never replaced by one that
knows less.
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

from onpanic.cli.emulators import add_limits
from onpanic.cli.exit_status import ERROR, OK
from onpanic.cli.output import complain, print_json
from onpanic.cli.signals import interruptible, print_on_exit
from onpanic.core.errors import FileError, OnpanicError, UsageError
from onpanic.probe.host import resolve_command

if TYPE_CHECKING:
    from onpanic.matrix.collecting.workers import CollectOutcome
    from onpanic.matrix.sources.subjects import Subject

TAKES_COMMAND = True


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("emulators", nargs="*", metavar="EMULATOR", help="path or name of a QEMU emulator")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="DIR", help="the folder of records"
    )
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
        "--libvirt",
        action="append",
        default=[],
        metavar="URI",
        help="the libvirt of this connection, on this host; repeatable.  About 25 guests of 16 MiB without a"
        " disk (on Xen, of up to 32 MiB) are started there, panic, and are removed again; other domains are"
        " left alone",
    )
    other.add_argument(
        "--debian-libvirts",
        nargs="+",
        default=[],
        metavar="SUITE",
        help="the libvirts of Debian suites, each with the suite's QEMU; installs nothing",
    )
    other.add_argument(
        "--recordings", nargs="+", default=[], metavar="PATH", help="recordings, or folders of them"
    )
    other.add_argument(
        "--records",
        nargs="+",
        default=[],
        metavar="PATH",
        help="records that onpanic probe --format json wrote, or folders of them; to a record in DIR of the"
        " same build, only the answers of --acpi are added",
    )
    other.add_argument(
        "--libvirt-replies",
        nargs="+",
        default=[],
        metavar="PATH",
        help="QMP replies recorded by libvirt's tests: files, a folder, or a checkout of libvirt",
    )
    how = parser.add_argument_group("how to ask")
    how.add_argument(
        "--acpi", action="store_true", help="also boot the firmware and read the guest's ACPI tables"
    )
    how.add_argument("--again", action="store_true", help="also ask emulators that have not changed")
    add_limits(how)
    parser.add_argument(
        "--format", choices=("text", "json"), default="text", help="json: one outcome per line"
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing on success")


def run(arguments: argparse.Namespace) -> int:
    """Collect records, print what became of each subject, and return the exit status."""
    from onpanic.matrix.collecting.collection import collect
    from onpanic.matrix.collecting.workers import CollectOutcome
    from onpanic.probe.asking.plan import ProbePlan

    start = time.monotonic()
    unavailable: list[CollectOutcome] = []
    subjects: list[Subject] = []
    for found in _subjects(arguments):
        if isinstance(found, CollectOutcome):
            unavailable.append(found)
        else:
            subjects.append(found)
    libvirts = [*arguments.libvirt, *arguments.debian_libvirts]
    if not subjects and not unavailable and not libvirts:
        sources = (
            "emulators, --debian, --libvirt, --debian-libvirts, --recordings, --records or --libvirt-replies"
        )
        raise UsageError("nothing to collect", f"name {sources}")
    plan = ProbePlan(all_machines=True, acpi=arguments.acpi, timeout=arguments.timeout, jobs=arguments.jobs)
    try:
        with _progress(len(subjects), wanted=not arguments.quiet) as progress:
            outcomes = collect(subjects, plan, arguments.output, again=arguments.again, progress=progress)
        if libvirts:
            outcomes += _libvirts(arguments)
    except OSError as error:
        raise FileError(
            f"{arguments.output}: cannot be written: {error.strerror}", "name another folder"
        ) from error
    return _report([*unavailable, *outcomes], arguments, time.monotonic() - start)


def _libvirts(arguments: argparse.Namespace) -> "list[CollectOutcome]":
    """Collect the records of the libvirts that the command line names, and return their outcomes."""
    from onpanic.cli.matrix.collect_libvirts import collect_libvirts

    found = collect_libvirts(
        arguments.libvirt,
        arguments.debian_libvirts,
        arguments.output,
        unpacked=arguments.suites,
        quiet=arguments.quiet,
    )
    return list(found)


def _subjects(arguments: argparse.Namespace) -> "Iterator[Subject | CollectOutcome]":
    """Yield the subjects that the command line names, and a failure for each that is unavailable."""
    commands = [[name] for name in arguments.emulators] + ([arguments.command] if arguments.command else [])
    for command in commands:
        yield from _attempt(" ".join(command), partial(_emulator, command))
    for suite in dict.fromkeys(arguments.debian):
        yield from _attempt(suite, partial(_suite, suite, arguments))
    for path in map(Path, arguments.recordings):
        yield from _attempt(str(path), partial(_recordings, path))
    for path in map(Path, arguments.records):
        yield from _attempt(str(path), partial(_records, path))
    for path in map(Path, arguments.libvirt_replies):
        yield from _attempt(str(path), partial(_replies, path))


def _attempt(name: str, find: "Callable[[], Iterable[Subject]]") -> "Iterable[Subject | CollectOutcome]":
    """Return what a function finds, or a failure of this name."""
    from onpanic.matrix.collecting.workers import CollectOutcome

    try:
        found = list(find())
    except OnpanicError as error:
        return [CollectOutcome(name, "failed", why=error.message, hint=error.hint)]
    return found or [CollectOutcome(name, "failed", why=f"{name}: holds nothing that can be collected")]


def _emulator(command: Sequence[str]) -> "Iterable[Subject]":
    from onpanic.matrix.sources.subjects import emulator

    program, *rest = resolve_command(command)
    return [emulator([str(Path(program).absolute()) if "/" in program else program, *rest])]


def _recordings(path: Path) -> "Iterable[Subject]":
    from onpanic.matrix.sources.subjects import recording

    return map(recording, sorted(path.glob("*.jsonl")) if path.is_dir() else [path])


def _records(path: Path) -> "Iterable[Subject]":
    from onpanic.matrix.records.record_files import record_files
    from onpanic.matrix.sources.subjects import record

    return map(record, record_files(path) if path.is_dir() else [path])


def _replies(path: Path) -> "Iterable[Subject]":
    from onpanic.matrix.sources.libvirt_replies import replies_files
    from onpanic.matrix.sources.subjects import replies

    return map(replies, replies_files(path) if path.is_dir() else [path])


def _suite(suite: str, arguments: argparse.Namespace) -> "Iterable[Subject]":
    from onpanic.matrix.sources.debian_suites import ALL_PACKAGES, default_folder, fetch
    from onpanic.matrix.sources.subjects import in_suite

    folder = arguments.suites or default_folder()
    if not arguments.quiet and sys.stderr:
        print(f"onpanic: {suite}: fetching its emulators, unless they are in {folder}", file=sys.stderr)
    with interruptible():  # apt's processes must not outlive this one
        return list(in_suite(fetch(suite, ALL_PACKAGES, into=folder)))


@contextmanager
def _progress(total: int, *, wanted: bool) -> "Iterator[Callable[[CollectOutcome], None]]":
    """Show progress on a terminal, and set what is printed if a signal ends the command.

    :param total: The number of subjects.
    :param wanted: Whether to show a progress bar on a terminal.
    """
    done = 0

    def note(outcome: "CollectOutcome") -> None:
        nonlocal done
        done += 1
        print_on_exit(f"{done} of {total} done; run it again to continue")
        show(outcome.machines)

    with contextlib.ExitStack() as stack:
        show: Callable[[int], None] = lambda _machines: None  # noqa: E731
        if wanted and sys.stderr and sys.stderr.isatty():
            from onpanic.cli.terminal import collection_progress

            show = stack.enter_context(collection_progress(total))
        yield note
    print_on_exit("")


def _report(outcomes: "Sequence[CollectOutcome]", arguments: argparse.Namespace, took: float) -> int:
    """Print the outcomes, and return the exit status."""
    import msgspec

    from onpanic.core.untrusted import wellformed

    for outcome in outcomes:
        if arguments.format == "json" and not arguments.quiet:
            print_json(msgspec.json.encode(wellformed(msgspec.to_builtins(outcome))))
        elif outcome.why:
            complain(f"{outcome.subject}: {outcome.why.removeprefix(f'{outcome.subject}: ')}", outcome.hint)
    counts = Counter(outcome.state for outcome in outcomes)
    if not arguments.quiet and arguments.format == "text":
        words = [f"{counts[state]} {state}" for state in ("collected", "unchanged", "kept", "failed")]
        summary = ", ".join(word for word in words if not word.startswith("0 "))
        machines = sum(outcome.machines for outcome in outcomes)  # libvirts are not asked about them
        asked = f"; {machines} machine types asked" if machines else ""
        print(f"{arguments.output}: {summary}{asked} in {took:.1f} s")
    return ERROR if counts["failed"] or any(outcome.why for outcome in outcomes) else OK
