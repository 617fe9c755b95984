"""Print what this host can do when its guests panic: its emulators, its libvirt and its KVM.

One document describes the host: every emulator that libvirt or the distribution has, with
its capability record; what libvirt accepts; whether KVM can be used.  Nothing is changed
and nothing is kept.  root is needed only where the host requires it, for /dev/kvm or libvirt.

Exit status 0: the document was made.  It names what could not be found out, such as an
emulator that does not start, and so does stderr.
"""

import argparse
import asyncio
import contextlib
import os
from pathlib import Path

from onpanic.cli.argument_files import write_result
from onpanic.cli.emulators import add_limits
from onpanic.cli.options import text
from onpanic.cli.output import complain
from onpanic.core.errors import MissingExtraError
from onpanic.fleet.collecting.collect_host import DEFAULT_URI, HostPlan, HostSources, collect_host
from onpanic.fleet.hosts.host_record import HostRecord


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    which = parser.add_argument_group("what to ask")
    which.add_argument(
        "--machine",
        action="append",
        default=[],
        metavar="M",
        help="a further machine type or alias, for the emulators that have it; repeatable (default: the"
        " default one and what pc, q35, virt, pseries and s390-ccw-virtio stand for)",
    )
    which.add_argument("--all-machines", action="store_true", help="every machine type of every emulator")
    which.add_argument(
        "--connect",
        type=text,
        metavar="URI",
        help=f"libvirt connection (default: LIBVIRT_DEFAULT_URI in the environment, or {DEFAULT_URI})",
    )
    add_limits(which)
    output = parser.add_argument_group("output")
    output.add_argument("--format", choices=("json",), default="json", help="json: one line")
    output.add_argument(
        "--name", type=text, metavar="NAME", help="what to call the host (default: its own name)"
    )
    output.add_argument("--evidence", action="store_true", help="json: keep excerpts of what emulators said")
    output.add_argument("-o", "--output", metavar="FILE", help="write to a file, whole or not at all")


def run(arguments: argparse.Namespace) -> int:
    """Ask, print the record, and return 0."""
    _silence_libvirt()
    plan = HostPlan(
        name=arguments.name,
        machines=tuple(arguments.machine),
        all_machines=arguments.all_machines,
        uri=arguments.connect or os.environ.get("LIBVIRT_DEFAULT_URI") or DEFAULT_URI,
        timeout=arguments.timeout,
        jobs=arguments.jobs,
        evidence=arguments.evidence,
    )
    search = tuple(Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep) if folder)
    record = asyncio.run(collect_host(plan, HostSources(search=search)))
    write_result(arguments.output, record.to_json() + b"\n")
    for problem in problems_of(record):
        complain(problem)
    return 0


def _silence_libvirt() -> None:
    from onpanic.core.libvirt_api import silence_libvirt

    with contextlib.suppress(MissingExtraError):  # the record says so
        silence_libvirt()


def problems_of(record: HostRecord) -> list[str]:
    """Return all that could not be found out."""
    found = list(record.problems)
    for emulator in record.emulators:
        words = [emulator.problem] if emulator.problem else []
        if emulator.record is not None:
            words += emulator.record.problems
        found += [f"{emulator.path}: {word}" for word in words]
    return list(dict.fromkeys(found))
