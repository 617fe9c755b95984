"""Print libvirt's domain capabilities with <on_panic> filled in.

<on_panic> lists the values that can be honoured with the emulator, architecture, machine
type and domain type.  Models through which such a guest cannot report a panic are removed
from libvirt's <panic>, hyperv without KVM among them.  The rest is as libvirt prints it.
"""

import argparse
from functools import partial

from onpanic.cli.argument_files import read_record, write_result
from onpanic.cli.guests import libvirt_connection
from onpanic.cli.options import add_timeout, text


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "--connect", type=text, metavar="URI", help="libvirt connection (default: libvirt's own)"
    )
    parser.add_argument(
        "--emulator", type=text, metavar="PATH", help="default: libvirt's for the architecture"
    )
    parser.add_argument(
        "--machine", type=text, metavar="M", help="machine type or alias (default: the default one)"
    )
    parser.add_argument(
        "--arch", type=text, metavar="A", help="libvirt's name, e.g. x86_64 (default: the host's)"
    )
    parser.add_argument(
        "--virttype", type=text, metavar="T", help="domain type: kvm, qemu, xen (default: the best)"
    )
    parser.add_argument("--record", metavar="FILE", help="a record of the emulator, which is then not probed")
    add_timeout(
        parser, 60, "how long libvirt, which probes when it first starts, and then the emulator may take"
    )


def run(arguments: argparse.Namespace) -> int:
    """Ask libvirt, probe the emulator, print the capabilities, and return 0."""
    from onpanic.core.libvirt_api import call_with_timeout, libvirt_module

    libvirt_module()  # before lxml, so that an error names the extra that has both
    from onpanic.shims.translation.domain_capabilities import with_on_panic
    from onpanic.shims.translation.domain_emulator import prober_for

    connection = libvirt_connection(arguments.connect, arguments.timeout)
    asked = (arguments.emulator, arguments.arch, arguments.machine, arguments.virttype)
    xml = call_with_timeout(arguments.timeout, partial(connection.getDomainCapabilities, *asked))
    record = prober_for(connection, timeout=arguments.timeout)
    known = with_on_panic(xml, record if arguments.record is None else read_record(arguments.record))
    write_result(None, known.encode())
    return 0
