"""Holding one conversation with an emulator: start it, ask it, end it, and record how it ended."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from onpanic.core.errors import DeadlineError, EmulatorError, EndedError, ProtocolFault, StartError
from onpanic.probe.asking.emulator_backend import PROCESSES, EmulatorBackend, RunningEmulator
from onpanic.probe.asking.printed_words import words_of
from onpanic.probe.asking.session import Session
from onpanic.probe.conversation import Conversation
from onpanic.probe.emulator.boot_image import BootImage, ImageOption
from onpanic.probe.emulator.command_line import program_name
from onpanic.probe.emulator.opening_commands import QmpCommand, encoded
from onpanic.probe.emulator.process import EmulatorProcess
from onpanic.probe.emulator.qtest import Qtest
from onpanic.probe.emulator.reaper import Reaper
from onpanic.qmp.quota import Quota

__all__ = ("Asking", "converse")

_ENDING = 0.5  # seconds that an emulator which closed its channels has to exit

# QEMU's words if it has KVM alone, as Debian's qemu-system-x86_64-microvm, and cannot use it
_KVM_FAILED = "failed to initialize kvm"
_KVM_HINT = "this emulator runs with KVM alone: probe as root, or as a member of the group of /dev/kvm"

#: What is asked of an emulator.
Asking = Callable[[Session], Awaitable[None]]


async def converse(
    argv: Sequence[str],
    asking: Asking,
    reaper: Reaper,
    deadline: float,
    *,
    qtest: bool = False,
    boot_image: bytes = b"",
    image_option: ImageOption = "-bios",
    quota: Quota | None = None,
    opening: Sequence[QmpCommand] = (),
    head_start: EmulatorProcess | None = None,
    backend: EmulatorBackend = PROCESSES,
) -> Conversation:
    """Start an emulator, wait for its greeting, ask it, end it.

    Raises nothing for what the emulator does: why a conversation broke off is part of it
    (`Conversation.failed`), and what was said until then is kept.

    :param argv: The command line, with ``-qmp stdio`` in it.
    :param asking: What to ask; called with the session.
    :param reaper: Ends the emulator if this process goes away.
    :param deadline: The time of the event loop at which the emulator is given up.
    :param qtest: Add a qtest channel to the command line.
    :param boot_image: Add firmware to the command line; empty for the emulator's own.
    :param image_option: The option that loads it.
    :param quota: How much the emulator may send.
    :param opening: Commands that it is sent when it is started.
    :param head_start: An emulator that was started already; used if command line and opening are the same.
    :param backend: Makes the process, the client and the qtest channel.
    """
    with contextlib.ExitStack() as stack:
        try:
            image = BootImage(boot_image, image_option) if boot_image else None
            argv, inherited, channel = _extended(argv, stack, backend, image, qtest=qtest)
        except OSError as error:  # no descriptor is left
            return Conversation.never(argv, f"not started: no channel to the emulator: {error.strerror}")
        session = Session(program_name(argv), argv, quota, opening, backend)
        session.qtest = channel
        failure: EmulatorError | None = None
        try:
            process = _process(argv, opening, reaper, inherited, head_start, backend)
            session.process = stack.enter_context(contextlib.closing(process))
            async with process:
                failure = await _ask(session, asking, deadline)
                if isinstance(failure, EndedError):
                    await process.wait(_ENDING)  # its status tells whether it ended by itself
                if failure:
                    process.abandon()
        except StartError as error:
            failure = error
        if session.process and session.process.returncode is None:
            failure = EndedError(f"{session.name} (process {session.process.pid}) does not end", "kill it")
    session.record("proc", "exit", _ending(failure, session.process, session.printed))
    return session.conversation


def _extended(
    argv: Sequence[str],
    stack: contextlib.ExitStack,
    backend: EmulatorBackend,
    image: BootImage | None,
    *,
    qtest: bool,
) -> tuple[Sequence[str], list[int], Qtest | None]:
    """Return a command line with what the emulator inherits, the descriptors, and the qtest channel.

    :param stack: Closes the channel and the boot image.
    :param image: What it runs in place of its firmware; None for the firmware.
    :raise OSError: When no descriptor is left.
    """
    channel: Qtest | None = None
    inherited: list[int] = []
    if image:
        stack.callback(image.close)
    if qtest:
        channel = backend.qtest()
        stack.callback(channel.close)
        argv, inherited = [*argv, *channel.options], [*channel.pass_fds]
    if image:
        argv, inherited = [*argv, *image.options], [*inherited, *image.pass_fds]
    return argv, inherited, channel


def _process(
    argv: Sequence[str],
    opening: Sequence[QmpCommand],
    reaper: Reaper,
    inherited: Sequence[int],
    head_start: EmulatorProcess | None,
    backend: EmulatorBackend,
) -> RunningEmulator:
    """Return the emulator that was started already, if it is the same; else start one."""
    if head_start and (head_start.argv, head_start.opening) == (list(argv), encoded(opening)):
        return head_start
    return backend.start(argv, reaper, inherited, encoded(opening))


async def _ask(session: Session, asking: Asking, deadline: float) -> EmulatorError | None:
    """Ask the emulator, and return why the conversation broke off, if it did."""
    assert session.process
    try:
        async with asyncio.timeout_at(deadline):
            if session.qtest:
                await session.qtest.open(session.record)
            await session.connect(session.process.channel)
            await asking(session)
            with contextlib.suppress(EmulatorError):
                await session.ask("quit")
        odd = session.conversation.malformed
        if odd:
            return ProtocolFault(
                f"{session.name} answered {odd.command} with something else: {odd.malformed}"
            )
    except TimeoutError:
        return DeadlineError(
            f"{session.name} did not answer in time", "allow more time with --timeout SECONDS"
        )
    except EmulatorError as failure:
        return failure
    finally:
        await session.close()
    return None


def _ending(failure: EmulatorError | None, process: RunningEmulator | None, printed: str) -> dict[str, Any]:
    """Return how an emulator ended, for the last entry of its conversation.

    :param printed: What it printed on stdout instead of a greeting.
    """
    ending: dict[str, Any] = {"rc": None, "stderr": "", "why": "", "hint": ""}
    if process:
        ending |= {"rc": process.returncode, "stderr": process.stderr, "killed": process.killed}
    if failure:
        ended = f" ({process.end})" if process and "ended" in failure.message and not process.killed else ""
        words = words_of(process, printed) if process else ""
        said = f": {words}" if words else ""
        kvm_only = isinstance(failure, StartError) and _KVM_FAILED in words
        hint = _KVM_HINT if kvm_only else failure.hint
        ending |= {"why": f"{failure.message}{ended}{said}", "hint": hint}
        ending["fault"] = type(failure).__name__
        ending["missing"] = isinstance(failure, StartError) and failure.missing
    return ending
