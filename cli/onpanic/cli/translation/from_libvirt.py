"""State the <on_panic> policy of a domain as libvirt prints it.

For a domain that onpanic to-libvirt has made, it is exactly the policy that it was made
from.  For any other domain it is what its <panic> and <on_crash> amount to.  The <domain> in
a <domstatus>, a <domainsnapshot> or a <domaincheckpoint> is read and printed alone.

With --format xl, the file is a guest's configuration for xl, Xen's own toolstack.  A <domain>
is printed that has the guest's name and its policy only.
"""

import argparse

from onpanic.cli.argument_files import add_document, naming, read_domain, write_result
from onpanic.cli.translation.translation_output import print_notes
from onpanic.cli.translation.xl_files import add_format, print_config_policy


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("domain", metavar="DOMAIN.xml", help="the domain's XML; - for stdin")
    add_document(parser)
    add_format(parser)
    parser.add_argument("-o", "--output", metavar="FILE", help="default: stdout")
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing on stderr")


def run(arguments: argparse.Namespace) -> int:
    """Translate, print the XML and the notes, and return 0."""
    if arguments.format == "xl":
        return print_config_policy(arguments)
    from onpanic.shims.translation.translate import from_libvirt

    source = read_domain(arguments.domain, arguments.document)
    with naming(arguments.domain):
        translation = from_libvirt(source)
    write_result(arguments.output, translation.xml)
    print_notes(translation.notes, arguments)
    return 0
