"""Emulators, probed: the options that say what to ask, and asking several at a time."""

import argparse
import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from onpanic.cli import seconds
from onpanic.probe.errors import EmulatorError, OnpanicError, StartError
from onpanic.probe.host import host_emulator
from onpanic.probe.launch import Launched, first_command_line
from onpanic.probe.lifeline import Lifeline

if TYPE_CHECKING:  # the functions load these once the first emulator is on its way
    from onpanic.probe.conversation import Conversation
    from onpanic.probe.record import CapabilityRecord
    from onpanic.probe.survey import Progress

    Result = CapabilityRecord | OnpanicError
    Keep = Callable[[Sequence[str], Sequence[Conversation]], None]

__all__ = ("add_limits", "add_plan", "host", "probed")


def add_plan(parser: argparse.ArgumentParser) -> None:
    """Add the options that name emulators and say what to ask them."""
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
    add_limits(which)


def add_limits(group: argparse._ActionsContainer) -> None:
    """Add the options that say how long it may take, and how many may run."""
    group.add_argument(
        "--timeout",
        type=seconds,
        default=10.0,
        metavar="SECONDS",
        help="for one machine type of one emulator (default: 10)",
    )
    group.add_argument(
        "--jobs",
        type=int,
        default=0,
        metavar="N",
        help="emulators running at a time (default: one for each CPU)",
    )


def probed(
    commands: Sequence[Sequence[str]], arguments: argparse.Namespace, keep: "Keep | None" = None
) -> "list[Result]":
    """Probe emulators, the first of which starts before this process has loaded all that it needs.

    :param commands: The emulators; all are probed, whatever becomes of one of them.
    :param arguments: What the options of `add_plan` say, and ``quiet``.
    :param keep: Is given each emulator's command and conversations.
    :return: A record for each, or why there is none.
    """
    with Lifeline() as lifeline, contextlib.ExitStack() as stack:
        head_start = None
        if commands:
            machine = arguments.machine[0] if arguments.machine else None
            with contextlib.suppress(StartError):  # it will fail again, in its turn
                argv = first_command_line(commands[0], machine, arguments.notifier)
                head_start = stack.enter_context(Launched(argv, lifeline))
        import asyncio

        return asyncio.run(_all(commands, arguments, keep, lifeline, head_start))


async def _all(
    commands: Sequence[Sequence[str]],
    arguments: argparse.Namespace,
    keep: "Keep | None",
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
            if keep:
                keep(command, held)
            try:
                return api.read(held, command, time.monotonic() - start)
            except EmulatorError as error:
                return error

        first = [head_start] + [None] * len(commands)
        return list(await asyncio.gather(*map(one, commands, first)))


@contextmanager
def _progress(
    commands: Sequence[Sequence[str]], *, wanted: bool
) -> "Iterator[Callable[[Sequence[str]], Progress]]":
    """Show progress on a terminal; yields what makes a command's `Progress`."""
    bars: Callable[[Sequence[str]], Progress] = lambda _command: lambda _done, _total: None  # noqa: E731
    with contextlib.ExitStack() as stack:
        if wanted and sys.stderr.isatty():
            from onpanic.cli.terminal import progress_bars

            with contextlib.suppress(ImportError):  # rich is not there, where packages are built
                bars = stack.enter_context(progress_bars(commands))
        yield bars


def host(*, skip_missing: bool) -> list[list[str]]:
    """Return the host's own emulator, as a list of commands."""
    try:
        return [[host_emulator()]]
    except StartError as error:
        if not skip_missing:
            raise
        print(f"onpanic: skipped: {error.message}", file=sys.stderr)
        return []
