"""Show which <on_panic> policies every host of a fleet keeps, which hosts do not keep the others, and why.

A cell of the table says on how many hosts a value is kept: all, a number, no, or ? if that is not known.
+ means also with coredump='yes'; * means that the host must run onpanic watch.  The hosts are those of the
architecture, and others that have an emulator for it.

With --policy, the answer is about one policy.

Exit status: 0 if every host keeps the policy, or none was named; 1 if a host does not, or is not known to, or
if a host or a file could not be counted (see --answered-only).
"""

import argparse
import sys
from typing import TYPE_CHECKING

from onpanic.cli.exit_status import FOUND, OK
from onpanic.cli.fleet.fleet_lines import host_names
from onpanic.cli.fleet.fleet_sources import add_sources, fleet_of
from onpanic.cli.options import add_policy_details
from onpanic.cli.output import print_json
from onpanic.core.errors import UsageError
from onpanic.probe.decision.policy import ON_PANIC, Policy

if TYPE_CHECKING:
    from onpanic.fleet.documents.fleet import Fleet
    from onpanic.fleet.verdict.fleet_verdict import FleetVerdict

_ABOUT_ONE = ("coredump", "on_crash", "on_crash_coredump", "grace")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_sources(parser)
    policy = parser.add_argument_group("one policy")
    policy.add_argument(
        "--policy", choices=ON_PANIC, metavar="VALUE", help=f"the <on_panic> value: {', '.join(ON_PANIC)}"
    )
    add_policy_details(policy)
    policy.add_argument("--answered-only", action="store_true", help="judge only the hosts that are counted")
    parser.add_argument(
        "--arch",
        action="append",
        default=[],
        metavar="A",
        help="libvirt's name of an architecture; repeatable (default: those of the hosts)",
    )
    parser.add_argument(
        "--machine",
        action="append",
        default=[],
        metavar="M",
        help="a machine type or alias; repeatable (default: the default one of each emulator,"
        " pc, q35, virt, pseries and s390-ccw-virtio, and xenpv, xenpvh and xenfv on Xen hosts)",
    )
    parser.add_argument(
        "--all",
        action="store_true",
        help="show all architectures, machine types, reasons and names",
    )
    parser.add_argument(
        "--format", choices=("text", "json"), default="text", help="form of the output (default: text)"
    )
    parser.add_argument(
        "-q", "--quiet", action="store_true", help="print nothing, only return the exit status"
    )


def run(arguments: argparse.Namespace) -> int:
    """Judge, print the verdict, and return the exit status."""
    from onpanic.fleet.verdict.verdict_of import verdict_of  # needs lxml

    policy = _policy(arguments)
    fleet = fleet_of(arguments.sources, arguments)
    verdict = verdict_of(
        fleet,
        policies=[policy] if policy else None,
        architectures=arguments.arch,
        machines=arguments.machine,
        everything=arguments.all,
        answered_only=arguments.answered_only,
    )
    _check(verdict, fleet, arguments)
    if arguments.format == "json" and not arguments.quiet:
        print_json(verdict.to_json())
    elif not arguments.quiet:
        _print(verdict, policy, everything=arguments.all)
    return OK if policy is None or verdict.everywhere == "yes" else FOUND


def _policy(arguments: argparse.Namespace) -> Policy | None:
    """Return the policy that is asked about; None for all.

    :raise UsageError: When an option needs ``--policy``.
    """
    if arguments.policy is None:
        values = {name: getattr(arguments, name) for name in _ABOUT_ONE}
        given = [name for name, value in values.items() if value is not None and value is not False]
        if given:
            raise UsageError(f"--{given[0].replace('_', '-')} without --policy", "name the policy, too")
        return None
    return Policy(
        arguments.policy,
        arguments.coredump,
        arguments.on_crash,
        arguments.on_crash_coredump,
        arguments.grace,
    )


def _check(verdict: "FleetVerdict", fleet: "Fleet", arguments: argparse.Namespace) -> None:
    """Check that there is something to say about what was asked.

    :raise UsageError: When no host has an architecture or a machine type that is wanted.
    """
    from onpanic.fleet.verdict.verdict_rows import own_names

    emulators = [emulator for one in fleet.classes for emulator in one.record.every_emulator()]
    known = {runs for one in emulators for runs in one.runs}
    known |= {name for one in fleet.classes for name in own_names(one.record)}
    for name in arguments.arch:
        if name not in known:
            runs = host_names(sorted(known), shown=30) or "none"
            raise UsageError(f"no host runs guests of the architecture {name}", f"they run {runs}")
    found = {machine.machine for one in verdict.architectures for machine in one.machines}
    for name in arguments.machine:
        if name not in found:
            raise UsageError(
                f"no host has a machine type {name}", "onpanic fleet verdict --all lists those of the hosts"
            )


def _print(verdict: "FleetVerdict", policy: Policy | None, *, everything: bool) -> None:
    from onpanic.cli.fleet.verdict_screen import policy_screen, verdict_screen
    from onpanic.cli.terminal import style_for

    style = style_for(sys.stdout)
    if policy is None:
        print(verdict_screen(verdict, style, everything=everything))
    else:
        print(policy_screen(verdict, policy, style, everything=everything))
