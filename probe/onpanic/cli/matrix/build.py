"""Build the compatibility matrix from a folder of capability records.

Writes matrix.json, MATRIX.md and index.html.  What the rules for records find is printed on
stderr, one line each; the exit status is then 1, and the files are written all the same.
"""

import argparse
from pathlib import Path

from onpanic.cli.matrix.folder import built_from, complain_of

HELP = "build matrix.json, MATRIX.md and index.html from records"

_OK, _FOUND = 0, 1


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("records", type=Path, metavar="DIR", help="the folder of records")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="OUT", help="the folder for the three files"
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing on success")


def run(arguments: argparse.Namespace) -> int:
    """Build, write, and return the exit status."""
    from onpanic.matrix.outputs import OUTPUTS, write_outputs

    matrix, problems, missing = built_from(arguments.records)
    write_outputs(matrix, arguments.output)
    complain_of(problems)
    if not arguments.quiet:
        machines = sum(len(build.machines) for build in matrix.builds)
        print(f"{len(matrix.builds)} builds, {machines} machine types: {', '.join(OUTPUTS)}")
    return _FOUND if problems or missing else _OK
