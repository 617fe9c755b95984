"""Ask an emulator what happens when its guest panics, and print its capability record.

Without an emulator, the host's own is probed.  A command after -- is an emulator too:
onpanic probe -- ssh host qemu-system-x86_64

On a Xen host there is no emulator to ask.  --hypervisor xen asks the xl of this dom0, and
--connect xen:///system libvirt's Xen driver, which guests it runs and which <on_crash> it accepts.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from onpanic.cli.emulators import add_plan, host, probed
from onpanic.cli.exit_status import ERROR, OK, SKIPPED
from onpanic.cli.options import text
from onpanic.cli.output import complain, print_error, print_json
from onpanic.core.errors import OnpanicError, RecordError, StartError, UsageError
from onpanic.core.version import PROGRAM
from onpanic.probe.host import resolve_command

if TYPE_CHECKING:  # imported by the functions, after the first emulator was started
    from onpanic.probe.conversation import Conversation
    from onpanic.probe.record.capability_record import CapabilityRecord

    Result = CapabilityRecord | OnpanicError

TAKES_COMMAND = True


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_plan(parser)
    other = parser.add_argument_group("other sources")
    other.add_argument("--recording", metavar="FILE", help="read a recording instead")
    other.add_argument(
        "--qmp", metavar="ADDRESS", help="a running guest's monitor, PATH or HOST:PORT; changes nothing"
    )
    other.add_argument(
        "--domain",
        type=text,
        metavar="NAME",
        help="a running libvirt domain; changes nothing, libvirt taints it",
    )
    other.add_argument(
        "--connect", type=text, metavar="URI", help="libvirt connection: of --domain, or of a Xen host"
    )
    other.add_argument("--hypervisor", choices=("xen",), help="ask the xl of this dom0")
    output = parser.add_argument_group("output")
    output.add_argument("--format", choices=("text", "json"), default="text", help="json: one record a line")
    output.add_argument("--save-recording", metavar="FILE", help="write the whole conversation to a file")
    output.add_argument(
        "--skip-missing", action="store_true", help="exit status 77 if there is no such emulator"
    )
    output.add_argument("-q", "--quiet", action="store_true", help="print nothing on success")


def run(arguments: argparse.Namespace) -> int:
    """Probe, print, and return the exit status."""
    others = (arguments.recording, arguments.qmp, arguments.domain)
    sources = [source is not None for source in (*others, arguments.hypervisor)]
    sources.append(arguments.connect is not None and arguments.domain is None)
    commands = [[name] for name in arguments.emulators] + ([arguments.command] if arguments.command else [])
    if sum(sources) + bool(commands) > 1:
        raise UsageError(
            "more than one source",
            "name emulators, or one of --recording, --qmp, --domain, --hypervisor and --connect",
        )
    if any(sources):
        _check_other_source(arguments)
        return _report([_other_source(arguments)], arguments)
    commands = commands or host(skip_missing=arguments.skip_missing)
    if arguments.save_recording and len(commands) > 1:
        raise UsageError("--save-recording keeps one emulator's conversation", "name one emulator")
    keep = partial(_save, arguments.save_recording) if arguments.save_recording else None
    return _report(probed([resolve_command(c) for c in commands], arguments, keep), arguments)


def _check_other_source(arguments: argparse.Namespace) -> None:
    """Raise `UsageError` for options that only mean something if an emulator is started."""
    given = {
        "--all-machines": arguments.all_machines,
        "--introspect-only": arguments.introspect_only,
        "--acpi": arguments.acpi,
        "--notifier": arguments.notifier,
        "--machine": arguments.machine and arguments.recording is None,
        "--save-recording": arguments.save_recording and (arguments.recording or _is_xen(arguments)),
    }
    option = next((name for name, value in given.items() if value), None)
    if option:
        raise UsageError(f"{option} has no meaning here", "leave it out, or name an emulator")


def _is_xen(arguments: argparse.Namespace) -> bool:
    """Return whether a Xen host is asked: libvirt without a domain, or xl."""
    return arguments.hypervisor is not None or (arguments.connect is not None and arguments.domain is None)


def _other_source(arguments: argparse.Namespace) -> "Result":
    if _is_xen(arguments):
        return _xen_host(arguments)
    import asyncio
    from pathlib import Path

    from onpanic.probe import live
    from onpanic.probe.api import record_from
    from onpanic.probe.conversation import recording

    if arguments.recording is not None:
        found = recording.load(Path(arguments.recording))
        record = record_from(found.conversations, found.command, found.seconds, recorded=True)
        return _narrowed(record, arguments.machine)
    start = time.monotonic()
    if arguments.qmp is not None:
        conversation = asyncio.run(live.ask_monitor(arguments.qmp, arguments.timeout))
    else:
        from onpanic.core.libvirt_api import silence_libvirt

        silence_libvirt()
        conversation = asyncio.run(live.ask_domain(arguments.domain, arguments.connect, arguments.timeout))
    if arguments.save_recording:
        _save(arguments.save_recording, [], [conversation])
    return record_from([conversation], [], time.monotonic() - start)


def _xen_host(arguments: argparse.Namespace) -> "Result":
    from onpanic.cli.signals import interruptible
    from onpanic.probe.xen.probe_xen import probe_xen

    if arguments.connect is not None:
        from onpanic.core.libvirt_api import silence_libvirt

        silence_libvirt()
        return probe_xen(arguments.connect, timeout=arguments.timeout)
    try:
        with interruptible():  # xl must be ended
            return probe_xen(timeout=arguments.timeout)
    except StartError as error:  # which --skip-missing may be about
        return error


def _report(results: "Sequence[Result]", arguments: argparse.Namespace) -> int:
    """Print each result: records to stdout, errors to stderr."""
    from onpanic.cli.terminal import style_for
    from onpanic.probe.record.screen import screen

    status = OK
    printed = 0
    for result in results:
        if isinstance(result, OnpanicError):
            if arguments.skip_missing and isinstance(result, StartError) and result.missing:
                print_error(f"onpanic: skipped: {result.message}")
            else:
                complain(result.message, result.hint)
                status = ERROR
            continue
        if arguments.quiet:
            pass
        elif arguments.format == "json":
            print_json(result.to_json())
        else:
            print(("\n" if printed else "") + screen(result, style_for(sys.stdout)), end="")
        printed += 1
        # With --all-machines, some machine types are expected not to start here (Xen's)
        asked = [m for m in result.machines if m.started or not arguments.all_machines]
        for problem in dict.fromkeys(machine.problem for machine in asked if machine.problem):
            complain(problem)
        rest = [p for p in result.problems if all(p != machine.problem for machine in result.machines)]
        for problem in rest:  # those of the whole: a toolstack that does not answer
            complain(problem)
        if rest or any(machine.incomplete for machine in asked):
            status = ERROR
    return SKIPPED if status == OK and not printed else status


def _narrowed(record: "CapabilityRecord", machines: Sequence[str]) -> "CapabilityRecord":
    """Return the record with only the machine types that were named."""
    import msgspec

    if not machines:
        return record
    try:
        return msgspec.structs.replace(record, machines=[record.machine(name) for name in machines])
    except RecordError as error:
        raise RecordError(
            error.message.replace("the record", "the recording"), "leave --machine out"
        ) from error


def _save(path: str, command: Sequence[str], conversations: "Sequence[Conversation]") -> None:
    from pathlib import Path

    from onpanic.probe.conversation import recording

    recording.save(Path(path), command, conversations, PROGRAM)
