"""Which devices a machine type takes: the emulator is asked, with the user's own machine and CPUs.

It is started as for a probe: paused, without disks, networks and code of the user's, and told to quit.  If
it starts with a device, the machine type takes the device.
"""

from collections.abc import Sequence
from typing import NamedTuple

from onpanic.core.untrusted import last_lines
from onpanic.probe.emulator.command_line import X86, command_line
from onpanic.probe.emulator.notifier_models import PCI_TYPE
from onpanic.probe.emulator.process import EmulatorProcess
from onpanic.probe.emulator.reaper import Reaper
from onpanic.run.run_command import VMCOREINFO, RunCommand

__all__ = ("DeviceQuestion", "TakenDevices")

_DEADLINE = 10.0  # seconds in which the emulator starts and quits
_QUIT = b'{"execute": "qmp_capabilities"}\r\n{"execute": "quit"}\r\n'
_ACCELERATOR = "tcg:kvm"  # TCG starts the fastest; a build may lack it
_NO_NOTIFIER = "this machine type takes no panic notifier: only a guest that resets itself is noticed"
_NO_VMCOREINFO = f"this machine type does not take {VMCOREINFO}: what the guest said cannot be read"


class TakenDevices(NamedTuple):
    """The devices to add.

    :param devices: Their types.
    :param notes: What cannot be added, a sentence each.
    """

    devices: tuple[str, ...]
    notes: tuple[str, ...]


class DeviceQuestion:
    """The question which devices to add.  Creating it starts the emulator for the first answer.

    :param command: The user's command.
    :param reaper: Ends the emulator if this process goes away.
    :param vmcoreinfo: Whether the device vmcoreinfo is wanted.
    :raise StartError: When the command cannot be executed.
    """

    def __init__(self, command: RunCommand, reaper: Reaper, *, vmcoreinfo: bool = True) -> None:
        self._command = command
        self._reaper = reaper
        self._notifiers: tuple[str, ...] = ()
        self._wanted: tuple[str, ...] = ()
        if command.runs and command.machine != "none":
            if not command.has_notifier:
                self._notifiers = ("pvpanic", PCI_TYPE) if command.target in X86 else (PCI_TYPE,)
            self._wanted = self._notifiers[:1]
            if vmcoreinfo and not command.has_vmcoreinfo:
                self._wanted += (VMCOREINFO,)
        self._first = self._start(self._wanted) if self._wanted else None

    async def answer(self) -> TakenDevices:
        """Return the devices to add: all at once if they are taken, else those that are taken one by one.

        :raise StartError: When the command cannot be executed.
        """
        from onpanic.core.tasks import run_all

        if self._first is None or not await _failure(self._first):
            return TakenDevices(self._wanted, ())
        singly = tuple(dict.fromkeys((*self._notifiers, *self._wanted)))
        trials = [self._start(devices) for devices in ((), *((one,) for one in singly))]
        alone, *failures = await run_all(*map(_failure, trials))
        if alone:
            return TakenDevices((), (f"no device is added, since this QEMU cannot be asked: {alone}",))
        taken = [device for device, failure in zip(singly, failures, strict=True) if not failure]
        notifier = next((device for device in self._notifiers if device in taken), None)
        others = [device for device in taken if device not in self._notifiers]
        notes = [_NO_NOTIFIER] if self._notifiers and notifier is None else []
        notes += [_NO_VMCOREINFO] if VMCOREINFO in self._wanted and VMCOREINFO not in taken else []
        return TakenDevices((*([notifier] if notifier else []), *others), tuple(notes))

    def _start(self, devices: Sequence[str]) -> EmulatorProcess:
        extra = [word for device in devices for word in ("-device", device)]
        argv = command_line(self._command.words, None, accel=_ACCELERATOR, extra=extra)
        return EmulatorProcess(argv, self._reaper, opening=_QUIT)


async def _failure(process: EmulatorProcess) -> str:
    """Wait for an emulator that was told to quit; return why it did not start, empty if it did."""
    async with process:
        await process.wait(_DEADLINE)
    if process.returncode == 0 and not process.killed:
        return ""
    return last_lines(process.stderr) or f"it ended with {process.end}"
