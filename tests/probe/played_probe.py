"""Probing played emulators in this process, in virtual time."""

import asyncio

from onpanic.probe import CapabilityRecord
from onpanic.probe.api import record_from
from onpanic.probe.asking.plan import ProbePlan
from onpanic.probe.asking.starts import ask_emulator
from onpanic.probe.emulator.notifier_models import NotifierModel
from onpanic.probe.emulator.reaper import Reaper
from onpanic.probe.testing import PlayedEmulator
from onpanic.probe.testing.played_backend import PlayedBackend

from .virtual_time import VirtualTimeLoop

__all__ = ("probed",)


def probed(like: PlayedEmulator, *machines: str, notifier: NotifierModel | None = None) -> CapabilityRecord:
    """Return the record of a played emulator, and assert that nothing is left of it.

    :param like: The emulator.
    :param machines: The machine types that are asked for.
    :param notifier: The only notifier that is asked about.
    :raise EmulatorError: When it could not be asked.
    """
    backend = PlayedBackend(like)
    command = [f"qemu-system-{like.target}"]
    plan = ProbePlan(machines, notifier=notifier, timeout=60, jobs=2)
    loop = VirtualTimeLoop()
    try:
        conversations = loop.run_until_complete(ask_emulator(command, plan, Reaper(), backend=backend))
        assert asyncio.all_tasks(loop) == set()
    finally:
        loop.close()
    assert all(process.closed for process in backend.started)
    return record_from(conversations, command, 0.0, notifier=notifier)
