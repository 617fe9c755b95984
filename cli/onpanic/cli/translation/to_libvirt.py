"""Translate a domain's <on_panic> policy into what libvirt has for it.

The policy stands beside <on_crash>, as <on_panic coredump='yes'>restart</on_panic>.  The
result is for virsh define; what libvirt does not do by itself is printed on stderr.  The
domain's own <emulator> is probed, unless another source is named.

--connect and --libvirt-version may be repeated, for a domain that migrates: the result
holds on all of them.  --fleet reads the records of hosts instead, as onpanic host prints them.
No emulator is started then, and a refusal names the hosts that are the reason.

With --format xl, the file is a guest's configuration for xl, Xen's own toolstack: its on_crash
is set, and the rest is not changed.  Without a policy, its own is checked.

Exit status: 0 if the policy can be honoured; 1 if it cannot.
"""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from msgspec.structs import replace

from onpanic.cli.argument_files import add_document, naming, read_domain, read_record
from onpanic.cli.options import add_timeout, text
from onpanic.cli.translation.translation_output import write_translation
from onpanic.cli.translation.xl_files import add_xl_options, check_no_xl_options, write_config
from onpanic.core.errors import RefusedError, SourceError, UsageError
from onpanic.core.untrusted import printable
from onpanic.probe.emulator.notifier_models import NOTIFIER_MODELS
from onpanic.probe.record.capability_record import CapabilityRecord

if TYPE_CHECKING:
    from onpanic.probe.decision.rules import Decision
    from onpanic.shims.translation.domain_emulator import Prober
    from onpanic.shims.translation.libvirt_features import Libvirt
    from onpanic.shims.translation.translate import Translation

TAKES_COMMAND = True


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("domain", metavar="DOMAIN.xml", help="the domain's XML; - for stdin")
    add_document(parser)
    add_xl_options(parser)
    can = parser.add_argument_group("what the emulator can do")
    can.add_argument("--record", metavar="FILE", help="a record that onpanic probe --format json printed")
    can.add_argument("--emulator", metavar="EMULATOR", help="probe this one instead of the domain's own")
    add_timeout(can, 10, "how long the emulator, or libvirt, may take")
    target = parser.add_argument_group("what libvirt can do (default: what the one installed here can)")
    target.add_argument(
        "--libvirt-version",
        action="append",
        default=[],
        metavar="X.Y.Z",
        help="the libvirt that the domain is for; repeatable",
    )
    target.add_argument(
        "--connect",
        action="append",
        default=[],
        type=text,
        metavar="URI",
        help="ask this libvirt, and probe the emulator that it would run; repeatable",
    )
    fleet = parser.add_argument_group("many hosts")
    fleet.add_argument(
        "--fleet",
        action="append",
        default=[],
        metavar="DIR|FILE",
        help="translate for all hosts with these records; - for standard input; repeatable",
    )
    fleet.add_argument(
        "--expected",
        metavar="FILE",
        help="names of hosts, one per line: a host without a record counts as one that did not answer",
    )
    fleet.add_argument(
        "--answered-only",
        action="store_true",
        help="translate only for the hosts that are counted",
    )
    fleet.add_argument(
        "--same-events",
        action="store_true",
        help="if QEMUs offer different events, set those that all of them offer (<qemu:commandline>)",
    )
    parser.set_defaults(max_age=None)
    parser.add_argument(
        "--notifier",
        choices=NOTIFIER_MODELS,
        help="add this <panic> if the domain has none (default: the best that works; pvpanic is on PCI)",
    )
    parser.add_argument(
        "--with-vmcoreinfo",
        action="store_true",
        help="switch the vmcoreinfo device on where the guest can have it, for onpanic why",
    )
    parser.add_argument("-o", "--output", metavar="FILE", help="default: stdout")
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing on stderr")


def run(arguments: argparse.Namespace) -> int:
    """Translate, print the XML and the notes, and return 0."""
    if arguments.format == "xl":
        return write_config(arguments)
    check_no_xl_options(arguments)
    named = (arguments.record, arguments.emulator, arguments.command or None)
    if len(named) - named.count(None) > 1:
        raise UsageError("more than one source", "name one emulator, or a record")
    if arguments.fleet:
        from onpanic.cli.translation.translating_for_fleet import translate_for_hosts

        return translate_for_hosts(arguments)
    if arguments.expected or arguments.answered_only or arguments.same_events:
        raise UsageError("an option about many hosts without --fleet", "name the hosts' records with --fleet")
    if arguments.connect:
        from onpanic.core.libvirt_api import libvirt_module

        libvirt_module()  # before lxml, so that an error names the extra that has both
    from onpanic.shims.translation.libvirt_features import Libvirt

    source = read_domain(arguments.domain, arguments.document)
    libvirts = [Libvirt.of(version) for version in arguments.libvirt_version]
    probers: dict[str, CapabilityRecord | Prober] = {"": _named_emulator(arguments)}
    if arguments.connect:
        connected = {}
        for uri in dict.fromkeys(arguments.connect):
            with _naming_connection(uri, arguments):
                connected[uri] = _ask_libvirt(uri, arguments)
        libvirts += [libvirt for libvirt, _ in connected.values()]
        if named.count(None) == len(named):
            probers = {uri: prober for uri, (_, prober) in connected.items()}
    with naming(arguments.domain):
        translation = _translate(source, probers, libvirts, arguments)
    write_translation(translation, translation.notes, arguments)
    return 0


def _translate(
    source: bytes,
    probers: "dict[str, CapabilityRecord | Prober]",
    libvirts: "list[Libvirt]",
    arguments: argparse.Namespace,
) -> "Translation[bytes]":
    """Translate with each emulator that may run the domain; the results must be the same.

    :param probers: What the emulators can do, by the connection URI that they belong to.
    :raise RefusedError: When one of them cannot honour the policy, or needs another translation.
    """
    from onpanic.shims.translation.translate import to_libvirt

    found: list[Translation[bytes]] = []
    for uri, record in probers.items():
        try:
            with _naming_connection(uri, arguments):
                found.append(
                    to_libvirt(
                        source,
                        record,
                        libvirt=libvirts or None,
                        notifier=arguments.notifier,
                        vmcoreinfo=arguments.with_vmcoreinfo,
                    )
                )
        except RefusedError as error:
            if len(probers) == 1:
                raise
            decision = cast("Decision", error.decision)
            raise RefusedError(replace(decision, reason=f"{uri}: {decision.reason}")) from error
    different = [uri for uri, one in zip(probers, found, strict=True) if one.xml != found[0].xml]
    if different:
        raise UsageError(
            f"{different[0]} needs another translation than {next(iter(probers))}",
            "name the notifier that both have with --notifier"
            + (", or leave --with-vmcoreinfo out" if arguments.with_vmcoreinfo else ""),
        )
    return found[0]


@contextmanager
def _naming_connection(uri: str, arguments: argparse.Namespace) -> Iterator[None]:
    """Put the connection URI in front of the message of a `SourceError` if there are several."""
    try:
        yield
    except SourceError as error:
        if len(set(arguments.connect)) < 2:
            raise
        raise SourceError(f"{printable(uri)}: {error.message}", error.hint) from error


def _named_emulator(arguments: argparse.Namespace) -> "CapabilityRecord | Prober":
    """Return the record, or what probes the emulator, that the arguments name; else the domain's own."""
    from onpanic.shims.translation.domain_emulator import record_for

    if arguments.record is not None:
        return read_record(arguments.record)
    emulator = arguments.command if arguments.emulator is None else [arguments.emulator]
    return partial(record_for, emulator=emulator, notifier=arguments.notifier, timeout=arguments.timeout)


def _ask_libvirt(uri: str, arguments: argparse.Namespace) -> "tuple[Any, Prober]":
    """Return what a libvirt can do, and what probes the emulator that it chooses."""
    from onpanic.cli.guests import libvirt_connection
    from onpanic.core.libvirt_api import call_with_timeout
    from onpanic.shims.translation.domain_emulator import prober_for
    from onpanic.shims.translation.libvirt_features import Libvirt

    connection = libvirt_connection(uri, arguments.timeout)
    libvirt = call_with_timeout(arguments.timeout, partial(Libvirt.of_connection, connection))
    prober = prober_for(connection, notifier=arguments.notifier, timeout=arguments.timeout)
    return libvirt, prober
