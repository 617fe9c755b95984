"""Probing an emulator: start it, ask it, and return its capability record."""

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime

from onpanic.core.errors import (
    DeadlineError,
    EmulatorError,
    EndedError,
    ProtocolFault,
    StartError,
    UsageError,
)
from onpanic.core.version import PROGRAM
from onpanic.probe.asking.plan import ProbePlan
from onpanic.probe.asking.starts import ask_emulator
from onpanic.probe.conversation import Conversation
from onpanic.probe.emulator.notifier_models import NotifierModel, require_model
from onpanic.probe.emulator.reaper import Reaper
from onpanic.probe.record.capability_record import CapabilityRecord, Probed
from onpanic.probe.record.from_conversations import record_of

__all__ = ("aprobe", "probe", "record_from")


def probe(
    emulator: str | Sequence[str],
    *,
    machines: Sequence[str] = (),
    all_machines: bool = False,
    introspect_only: bool = False,
    acpi: bool = False,
    notifier: NotifierModel | None = None,
    timeout: float = 10.0,
    jobs: int = 0,
) -> CapabilityRecord:
    """Ask an emulator what happens when its guest panics.

    Works in any thread that runs no event loop; in a coroutine, await `aprobe`.

    :param emulator: A path or name, or a whole command as a list.
    :param machines: A list of machine types, names or aliases; the default one if empty.
    :param all_machines: Ask about all machine types that the emulator has.
    :param introspect_only: Start no guest CPU: nothing is observed.
    :param acpi: Also boot the firmware and read the guest's ACPI tables (half a second).
    :param notifier: Ask about this notifier only, and judge by it: ``isa``, ``pvpanic`` (PCI), ``hyperv``,
        ``pseries`` or ``s390``; None for all of them, and to judge by the best.
    :param timeout: Seconds that the emulator has for one machine type, and again for each of the
        devices and firmware that it is then started with.
    :param jobs: How many emulators run at a time; 0 for one more than there are CPUs.
    :return: The record.  If the emulator failed before it had answered everything, the facts that it
        did not answer are ``unknown`` and `CapabilityRecord.problems` says why.
    :raise UsageError: When `machines` is a string, the emulator is empty, the notifier is unknown, a number
        is out of range, or this thread runs an event loop.
    :raise StartError: When the emulator cannot be started, or sends no QMP greeting.
    :raise EmulatorError: When it sends a greeting and then answers nothing.
    """
    plan = _plan(machines, all_machines, introspect_only, acpi, notifier, timeout, jobs)
    if _runs_event_loop():
        raise UsageError("probe cannot be called in a running event loop", "await aprobe instead")
    return asyncio.run(_probe(emulator, plan))


async def aprobe(
    emulator: str | Sequence[str],
    *,
    machines: Sequence[str] = (),
    all_machines: bool = False,
    introspect_only: bool = False,
    acpi: bool = False,
    notifier: NotifierModel | None = None,
    timeout: float = 10.0,  # noqa: ASYNC109
    jobs: int = 0,
) -> CapabilityRecord:
    """Do the same as `probe`, in a coroutine.  Same parameters, same result, same errors.

    If it is cancelled, no process, task or file descriptor is left.
    """
    plan = _plan(machines, all_machines, introspect_only, acpi, notifier, timeout, jobs)
    return await _probe(emulator, plan)


def _runs_event_loop() -> bool:
    """Return whether this thread runs an event loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _plan(
    machines: Sequence[str],
    all_machines: bool,
    introspect_only: bool,
    acpi: bool,
    notifier: NotifierModel | None,
    timeout: float,
    jobs: int,
) -> ProbePlan:
    if isinstance(machines, str):  # a string is a sequence of its letters
        raise UsageError(
            f"machines is the string {machines!r}", f"it is a list of machine types: [{machines!r}]"
        )
    require_model(notifier)
    if not timeout > 0 or jobs < 0:  # nan is not more than 0 either
        raise UsageError("timeout must be more than 0 seconds, and jobs not negative")
    return ProbePlan(tuple(machines), all_machines, introspect_only, acpi, notifier, timeout, jobs)


async def _probe(emulator: str | Sequence[str], plan: ProbePlan) -> CapabilityRecord:
    command = [emulator] if isinstance(emulator, str) else list(emulator)
    if not command:
        raise UsageError("the emulator is an empty list", "name an emulator, e.g. qemu-system-x86_64")
    start = time.monotonic()
    with Reaper() as reaper:
        conversations = await ask_emulator(command, plan, reaper)
    return record_from(conversations, command, time.monotonic() - start, notifier=plan.notifier)


def record_from(
    conversations: Sequence[Conversation],
    command: Sequence[str],
    seconds: float,
    *,
    recorded: bool = False,
    listed: bool = False,
    notifier: NotifierModel | None = None,
) -> CapabilityRecord:
    """Return the record of conversations with one emulator.

    :param conversations: At least one.
    :param command: How the emulator is started.
    :param seconds: How long the conversations took.
    :param recorded: Whether they come from a recording.
    :param listed: See `onpanic.probe.record.from_conversations.record_of`.
    :param notifier: Judge by this notifier; None for the best of each machine type.
    :raise EmulatorError: When none of them got as far as a greeting.
    """
    if not any(c.greeting and not c.refused_to_start for c in conversations):
        held = [c for c in conversations if not c.emulator_only] or conversations
        broken = [c for c in held if not c.refused_to_start and c.failed]
        raise _failure([*broken, held[-1]][0])
    at = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    probed = Probed(at, PROGRAM, round(seconds, 3))
    return record_of(conversations, command, probed, recorded=recorded, listed=listed, notifier=notifier)


def _failure(conversation: Conversation) -> EmulatorError:
    message, hint = conversation.failed or "the emulator sent no QMP greeting", conversation.hint
    if conversation.missing:
        return StartError(message, hint, missing=True)
    kinds = {kind.__name__: kind for kind in (EndedError, DeadlineError, ProtocolFault)}
    return kinds.get(conversation.fault, StartError)(message, hint)
