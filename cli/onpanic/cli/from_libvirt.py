"""State the <on_panic> policy of a domain as libvirt prints it.

For a domain that onpanic to-libvirt has made, it is exactly the policy that it was made
from.  For any other domain it is what its <panic> and <on_crash> amount to.
"""

import argparse

from onpanic.cli.argument_files import naming, read_bounded, write_result
from onpanic.cli.output import print_note


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("domain", metavar="DOMAIN.xml", help="the domain's XML; - for stdin")
    parser.add_argument("-o", "--output", metavar="FILE", help="default: stdout")
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing on stderr")


def run(arguments: argparse.Namespace) -> int:
    """Translate, print the XML and the notes, and return 0."""
    from onpanic.shims.domain_xml.xml_parser import LIMIT
    from onpanic.shims.translation.translate import from_libvirt

    with naming(arguments.domain):
        translation = from_libvirt(read_bounded(arguments.domain, LIMIT))
    write_result(arguments.output, translation.xml)
    if not arguments.quiet:
        for note in translation.notes:
            print_note(f"{note.code}: {note.reason}", note.remedy)
    return 0
