"""Show where a guest may migrate and keep its policy.

The hosts are put in classes that can exchange such a guest freely; for the rest, each direction says why
not.  The guest is the plainest one: a domain without a notifier of its own, which onpanic to-libvirt has
translated for the libvirt of the host that it comes from.  changes: it keeps its policy, but its notifier
offers something else than before; some: it is not the same for all hosts of the class.

Exit status 0: all hosts are one class, or the guest may go --from one --to the other; 1: not, or that is
not known.  Hosts that are not counted count as unknown, unless --answered-only is given.
"""

import argparse
import sys

from onpanic.cli.exit_status import FOUND, OK
from onpanic.cli.fleet.fleet_sources import add_sources, fleet_of
from onpanic.cli.fleet.migration_screen import migration_screen
from onpanic.cli.options import text
from onpanic.cli.output import print_json
from onpanic.cli.terminal import style_for
from onpanic.core.errors import UsageError
from onpanic.fleet.migration.exchange import migration_between, migration_of
from onpanic.probe.decision.policy import ON_PANIC, Policy


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_sources(parser)
    parser.add_argument(
        "--policy", required=True, choices=ON_PANIC, metavar="VALUE", help="the guest's <on_panic> value"
    )
    parser.add_argument("--coredump", action="store_true", help="with a dump of the guest's memory first")
    parser.add_argument(
        "--machine",
        required=True,
        type=text,
        metavar="M",
        help="the guest's machine type; an alias if it stands for the same one on all hosts",
    )
    parser.add_argument(
        "--arch",
        type=text,
        metavar="A",
        help="libvirt's name of the guest's architecture (default: the hosts' own)",
    )
    parser.add_argument(
        "--from", dest="source", type=text, metavar="HOST", help="only ask about a guest of this host"
    )
    parser.add_argument(
        "--to", dest="target", type=text, metavar="HOST", help="and about this one as its target"
    )
    parser.add_argument(
        "--answered-only",
        action="store_true",
        help="answer for the hosts that are counted, whatever the others can",
    )
    parser.add_argument("--all", action="store_true", help="name all hosts, and all classes")
    parser.add_argument("--format", choices=("text", "json"), default="text")
    parser.add_argument(
        "-q", "--quiet", action="store_true", help="print nothing, only return the exit status"
    )


def run(arguments: argparse.Namespace) -> int:
    """Answer, print the answer, and return the exit status."""
    if (arguments.source is None) != (arguments.target is None):
        raise UsageError("--from and --to belong together", "name both hosts, or neither")
    fleet = fleet_of(arguments.sources, arguments)
    policy = Policy(arguments.policy, arguments.coredump)
    asked = (arguments.arch, arguments.machine, policy)
    if arguments.source is None:
        answer = migration_of(fleet, *asked)
        fine = answer.is_one_class and not (answer.missing and not arguments.answered_only)
    else:
        answer = migration_between(fleet, arguments.source, arguments.target, *asked)
        fine = answer.pair is not None and answer.pair.answer == "yes"
    if arguments.format == "json" and not arguments.quiet:
        print_json(answer.to_json())
    elif not arguments.quiet:
        style = style_for(sys.stdout)
        print("\n".join(migration_screen(answer, style, everything=arguments.all)))
    return OK if fine else FOUND
