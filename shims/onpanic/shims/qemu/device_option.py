"""Translating ``-device isa-pvpanic`` on an emulator's command line, and moving a builtin pvpanic away.

``isa-pvpanic`` is the name that a proposal of 2013 gave to the device with the working design; QEMU
kept the name ``pvpanic``.  A user who asks for the proposed name gets the device under the name that
the emulator has for it if it works as proposed, and a refusal otherwise.  If no device is asked for,
a builtin one is moved to a port where no guest looks for it.  It cannot be removed; without a builtin
device, ``-global`` has no effect.
"""

import json
from collections.abc import Sequence

from onpanic.core.errors import RefusedError
from onpanic.probe.decision.rules import refusal, refusal_of_notifier
from onpanic.probe.emulator.command_line_parser import device_type, option_values
from onpanic.probe.record.capability_record import CapabilityRecord

__all__ = ("PROPOSED", "translated_command_line", "translated_device", "without_builtin")

#: The device's name according to the proposal "pvpanic: rename to isa-pvpanic" of 2013.
PROPOSED = "isa-pvpanic"

_PORT = 0x505  # QEMU's default; guests without ACPI expect it
_DEVICE = ("-device", "--device")
_AWAY = "pvpanic.ioport=0"


def translated_command_line(
    argv: Sequence[str], record: CapabilityRecord, machine: str | None = None
) -> list[str]:
    """Translate an emulator's options.

    :param argv: The options, without the emulator.
    :param record: What the emulator can do.
    :param machine: The machine type that the options name; None for the default one.
    :return: The options, with the emulator's name for ``isa-pvpanic``, and with
        ``-global pvpanic.ioport=0`` if the machine type has, or may have, a builtin pvpanic.
    :raise RefusedError: When ``isa-pvpanic`` is asked for, and the emulator has no such device that works.
    :raise RecordError: When the record does not have the machine type.
    """
    words = list(argv)
    asked = False
    for i, option in enumerate(words[:-1], 1):
        if option in _DEVICE and device_type(words[i]) == PROPOSED:
            words[i] = translated_device(words[i], record, machine)
            asked = True
    builtin = record.capabilities(machine).fact("builtin-pvpanic").answer
    return words if asked or builtin == "no" else without_builtin(words)


def without_builtin(argv: Sequence[str]) -> list[str]:
    """Move a builtin pvpanic away.  A ``-device pvpanic`` among the options stays at its port.

    :param argv: The options, without the emulator.
    """
    words = list(argv)
    if _AWAY in option_values(words, "global"):
        return words
    for i, option in enumerate(words[:-1], 1):
        if option in _DEVICE and device_type(words[i]) == "pvpanic":
            words[i] = _at_its_port(words[i])
    return [*words, "-global", _AWAY]


def translated_device(device: str, record: CapabilityRecord, machine: str | None = None) -> str:
    """Translate the value of ``-device isa-pvpanic,…``, in either of QEMU's forms.

    :param device: For example ``isa-pvpanic,ioport=1285`` or ``{"driver": "isa-pvpanic"}``; any other
        device is returned unchanged.
    :param record: What the emulator can do.
    :param machine: The machine type; None for the default one.
    :raise RefusedError: When the emulator has no such device that works.
    :raise RecordError: When the record does not have the machine type.
    """
    if device_type(device) != PROPOSED:
        return device
    refused = refusal_of_notifier(record.capabilities(machine))
    if refused is not None:
        raise RefusedError(refused)
    notifier = record.machine(machine).notifier
    if notifier is None or notifier.model != "isa":
        raise RefusedError(refusal("no-isa-notifier", record.machine(machine).name))
    if record.capabilities(machine).fact("isa-pvpanic-type").answer == "yes":
        return device
    if device.startswith("{"):
        return json.dumps(json.loads(device) | {"driver": "pvpanic"})
    own = (PROPOSED, f"driver={PROPOSED}")
    return ",".join(part.replace(PROPOSED, "pvpanic") if part in own else part for part in device.split(","))


def _at_its_port(device: str) -> str:
    """Add the default port to a device that names none."""
    if device.startswith("{"):
        return json.dumps({"ioport": _PORT} | json.loads(device))
    has_port = any(part.startswith("ioport=") for part in device.split(","))
    return device if has_port else f"{device},ioport={_PORT}"
