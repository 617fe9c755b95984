"""The machine that a domain's XML describes: its hypervisor, its emulator, its panic notifiers."""

import os

import msgspec

from onpanic.core.errors import RefusedError
from onpanic.core.untrusted import printable
from onpanic.probe.decision.policy import Hypervisor
from onpanic.probe.decision.rules import refusal
from onpanic.probe.emulator.command_line import guess_target
from onpanic.probe.emulator.command_line_parser import device_type, option_values
from onpanic.probe.observations.machines import architectural_notifier
from onpanic.probe.record.capability_record import CapabilityRecord
from onpanic.shims.domain_xml.elements import Element, children, text_of

__all__ = (
    "ARG",
    "COMMANDLINE",
    "DEVICES",
    "QEMU_NAMESPACE",
    "DomainMachine",
    "arguments",
    "check_panics",
    "check_target",
    "hypervisor_of",
    "machine_of",
)

#: The namespace of ``<qemu:commandline>``.
QEMU_NAMESPACE = "http://libvirt.org/schemas/domain/qemu/1.0"

#: ``<qemu:commandline>`` and ``<qemu:arg>``, as lxml names them.
COMMANDLINE = f"{{{QEMU_NAMESPACE}}}commandline"
ARG = f"{{{QEMU_NAMESPACE}}}arg"

#: QEMU's types of panic device, with libvirt's models of them.
DEVICES = {"pvpanic": "isa", "isa-pvpanic": "isa", "pvpanic-pci": "pvpanic"}

# libvirt's domain types that QEMU runs; its test driver accepts what its QEMU driver accepts
_QEMU = ("qemu", "kvm", "hvf", "kqemu", "test")

# libvirt's models of <panic> with the architectures that have them; all architectures if none is listed
_MODELS: dict[str, tuple[str, ...]] = {
    "": (),
    "default": (),
    "isa": ("x86_64", "i686", "i386"),
    "hyperv": ("x86_64", "i686", "i386"),
    "pseries": ("ppc64",),
    "s390": ("s390",),
    "pvpanic": (),
}

# libvirt's architectures with the QEMU targets that run them, where the names differ
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


class DomainMachine(msgspec.Struct, frozen=True):
    """The machine that a domain describes.

    :param hypervisor: ``qemu``, ``xen``, or None for one that the proposal of 2013 does not cover.
    :param kind: libvirt's domain type, e.g. ``kvm``.
    :param arch: libvirt's name of the architecture; None if the document leaves it to libvirt.
    :param machine: The machine type or its alias; None if the document leaves it to libvirt.
    :param emulator: The path of the emulator; None if the document leaves it to libvirt.
    :param notifiers: libvirt's models of the panic notifiers that the domain has.
    :param acpi: Whether the guest has ACPI, through which it finds an ISA device.
    :param panics: The models of its ``<panic>`` elements as they are written; empty for one without a model.
    :param panic_action: The value of ``-action panic=`` among its own arguments, if a panic then does not
        stop the guest; else empty.
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
    """Return which rules apply to a libvirt domain type; None if the proposal of 2013 does not cover it."""
    return "xen" if kind == "xen" else "qemu" if kind in _QEMU else None


def machine_of(root: Element) -> DomainMachine:
    """Return the machine that a domain's XML describes.

    :param root: The element ``<domain>``.
    """
    kind = str(root.get("type", ""))
    found: dict[str, Element] = {}
    panics: list[str] = []
    for part in root.iterchildren("os", "devices", "features"):
        for inner in part.iterchildren("type", "emulator", "panic", "acpi"):
            found.setdefault(f"{part.tag}/{inner.tag}", inner)
            if part.tag == "devices" and inner.tag == "panic":
                panics.append(str(inner.get("model", "")))
    system = found.get("os/type")
    arch, machine = (None, None) if system is None else (system.get("arch"), system.get("machine"))
    emulator = text_of(found.get("devices/emulator")) or None
    words = arguments(root)
    return DomainMachine(
        hypervisor=hypervisor_of(kind),
        kind=kind,
        arch=arch,
        machine=machine,
        emulator=emulator,
        notifiers=_notifiers(kind, _target(arch, emulator), machine or "", panics, words),
        acpi="features/acpi" in found,
        panics=tuple(panics),
        panic_action=_panic_action(words) if words else "",
    )


def arguments(root: Element) -> list[str]:
    """Return the arguments that a domain adds to QEMU's command line.

    :param root: The element ``<domain>``.
    """
    return [str(element.get("value", "")) for element in children(root, COMMANDLINE, ARG)]


def check_panics(machine: DomainMachine) -> None:
    """Check that libvirt has the models of a domain's ``<panic>`` elements for its architecture.

    :raise RefusedError: When it does not, and would therefore refuse the domain.
    """
    target = _target(machine.arch, machine.emulator)
    for model in machine.panics:
        families = _MODELS.get(model)
        if families is None or (machine.kind != "test" and families and not target.startswith(families)):
            raise RefusedError(refusal("no-such-panic-model", f"{printable(model, 60)} on {target}"))


def check_target(record: CapabilityRecord, machine: DomainMachine) -> None:
    """Check that a record is about an emulator for a domain's architecture.

    :raise RefusedError: When it is about an emulator for another one.
    """
    target = record.emulator.target
    if machine.arch and target and target not in _TARGETS.get(machine.arch, (machine.arch,)):
        raise RefusedError(refusal("record-of-another-target", f"{target}, not {machine.arch}"))


def _target(arch: str | None, emulator: str | None) -> str:
    """Return the architecture that a domain names, else that of the emulator's name, else the host's."""
    return arch or (guess_target([emulator]) if emulator else os.uname().machine)


def _notifiers(kind: str, target: str, machine: str, panics: list[str], words: list[str]) -> tuple[str, ...]:
    """Return libvirt's models of all panic notifiers that a domain has.

    That includes the architecture's own notifier, and Hyper-V's with KVM, which alone implements it.
    """
    builtin = architectural_notifier(target, machine)
    own = str(builtin.model) if builtin else ""
    default = own or ("pvpanic" if target in ("aarch64", "armv7l") else "isa")
    models = [own] if own else []
    models += [default if model in ("", "default") else model for model in panics]
    if words:
        added = [device_type(device) for device in option_values(words, "device")]
        models += [DEVICES[driver] for driver in added if driver in DEVICES]
    return tuple(dict.fromkeys([model for model in models if model != "hyperv" or kind == "kvm"]))


def _panic_action(words: list[str]) -> str:
    """Return the value of QEMU's ``-action panic=``; empty if a panic stops the guest.

    With ``shutdown`` a panic stops the guest, too, because libvirt starts QEMU with ``-no-shutdown``,
    unless ``-action shutdown=`` overrides that.
    """
    found: dict[str, str] = {}
    for value in option_values(words, "action"):
        found |= dict(part.partition("=")[::2] for part in value.split(","))
    action = found.get("panic", "pause")
    stops = action == "pause" or (action == "shutdown" and found.get("shutdown", "pause") == "pause")
    return "" if stops else action
