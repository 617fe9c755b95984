"""Build the compatibility matrix from folders of records: of emulators, of libvirts, or both.

Writes matrix.json, MATRIX.md and index.html.  Records that cannot be read, and violations of
the rules for records, are reported on stderr, one line each; the files are written nevertheless.

Exit status: 0 if nothing was reported; 1 if something was.
"""

import argparse
from pathlib import Path

from onpanic.cli.exit_status import FOUND, OK


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("records", type=Path, nargs="+", metavar="DIR", help="a folder of records")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="OUT", help="the folder for the three files"
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing on success")


def run(arguments: argparse.Namespace) -> int:
    """Build and write the matrix, and return the exit status."""
    from onpanic.cli.matrix.folder import build_folders, print_problems
    from onpanic.matrix.outputs.output_files import OUTPUTS, write_outputs

    matrix, problems, unreadable = build_folders(arguments.records)
    write_outputs(matrix, arguments.output)
    print_problems(problems)
    if not arguments.quiet:
        machines = sum(len(build.machines) for build in matrix.builds)
        libvirts = f", {len(matrix.libvirts)} libvirts" if matrix.libvirts else ""
        print(f"{len(matrix.builds)} builds, {machines} machine types{libvirts}: {', '.join(OUTPUTS)}")
    return FOUND if problems or unreadable else OK
