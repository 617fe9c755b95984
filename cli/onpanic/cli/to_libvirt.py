"""Translate a domain's <on_panic> policy into what libvirt has for it.

The policy stands beside <on_crash>, as <on_panic coredump='yes'>restart</on_panic>.  The
result is for virsh define; what libvirt does not do by itself is printed on stderr.  The
domain's own <emulator> is probed, unless another source is named.  Exit status 1: the
policy cannot be honoured.
"""

import argparse
from functools import partial
from typing import TYPE_CHECKING, Any

from onpanic.cli.argument_files import naming, read_bounded, read_record, write_result
from onpanic.cli.options import add_timeout, text
from onpanic.cli.output import print_note
from onpanic.core.errors import UsageError
from onpanic.probe.emulator.notifier_models import NOTIFIER_MODELS
from onpanic.probe.record.capability_record import CapabilityRecord

if TYPE_CHECKING:
    from onpanic.shims.translation.domain_emulator import Prober

TAKES_COMMAND = True


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("domain", metavar="DOMAIN.xml", help="the domain's XML; - for stdin")
    can = parser.add_argument_group("what the emulator can do")
    can.add_argument("--record", metavar="FILE", help="a record that onpanic probe --format json printed")
    can.add_argument("--emulator", metavar="EMULATOR", help="probe this one instead of the domain's own")
    add_timeout(can, 10, "how long the emulator, or libvirt, may take")
    target = parser.add_argument_group("what libvirt can do (default: what the one installed here can)")
    target.add_argument("--libvirt-version", metavar="X.Y.Z", help="the libvirt that the domain is for")
    target.add_argument("--connect", type=text, metavar="URI", help="ask this libvirt")
    parser.add_argument(
        "--notifier",
        choices=NOTIFIER_MODELS,
        help="add this <panic> if the domain has none (default: the best that works; pvpanic is on PCI)",
    )
    parser.add_argument("-o", "--output", metavar="FILE", help="default: stdout")
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing on stderr")


def run(arguments: argparse.Namespace) -> int:
    """Translate, print the XML and the notes, and return 0."""
    _check_sources(arguments)
    if arguments.connect is not None:
        from onpanic.core.libvirt_api import libvirt_module

        libvirt_module()  # before lxml, so that an error names the extra that has both
    from onpanic.shims.domain_xml.xml_parser import LIMIT
    from onpanic.shims.translation.domain_emulator import record_for
    from onpanic.shims.translation.libvirt_features import Libvirt
    from onpanic.shims.translation.translate import to_libvirt

    emulator = arguments.command if arguments.emulator is None else [arguments.emulator]
    record: CapabilityRecord | Prober = partial(
        record_for, emulator=emulator, notifier=arguments.notifier, timeout=arguments.timeout
    )
    if arguments.record:
        record = read_record(arguments.record)
    libvirt = None if arguments.libvirt_version is None else Libvirt.of(arguments.libvirt_version)
    source = read_bounded(arguments.domain, LIMIT)
    if arguments.connect is not None:
        libvirt, by_libvirt = _ask_libvirt(arguments)
        if not arguments.record and not emulator:
            record = by_libvirt
    with naming(arguments.domain):
        translation = to_libvirt(source, record, libvirt=libvirt, notifier=arguments.notifier)
    write_result(arguments.output, translation.xml)
    if not arguments.quiet:
        if translation.policy is None:
            print_note("the domain states no policy: nothing was changed")
        for note in translation.notes:
            print_note(f"{note.code}: {note.reason}", note.remedy)
    return 0


def _check_sources(arguments: argparse.Namespace) -> None:
    named = (arguments.record, arguments.emulator, arguments.command or None)
    if len(named) - named.count(None) > 1:
        raise UsageError("more than one source", "name one emulator, or a record")
    if arguments.connect is not None and arguments.libvirt_version is not None:
        raise UsageError("--connect and --libvirt-version both state what libvirt can do", "leave one out")


def _ask_libvirt(arguments: argparse.Namespace) -> "tuple[Any, Prober]":
    """Return what the libvirt of ``--connect`` can do, and what probes the emulator that it chooses."""
    from onpanic.cli.guests import libvirt_connection
    from onpanic.core.libvirt_api import call_with_timeout
    from onpanic.shims.translation.domain_emulator import prober_for
    from onpanic.shims.translation.libvirt_features import Libvirt

    connection = libvirt_connection(arguments.connect, arguments.timeout)
    libvirt = call_with_timeout(arguments.timeout, partial(Libvirt.of_connection, connection))
    prober = prober_for(connection, notifier=arguments.notifier, timeout=arguments.timeout)
    return libvirt, prober
