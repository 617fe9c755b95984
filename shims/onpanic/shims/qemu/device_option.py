"""Translating ``-device isa-pvpanic`` on an emulator's command line, and moving a builtin pvpanic away.

``isa-pvpanic`` is the name that a proposal of 2013 gave to the device with the working design; QEMU
kept the name ``pvpanic``.  A user who asks for the proposed name gets the device under the name with
which it works as proposed, and a refusal if it works with none.  If no device is asked for, a builtin
one is moved to a port where no guest looks for it.  It cannot be removed; without a builtin device,
``-global`` has no effect.
"""

import json
from collections.abc import Sequence

from onpanic.core.errors import RefusedError
from onpanic.probe.decision.rules import refusal, refusal_of_notifier
from onpanic.probe.emulator.command_line_parser import device_type, option_values
from onpanic.probe.emulator.notifier_models import ISA_TYPES
from onpanic.probe.emulator.option_value import json_members
from onpanic.probe.record.capability_record import CapabilityRecord

__all__ = ("PROPOSED", "translated_command_line", "translated_device", "without_builtin")

#: The device's name according to the proposal "pvpanic: rename to isa-pvpanic" of 2013.
PROPOSED = "isa-pvpanic"

_PORT = 0x505  # QEMU's default; guests without ACPI expect it
_DEVICE = ("-device", "--device")


def translated_command_line(
    argv: Sequence[str], record: CapabilityRecord, machine: str | None = None
) -> list[str]:
    """Translate an emulator's options.

    :param argv: The options, without the emulator.
    :param record: What the emulator can do.
    :param machine: The machine type that the options name; None for the default one.
    :return: The options, with the working device's name for ``isa-pvpanic``, and with
        ``-global pvpanic.ioport=0`` if the machine type has, or may have, a builtin pvpanic; its type may be
        another one.
    :raise RefusedError: When ``isa-pvpanic`` is asked for, and the emulator has no such device that works.
    :raise RecordError: When the record does not have the machine type.
    """
    words = list(argv)
    asked = False
    for i, option in enumerate(words[:-1], 1):
        if option in _DEVICE and device_type(words[i]) == PROPOSED:
            words[i] = translated_device(words[i], record, machine)
            asked = True
    capabilities = record.capabilities(machine)
    builtin = capabilities.fact("builtin-pvpanic").answer
    if asked or builtin == "no":
        return words
    listed = [name for name in ISA_TYPES if capabilities.fact(f"{name}-type").answer == "yes"]
    types = [capabilities.builtin_type] if builtin == "yes" else listed or ["pvpanic"]
    return without_builtin(words, types)


def without_builtin(argv: Sequence[str], types: Sequence[str] = ("pvpanic",)) -> list[str]:
    """Move a builtin pvpanic away.  A device of its type among the options stays at its port.

    :param argv: The options, without the emulator.
    :param types: The QEMU types that it may have.
    """
    words = list(argv)
    for name in types:
        away = f"{name}.ioport=0"
        if away in option_values(words, "global"):
            continue
        for i, option in enumerate(words[:-1], 1):
            if option in _DEVICE and device_type(words[i]) == name:
                words[i] = _at_its_port(words[i])
        words += ["-global", away]
    return words


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
    name = _working_type(record, machine)
    if name == PROPOSED:
        return device
    if device.startswith("{"):
        return json.dumps(json_members(device) | {"driver": name})
    own = (PROPOSED, f"driver={PROPOSED}")
    return ",".join(part.replace(PROPOSED, name) if part in own else part for part in device.split(","))


def _working_type(record: CapabilityRecord, machine: str | None) -> str:
    """Return the QEMU type of the ISA device that works.

    :raise RefusedError: When none does.
    :raise RecordError: When the record does not have the machine type.
    """
    recorded = record.machine(machine)
    isa = recorded.notifier_named("isa")
    if isa is None:  # records of version 1 have one notifier
        refused = refusal_of_notifier(record.capabilities(recorded.name))
        raise RefusedError(refusal("no-isa-notifier", recorded.name) if refused is None else refused)
    capabilities = record.capabilities(recorded.name, "isa")
    refused = refusal_of_notifier(capabilities)
    has_another = capabilities.architectural or capabilities.fact("pvpanic-pci-type").answer == "yes"
    if refused is not None and refused.code == "panic-device-missing" and has_another:
        refused = refusal("no-isa-notifier", recorded.name)
    if refused is not None:
        raise RefusedError(refused)
    return isa.type or "pvpanic"  # what records of version 1 are of


def _at_its_port(device: str) -> str:
    """Add the default port to a device that names none."""
    if device.startswith("{"):
        return json.dumps({"ioport": _PORT} | json_members(device))
    has_port = any(part.startswith("ioport=") for part in device.split(","))
    return device if has_port else f"{device},ioport={_PORT}"
