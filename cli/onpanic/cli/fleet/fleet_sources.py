"""Reading a fleet: the documents that arguments name, and the options about which of them count."""

import argparse
import errno
import gc
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO

from onpanic.core.errors import FileError, UsageError
from onpanic.fleet.documents.document_files import documents_of
from onpanic.fleet.documents.fleet import Fleet
from onpanic.fleet.documents.read_fleet import read_fleet

__all__ = ("add_reading_options", "add_sources", "age", "fleet_of", "read_names")

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_LONGEST_AGE = 100 * 366 * 86400
_HINT = "onpanic host --format json prints the record of a host; give files or folders of such records"


def add_sources(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of a command that reads one fleet, see `fleet_of`."""
    parser.add_argument(
        "sources",
        nargs="+",
        metavar="DIR|FILE",
        help="records of hosts: one per file, one per line, or a JSON array; - for standard input",
    )
    add_reading_options(parser)


def add_reading_options(parser: argparse.ArgumentParser) -> None:
    """Add the options about which documents and hosts count."""
    parser.add_argument(
        "--expected",
        metavar="FILE",
        help="names of hosts, one per line: a host without a record counts as one that did not answer",
    )
    parser.add_argument(
        "--max-age", type=age, metavar="AGE", help="note records that are older, such as 12h or 7d"
    )


def fleet_of(sources: Sequence[str], arguments: argparse.Namespace, now: datetime | None = None) -> Fleet:
    """Return the fleet that sources describe.

    :param sources: Files and folders; ``-`` for standard input.
    :param arguments: What the options of `add_reading_options` say.
    :param now: The present; by the clock if None.
    :raise FileError: When a source does not exist, or may not be read.
    :raise UsageError: When no document is the record of a host.
    """
    _check([*sources, arguments.expected] if arguments.expected == "-" else sources)
    expected = read_names(arguments.expected) if arguments.expected else []
    with _without_garbage_collection():
        found = read_fleet(
            documents_of(sources, _stdin()),
            now or datetime.now(UTC),
            expected=expected,
            max_age=arguments.max_age,
        )
    if not found.host_count:
        named = ", ".join("standard input" if one == "-" else one for one in sources[:3])
        more = f" and {len(sources) - 3} more" if len(sources) > 3 else ""
        raise UsageError(f"{named}{more}: no host's record: {_problems(found)}", _HINT)
    return found


def read_names(path: str) -> list[str]:
    """Return the names in a file, one a line; empty lines, and what follows ``#``, do not count.

    :param path: The file; ``-`` for standard input.
    :raise FileError: When it cannot be read.
    """
    try:
        data = _stdin().read() if path == "-" else Path(path).read_bytes()
    except OSError as error:
        raise FileError(
            f"{path}: {error.strerror}", "give a file with the name of a host on each line"
        ) from error
    lines = (
        line.partition("#")[0].strip() for line in data.decode("utf-8-sig", errors="replace").splitlines()
    )
    return [line for line in lines if line]


def age(text: str) -> timedelta:
    """Return the value of an option that says how old something may be: a number and a unit.

    :raise argparse.ArgumentTypeError: When it is none, or more than a hundred years.
    """
    unit = _UNITS.get(text[-1:])
    try:
        number = float(text[:-1])
    except ValueError:
        number = -1.0
    if unit is None or not 0 <= number * unit <= _LONGEST_AGE:
        raise argparse.ArgumentTypeError("a number and s, m, h, d or w, such as 12h or 7d")
    return timedelta(seconds=number * unit)


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Do without it while a fleet is read: it takes a third of the time, and there are no cycles to find."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _check(sources: Sequence[str]) -> None:
    """Check that sources can be read: a name that is mistyped must not look like a host that did not answer.

    :raise FileError: When one cannot.
    :raise UsageError: When standard input is named twice.
    """
    if sources.count("-") > 1:
        raise UsageError("standard input is named twice", "it can be read only once")
    for source in sources:
        if source != "-":
            problem = _problem(source)
            if problem:
                raise FileError(
                    f"{source or repr(source)}: {problem}", "give files or folders with the records of hosts"
                )


def _problem(source: str) -> str:
    """Return why a file or folder cannot be read; empty if it can.  It is not opened: it may be a pipe."""
    try:
        os.stat(source)  # noqa: PTH116  Path("") is a folder
    except OSError as error:
        return error.strerror or str(error)
    return "" if os.access(source, os.R_OK) else os.strerror(errno.EACCES)


def _problems(fleet: Fleet) -> str:
    """Return why a fleet has no host, in one line."""
    if not fleet.uncounted:
        return "there is no document"
    counts = Counter(one.why for one in fleet.uncounted)
    first = fleet.uncounted[0]
    total = ", ".join(f"{count} {why}" for why, count in counts.items())
    return f"{total}; {first.source or first.name}: {first.detail}"


def _stdin() -> BinaryIO:
    return sys.stdin.buffer
