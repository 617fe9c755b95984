"""What a user's QEMU command says, and the options that `onpanic run` adds to it."""

from collections.abc import Sequence
from typing import NamedTuple

from onpanic.core.errors import UsageError
from onpanic.probe.emulator.action_options import QemuActions, read_actions
from onpanic.probe.emulator.command_line_parser import adds_device, machine_type
from onpanic.probe.emulator.notifier_models import ISA_TYPES, PCI_TYPE
from onpanic.probe.emulator.user_options import emulator_position, target_in
from onpanic.probe.observations.notifiers import architectural_notifier
from onpanic.shims.qemu.wrapper import runs_a_machine

__all__ = ("VMCOREINFO", "RunCommand", "monitor_config", "read_command")

#: The device through which a Linux guest says where its kernel's data are.
VMCOREINFO = "vmcoreinfo"

_MONITOR = "onpanic-run"  # the id of the run's own monitor, and of its character device
_NOTIFIERS = (*ISA_TYPES, PCI_TYPE)


class RunCommand(NamedTuple):
    """A user's command that starts QEMU.

    :param words: The command.
    :param target: The emulator's target, e.g. ``x86_64``.
    :param machine: The machine type that it names; None for the emulator's default.
    :param wrapper: The program that starts the emulator, e.g. ``bwrap``; empty if nothing does.
    :param runs: Whether it runs a machine, and does not only print something.
    :param has_notifier: Whether its guest has a panic notifier already.
    :param has_vmcoreinfo: Whether its guest has the device vmcoreinfo already.
    :param actions: What it sets QEMU to do on a panic, a shutdown and a reboot.
    """

    words: list[str]
    target: str
    machine: str | None
    wrapper: str
    runs: bool
    has_notifier: bool
    has_vmcoreinfo: bool
    actions: QemuActions

    def with_monitor(self, devices: Sequence[str], config: int) -> list[str]:
        """Return the command with devices, and with a monitor that a file describes.

        ``-no-shutdown`` makes QEMU stop the guest on a panic, and also where it would end: the guest then can
        be read, and whoever has the monitor ends QEMU.  It comes last, since QEMU uses the last such option.
        The monitor comes from a file, since ``-qmp`` and ``-mon`` would take away the one that QEMU has by
        default, for example behind Ctrl-A C with ``-nographic``.

        :param devices: The types of devices to add.
        :param config: The file descriptor of a file with `monitor_config`, which QEMU inherits.
        """
        added = [word for device in devices for word in ("-device", device)]
        return [*self.words, *added, "-no-shutdown", "-readconfig", f"/proc/self/fd/{config}"]


def monitor_config(descriptor: int) -> str:
    """Return the part of a configuration of QEMU that describes the run's own monitor, see ``-readconfig``.

    :param descriptor: The file descriptor of a connected socket, which QEMU inherits.
    """
    channel = f'[chardev "{_MONITOR}"]\n  backend = "socket"\n  fd = "{descriptor}"\n'
    return channel + f'[mon "{_MONITOR}"]\n  mode = "control"\n  chardev = "{_MONITOR}"\n'


def read_command(command: Sequence[str]) -> RunCommand:
    """Read a user's command.

    :param command: The emulator with its options, and perhaps a wrapper before it.
    :raise UsageError: When it does not name an emulator, or makes QEMU leave this terminal.
    """
    position = emulator_position(command)
    # Of a shell, -c takes all that follows as one word
    if position is None or command[position - 1 : position] == ["-c"]:
        raise UsageError(
            "no word of the command names QEMU, so nothing can be added to its options",
            'put onpanic into the script: onpanic run -- qemu-system-x86_64 … "$@"',
        )
    options = list(command[position + 1 :])
    if {"-daemonize", "--daemonize"} & set(options):
        raise UsageError("with -daemonize nothing can wait for QEMU's end", "leave -daemonize out")
    target, machine = target_in(command), machine_type(options)
    default = "pseries" if target.startswith("ppc64") else "default"  # of QEMU's ppc64 emulators
    return RunCommand(
        words=list(command),
        target=target,
        machine=machine,
        wrapper=command[0] if position else "",
        runs=runs_a_machine(options),
        has_notifier=adds_device(options, _NOTIFIERS)
        or architectural_notifier(target, machine or default) is not None,
        has_vmcoreinfo=adds_device(options, (VMCOREINFO,)),
        actions=read_actions(options),
    )
