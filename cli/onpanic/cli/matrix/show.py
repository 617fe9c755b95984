"""Show the compatibility matrix: a row for each build, a column for each <on_panic> value and fact.

y yes, n no, ? unknown, - not applicable; y+ accepted, also with coredump='yes'.  Builds with the same
answers as the one above them are counted and left out, unless --all is given.  Values and facts about
machine types are about the default one (virt if there is none), or the one that --machine names, and
about its best notifier that works, or the one that --notifier names.  A number refers to a note about
other machine types.

With --libvirts, show libvirts instead: a column for each, and a row for each value that it may accept and
each guest that panicked.
"""

import argparse
import sys
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from onpanic.cli.exit_status import OK
from onpanic.cli.matrix.libvirt_output import print_libvirts
from onpanic.cli.output import print_json
from onpanic.cli.terminal import style_for
from onpanic.core.errors import UsageError
from onpanic.core.untrusted import printable
from onpanic.matrix.model.matrix import POLICY, Build, Matrix
from onpanic.matrix.model.matrix_file import published, read_matrix
from onpanic.matrix.outputs.cells import cells, columns, machine_of
from onpanic.probe.emulator.notifier_models import NOTIFIER_MODELS

_STYLES = {"y": "yes", "n": "no", "?": "unknown", "-": "dim"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "matrix",
        nargs="?",
        type=Path,
        metavar="MATRIX",
        help="a matrix.json, or a folder of records (default: the matrix that comes with onpanic)",
    )
    parser.add_argument("--arch", metavar="TARGET", help="only this architecture, such as x86_64")
    parser.add_argument("--build", metavar="TEXT", help="only builds with this in name, version or package")
    parser.add_argument("--machine", default="", metavar="M", help="machine type or alias")
    parser.add_argument(
        "--notifier",
        choices=NOTIFIER_MODELS,
        default="",
        help="the panic notifier to show (default: the best one that works)",
    )
    parser.add_argument(
        "--libvirts", action="store_true", help="show what libvirts accept, and what panics end in"
    )
    parser.add_argument("--all", action="store_true", help="also builds with the same answers")
    parser.add_argument(
        "--format", choices=("text", "json"), default="text", help="json: the whole matrix, as in matrix.json"
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the matrix, and return the exit status."""
    matrix = _matrix(arguments.matrix)
    if arguments.format == "json":
        print_json(matrix.to_json())
        return OK
    if arguments.libvirts:
        if not matrix.libvirts:
            raise UsageError("the matrix has no record of a libvirt", "onpanic matrix collect --libvirt URI")
        print_libvirts(matrix.libvirts)
        return OK
    builds = [build for build in matrix.builds if _is_wanted(build, arguments)]
    if not builds:
        raise UsageError("no build of the matrix matches", "leave --arch or --build out")
    if arguments.machine and not any(machine_of(build, arguments.machine) for build in builds):
        raise UsageError(
            f"no build has a machine type {arguments.machine}", "name a machine type or an alias"
        )
    _print_table(matrix, builds, arguments)
    return OK


def _matrix(path: Path | None) -> Matrix:
    if path is None:
        return published()
    if not path.is_dir():
        return read_matrix(path)
    from onpanic.cli.matrix.folder import build_folders, print_problems  # builds, which reading does not need

    matrix, problems, _ = build_folders([path])
    print_problems(problems)
    return matrix


def _is_wanted(build: Build, arguments: argparse.Namespace) -> bool:
    text = f"{build.id} {build.emulator} {build.version} {build.package} {build.line}".lower()
    return arguments.arch in (None, build.target) and (arguments.build or "").lower() in text


def _print_table(matrix: Matrix, builds: Sequence[Build], arguments: argparse.Namespace) -> None:
    style = style_for(sys.stdout)
    names = {build.id: printable(f"{build.emulator} {build.version} {build.package}", 60) for build in builds}
    notes: dict[str, int] = {}
    rows = {build.id: _texts(matrix, build, arguments, notes) for build in builds}
    shown_columns = columns(matrix, arguments.notifier)
    widths = [max(len(row[index]) for row in rows.values()) + 1 for index in range(len(shown_columns))]
    width = max(map(len, names.values()))
    lead = " " * width + "  "
    for column, step in zip(shown_columns, widths, strict=True):
        print(lead + style.paint(column.removeprefix(POLICY), "dim"))
        lead += "|" + " " * (step - 1)
    for target, group in groupby(builds, key=lambda build: build.target):
        print(style.paint(printable(target) or "unknown target", "title"))
        for _, same in groupby(group, key=lambda build: build.emulator):
            lines = [(f"{names[build.id]:{width}}", rows[build.id]) for build in same]
            _print_rows(lines, widths, everything=arguments.all)
    for note, number in notes.items():
        print(f"  {number:<3} {printable(note)}")


def _texts(matrix: Matrix, build: Build, arguments: argparse.Namespace, notes: dict[str, int]) -> list[str]:
    """Return the cells of a row, each with the number of its note; new notes are added."""
    found = cells(matrix, build, arguments.machine, arguments.notifier)
    return [f"{one.text}{notes.setdefault(one.note, len(notes) + 1) if one.note else ''}" for one in found]


def _print_rows(rows: Sequence[tuple[str, list[str]]], widths: Sequence[int], *, everything: bool) -> None:
    """Print the rows of one emulator; count those with the same cells as the row above.

    :param widths: The width of each column.
    :param everything: Also print rows with the same cells.
    """
    style = style_for(sys.stdout)
    for texts, group in groupby(rows, key=lambda row: row[1]):
        alike = list(group)
        shown = alike if everything else alike[:1]
        for name, _ in shown:
            padded = [f"{text:{width}}" for text, width in zip(texts, widths, strict=True)]
            row = "".join(
                style.paint(cell[0], _STYLES[cell[0]]) + cell[1:] if cell[0] in _STYLES else cell
                for cell in padded
            )
            print(f"{name}  {row}".rstrip())
        if alike[len(shown) :]:
            text = f"and {len(alike) - 1} more with the same answers"
            print(style.paint(f"{text:>{len(alike[0][0])}}", "dim"))
