"""Print libvirt's domain capabilities with <on_panic> filled in.

What libvirt says goes through as it is; <on_panic> lists the values that may be promised
for that emulator, architecture, machine type and domain type.
"""

import argparse
from functools import partial
from pathlib import Path

from onpanic.cli import seconds
from onpanic.cli.files import read_record, write_result

HELP = "libvirt's domain capabilities with <on_panic> filled in"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--connect", metavar="URI", help="libvirt connection (default: libvirt's own)")
    parser.add_argument("--emulator", metavar="PATH", help="default: libvirt's for the architecture")
    parser.add_argument("--machine", metavar="M", help="machine type or alias (default: the default one)")
    parser.add_argument("--arch", metavar="A", help="libvirt's name, e.g. x86_64 (default: the host's)")
    parser.add_argument("--virttype", metavar="T", help="domain type: kvm, qemu, xen (default: the best)")
    parser.add_argument(
        "--record", type=Path, metavar="FILE", help="a record of the emulator, which is not asked then"
    )
    parser.add_argument(
        "--timeout",
        type=seconds,
        default=60.0,
        metavar="SECONDS",
        help="for libvirt, which probes at its first start, and for the emulator (default: 60)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Ask libvirt, ask the emulator, print, and return 0."""
    from onpanic.probe.libvirt_access import connect, within
    from onpanic.shims.domcaps import with_on_panic
    from onpanic.shims.emulators import recorder

    connection = within(arguments.timeout, partial(connect, arguments.connect))
    words = (arguments.emulator, arguments.arch, arguments.machine, arguments.virttype)
    xml = within(arguments.timeout, partial(connection.getDomainCapabilities, *words))
    record = recorder(connection, timeout=arguments.timeout)
    known = with_on_panic(xml, read_record(arguments.record) if arguments.record else record)
    write_result(None, known.encode())
    return 0
