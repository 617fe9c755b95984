"""What a domain's own arguments to QEMU, in ``<qemu:commandline>``, have to do with panics.

libvirt adds them after its own, and QEMU mostly uses the last of several.
"""

from collections.abc import Iterator, Sequence

import msgspec

from onpanic.probe.emulator.action_options import QemuActions, read_actions
from onpanic.probe.emulator.command_line_parser import device_type, option_values
from onpanic.probe.emulator.notifier_models import ISA_TYPES, PCI_TYPE, VMCOREINFO_TYPE
from onpanic.probe.emulator.option_value import json_members, properties
from onpanic.shims.domain_xml.elements import Element, children
from onpanic.shims.domain_xml.pci_slots import c_number

__all__ = (
    "ARG",
    "COMMANDLINE",
    "PANICKED_EVENT",
    "QEMU_NAMESPACE",
    "SEV_ES",
    "QemuArguments",
    "arguments",
    "read_arguments",
)

#: The namespace of ``<qemu:commandline>``.
QEMU_NAMESPACE = "http://libvirt.org/schemas/domain/qemu/1.0"

#: ``<qemu:commandline>`` and ``<qemu:arg>``, as lxml names them.
COMMANDLINE = f"{{{QEMU_NAMESPACE}}}commandline"
ARG = f"{{{QEMU_NAMESPACE}}}arg"

# QEMU's types of objects for confidential guests, with whether the CPUs can be reset
_CONFIDENTIAL = {
    "sev-guest": True,
    "sev-snp-guest": False,
    "tdx-guest": False,
    "s390-pv-guest": True,
    "pef-guest": True,
}

#: The bit of the policy of SEV that encrypts the state of the CPUs (SEV-ES), which then cannot be reset.
SEV_ES = 4

#: The bit of the property ``events`` without which no guest reports a panic.
PANICKED_EVENT = 1

_OFF = ("off", "no", "false", "n")

_LIBVIRTS = QemuActions(shutdown="pause")  # libvirt starts QEMU with -no-shutdown


class QemuArguments(msgspec.Struct, frozen=True):
    """What arguments to QEMU say that has to do with panics; the defaults are what libvirt's own say.

    :param panic_action: What a panic ends in: ``pause``, ``poweroff``, ``run`` or ``exit``, as the fact
        ``panic-action`` has it; ``unknown`` for a value that QEMU lacks.
    :param panic_options: The options that make it so, e.g. ``panic=none``; empty for ``pause``.
    :param reboot_option: The option because of which a reset ends QEMU, e.g. ``-no-reboot``; empty without.
    :param devices: The QEMU types of the panic devices that they add.
    :param event_masks: The event bits of panic devices of a QEMU type, where the arguments set them.
    :param ports: The I/O ports of panic devices of a QEMU type, where the arguments set them.
    :param replaces_cpu: Whether they name a CPU, which replaces the one that libvirt names, and its flags.
    :param hyperv: Whether that CPU has a flag of Hyper-V.
    :param confidential: The QEMU type of the object that makes it a confidential guest; empty without.
    :param resettable: Whether the state of such a guest's CPUs can be reset.
    :param disables_acpi: Whether they take ACPI from the guest.
    :param config_file: The file of ``-readconfig``, whose content is not known; empty without.
    :param vmcoreinfo: Whether they add the vmcoreinfo device.
    """

    panic_action: str = "pause"
    panic_options: str = ""
    reboot_option: str = ""
    devices: tuple[str, ...] = ()
    event_masks: dict[str, int] = {}
    ports: dict[str, int] = {}
    replaces_cpu: bool = False
    hyperv: bool = False
    confidential: str = ""
    resettable: bool = True
    disables_acpi: bool = False
    config_file: str = ""
    vmcoreinfo: bool = False


_NONE = QemuArguments()


def arguments(root: Element) -> list[str]:
    """Return the arguments that a domain adds to QEMU's command line.

    :param root: The element ``<domain>``.
    """
    return [str(element.get("value", "")) for element in children(root, COMMANDLINE, ARG)]


def read_arguments(words: Sequence[str]) -> QemuArguments:
    """Return what arguments say that has to do with panics.

    :param words: The arguments that a domain adds.
    """
    if not words:
        return _NONE
    actions = read_actions(words, _LIBVIRTS)
    reboot_option = "" if actions.reboot in ("reset", "") else f"-action reboot={actions.reboot}"
    confidential, resettable = _confidential(words)
    devices = [(device_type(value), value) for value in option_values(words, "device")]
    panic_devices = [(name, value) for name, value in devices if name in (*ISA_TYPES, PCI_TYPE)]
    return QemuArguments(
        panic_action=actions.outcome,
        panic_options=_panic_options(actions),
        reboot_option="-no-reboot" if reboot_option and "-no-reboot" in words else reboot_option,
        devices=tuple([name for name, _ in panic_devices]),
        event_masks=_numbers("events", words, panic_devices),
        ports=_numbers("ioport", words, panic_devices),
        replaces_cpu=bool(option_values(words, "cpu")),
        hyperv=_has_hyperv(words),
        confidential=confidential,
        resettable=resettable,
        disables_acpi=_disables_acpi(words),
        config_file=next(iter(option_values(words, "readconfig")), ""),
        vmcoreinfo=VMCOREINFO_TYPE in [name for name, _ in devices],
    )


def _panic_options(actions: QemuActions) -> str:
    """Return the option because of which a panic does not pause the guest; empty if it does."""
    if actions.outcome == "pause":
        return ""
    return "shutdown=poweroff" if actions.panic == "shutdown" else f"panic={actions.panic}"


def _numbers(name: str, words: Sequence[str], devices: Sequence[tuple[str, str]]) -> dict[str, int]:
    """Return a property of each type of panic device, where the arguments set it to a number.

    :param name: The property's name.
    :param devices: The panic devices that the arguments add: types, and values of ``-device``.
    """
    found: dict[str, int] = {}
    for driver, member, value in _globals(words):
        number = c_number(value)
        if member == name and driver in (*ISA_TYPES, PCI_TYPE) and number is not None:
            found[driver] = number
    for driver, value in devices:
        members = _members(value)
        own = [word for word in _set_values(words, members.get("id", ""), name) if word]
        number = c_number(str((own or [members.get(name, "")])[-1]))
        if number is not None:
            found[driver] = number
    return found


def _globals(words: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """Yield the type, property and value of each ``-global``, in either of its forms."""
    for text in option_values(words, "global"):
        name, _, value = text.partition("=")
        driver, dot, member = name.rpartition(".")
        if dot and "," not in name:
            yield driver, member, value
        else:
            parts = _members(text)
            yield parts.get("driver", ""), parts.get("property", ""), parts.get("value", "")


def _set_values(words: Sequence[str], device: str, name: str) -> list[str]:
    """Return the values that ``-set`` gives to a property of a device.

    :param device: The device's id.
    :param name: The property's name.
    """
    parts = [text.partition("=") for text in option_values(words, "set")]
    return [value for path, _, value in parts if device and path == f"device.{device}.{name}"]


def _members(value: str) -> dict[str, str]:
    """Return the properties in the value of ``-device``, in either of its forms."""
    if value.startswith("{"):
        return {name: str(word) for name, word in json_members(value).items()}
    return dict(part.partition("=")[::2] for part in value.split(","))


def _confidential(words: Sequence[str]) -> tuple[str, bool]:
    """Return the type of the object that makes a confidential guest, and whether its CPUs can be reset."""
    for value in option_values(words, "object"):
        members = dict(properties(value, "qom-type"))
        kind = members.get("qom-type", "")
        if kind in _CONFIDENTIAL:
            encrypted = kind == "sev-guest" and (c_number(members.get("policy", "")) or 0) & SEV_ES
            return kind, _CONFIDENTIAL[kind] and not encrypted
    return "", True


def _disables_acpi(words: Sequence[str]) -> bool:
    """Return whether the guest has no ACPI because of ``-no-acpi`` or ``-machine acpi=off``."""
    values = option_values(words, "machine", "M")
    switches = [word for value in values for name, word in properties(value, "type") if name == "acpi"]
    return bool(switches and switches[-1] in _OFF) or "-no-acpi" in words or "--no-acpi" in words


def _has_hyperv(words: Sequence[str]) -> bool:
    """Return whether the CPU, the last one that is named, has a flag of Hyper-V."""
    flags = [part.partition("=") for value in option_values(words, "cpu")[-1:] for part in value.split(",")]
    return any(
        name.lstrip("+").replace("_", "-").startswith("hv-") and value not in _OFF for name, _, value in flags
    )
