"""The start of a run: QEMU is started before asyncio and the QMP client are loaded."""

import os
import socket
import time
from typing import IO, NamedTuple

from onpanic.core.errors import StartError
from onpanic.probe.emulator.opening_commands import OPENING_ID
from onpanic.probe.emulator.reaper import Reaper
from onpanic.run.accepted_devices import AcceptedDevices
from onpanic.run.run_command import RunCommand, monitor_config
from onpanic.run.run_process import RunProcess
from onpanic.run.signal_forwarder import SignalForwarder

__all__ = ("StartedRun", "start_run")

# QEMU reports no event before it
_NEGOTIATION = f'{{"execute": "qmp_capabilities", "id": "{OPENING_ID}0"}}\r\n'.encode()


class StartedRun(NamedTuple):
    """A QEMU that was started.

    :param command: The user's command.
    :param process: Its process.
    :param channel: Our monitor, with the negotiation sent; None if QEMU runs no machine.
    :param notes: What could not be added to the command.
    :param began: When it was started, in seconds of the monotonic clock.
    """

    command: RunCommand
    process: RunProcess
    channel: socket.socket | None
    notes: tuple[str, ...]
    began: float


def start_run(
    command: RunCommand, accepted: AcceptedDevices, reaper: Reaper, signals: SignalForwarder
) -> StartedRun:
    """Start a user's command, with what is added to it.

    :param command: The user's command.
    :param accepted: The devices to add.
    :param reaper: Ends QEMU if this process goes away.
    :param signals: Are passed on to it.
    :raise StartError: When the command cannot be executed.
    """
    began = time.monotonic()
    if not command.runs:
        process = RunProcess(command.words, reaper, signals.mask)
        signals.begin(process.pid)
        return StartedRun(command, process, None, accepted.notes, began)
    ours, theirs = _socket_pair()
    try:
        with theirs, _config(theirs.fileno()) as config:
            argv = command.with_monitor(accepted.devices, config.fileno())
            process = RunProcess(argv, reaper, signals.mask)
    except BaseException:
        ours.close()
        raise
    signals.begin(process.pid)
    return StartedRun(command, process, ours, accepted.notes, began)


def _socket_pair() -> tuple[socket.socket, socket.socket]:
    """Return a connection: our end, with the negotiation sent, and the end that QEMU inherits.

    :raise StartError: When no descriptor is left.
    """
    try:
        ours, theirs = socket.socketpair()
    except OSError as error:
        raise StartError(
            f"a monitor: {error.strerror}", "raise the limits of this shell, see ulimit -a"
        ) from error
    theirs.set_inheritable(True)
    ours.sendall(_NEGOTIATION)
    return ours, theirs


def _config(channel: int) -> IO[bytes]:
    """Return a file without a name, with the description of our monitor, that QEMU inherits."""
    file = os.fdopen(os.memfd_create("onpanic-run", 0), "r+b", buffering=0)
    file.write(monitor_config(channel).encode())
    return file
