"""State the <on_panic> policy of a domain as libvirt prints it.

For a domain that onpanic to-libvirt has made, it is exactly the policy that it was made
from.  For any other domain it is what its <panic> and <on_crash> amount to.  The <domain> in
a <domstatus>, a <domainsnapshot> or a <domaincheckpoint> is read and printed alone.
"""

import argparse

from onpanic.cli.argument_files import add_document, naming, read_domain, write_result
from onpanic.cli.output import print_note


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("domain", metavar="DOMAIN.xml", help="the domain's XML; - for stdin")
    add_document(parser)
    parser.add_argument("-o", "--output", metavar="FILE", help="default: stdout")
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing on stderr")


def run(arguments: argparse.Namespace) -> int:
    """Translate, print the XML and the notes, and return 0."""
    from onpanic.shims.translation.translate import from_libvirt

    source = read_domain(arguments.domain, arguments.document)
    with naming(arguments.domain):
        translation = from_libvirt(source)
    write_result(arguments.output, translation.xml)
    if not arguments.quiet:
        for note in translation.notes:
            print_note(f"{note.code}: {note.reason}", note.remedy)
    return 0
