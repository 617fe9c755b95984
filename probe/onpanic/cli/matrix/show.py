"""Show the compatibility matrix: builds down, facts across, a letter a fact.

y yes, n no, ? not known, - nothing to ask.  Builds that answer as the one above them are
counted and left out, unless --all is given.  Facts of machine types are about the default
one (virt where there is none), or the one that --machine names; a number points to a note
on other machine types.
"""

import argparse
import sys
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from onpanic.cli import print_json
from onpanic.cli.matrix.folder import built_from, complain_of
from onpanic.cli.terminal import style_for
from onpanic.matrix.model import Build, Matrix
from onpanic.matrix.reading import published, read_matrix
from onpanic.matrix.summary import Cell, cells, machine_of
from onpanic.probe.errors import OnpanicError
from onpanic.probe.foreign import printable

HELP = "show the matrix"

_OK = 0
_KINDS = {"y": "yes", "n": "no", "?": "unknown", "-": "dim"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "matrix",
        nargs="?",
        type=Path,
        metavar="MATRIX",
        help="a matrix.json, or a folder of records (default: the matrix that comes with onpanic)",
    )
    parser.add_argument("--arch", metavar="TARGET", help="this architecture only, e.g. x86_64")
    parser.add_argument("--build", metavar="TEXT", help="builds with this in their name, version or package")
    parser.add_argument("--machine", default="", metavar="M", help="machine type or alias")
    parser.add_argument("--all", action="store_true", help="builds that answer alike, too")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="json: the matrix's own")


def run(arguments: argparse.Namespace) -> int:
    """Print, and return the exit status."""
    matrix = _matrix(arguments.matrix)
    if arguments.format == "json":
        print_json(matrix.to_json())
        return _OK
    builds = [build for build in matrix.builds if _is_wanted(build, arguments)]
    if not builds:
        raise OnpanicError("no build of the matrix is like that", "leave --arch or --build out")
    if arguments.machine and not any(machine_of(build, arguments.machine) for build in builds):
        raise OnpanicError(f"no build has a machine type {arguments.machine}", "name one, or an alias")
    style = style_for(sys.stdout)
    names = {build.id: printable(f"{build.emulator} {build.version} {build.package}", 60) for build in builds}
    width = max(map(len, names.values()))
    for depth, fact in enumerate(matrix.facts):
        print(" " * width + "  " + "|   " * depth + style.paint(fact.name, "dim"))
    notes: dict[str, int] = {}
    for target, group in groupby(builds, key=lambda build: build.target):
        print(style.paint(printable(target) or "target not told", "title"))
        for _, same in groupby(group, key=lambda build: build.emulator):
            rows = [(f"{names[build.id]:{width}}", cells(matrix, build, arguments.machine)) for build in same]
            _print(rows, notes, everything=arguments.all)
    for note, number in notes.items():
        print(f"  {number:<3} {printable(note)}")
    return _OK


def _matrix(path: Path | None) -> Matrix:
    if path is None:
        return published()
    if not path.is_dir():
        return read_matrix(path)
    matrix, problems, _ = built_from(path)
    complain_of(problems)
    return matrix


def _is_wanted(build: Build, arguments: argparse.Namespace) -> bool:
    words = f"{build.id} {build.emulator} {build.version} {build.package} {build.line}".lower()
    return arguments.arch in (None, build.target) and (arguments.build or "").lower() in words


def _print(rows: Sequence[tuple[str, list[Cell]]], notes: dict[str, int], *, everything: bool) -> None:
    """Print the rows of one emulator; those that are like the one above are counted."""
    style = style_for(sys.stdout)
    for said, group in groupby(rows, key=lambda row: row[1]):
        alike = list(group)
        shown = alike if everything else alike[:1]
        for name, _ in shown:
            marks = [f"{notes.setdefault(one.note, len(notes) + 1)}" if one.note else "" for one in said]
            letters = [style.paint(one.letter, _KINDS[one.letter]) for one in said]
            row = "".join(f"{letter}{mark:<3}" for letter, mark in zip(letters, marks, strict=True))
            print(f"{name}  {row}".rstrip())
        if alike[len(shown) :]:
            print(style.paint(f"{f'and {len(alike) - 1} more that answer alike':>{len(alike[0][0])}}", "dim"))
