"""Probe an emulator: conversations held, read, and decided."""

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime

from .conversation import Conversation
from .errors import DeadlineError, EmulatorError, EndedError, ProtocolFault, StartError
from .launch import Model
from .lifeline import Lifeline
from .reading import record_of
from .record import CapabilityRecord, Probed
from .survey import Plan, survey
from .version import __version__

__all__ = ("PROGRAM", "Plan", "aprobe", "probe", "read")

PROGRAM = f"onpanic {__version__}"


def probe(
    emulator: str | Sequence[str],
    *,
    machines: Sequence[str] = (),
    all_machines: bool = False,
    introspect_only: bool = False,
    acpi: bool = False,
    notifier: Model | None = None,
    timeout: float = 10.0,
    jobs: int = 0,
) -> CapabilityRecord:
    """Ask an emulator what happens when its guest panics.

    Works in any thread that runs no event loop; in a coroutine, await `aprobe`.

    :param emulator: A path or name, or a whole command as a list.
    :param machines: Machine types, names or aliases; the default one if empty.
    :param all_machines: All machine types that the emulator has.
    :param introspect_only: Start no guest CPU: nothing is observed.
    :param acpi: Boot the firmware too, and read the guest's ACPI tables (half a second).
    :param notifier: Judge by this one: ``isa`` or ``pvpanic`` (PCI); None for the first that
        the machine type takes.
    :param timeout: Seconds that the emulator has for one machine type, see `Plan`.
    :param jobs: How many emulators run at a time; 0 for as many as there are CPUs.
    :return: The record.  Where the emulator failed in the middle, the facts that it did
        not live to tell are ``unknown`` and `CapabilityRecord.problems` says why.
    :raise StartError: When it cannot be started, or does not greet.
    :raise EmulatorError: When it greets and then answers nothing.
    """
    plan = Plan(tuple(machines), all_machines, introspect_only, acpi, notifier, timeout, jobs)
    return asyncio.run(_probe(emulator, plan))


async def aprobe(
    emulator: str | Sequence[str],
    *,
    machines: Sequence[str] = (),
    all_machines: bool = False,
    introspect_only: bool = False,
    acpi: bool = False,
    notifier: Model | None = None,
    timeout: float = 10.0,  # noqa: ASYNC109
    jobs: int = 0,
) -> CapabilityRecord:
    """Do what `probe` does, in a coroutine.  Same parameters, same result, same errors."""
    return await _probe(
        emulator, Plan(tuple(machines), all_machines, introspect_only, acpi, notifier, timeout, jobs)
    )


async def _probe(emulator: str | Sequence[str], plan: Plan) -> CapabilityRecord:
    command = [emulator] if isinstance(emulator, str) else list(emulator)
    start = time.monotonic()
    with Lifeline() as lifeline:
        conversations = await survey(command, plan, lifeline)
    return read(conversations, command, time.monotonic() - start)


def read(
    conversations: Sequence[Conversation],
    command: Sequence[str],
    seconds: float,
    *,
    recorded: bool = False,
    listed: bool = False,
) -> CapabilityRecord:
    """Read the record from conversations with one emulator.

    :param command: How the emulator is started.
    :param seconds: How long the conversations took.
    :param recorded: They come from a recording.
    :param listed: See `reading.record_of`.
    :raise EmulatorError: When none of them got as far as a greeting.
    """
    if not any(c.greeting and not c.refused_to_start for c in conversations):
        broken = [c for c in conversations if not c.refused_to_start and c.failed]
        raise _failure([*broken, conversations[-1]][0])
    at = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    probed = Probed(at, PROGRAM, round(seconds, 3))
    return record_of(conversations, command, probed, recorded=recorded, listed=listed)


def _failure(conversation: Conversation) -> EmulatorError:
    message, hint = conversation.failed or "the emulator did not greet", conversation.hint
    if conversation.missing:
        return StartError(message, hint, missing=True)
    kinds = {kind.__name__: kind for kind in (EndedError, DeadlineError, ProtocolFault)}
    return kinds.get(conversation.fault, StartError)(message, hint)
