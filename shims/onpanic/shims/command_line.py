"""``-device isa-pvpanic`` on an emulator's command line, and builtin devices off it.

``isa-pvpanic`` is the name that the proposal of 2013 gave the working design; QEMU kept
``pvpanic``.  Whoever asks by the proposed name gets the device under the name that this
emulator has for it, if it works as the proposal meant it, and a refusal if it does not.
Where nobody asks, a builtin device is moved to a port where no guest looks for it: that
is the only way to be rid of it (``-global`` has no effect where there is none).
"""

import json
from collections.abc import Sequence

from onpanic.probe.arguments import device_type, option_values
from onpanic.probe.decision import obstacle, refusal
from onpanic.probe.record import CapabilityRecord

from .errors import RefusedError

__all__ = ("PROPOSED", "translated_command_line", "translated_device", "without_builtin")

#: The name of the working design, by the proposal "pvpanic: rename to isa-pvpanic" of 2013.
PROPOSED = "isa-pvpanic"

_PORT = 0x505  # where guests without ACPI look, and QEMU's default
_DEVICE = ("-device", "--device")
_AWAY = "pvpanic.ioport=0"


def translated_command_line(
    argv: Sequence[str], record: CapabilityRecord, machine: str | None = None
) -> list[str]:
    """Translate an emulator's options.

    :param argv: The options, without the emulator.
    :param record: What the emulator can do.
    :param machine: The machine type that the options ask for; None for the default one.
    :return: The options, with ``-device isa-pvpanic`` by its real name, and with
        ``-global pvpanic.ioport=0`` where the machine type has, or may have, a builtin.
    :raise RefusedError: When ``isa-pvpanic`` is asked for and cannot be had.
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
    """Move a builtin pvpanic away; a ``-device pvpanic`` that was asked for stays at its port.

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

    :param device: For example ``isa-pvpanic,ioport=1285`` or ``{"driver": "isa-pvpanic"}``; any
        other device comes back as it is.
    :param record: What the emulator can do.
    :param machine: The machine type; None for the default one.
    :raise RefusedError: When the emulator has no such device of a design that works.
    :raise RecordError: When the record does not have the machine type.
    """
    if device_type(device) != PROPOSED:
        return device
    refused = obstacle(record.capabilities(machine))
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
    """State the port of a device that takes the default one."""
    if device.startswith("{"):
        return json.dumps({"ioport": _PORT} | json.loads(device))
    stated = any(part.startswith("ioport=") for part in device.split(","))
    return device if stated else f"{device},ioport={_PORT}"
