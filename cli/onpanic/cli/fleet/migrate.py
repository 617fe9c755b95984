"""Show where a guest can migrate and keep its policy.

Hosts among which the guest can migrate freely form a class.  For each pair of classes, a table says whether
it can migrate from one to the other, and the reasons follow.  The guest is that of a --domain; or, with
--policy and --machine, one without a notifier of its own whose policy onpanic to-libvirt has translated for
its host.

The answer changes means that the guest keeps its policy, but sees another notifier; some, that the hosts of
the class differ.

Exit status: 0 if all hosts are one class, or the guest can migrate --from one host --to the other; 1 if not,
or if that is not known.  Hosts that are not counted are unknown, unless --answered-only is given.
"""

import argparse
import sys
from typing import TYPE_CHECKING

from onpanic.cli.argument_files import add_document, naming, read_domain
from onpanic.cli.exit_status import FOUND, OK
from onpanic.cli.fleet.fleet_sources import add_sources, fleet_of
from onpanic.cli.options import add_policy_details, text
from onpanic.cli.output import print_json
from onpanic.cli.terminal import style_for
from onpanic.core.errors import UsageError
from onpanic.probe.decision.policy import ON_PANIC, Policy

if TYPE_CHECKING:
    from onpanic.fleet.migration.exchange import AskedGuest


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_sources(parser)
    guest = parser.add_argument_group("the guest")
    guest.add_argument("--domain", metavar="FILE", help="its domain, as virsh dumpxml prints it")
    add_document(parser)
    guest.add_argument("--policy", choices=ON_PANIC, metavar="VALUE", help="its <on_panic> value")
    add_policy_details(guest)
    guest.add_argument(
        "--machine",
        type=text,
        metavar="M",
        help="its machine type; an alias if it stands for the same one on all hosts",
    )
    guest.add_argument(
        "--arch",
        type=text,
        metavar="A",
        help="libvirt's name of its architecture (default: the hosts' own)",
    )
    parser.add_argument(
        "--from", dest="source", type=text, metavar="HOST", help="ask only about a guest of this host"
    )
    parser.add_argument(
        "--to", dest="target", type=text, metavar="HOST", help="and its migration to this one"
    )
    parser.add_argument(
        "--answered-only",
        action="store_true",
        help="judge only the hosts that are counted",
    )
    parser.add_argument("--all", action="store_true", help="name all hosts, and all classes")
    parser.add_argument(
        "--format", choices=("text", "json"), default="text", help="form of the output (default: text)"
    )
    parser.add_argument(
        "-q", "--quiet", action="store_true", help="print nothing, only return the exit status"
    )


def run(arguments: argparse.Namespace) -> int:
    """Answer, print the answer, and return the exit status."""
    from onpanic.fleet.migration.exchange import migration_of  # needs lxml

    if (arguments.source is None) != (arguments.target is None):
        raise UsageError("--from and --to belong together", "name both hosts, or neither")
    guest = _guest(arguments)
    fleet = fleet_of(arguments.sources, arguments)
    if arguments.source is None:
        answer = migration_of(fleet, guest)
        fine = answer.is_one_class and not (answer.missing and not arguments.answered_only)
    else:
        answer = migration_of(fleet, guest, between=(arguments.source, arguments.target))
        fine = answer.pair is not None and answer.pair.answer == "yes"
    if arguments.format == "json" and not arguments.quiet:
        print_json(answer.to_json())
    elif not arguments.quiet:
        from onpanic.cli.fleet.migration_screen import migration_screen

        style = style_for(sys.stdout)
        print("\n".join(migration_screen(answer, style, everything=arguments.all)))
    return OK if fine else FOUND


def _guest(arguments: argparse.Namespace) -> "AskedGuest":
    """Return the guest that the arguments name."""
    from onpanic.fleet.migration.asked_guest import DomainGuest, PlainGuest

    details = (arguments.coredump, arguments.on_crash, arguments.on_crash_coredump, arguments.grace)
    named = (arguments.policy, arguments.machine, arguments.arch, *(value or None for value in details))
    if arguments.domain is None:
        if arguments.policy is None or arguments.machine is None:
            raise UsageError("no guest is given", "give --domain, or --policy and --machine")
        return PlainGuest(Policy(arguments.policy, *details), arguments.machine, arguments.arch)
    if any(word is not None for word in named):
        raise UsageError(
            "--domain excludes --machine, --arch, --policy and what goes with it",
            "the domain says what they are",
        )
    if arguments.domain == "-" in arguments.sources:
        raise UsageError("standard input is named twice", "it can be read once")
    with naming(arguments.domain):
        return DomainGuest.from_xml(read_domain(arguments.domain, arguments.document))
