"""Start an emulator: its command line, and the process with QMP on its stdin and stdout.

This module loads in a few milliseconds, unlike asyncio and the QMP client: the command
starts the emulator here first, and loads those while QEMU is on its way to its greeting.
"""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from typing import Literal, Self

from .errors import StartError
from .lifeline import Lifeline

__all__ = (
    "GRACE",
    "OWN_ID",
    "X86",
    "Launched",
    "Model",
    "command_line",
    "first_command_line",
    "name_of",
    "target_hint",
)

#: libvirt's model of a notifier that the user can add.
Model = Literal["isa", "pvpanic"]

#: Seconds from QMP's ``quit`` to SIGKILL, and from SIGKILL to giving up.
GRACE = 1.0

#: The id of the device that the probe itself adds.
OWN_ID = "onpanic"

#: Targets with I/O ports that the human monitor can reach.
X86 = ("i386", "x86_64")


def command_line(
    command: Sequence[str],
    machine: str | None,
    *,
    accel: str = "tcg",
    device: str = "",
    extra: Sequence[str] = (),
) -> list[str]:
    """Return the command line that every QEMU since 0.12 takes: paused, bare, QMP on stdin and stdout.

    ``-no-shutdown`` because a panic ends QEMU 2.8 and later otherwise.  ``-nographic``
    because ``-display none`` is unknown to RHEL 6.  An accelerator by name because the
    default differs from build to build; "" leaves the choice to the emulator.
    """
    options = ",".join(filter(None, [machine, f"accel={accel}" if accel else ""]))
    return [
        *command,
        *("-S", "-nodefaults", "-nographic", "-serial", "none", "-parallel", "none", "-no-shutdown"),
        *(("-machine", options) if options else ()),
        *(("-device", f"{device},id={OWN_ID}") if device else ()),
        *extra,
        *("-qmp", "stdio"),
    ]


def first_command_line(command: Sequence[str], machine: str | None, notifier: Model | None) -> list[str]:
    """Return the command line to try first: with the ISA device if the emulator looks like x86."""
    isa = target_hint(command) in X86 and notifier != "pvpanic"
    return command_line(command, machine, device="pvpanic" if isa else "", extra=bare(target_hint(command)))


def bare(target: str) -> Sequence[str]:
    """Return the options without which a target wants firmware that may not be installed."""
    return ("-bios", "none") if target.startswith("riscv") else ()


def target_hint(command: Sequence[str]) -> str:
    """Guess the target from the command's last word that looks like an emulator; x86_64 if none does."""
    for word in reversed(command):
        _, found, target = os.path.basename(word).partition("qemu-system-")
        if found:
            return target.partition("-")[0]
    return "x86_64"


def name_of(command: Sequence[str]) -> str:
    """Name a command in a message: by the emulator in it, if it is a wrapper's command line."""
    named = [os.path.basename(word) for word in command if os.path.basename(word).startswith("qemu-")]
    return named[-1] if named else os.path.basename(command[0])


class Launched:
    """An emulator that is starting, the leader of a process group of its own.

    As a context manager it makes sure that the group has ended.

    :param argv: The command line.
    :param lifeline: Ends the emulator if this process goes away.
    :param pass_fds: File descriptors that it inherits.
    :ivar at: When it was started, by the monotonic clock, in seconds.
    :ivar over: Set once its leader has ended and nobody holds its pipes any more.
    :raise StartError: When the command cannot be executed.
    """

    def __init__(self, argv: Sequence[str], lifeline: Lifeline, pass_fds: Sequence[int] = ()) -> None:
        self.argv = list(argv)
        self.at = time.monotonic()
        self.lifeline = lifeline
        self.mark = lifeline.mark()
        self.channel, theirs = socket.socketpair()
        try:
            self.popen: subprocess.Popen[bytes] = subprocess.Popen(
                self.argv,
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=subprocess.PIPE,
                env=lifeline.environment(self.mark),
                pass_fds=tuple(pass_fds),
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            self.channel.close()
            raise _cannot_execute(self.argv[0], error) from error
        finally:
            theirs.close()
        assert self.popen.stderr is not None
        self.pipe = os.fstat(self.popen.stderr.fileno()).st_ino
        self.over = False
        lifeline.watch(self.popen.pid, self.pipe)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if not self.over:
            self.kill()
            self.lifeline.kill_strays(self.mark, self.pipe)
        if self.popen.returncode is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.popen.wait(GRACE)
        self.lifeline.release(self.popen.pid)
        self.channel.close()
        if self.popen.stderr:
            self.popen.stderr.close()

    def kill(self) -> None:
        """Kill the group.  Until its leader is reaped, its number names this group and no other."""
        if self.popen.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.popen.pid, signal.SIGKILL)


def _cannot_execute(program: str, error: Exception) -> StartError:
    """Say why a command cannot be executed, and what to do about it."""
    if not program:
        return StartError("the emulator's name is empty", "name an emulator, e.g. qemu-system-x86_64")
    if isinstance(error, FileNotFoundError):
        if "/" in program and os.path.exists(program):
            return StartError(
                f"{program}: its interpreter or loader is not there", "run it by hand to see which"
            )
        hint = "name an emulator, e.g. qemu-system-x86_64, or install it"
        return StartError(f"{program}: no such file or command", hint, missing=True)
    if isinstance(error, PermissionError):
        kind = "is a folder" if os.path.isdir(program) else "may not be executed"
        return StartError(f"{program}: {kind}", "name the emulator itself, and check its mode bits")
    reason = getattr(error, "strerror", None) or str(error)
    return StartError(f"{program}: {reason}", "name a QEMU system emulator of this host's architecture")
