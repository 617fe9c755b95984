"""Ask an emulator what happens when its guest panics, and print its capability record.

Without an emulator, the host's own is asked.  A command after -- is an emulator as
well: onpanic probe -- ssh host qemu-system-x86_64
"""

import argparse
import sys
import time
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from onpanic.cli import complain, print_json
from onpanic.cli.emulators import add_plan, host, probed
from onpanic.probe.errors import OnpanicError, RecordError, StartError
from onpanic.probe.host import resolved

if TYPE_CHECKING:  # the functions load these once the first emulator is on its way
    from onpanic.probe.conversation import Conversation
    from onpanic.probe.record import CapabilityRecord

    Result = CapabilityRecord | OnpanicError

TAKES_COMMAND = True
HELP = "ask an emulator what happens when its guest panics"

_OK, _ERROR, _SKIPPED = 0, 2, 77


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_plan(parser)
    other = parser.add_argument_group("other sources")
    other.add_argument("--recording", metavar="FILE", help="answer from a recording")
    other.add_argument(
        "--qmp", metavar="ADDRESS", help="a running guest's monitor, PATH or HOST:PORT; changes nothing"
    )
    other.add_argument(
        "--domain", metavar="NAME", help="a running libvirt domain; changes nothing, libvirt taints it"
    )
    other.add_argument("--connect", metavar="URI", help="libvirt connection for --domain")
    output = parser.add_argument_group("output")
    output.add_argument("--format", choices=("text", "json"), default="text", help="json: one record a line")
    output.add_argument("--save-recording", metavar="FILE", help="keep the whole conversation")
    output.add_argument(
        "--skip-missing", action="store_true", help="exit status 77 if there is no such emulator"
    )
    output.add_argument("-q", "--quiet", action="store_true", help="print nothing on success")


def run(arguments: argparse.Namespace) -> int:
    """Probe, print, and return the exit status."""
    sources = [source is not None for source in (arguments.recording, arguments.qmp, arguments.domain)]
    commands = [[name] for name in arguments.emulators] + ([arguments.command] if arguments.command else [])
    if sum(sources) + bool(commands) > 1:
        raise OnpanicError(
            "more than one source", "name emulators, or one of --recording, --qmp and --domain"
        )
    if arguments.connect is not None and arguments.domain is None:
        raise OnpanicError("--connect goes with --domain", "name a running domain")
    if any(sources):
        _check_other_source(arguments)
        return _report([_other_source(arguments)], arguments)
    commands = commands or host(skip_missing=arguments.skip_missing)
    if arguments.save_recording and len(commands) > 1:
        raise OnpanicError("--save-recording keeps one emulator's conversation", "name one emulator")
    keep = partial(_save, arguments.save_recording) if arguments.save_recording else None
    return _report(probed([resolved(c) for c in commands], arguments, keep), arguments)


def _check_other_source(arguments: argparse.Namespace) -> None:
    """Refuse options that only starting an emulator gives a meaning."""
    given = {
        "--all-machines": arguments.all_machines,
        "--introspect-only": arguments.introspect_only,
        "--acpi": arguments.acpi,
        "--notifier": arguments.notifier,
        "--machine": arguments.machine and arguments.recording is None,
        "--save-recording": arguments.save_recording and arguments.recording is not None,
    }
    option = next((name for name, value in given.items() if value), None)
    if option:
        raise OnpanicError(f"{option} has no meaning here", "leave it out, or name an emulator")


def _other_source(arguments: argparse.Namespace) -> "Result":
    import asyncio
    from pathlib import Path

    from onpanic.probe import api, live, recording

    if arguments.recording is not None:
        found = recording.load(Path(arguments.recording))
        took = max((entry.t for c in found.conversations for entry in c.entries), default=0.0)
        record = api.read(found.conversations, found.command, took, recorded=True)
        return _narrowed(record, arguments.machine)
    start = time.monotonic()
    if arguments.qmp is not None:
        held = asyncio.run(live.ask_monitor(arguments.qmp, arguments.timeout))
    else:
        held = asyncio.run(live.ask_domain(arguments.domain, arguments.connect, arguments.timeout))
    if arguments.save_recording:
        _save(arguments.save_recording, [], [held])
    return api.read([held], [], time.monotonic() - start)


def _report(results: "Sequence[Result]", arguments: argparse.Namespace) -> int:
    """Print each result: records to stdout, errors to stderr."""
    from onpanic.cli.terminal import style_for
    from onpanic.probe.text import screen

    status = _OK
    printed = 0
    for result in results:
        if isinstance(result, OnpanicError):
            if arguments.skip_missing and isinstance(result, StartError) and result.missing:
                print(f"onpanic: skipped: {result.message}", file=sys.stderr)
            else:
                complain(result.message, result.hint)
                status = _ERROR
            continue
        if arguments.quiet:
            pass
        elif arguments.format == "json":
            print_json(result.to_json())
        else:
            print(("\n" if printed else "") + screen(result, style_for(sys.stdout)), end="")
        printed += 1
        # Among all machine types, those that do not start here are expected
        asked = [m for m in result.machines if m.started or not arguments.all_machines]
        for problem in dict.fromkeys(machine.problem for machine in asked if machine.problem):
            complain(problem)
        if any(machine.incomplete for machine in asked):
            status = _ERROR
    return _SKIPPED if status == _OK and not printed else status


def _narrowed(record: "CapabilityRecord", machines: Sequence[str]) -> "CapabilityRecord":
    """Leave the machine types that were asked for."""
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

    from onpanic.probe import api, recording

    recording.save(Path(path), command, conversations, api.PROGRAM)
