"""The command line that starts an emulator for the probe.

Every QEMU since 0.12 takes it: paused, without devices, with QMP on its stdin and stdout.
"""

import os
from collections.abc import Sequence
from typing import Literal

__all__ = (
    "OWN_ID",
    "X86",
    "Model",
    "command_line",
    "first_command_line",
    "guess_target",
    "program_name",
    "required_options",
)

#: libvirt's model of a notifier that the user can add.
Model = Literal["isa", "pvpanic"]

#: The id of the device that the probe adds.
OWN_ID = "onpanic"

#: Targets whose I/O ports the human monitor can access.
X86 = ("i386", "x86_64")


def command_line(
    command: Sequence[str],
    machine: str | None,
    *,
    accel: str = "tcg",
    device: str = "",
    extra: Sequence[str] = (),
) -> list[str]:
    """Return the command line that starts an emulator for one machine type.

    ``-no-shutdown``, because without it a panic ends QEMU 2.8 and later.  ``-nographic``, because
    RHEL 6 does not have ``-display none``.

    :param command: The emulator: a path, or a whole command.
    :param machine: The machine type; None for the emulator's default.
    :param accel: The accelerator, since the default differs between builds; empty for the emulator's choice.
    :param device: The type of the panic notifier to add; empty for none.
    :param extra: More options.
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
    """Return the command line to try first: with the ISA device if the name is that of an x86 emulator."""
    target = guess_target(command)
    isa = target in X86 and notifier != "pvpanic"
    return command_line(command, machine, device="pvpanic" if isa else "", extra=required_options(target))


def required_options(target: str) -> tuple[str, ...]:
    """Return the options without which a target needs firmware that may not be installed."""
    return ("-bios", "none") if target.startswith("riscv") else ()


def guess_target(command: Sequence[str]) -> str:
    """Guess the target from the last word that looks like an emulator's name; x86_64 if none does."""
    for word in reversed(command):
        _, found, target = os.path.basename(word).partition("qemu-system-")
        if found:
            return target.partition("-")[0]
    return "x86_64"


def program_name(command: Sequence[str]) -> str:
    """Return the name by which messages call a command: the emulator in it, if it is a wrapper's."""
    named = [os.path.basename(word) for word in command if os.path.basename(word).startswith("qemu-")]
    return named[-1] if named else os.path.basename(command[0])
