"""Ask an emulator what happens when its guest panics, and print its capability record.

Without an emulator, the host's own is asked.  A command after -- is an emulator as
well: onpanic probe -- ssh host qemu-system-x86_64
"""

import argparse
import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from onpanic.cli import complain, print_json, seconds
from onpanic.probe.errors import EmulatorError, OnpanicError, RecordError, StartError
from onpanic.probe.host import host_emulator, resolved
from onpanic.probe.launch import Launched, first_command_line
from onpanic.probe.lifeline import Lifeline

if TYPE_CHECKING:  # the functions load these once the first emulator is on its way
    from onpanic.probe.conversation import Conversation
    from onpanic.probe.record import CapabilityRecord
    from onpanic.probe.survey import Progress

    Result = CapabilityRecord | OnpanicError

TAKES_COMMAND = True
HELP = "ask an emulator what happens when its guest panics"

_OK, _ERROR, _SKIPPED = 0, 2, 77


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "emulators", nargs="*", metavar="EMULATOR", help="path or name of a QEMU system emulator"
    )
    which = parser.add_argument_group("what to ask")
    which.add_argument(
        "--machine",
        action="append",
        default=[],
        metavar="M",
        help="machine type or alias; repeatable (default: the default one)",
    )
    which.add_argument("--all-machines", action="store_true", help="every machine type that the emulator has")
    which.add_argument(
        "--introspect-only", action="store_true", help="start no guest CPU: nothing is observed"
    )
    which.add_argument(
        "--acpi",
        action="store_true",
        help="boot the firmware and read the guest's ACPI tables (about half a second)",
    )
    which.add_argument(
        "--notifier",
        choices=("isa", "pvpanic"),
        help="judge by this one (default: isa, or pvpanic, the PCI one, where isa does not fit)",
    )
    which.add_argument(
        "--timeout",
        type=seconds,
        default=10.0,
        metavar="SECONDS",
        help="for one machine type of one emulator (default: 10)",
    )
    which.add_argument(
        "--jobs",
        type=int,
        default=0,
        metavar="N",
        help="emulators running at a time (default: one for each CPU)",
    )
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
    commands = commands or _host(skip_missing=arguments.skip_missing)
    if arguments.save_recording and len(commands) > 1:
        raise OnpanicError("--save-recording keeps one emulator's conversation", "name one emulator")
    return _report(_probe([resolved(c) for c in commands], arguments), arguments)


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


def _probe(commands: Sequence[Sequence[str]], arguments: argparse.Namespace) -> "list[Result]":
    """Probe emulators, the first of which starts before this process has loaded all that it needs."""
    with Lifeline() as lifeline, contextlib.ExitStack() as stack:
        head_start = None
        if commands:
            machine = arguments.machine[0] if arguments.machine else None
            with contextlib.suppress(StartError):  # it will fail again, in its turn
                argv = first_command_line(commands[0], machine, arguments.notifier)
                head_start = stack.enter_context(Launched(argv, lifeline))
        import asyncio

        return asyncio.run(_probe_all(commands, arguments, lifeline, head_start))


async def _probe_all(
    commands: Sequence[Sequence[str]],
    arguments: argparse.Namespace,
    lifeline: Lifeline,
    head_start: Launched | None,
) -> "list[Result]":
    import asyncio

    from onpanic.probe import api
    from onpanic.probe.survey import Plan, survey

    plan = Plan(
        machines=tuple(arguments.machine),
        all_machines=arguments.all_machines,
        introspect_only=arguments.introspect_only,
        acpi=arguments.acpi,
        notifier=arguments.notifier,
        timeout=arguments.timeout,
        jobs=arguments.jobs,
    )
    slots = asyncio.Semaphore(plan.slots)
    several = len(commands) > 1 or plan.all_machines
    with _progress(commands, wanted=several and not arguments.quiet) as progress:

        async def one(command: Sequence[str], head_start: Launched | None) -> "Result":
            start = head_start.at if head_start else time.monotonic()
            held = await survey(command, plan, lifeline, slots, progress(command), head_start)
            if arguments.save_recording:
                _save(arguments.save_recording, command, held)
            try:
                return api.read(held, command, time.monotonic() - start)
            except EmulatorError as error:
                return error

        first = [head_start] + [None] * len(commands)
        return list(await asyncio.gather(*map(one, commands, first)))


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


@contextmanager
def _progress(
    commands: Sequence[Sequence[str]], *, wanted: bool
) -> "Iterator[Callable[[Sequence[str]], Progress]]":
    """Show progress on a terminal; yields what makes a command's `Progress`."""
    if wanted and sys.stderr.isatty():
        from onpanic.cli.terminal import progress_bars

        with progress_bars(commands) as bars:
            yield bars
    else:
        yield lambda _command: lambda _done, _total: None


def _host(*, skip_missing: bool) -> list[list[str]]:
    """Return the host's own emulator, as a list of commands."""
    try:
        return [[host_emulator()]]
    except StartError as error:
        if not skip_missing:
            raise
        print(f"onpanic: skipped: {error.message}", file=sys.stderr)
        return []
