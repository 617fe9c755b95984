"""What a domain's XML says of the machine: its hypervisor, its emulator, its panic notifiers."""

import os
import re

import msgspec
from lxml import etree

from onpanic.probe.arguments import device_type, option_values
from onpanic.probe.decision import Hypervisor, refusal
from onpanic.probe.foreign import printable
from onpanic.probe.launch import target_hint
from onpanic.probe.machines import architectural_notifier
from onpanic.probe.record import CapabilityRecord

from .elements import child, children, text_of
from .errors import RefusedError

__all__ = (
    "ARG",
    "COMMANDLINE",
    "DEVICES",
    "QEMU_NAMESPACE",
    "Machine",
    "arguments",
    "check_panics",
    "check_target",
    "free_slot",
    "hypervisor_of",
    "machine_of",
)

#: The namespace of ``<qemu:commandline>``.
QEMU_NAMESPACE = "http://libvirt.org/schemas/domain/qemu/1.0"

#: Its elements, as lxml names them.
COMMANDLINE = f"{{{QEMU_NAMESPACE}}}commandline"
ARG = f"{{{QEMU_NAMESPACE}}}arg"

#: QEMU's types of panic device with libvirt's models of them.
DEVICES = {"pvpanic": "isa", "isa-pvpanic": "isa", "pvpanic-pci": "pvpanic"}

# libvirt's domain types that are run by QEMU; its test driver takes all that QEMU's takes
_QEMU = ("qemu", "kvm", "hvf", "kqemu", "test")

# libvirt's models with the architectures that have them, all of them where nothing is said
_MODELS: dict[str, tuple[str, ...]] = {
    "": (),
    "default": (),
    "isa": ("x86_64", "i686", "i386"),
    "hyperv": ("x86_64", "i686", "i386"),
    "pseries": ("ppc64",),
    "s390": ("s390",),
    "pvpanic": (),
}

# The slot in -device …,addr=SLOT.FUNCTION, always hexadecimal, in either of its forms
_ADDRESS = re.compile(r"""\baddr['"]?\s*[=:]\s*['"]?(?:0x)?([0-9a-fA-F]{1,2})""")

# QEMU's targets that run libvirt's architectures, where they are not of the same name
_TARGETS = {
    "i686": ("i386", "x86_64"),
    "armv6l": ("arm", "aarch64"),
    "armv7l": ("arm", "aarch64"),
    "armv7b": ("arm", "aarch64"),
    "ppc": ("ppc", "ppc64"),
    "ppc64le": ("ppc64",),
    "ppcemb": ("ppcemb", "ppc", "ppc64"),
    "riscv32": ("riscv32", "riscv64"),
    "itanium": ("ia64",),
}


class Machine(msgspec.Struct, frozen=True):
    """The machine that a domain describes.

    :param hypervisor: ``qemu``, ``xen``, or None for one that the proposal does not speak of.
    :param kind: libvirt's domain type, e.g. ``kvm``.
    :param arch: libvirt's name of the architecture; None if the document leaves it to libvirt.
    :param machine: The machine type or its alias; None if the document leaves it to libvirt.
    :param emulator: The path of the emulator; None if the document leaves it to libvirt.
    :param notifiers: libvirt's models of the panic notifiers that are there.
    :param acpi: True if the guest has ACPI, through which it finds an ISA device.
    :param panics: The models of its ``<panic>`` elements, as they are written; empty for one without.
    :param panic_action: What ``-action panic=`` among its own arguments says; empty if nothing.
    """

    hypervisor: Hypervisor | None
    kind: str
    arch: str | None
    machine: str | None
    emulator: str | None
    notifiers: tuple[str, ...]
    acpi: bool
    panics: tuple[str, ...] = ()
    panic_action: str = ""


def hypervisor_of(kind: str) -> Hypervisor | None:
    """Return whose rules a domain type of libvirt's follows; None if the proposal does not speak of it."""
    return "xen" if kind == "xen" else "qemu" if kind in _QEMU else None


def machine_of(root: etree._Element) -> Machine:
    """Read what a domain's XML says of its machine.

    :param root: The element ``<domain>``.
    """
    kind = str(root.get("type", ""))
    system = child(root, "os", "type")
    arch, machine = (None, None) if system is None else (system.get("arch"), system.get("machine"))
    emulator = text_of(child(root, "devices", "emulator")) or None
    panics = tuple(str(panic.get("model", "")) for panic in children(root, "devices", "panic"))
    words = arguments(root)
    return Machine(
        hypervisor=hypervisor_of(kind),
        kind=kind,
        arch=arch,
        machine=machine,
        emulator=emulator,
        notifiers=_notifiers(kind, _target(arch, emulator), machine or "", panics, words),
        acpi=child(root, "features", "acpi") is not None,
        panics=panics,
        panic_action=_panic_action(words),
    )


def _target(arch: str | None, emulator: str | None) -> str:
    """Return the architecture: as stated, else as the emulator's name says, else the host's."""
    return arch or (target_hint([emulator]) if emulator else os.uname().machine)


def _panic_action(words: list[str]) -> str:
    """Return what QEMU is told to do on a panic; nothing where that is to stop the guest.

    ``shutdown`` stops it, too, with the ``-no-shutdown`` that libvirt gives, unless that is
    taken back (QEMU's ``-action``).
    """
    found: dict[str, str] = {}
    for value in option_values(words, "action"):
        found |= dict(part.partition("=")[::2] for part in value.split(","))
    action = found.get("panic", "pause")
    stops = action == "pause" or (action == "shutdown" and found.get("shutdown", "pause") == "pause")
    return "" if stops else action


def check_panics(machine: Machine) -> None:
    """Make sure that libvirt has the models of a domain's ``<panic>`` elements for its architecture.

    :raise RefusedError: When it has not, and so would refuse the domain.
    """
    target = _target(machine.arch, machine.emulator)
    for model in machine.panics:
        families = _MODELS.get(model)
        if families is None or (machine.kind != "test" and families and not target.startswith(families)):
            raise RefusedError(refusal("no-such-panic-model", f"{printable(model, 60)} on {target}"))


def _notifiers(
    kind: str, target: str, machine: str, panics: tuple[str, ...], words: list[str]
) -> tuple[str, ...]:
    """Return libvirt's models of the panic notifiers that a domain has, whoever put them there.

    The architecture's own counts; Hyper-V's does only with KVM, whose it is.
    """
    brought = architectural_notifier(target, machine)
    own = str(brought.model) if brought else ""
    default = own or ("pvpanic" if target in ("aarch64", "armv7l") else "isa")
    models = [own] if own else []
    models += [default if model in ("", "default") else model for model in panics]
    added = [device_type(device) for device in option_values(words, "device")]
    models += [DEVICES[driver] for driver in added if driver in DEVICES]
    return tuple(dict.fromkeys(model for model in models if model != "hyperv" or kind == "kvm"))


def arguments(root: etree._Element) -> list[str]:
    """Return the arguments that a domain adds to QEMU's command line."""
    return [str(element.get("value", "")) for element in children(root, COMMANDLINE, ARG)]


def free_slot(root: etree._Element) -> int | None:
    """Return a slot of the root PCI bus that a domain leaves free, None if it leaves none.

    libvirt fills the bus from below; what it and QEMU reserve (the video card, and on q35
    USB, sound, bridges and SATA) is below or above these.

    :param root: The element ``<domain>``.
    """
    taken = {
        _number(address.get("slot", ""))
        for address in root.iter("address")
        if address.get("type") == "pci" and not _number(address.get("bus", ""))
    }
    taken |= {int(word, 16) for word in _ADDRESS.findall("\n".join(arguments(root)))}
    return next((slot for slot in range(0x10, 0x1A) if slot not in taken), None)


def _number(word: str) -> int | None:
    """Read a number in C's notation, as libvirt does; None if it is none."""
    try:
        return int(word, 0)
    except ValueError:
        return None


def check_target(record: CapabilityRecord, machine: Machine) -> None:
    """Make sure that a record is of an emulator for a domain's architecture.

    :raise RefusedError: When it is of another one.
    """
    target = record.emulator.target
    if machine.arch and target and target not in _TARGETS.get(machine.arch, (machine.arch,)):
        raise RefusedError(refusal("record-of-another-target", f"{target}, not {machine.arch}"))
