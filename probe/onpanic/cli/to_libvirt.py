"""Translate a domain's <on_panic> policy into what libvirt has for it.

The policy stands beside <on_crash>, as <on_panic coredump='yes'>restart</on_panic>.  What
comes out is for virsh define; what libvirt alone will not do is said on stderr.  What
the emulator can do is asked of the domain's own <emulator>, unless another source is
named.  Exit status 1: the policy cannot be honoured.
"""

import argparse
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from onpanic.cli import print_note, seconds
from onpanic.cli.files import naming, read_bounded, read_record, write_result
from onpanic.probe import CapabilityRecord, OnpanicError

if TYPE_CHECKING:
    from onpanic.shims.emulators import Recorder

TAKES_COMMAND = True
HELP = "translate a domain's <on_panic> policy for libvirt"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("domain", type=Path, metavar="DOMAIN.xml", help="the domain's XML; - for stdin")
    can = parser.add_argument_group("what the emulator can do")
    can.add_argument("--record", type=Path, metavar="FILE", help="as onpanic probe --format json printed it")
    can.add_argument("--emulator", metavar="EMULATOR", help="asked instead of the domain's own")
    can.add_argument(
        "--timeout", type=seconds, default=10.0, metavar="SECONDS", help="for who is asked (default: 10)"
    )
    says = parser.add_argument_group("what libvirt can say (default: what the one installed here can)")
    says.add_argument("--libvirt-version", metavar="X.Y.Z", help="the libvirt that the domain is for")
    says.add_argument("--connect", metavar="URI", help="ask this one")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="default: stdout")
    parser.add_argument("-q", "--quiet", action="store_true", help="say nothing on stderr")


def run(arguments: argparse.Namespace) -> int:
    """Translate, print, and return 0."""
    from onpanic.shims.document import LIMIT
    from onpanic.shims.emulators import record_for, recorder
    from onpanic.shims.libvirt_versions import Libvirt
    from onpanic.shims.translate import to_libvirt

    emulator = arguments.command if arguments.emulator is None else [arguments.emulator]
    named = (arguments.record, arguments.emulator, arguments.command or None)
    if len(named) - named.count(None) > 1:
        raise OnpanicError("more than one source", "name one emulator, or a record")
    if arguments.connect is not None and arguments.libvirt_version is not None:
        raise OnpanicError("--connect and --libvirt-version both say what libvirt can", "leave one out")
    record: CapabilityRecord | Recorder = partial(record_for, emulator=emulator, timeout=arguments.timeout)
    if arguments.record:
        record = read_record(arguments.record)
    libvirt = None if arguments.libvirt_version is None else Libvirt.of(arguments.libvirt_version)
    source = read_bounded(arguments.domain, LIMIT)
    if arguments.connect is not None:
        from onpanic.probe.libvirt_access import connect, within

        connection = within(arguments.timeout, partial(connect, arguments.connect))
        libvirt = within(arguments.timeout, partial(Libvirt.of_connection, connection))
        if not arguments.record and not emulator:
            record = recorder(connection, timeout=arguments.timeout)
    with naming(arguments.domain):
        translation = to_libvirt(source, record, libvirt=libvirt)
    write_result(arguments.output, translation.xml)
    if not arguments.quiet:
        if translation.policy is None:
            print_note("the domain states no policy: nothing was changed")
        for note in translation.notes:
            print_note(f"{note.code}: {note.reason}", note.remedy)
    return 0
