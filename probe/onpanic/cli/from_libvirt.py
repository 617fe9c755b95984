"""State the <on_panic> policy of a domain as libvirt prints it.

For a domain that onpanic to-libvirt has made, that is the policy that went in, exactly.
For any other it is what its <panic> and <on_crash> amount to.
"""

import argparse
from pathlib import Path

from onpanic.cli import print_note
from onpanic.cli.files import naming, read_bounded, write_result

HELP = "state the <on_panic> policy of a domain of libvirt's"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("domain", type=Path, metavar="DOMAIN.xml", help="the domain's XML; - for stdin")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="default: stdout")
    parser.add_argument("-q", "--quiet", action="store_true", help="say nothing on stderr")


def run(arguments: argparse.Namespace) -> int:
    """Translate, print, and return 0."""
    from onpanic.shims.document import LIMIT
    from onpanic.shims.translate import from_libvirt

    with naming(arguments.domain):
        translation = from_libvirt(read_bounded(arguments.domain, LIMIT))
    write_result(arguments.output, translation.xml)
    if not arguments.quiet:
        for note in translation.notes:
            print_note(f"{note.code}: {note.reason}", note.remedy)
    return 0
