"""Show which <on_panic> policies this host can keep, and make its record for onpanic fleet.

Every emulator of libvirt and of the distribution is probed, libvirt is asked what it
accepts, and the kernel about KVM.  In the dom0 of a Xen, Xen takes the place of the emulators:
libvirt's Xen driver is asked, or else xl.  Nothing is changed, and nothing is cached.  root is
only needed for what the host reserves for root, such as /dev/kvm, and xl.

What could not be determined, such as an emulator that does not start, is named in the record and
on stderr.

Exit status: 0 if the record was made.
"""

import argparse
import asyncio
import contextlib
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from onpanic.cli.argument_files import write_result
from onpanic.cli.emulators import add_limits
from onpanic.cli.options import text
from onpanic.cli.output import complain, print_json, print_note
from onpanic.core.errors import MissingExtraError, UsageError
from onpanic.fleet.collecting.collect_host import DEFAULT_URIS, HostPlan, HostSources, collect_host
from onpanic.fleet.hosts.host_record import HostRecord

_DAY = 24.0  # hours
_LONGEST = 24.0 * 366


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    which = parser.add_argument_group("what to ask")
    which.add_argument(
        "--machine",
        action="append",
        default=[],
        metavar="M",
        help="also ask about this machine type or alias, if an emulator has it; repeatable (default: the"
        " default one, and what pc, q35, virt, pseries and s390-ccw-virtio stand for)",
    )
    which.add_argument(
        "--all-machines", action="store_true", help="ask about every machine type of every emulator"
    )
    libvirt = which.add_mutually_exclusive_group()
    libvirt.add_argument(
        "--connect",
        type=text,
        metavar="URI",
        help=f"libvirt connection (default: $LIBVIRT_DEFAULT_URI, or {DEFAULT_URIS['qemu']};"
        f" in a dom0 {DEFAULT_URIS['xen']})",
    )
    libvirt.add_argument(
        "--no-libvirt", action="store_true", help="do not ask libvirt: record what the emulators alone can do"
    )
    add_limits(which)
    output = parser.add_argument_group("output")
    output.add_argument(
        "--format",
        choices=("text", "json", "nfd", "prometheus"),
        default="text",
        help="json: the record, in one line; nfd: a feature file of node-feature-discovery; prometheus:"
        " metrics for node_exporter's textfile collector",
    )
    output.add_argument("-o", "--output", metavar="FILE", help="write to a file, whole or not at all")
    output.add_argument(
        "--name", type=text, metavar="NAME", help="the host's name in the record (default: its own name)"
    )
    output.add_argument("--evidence", action="store_true", help="json: keep excerpts of what emulators said")
    output.add_argument(
        "--expiry",
        type=_hours,
        metavar="HOURS",
        help=f"nfd: how long the labels are valid (default: {_DAY:g})",
    )
    output.add_argument(
        "--namespace",
        type=text,
        metavar="DOMAIN",
        help="nfd: the labels' namespace (default: NFD's own, feature.node.kubernetes.io)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Ask, write the record, and return 0."""
    _check(arguments)
    _silence_libvirt()
    plan = HostPlan(
        name=arguments.name,
        machines=tuple(arguments.machine),
        all_machines=arguments.all_machines,
        uri=None if arguments.no_libvirt else _uri(arguments),
        timeout=arguments.timeout,
        jobs=arguments.jobs,
        evidence=arguments.evidence,
    )
    search = tuple(Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep) if folder)
    record = asyncio.run(collect_host(plan, HostSources(search=search)))
    _write(record, arguments)
    if arguments.format != "text" or arguments.output:  # the screen has them
        for problem in record.every_problem():
            complain(problem)
    if record.libvirt_found == "unknown":
        print_note(
            "no policy is known without libvirt: start it, or use --no-libvirt if it runs no guests here"
        )
    _note_missing(record, arguments.machine)
    return 0


def _uri(arguments: argparse.Namespace) -> str:
    return arguments.connect or os.environ.get("LIBVIRT_DEFAULT_URI", "")


def _check(arguments: argparse.Namespace) -> None:
    """Raise `UsageError` for options that have no meaning with the format, or no valid value."""
    given = {
        "--evidence": ("json", arguments.evidence),
        "--expiry": ("nfd", arguments.expiry),
        "--namespace": ("nfd", arguments.namespace),
    }
    for option, (form, value) in given.items():
        if value and arguments.format != form:
            raise UsageError(f"{option} has no meaning here", f"it needs --format {form}")
    if arguments.namespace:
        from onpanic.fleet.outputs.nfd_features import is_namespace

        if not is_namespace(arguments.namespace):
            raise UsageError(
                f"--namespace {arguments.namespace}: not a namespace for labels",
                "give a domain of yours, such as kvm.example.com",
            )


def _write(record: HostRecord, arguments: argparse.Namespace) -> None:
    if arguments.format == "json":
        if arguments.output is None:
            print_json(record.to_json())
        else:
            write_result(arguments.output, record.to_json() + b"\n")
        return
    write_result(arguments.output, _rendered(record, arguments).encode("utf-8", "replace"))


def _rendered(record: HostRecord, arguments: argparse.Namespace) -> str:
    """Return the record in the format that was asked for."""
    if arguments.format == "nfd":
        from onpanic.fleet.outputs.nfd_features import NAMESPACE, feature_file

        expires = datetime.now(UTC) + timedelta(hours=arguments.expiry or _DAY)
        features = feature_file(record, expires, arguments.namespace or NAMESPACE)
        for line in features.left_out:
            complain(f"no labels for {line}")
        return features.text
    if arguments.format == "prometheus":
        from onpanic.fleet.outputs.host_metrics import host_metrics

        return host_metrics(record)
    from onpanic.cli.terminal import style_for
    from onpanic.fleet.outputs.host_screen import host_screen

    return host_screen(record, style_for(None if arguments.output else sys.stdout))


def _note_missing(record: HostRecord, machines: list[str]) -> None:
    """Print a note about machine types that were asked for, and that no emulator has."""
    for name in dict.fromkeys(machines):
        if not any(name in one.machine_types or name in one.aliases for one in record.every_emulator()):
            print_note(f"no emulator of this host has the machine type {name}")


def _hours(value: str) -> float:
    """Return the value of ``--expiry``."""
    try:
        hours = float(value)
    except ValueError:
        hours = 0.0
    if not 0 < hours <= _LONGEST:
        raise argparse.ArgumentTypeError(f"hours: more than 0, and at most {_LONGEST:g}")
    return hours


def _silence_libvirt() -> None:
    from onpanic.core.libvirt_api import silence_libvirt

    with contextlib.suppress(MissingExtraError):  # the record says so
        silence_libvirt()
