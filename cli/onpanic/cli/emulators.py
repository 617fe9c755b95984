"""Options that name emulators and what to ask them, and probing several at a time."""

import argparse
import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from onpanic.cli.options import add_timeout, jobs
from onpanic.cli.output import print_error
from onpanic.core.errors import EmulatorError, OnpanicError, StartError
from onpanic.probe.emulator.command_line import first_command_line
from onpanic.probe.emulator.notifier_models import NOTIFIER_MODELS
from onpanic.probe.emulator.opening_commands import encoded, opening_commands
from onpanic.probe.emulator.process import EmulatorProcess
from onpanic.probe.emulator.reaper import Reaper
from onpanic.probe.host import host_emulator

if TYPE_CHECKING:  # imported by the functions, after the first emulator was started
    from onpanic.probe.asking.plan import Progress
    from onpanic.probe.conversation import Conversation
    from onpanic.probe.record.capability_record import CapabilityRecord

    Result = CapabilityRecord | OnpanicError
    Keep = Callable[[Sequence[str], Sequence[Conversation]], None]

__all__ = ("add_limits", "add_plan", "host", "probed")


def add_plan(parser: argparse.ArgumentParser) -> None:
    """Add the options that name emulators and what to ask them."""
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
        choices=NOTIFIER_MODELS,
        help="ask about this notifier only, and judge by it (default: all, and the best; pvpanic is on PCI)",
    )
    add_limits(which)


def add_limits(group: argparse._ActionsContainer) -> None:
    """Add the options that limit how long probing takes, and how many emulators run."""
    add_timeout(group, 10, "how long one machine type of one emulator may take")
    group.add_argument(
        "--jobs",
        type=jobs,
        default=0,
        metavar="N",
        help="how many emulators run at a time (default: one more than there are CPUs)",
    )


def probed(
    commands: Sequence[Sequence[str]], arguments: argparse.Namespace, keep: "Keep | None" = None
) -> "list[Result]":
    """Probe emulators.  The first one is started before this process has loaded all that it needs.

    :param commands: The emulators.  One that fails does not keep the others from being probed.
    :param arguments: The options of `add_plan`, and ``quiet``.
    :param keep: Called with each emulator's command and conversations.
    :return: For each emulator its record, or the error if there is none.
    """
    with Reaper() as reaper, contextlib.ExitStack() as stack:
        head_start: EmulatorProcess | None = None
        if commands:
            machine = arguments.machine[0] if arguments.machine else None
            with contextlib.suppress(StartError):  # it fails again when it is probed
                argv = first_command_line(commands[0], machine, arguments.notifier)
                opening = encoded(opening_commands(thorough=True, introspect_only=arguments.introspect_only))
                if argv:
                    head_start = EmulatorProcess(argv, reaper, opening=opening)
                    stack.callback(head_start.close)
        import asyncio

        return asyncio.run(_all(commands, arguments, keep, reaper, head_start))


async def _all(
    commands: Sequence[Sequence[str]],
    arguments: argparse.Namespace,
    keep: "Keep | None",
    reaper: Reaper,
    head_start: EmulatorProcess | None,
) -> "list[Result]":
    import asyncio

    from onpanic.core.tasks import run_all
    from onpanic.probe.api import record_from
    from onpanic.probe.asking.plan import ProbePlan
    from onpanic.probe.asking.starts import ask_emulator

    plan = ProbePlan(
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

        async def one(command: Sequence[str], head_start: EmulatorProcess | None) -> "Result":
            start = head_start.started_at if head_start else time.monotonic()
            conversations = await ask_emulator(command, plan, reaper, slots, progress(command), head_start)
            if keep:
                keep(command, conversations)
            try:
                seconds = time.monotonic() - start
                return record_from(conversations, command, seconds, notifier=plan.notifier)
            except EmulatorError as error:
                return error

        first = [head_start] + [None] * len(commands)
        return await run_all(*map(one, commands, first))


@contextmanager
def _progress(
    commands: Sequence[Sequence[str]], *, wanted: bool
) -> "Iterator[Callable[[Sequence[str]], Progress]]":
    """Show progress on a terminal.  Yields a function from an emulator's command to its `Progress`."""
    with contextlib.ExitStack() as stack:
        if wanted and sys.stderr and sys.stderr.isatty():
            from onpanic.cli.terminal import progress_bars

            yield stack.enter_context(progress_bars(commands))
        else:
            yield lambda _command: lambda _done, _total: None


def host(*, skip_missing: bool) -> list[list[str]]:
    """Return the host's own emulator, as a list of commands.

    :param skip_missing: Report on stderr that there is none, and return an empty list.
    :raise StartError: When there is none.
    """
    try:
        return [[host_emulator()]]
    except StartError as error:
        if not skip_missing:
            raise
        print_error(f"onpanic: skipped: {error.message}")
        return []
