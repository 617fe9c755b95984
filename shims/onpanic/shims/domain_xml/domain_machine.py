"""The machine that a domain's XML describes: its hypervisor, its emulator, its panic notifiers."""

import os

import msgspec

from onpanic.core.errors import RefusedError
from onpanic.core.untrusted import printable
from onpanic.probe.decision.policy import Hypervisor
from onpanic.probe.decision.rules import refusal
from onpanic.probe.emulator.command_line import X86, guess_target
from onpanic.probe.emulator.command_line_parser import device_type, option_values
from onpanic.probe.emulator.notifier_models import ISA_TYPES, PCI_TYPE
from onpanic.probe.observations.notifiers import architectural_notifier
from onpanic.probe.record.capability_record import CapabilityRecord
from onpanic.shims.domain_xml.elements import Element, children, text_of

__all__ = (
    "ARG",
    "COMMANDLINE",
    "DEVICES",
    "LIBVIRT_TYPES",
    "QEMU_NAMESPACE",
    "DomainMachine",
    "arguments",
    "check_panics",
    "check_target",
    "has_model",
    "hypervisor_of",
    "machine_of",
    "model_of",
)

#: The namespace of ``<qemu:commandline>``.
QEMU_NAMESPACE = "http://libvirt.org/schemas/domain/qemu/1.0"

#: ``<qemu:commandline>`` and ``<qemu:arg>``, as lxml names them.
COMMANDLINE = f"{{{QEMU_NAMESPACE}}}commandline"
ARG = f"{{{QEMU_NAMESPACE}}}arg"

#: QEMU's types of panic device, with libvirt's models of them.
DEVICES = {**dict.fromkeys(ISA_TYPES, "isa"), PCI_TYPE: "pvpanic"}

#: libvirt's models of ``<panic>`` that are devices, with the QEMU type that libvirt looks for and adds.
LIBVIRT_TYPES = {"isa": "pvpanic", "pvpanic": PCI_TYPE}

# libvirt's domain types that QEMU runs; its test driver accepts what its QEMU driver accepts
_QEMU = ("qemu", "kvm", "hvf", "kqemu", "test")

# libvirt's models of <panic> with the architectures that have them; all architectures if none is listed
_MODELS: dict[str, tuple[str, ...]] = {
    "": (),
    "default": (),
    "isa": (*X86, "i686"),
    "hyperv": (*X86, "i686"),
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
    :param devices: The QEMU types of the notifiers that are devices, whether libvirt adds them or the
        domain's own arguments do.
    :param panic_action: What a panic ends in, given the domain's own arguments: ``pause``, ``poweroff``,
        ``run`` or ``exit``, as the fact ``panic-action`` has it; ``unknown`` for a value that QEMU lacks.
    :param panic_options: The options that make it so, e.g. ``panic=none``; empty for ``pause``.
    """

    hypervisor: Hypervisor | None
    kind: str
    arch: str | None
    machine: str | None
    emulator: str | None
    notifiers: tuple[str, ...]
    acpi: bool
    panics: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    panic_action: str = "pause"
    panic_options: str = ""


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
    own = architectural_notifier(_target(arch, emulator), machine or "")
    models = [_resolved(model, _target(arch, emulator), own) for model in panics]
    added = [device_type(device) for device in option_values(words, "device")] if words else []
    devices = [*(LIBVIRT_TYPES[model] for model in models if model in LIBVIRT_TYPES)]
    devices += [name for name in added if name in DEVICES]
    action, options = _panic_action(words)
    return DomainMachine(
        hypervisor=hypervisor_of(kind),
        kind=kind,
        arch=arch,
        machine=machine,
        emulator=emulator,
        notifiers=_notifiers(kind, own, models, devices),
        acpi="features/acpi" in found,
        panics=tuple(panics),
        devices=tuple(dict.fromkeys(devices)),
        panic_action=action,
        panic_options=options,
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
    for model in machine.panics:
        if not has_model(machine, model):
            target = _target(machine.arch, machine.emulator)
            raise RefusedError(refusal("no-such-panic-model", f"{printable(model, 60)} on {target}"))


def has_model(machine: DomainMachine, model: str) -> bool:
    """Return whether libvirt has a model of ``<panic>`` for a domain's architecture."""
    families = _MODELS.get(model)
    target = _target(machine.arch, machine.emulator)
    return families is not None and (machine.kind == "test" or not families or target.startswith(families))


def model_of(model: str, machine: DomainMachine) -> str:
    """Return the model that libvirt uses for a domain's ``<panic>``, which need not name one."""
    target = _target(machine.arch, machine.emulator)
    return _resolved(model, target, architectural_notifier(target, machine.machine or ""))


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


def _resolved(model: str, target: str, own: str | None) -> str:
    """Return a model of ``<panic>``, or libvirt's default if it is none.

    :param own: The model that the architecture brings, None if it brings none.
    """
    default = own or ("pvpanic" if target in ("aarch64", "armv7l") else "isa")
    return default if model in ("", "default") else model


def _notifiers(kind: str, own: str | None, models: list[str], devices: list[str]) -> tuple[str, ...]:
    """Return libvirt's models of all panic notifiers that a domain has.

    That includes the architecture's own notifier, and Hyper-V's with KVM, which alone implements it.
    """
    found = [own] if own else []
    found += [*models, *(DEVICES[name] for name in devices)]
    return tuple(dict.fromkeys([model for model in found if model != "hyperv" or kind == "kvm"]))


def _panic_action(words: list[str]) -> tuple[str, str]:
    """Return what a panic ends in, and the options of QEMU's ``-action`` that make it so.

    libvirt starts QEMU with ``-no-shutdown``, which is ``-action shutdown=pause``, and adds the domain's own
    arguments after it.  A panic is a shutdown unless ``panic=`` says otherwise.
    """
    found = {"panic": "shutdown", "shutdown": "pause"}
    for flag, value in zip(words, [*words[1:], ""], strict=False):
        if flag in ("-no-shutdown", "--no-shutdown"):
            found["shutdown"] = "pause"
        elif flag in ("-action", "--action"):
            found |= dict(part.partition("=")[::2] for part in value.split(","))
    panic, powers_off = found["panic"], found["shutdown"] == "poweroff"
    if panic == "shutdown":
        action = "poweroff" if powers_off else "pause"
        return action, "shutdown=poweroff" if powers_off else ""
    if panic == "exit-failure":  # ends with status 1, unless a shutdown pauses, which libvirt then completes
        return "exit" if powers_off else "poweroff", "panic=exit-failure"
    action = {"pause": "pause", "none": "run"}.get(panic, "unknown")
    return action, "" if action == "pause" else f"panic={panic}"
