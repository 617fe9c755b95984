"""Which devices a machine type takes: the emulator is asked, with the user's own machine and CPUs.

It is started as for a probe: paused, without disks, networks and code of the user's, and told to quit.  If
it starts with a device, the machine type takes the device.
"""

import os
import select
from collections.abc import Sequence
from typing import NamedTuple

from onpanic.core.untrusted import last_lines
from onpanic.probe.emulator.command_line import X86, command_line
from onpanic.probe.emulator.notifier_models import PCI_TYPE
from onpanic.probe.emulator.process import EmulatorProcess
from onpanic.probe.emulator.reaper import Reaper
from onpanic.run.run_command import VMCOREINFO, RunCommand

__all__ = ("AcceptedDevices", "accepted_devices")

_DEADLINE = 10.0  # seconds in which the emulator starts and quits
_ANSWER = b'"return"'
_QUIT = b'{"execute": "qmp_capabilities"}\r\n{"execute": "quit"}\r\n'
_ACCELERATOR = "tcg:kvm"  # TCG starts the fastest; a build may lack it
_LATE = f"it has not quit within {_DEADLINE:g} s"
_UNKNOWN = "no device is added, since this QEMU cannot be asked which it takes: {}"
_NO_NOTIFIER = "this machine type takes no panic notifier: only a guest that resets itself is noticed"
_NO_VMCOREINFO = f"this machine type does not take {VMCOREINFO}: what the guest said may not be found"


class AcceptedDevices(NamedTuple):
    """The devices to add.

    :param devices: Their types.
    :param notes: What cannot be added, a sentence each.
    """

    devices: tuple[str, ...]
    notes: tuple[str, ...]


def accepted_devices(
    command: RunCommand, reaper: Reaper, *, notifier: bool = True, vmcoreinfo: bool = True
) -> AcceptedDevices:
    """Return the devices to add to a command: all at once if they are taken, else those that are one by one.

    :param command: The user's command.
    :param reaper: Ends the emulators if this process goes away.
    :param notifier: Whether a panic notifier is wanted.
    :param vmcoreinfo: Whether the device vmcoreinfo is wanted.
    :raise StartError: When the command cannot be executed.
    """
    if not command.runs or command.machine == "none":
        return AcceptedDevices((), ())
    notifiers: tuple[str, ...] = ()
    if notifier and not command.has_notifier:
        notifiers = ("pvpanic", PCI_TYPE) if command.target in X86 else (PCI_TYPE,)
    others = (VMCOREINFO,) if vmcoreinfo and not command.has_vmcoreinfo else ()
    wanted = (*notifiers[:1], *others)
    if not wanted or not (failure := _failure(_start(command, wanted, reaper))):
        return AcceptedDevices(wanted, ())
    if failure == _LATE:
        return AcceptedDevices((), (_UNKNOWN.format(failure),))
    singly = (*notifiers, *others)
    trials = [_start(command, devices, reaper) for devices in ((), *((one,) for one in singly))]
    alone, *failures = map(_failure, trials)
    if alone:
        return AcceptedDevices((), (_UNKNOWN.format(alone),))
    taken = [device for device, failure in zip(singly, failures, strict=True) if not failure]
    best = [device for device in notifiers if device in taken][:1]
    notes = [_NO_NOTIFIER] if notifiers and not best else []
    notes += [_NO_VMCOREINFO for device in others if device not in taken]
    return AcceptedDevices((*best, *(device for device in others if device in taken)), tuple(notes))


def _start(command: RunCommand, devices: Sequence[str], reaper: Reaper) -> EmulatorProcess:
    extra = [word for device in devices for word in ("-device", device)]
    argv = command_line(command.words, None, accel=_ACCELERATOR, extra=extra)
    return EmulatorProcess(argv, reaper, opening=_QUIT)


def _failure(process: EmulatorProcess) -> str:
    """Wait for an emulator that was told to quit; return why it did not start, empty if it did.

    It answers only once all its devices are there.  Its exit status may be a wrapper's.
    """
    ended = os.pidfd_open(process.pid)
    try:
        in_time = bool(select.select([ended], [], [], _DEADLINE)[0])
        answered = _ANSWER in process.peek()
    finally:
        os.close(ended)
        process.close()
    if answered and in_time:
        return ""
    if not in_time:
        return _LATE
    return last_lines(process.stderr) or f"it ended with {process.end}"
