"""The command line that starts an emulator for the probe.

Every QEMU since 0.12 takes it: paused, without default devices, with QMP on its stdin and stdout.
"""

import json
import os
from collections.abc import Sequence

from onpanic.probe.emulator.command_line_parser import adds_device, option_values
from onpanic.probe.emulator.notifier_models import ISA_TYPES, NotifierModel
from onpanic.probe.emulator.user_options import (
    adapt,
    emulator_alone,
    emulator_position,
    target_in,
    without_options,
)

__all__ = (
    "OPTIONS_OF_PROBE",
    "OWN_ID",
    "X86",
    "command_line",
    "first_command_line",
    "guess_target",
    "named_target",
    "program_name",
    "required_options",
)

#: The id of the device that the probe adds.
OWN_ID = "onpanic"

#: The last of these options on a command line is followed by the probe's own options only.
OPTIONS_OF_PROBE = "-S"

#: Targets whose I/O ports the human monitor can access.
X86 = ("i386", "x86_64")


def command_line(
    command: Sequence[str],
    machine: str | None,
    *,
    accel: str = "tcg",
    device: str = "",
    bus: str = "",
    extra: Sequence[str] = (),
    alone: bool = False,
    defaults: bool = False,
) -> list[str]:
    """Return the command line that starts an emulator for one machine type.

    ``-no-shutdown``, because without it a panic ends QEMU 2.8 and later; it comes first, as libvirt has
    it, so that the user's options can override it.  ``-nographic``, because RHEL 6 does not have
    ``-display none``.

    :param command: The emulator: a path, or a whole command, which is adapted, see `adapt`.
    :param machine: The machine type; None for the emulator's default.
    :param accel: The accelerator, since the default differs between builds; empty for the emulator's choice.
    :param device: The type of the panic notifier to add; empty for none.
    :param bus: The bus to add it to; empty for the default one.
    :param extra: More options.
    :param alone: Whether to leave out all options of the user's, to ask about the emulator itself.
    :param defaults: Whether the machine type has its default devices, but for a network and a monitor.
    """
    words = emulator_alone(command) if alone else adapt(command).command
    if machine == "none":
        words = without_options(words, "machine", "M")  # it has none of their properties
    position = emulator_position(words)
    first = len(words) if position is None else position + 1
    options = ",".join(filter(None, [machine, f"accel={accel}" if accel else ""]))
    return [
        *words[:first],
        "-no-shutdown",
        *words[first:],
        OPTIONS_OF_PROBE,
        *(("-net", "none", "-monitor", "none") if defaults else ("-nodefaults",)),
        *("-nographic", "-serial", "none", "-parallel", "none"),
        *(("-machine", options) if options else ()),
        *(("-device", _own_device(words, device, bus)) if device else ()),
        *extra,
        *("-qmp", "stdio"),
    ]


def _own_device(words: Sequence[str], device: str, bus: str) -> str:
    """Return the argument of ``-device`` for the probe's device, which must be created last.

    QEMU creates devices that are written as JSON after all others (``qemu_create_cli_devices``), and
    libvirt writes them so.  A PCI device that is created before them takes a slot that one of them names.

    :param words: The user's command line.
    """
    members = {"driver": device, **({"bus": bus} if bus else {}), "id": OWN_ID}
    if any(value.startswith("{") for value in option_values(words, "device")):
        return json.dumps(members)
    return ",".join([device, *(f"{name}={word}" for name, word in members.items() if name != "driver")])


def first_command_line(
    command: Sequence[str], machine: str | None, notifier: NotifierModel | None
) -> list[str] | None:
    """Return the command line to try first: with the ISA device if the name is that of an x86 emulator.

    :return: None if the first start inherits file descriptors, so that it cannot be made beforehand.
    """
    target = guess_target(command)
    if target == "s390x" and notifier in (None, "s390"):
        return command_line(command, machine)
    if target not in X86 or notifier not in (None, "isa"):
        return None
    return command_line(command, machine, device="" if adds_device(command, ISA_TYPES) else "pvpanic")


def required_options(target: str) -> tuple[str, ...]:
    """Return the options without which a target needs firmware that may not be installed."""
    return ("-bios", "none") if target.startswith("riscv") else ()


def guess_target(command: Sequence[str]) -> str:
    """Guess the target from the emulator's name, or from the last word that has one; else x86_64."""
    return named_target(command) or "x86_64"


def named_target(command: Sequence[str]) -> str:
    """Return the target in the emulator's name, or in the last word that has one; empty without either."""
    target = target_in(command)
    if target:
        return target
    for word in reversed(command):
        _, found, target = os.path.basename(word).partition("qemu-system-")
        if found:
            return target.partition("-")[0]
    return ""


def program_name(command: Sequence[str]) -> str:
    """Return the name by which messages call a command: the emulator in it, if it is a wrapper's."""
    position = emulator_position(command)
    if position is not None:
        return os.path.basename(command[position])
    named = [os.path.basename(word) for word in command if os.path.basename(word).startswith("qemu-")]
    return named[-1] if named else os.path.basename(command[0])
