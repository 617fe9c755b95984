"""The machine that a domain's XML describes: its hypervisor, its emulator, its panic notifiers."""

import os

import msgspec

from onpanic.core.errors import RefusedError
from onpanic.core.untrusted import printable
from onpanic.probe.decision.policy import Hypervisor
from onpanic.probe.decision.rules import refusal
from onpanic.probe.emulator.command_line import X86, guess_target
from onpanic.probe.emulator.notifier_models import ISA_TYPES, PCI_TYPE
from onpanic.probe.observations.notifiers import architectural_notifier
from onpanic.probe.record.capability_record import CapabilityRecord
from onpanic.shims.domain_xml.elements import Element, child, text_of, unstripped_text_of
from onpanic.shims.domain_xml.panic_addresses import address_problem, address_type, has_port
from onpanic.shims.domain_xml.pci_slots import c_number
from onpanic.shims.domain_xml.qemu_arguments import SEV_ES, QemuArguments, arguments, read_arguments

__all__ = (
    "DEVICES",
    "LIBVIRT_TYPES",
    "XEN_MACHINES",
    "DomainMachine",
    "check_target",
    "has_model",
    "has_pci",
    "hypervisor_of",
    "machine_of",
    "model_of",
)

#: QEMU's types of panic device, with libvirt's models of them.
DEVICES = {**dict.fromkeys(ISA_TYPES, "isa"), PCI_TYPE: "pvpanic"}

#: libvirt's models of ``<panic>`` that are devices, with the QEMU type that libvirt looks for and adds.
LIBVIRT_TYPES = {"isa": "pvpanic", "pvpanic": PCI_TYPE}

#: libvirt's machine types of Xen's guests, by the OS type: libvirt leaves them out of its documents.
XEN_MACHINES = {"linux": "xenpv", "xen": "xenpv", "xenpvh": "xenpvh", "hvm": "xenfv"}

# Children of <domain> whose own children count, and others that count
_PARENTS = {
    "os": ("type",),
    "devices": ("emulator", "panic"),
    "features": ("acpi", "hyperv", "vmcoreinfo"),
}
_OTHERS = ("clock", "on_poweroff", "on_reboot", "launchSecurity")

_X86 = (*X86, "i686")

# libvirt's domain types that QEMU runs; its test driver accepts what its QEMU driver accepts
_QEMU = ("qemu", "kvm", "hvf", "kqemu", "test")

# libvirt's drivers that accept every panic device; Xen's gives the guest none
_UNCHECKED = ("test", "xen")

# The architectures of which libvirt gives no machine type a PCI bus
_WITHOUT_PCI = (
    *("cris", "itanium", "lm32", "m68k", "microblaze", "microblazeel", "or32", "parisc", "parisc64"),
    *("ppcle", "sparc", "unicore32", "xtensa", "xtensaeb"),
)

# libvirt's models of <panic> with the architectures that have them; all architectures if none is listed
_MODELS: dict[str, tuple[str, ...]] = {
    "default": (),
    "isa": _X86,
    "hyperv": _X86,
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
    """The machine that a domain describes, and what else of the domain bears on a panic.

    :param hypervisor: ``qemu``, ``xen``, or None for one that the proposal of 2013 does not cover.
    :param kind: libvirt's domain type, e.g. ``kvm``.
    :param arch: libvirt's name of the architecture; None if the document leaves it to libvirt.
    :param machine: The machine type or its alias; None if the document leaves it to libvirt.
    :param emulator: The path of the emulator; None if the document leaves it to libvirt.
    :param notifiers: libvirt's models of the panic notifiers that the domain has.
    :param acpi: Whether the guest has ACPI, through which it finds an ISA device.
    :param panics: Its ``<panic>`` elements: the model as it is written, ``default`` without one, and the
        type of the address, empty without one.
    :param address_problem: What libvirt refuses in the address of one of them, e.g. ``slot='0x20'``; empty if
        it accepts all.
    :param devices: The QEMU types of the notifiers that are devices, whether libvirt adds them or the
        domain's own arguments do.
    :param unreachable: Those of them that the domain puts at port 0: QEMU then gives them no port at all.
    :param hyperv: Whether a flag of Hyper-V lets the guest report panics although nothing names the
        notifier ``hyperv``: with KVM any of them does.
    :param on_poweroff: The value of ``<on_poweroff>``, white space included; empty without.
    :param on_reboot: The value of ``<on_reboot>``, white space included; empty without.
    :param launch_security: The type of ``<launchSecurity>``; empty without.
    :param resettable: Whether the state of the guest's CPUs can be reset.
    :param vmcoreinfo: The state of its vmcoreinfo device: ``on`` or ``off``; empty if it says nothing of it.
    :param arguments: What the domain's own arguments to QEMU say.
    :param os_type: The value of ``<os><type>``; empty without.
    """

    hypervisor: Hypervisor | None
    kind: str
    arch: str | None
    machine: str | None
    emulator: str | None
    notifiers: tuple[str, ...]
    acpi: bool
    panics: tuple[tuple[str, str], ...] = ()
    address_problem: str = ""
    devices: tuple[str, ...] = ()
    unreachable: tuple[str, ...] = ()
    hyperv: bool = False
    on_poweroff: str = ""
    on_reboot: str = ""
    launch_security: str = ""
    resettable: bool = True
    vmcoreinfo: str = ""
    arguments: QemuArguments = QemuArguments()
    os_type: str = ""

    @property
    def checks_panics(self) -> bool:
        """Whether libvirt's driver checks the panic devices of such a domain."""
        return self.kind not in _UNCHECKED

    @property
    def guest_type(self) -> str:
        """The machine type that stands for the type of a Xen guest; libvirt's driver goes by the OS type."""
        name = self.machine or ""
        return XEN_MACHINES.get(self.os_type) or (name if name in XEN_MACHINES.values() else "xenpv")

    @property
    def target(self) -> str:
        """The architecture that the domain names, else that of the emulator's name, else the host's."""
        return _target(self.arch, self.emulator)

    @property
    def reset_ends(self) -> str:
        """The element or option because of which a reset ends the guest; empty if the guest boots again."""
        if self.on_reboot not in ("", "restart"):
            return f"<on_reboot> is {printable(self.on_reboot, 60)}"
        if self.arguments.reboot_option:
            return f"<qemu:commandline> has {printable(self.arguments.reboot_option, 60)}"
        return "" if self.resettable else self.confidential

    @property
    def confidential(self) -> str:
        """The element or option that makes it a confidential guest; empty if nothing does."""
        if self.launch_security:
            return f"<launchSecurity type='{printable(self.launch_security, 60)}'>"
        kind = self.arguments.confidential
        return f"<qemu:commandline> has -object {kind}" if kind else ""


def hypervisor_of(kind: str) -> Hypervisor | None:
    """Return which rules apply to a libvirt domain type; None if the proposal of 2013 does not cover it."""
    return "xen" if kind == "xen" else "qemu" if kind in _QEMU else None


def machine_of(root: Element) -> DomainMachine:
    """Return the machine that a domain's XML describes.

    :param root: The element ``<domain>``.
    """
    found, panics = _elements(root)
    kind = str(root.get("type", ""))
    system = found.get("os/type")
    arch, name = (None, None) if system is None else (system.get("arch"), system.get("machine"))
    if kind == "xen" and not name:
        name = XEN_MACHINES.get(text_of(system))
    emulator = text_of(found.get("devices/emulator")) or None
    own_arguments = read_arguments(arguments(root))
    target = _target(arch, emulator)
    own = _own_notifier(target, name or "")
    default = own or _default_model(target, kind, name or "")
    written = [str(panic.get("model", "default")) for panic in panics]
    models = [default if model == "default" else model for model in written]
    devices = [*(LIBVIRT_TYPES[model] for model in models if model in LIBVIRT_TYPES), *own_arguments.devices]
    has_flags = kind == "kvm" and (own_arguments.hyperv or not own_arguments.replaces_cpu)
    named = "hyperv" in models or not target.startswith(_X86)
    return DomainMachine(
        hypervisor=hypervisor_of(kind),
        kind=kind,
        arch=arch,
        machine=name,
        emulator=emulator,
        notifiers=_notifiers(has_flags, own, [model for model in models if model], devices),
        acpi="features/acpi" in found and not own_arguments.disables_acpi,
        panics=tuple(zip(written, map(address_type, panics), strict=True)),
        address_problem=address_problem(panics, checked=kind not in _UNCHECKED),
        devices=tuple(dict.fromkeys(devices)),
        unreachable=_unreachable(panics, own_arguments),
        hyperv=has_flags and not named and (own_arguments.hyperv or _has_hyperv(found)),
        on_poweroff=unstripped_text_of(found.get("on_poweroff")),
        on_reboot=unstripped_text_of(found.get("on_reboot")),
        launch_security=_launch_security(found.get("launchSecurity")),
        resettable=_is_resettable(found.get("launchSecurity")) and own_arguments.resettable,
        vmcoreinfo="on" if own_arguments.vmcoreinfo else _state(found.get("features/vmcoreinfo")),
        arguments=own_arguments,
        os_type=text_of(system),
    )


def has_model(machine: DomainMachine, model: str) -> bool:
    """Return whether libvirt has a model of ``<panic>`` for a domain's architecture and machine type."""
    families = _MODELS.get(model)
    if families is None or not machine.checks_panics:
        return families is not None
    if model == "pseries" and not (machine.machine or "pseries").startswith("pseries"):
        return False
    return not families or machine.target.startswith(families)


def has_pci(machine: DomainMachine) -> bool:
    """Return whether libvirt gives the machine type a PCI bus; without one, it refuses the model ``pvpanic``.

    QEMU's machine type may have one all the same (observed on libvirt 11.3; its ``qemuDomainSupportsPCI``).
    """
    name = machine.machine or "virt"
    if not machine.checks_panics:
        return True
    if machine.target.startswith(("arm", "aarch64", "riscv")):
        return name in ("virt", "versatilepb") or name.startswith("virt-")
    if machine.target.startswith(_X86):
        return name not in ("isapc", "x-remote") and not name.startswith("microvm")
    if machine.target.startswith("mips"):
        return name in ("virt", "malta")  # "virt" stands for none: libvirt's default is malta
    return machine.target not in _WITHOUT_PCI


def model_of(written: str, machine: DomainMachine) -> str:
    """Return the model of a ``<panic>``: its own, or libvirt's default; empty if libvirt has no default.

    libvirt before 9.1 uses ``isa`` for Arm's ``virt``, too, and for everything that has none.

    :param written: A model as it is written in `DomainMachine.panics`.
    """
    if written != "default":
        return written
    name = machine.machine or ""
    return _own_notifier(machine.target, name) or _default_model(machine.target, machine.kind, name)


def check_target(record: CapabilityRecord, machine: DomainMachine) -> None:
    """Check that a record is about a domain's hypervisor, and about an emulator for its architecture.

    :raise RefusedError: When it is about another one.
    """
    if machine.hypervisor not in (None, record.hypervisor):
        names = {"qemu": "QEMU", "xen": "Xen"}
        detail = f"{names[record.hypervisor]}; the domain is of type {printable(machine.kind, 60)}"
        raise RefusedError(refusal("record-of-another-hypervisor", detail))
    target = record.emulator.target
    if machine.arch and target and target not in _TARGETS.get(machine.arch, (machine.arch,)):
        raise RefusedError(refusal("record-of-another-target", f"{target}, not {machine.arch}"))
    is_pv = machine.hypervisor == "xen" and machine.guest_type == "xenpv"
    if is_pv and machine.arch and target and machine.arch != target:  # Xen can be built without 32-bit PV
        raise RefusedError(refusal("toolstack-inconclusive", f"PV guests of {printable(machine.arch, 60)}"))


def _elements(root: Element) -> tuple[dict[str, Element], list[Element]]:
    """Return the first of each element of a domain that counts, by its path, and all ``<panic>`` elements."""
    found: dict[str, Element] = {}
    panics: list[Element] = []
    for part in root.iterchildren(*_PARENTS, *_OTHERS):
        if part.tag in _OTHERS:
            found.setdefault(part.tag, part)
            continue
        parent = part.tag
        for inner in part.iterchildren(*_PARENTS[parent]):
            tag = inner.tag
            if tag == "panic":
                panics.append(inner)
            elif tag == "vmcoreinfo":  # libvirt reads each, so that the last one counts
                found["features/vmcoreinfo"] = inner
            else:
                found.setdefault(f"{parent}/{tag}", inner)
    return found, panics


def _unreachable(panics: list[Element], own: QemuArguments) -> tuple[str, ...]:
    """Return the QEMU types of ISA notifiers at port 0.

    :param panics: The domain's ``<panic>`` elements; libvirt sets the port if an address is of type ``isa``.
    :param own: The domain's own arguments.
    """
    reachable = {name: port != 0 for name, port in own.ports.items()}
    for found in map(has_port, panics):
        if found is not None:
            reachable[LIBVIRT_TYPES["isa"]] = found
    return tuple([name for name, found in reachable.items() if not found])


def _target(arch: str | None, emulator: str | None) -> str:
    name = (emulator or "").rpartition("/")[2]
    return arch or (guess_target([name]) if "qemu-system-" in name else os.uname().machine)


def _own_notifier(target: str, name: str) -> str | None:
    """Return the notifier that a machine type always has; libvirt's default machine type of ppc64 has one.

    :param name: The machine type; empty to leave the choice to libvirt.
    """
    return architectural_notifier(target, name or "pseries")


def _default_model(target: str, kind: str, name: str) -> str:
    """Return libvirt's default model for a machine type whose architecture has no notifier of its own.

    :param name: The machine type.
    """
    if target.startswith(_X86) or kind in _UNCHECKED:
        return "isa"
    virt = name in ("", "virt") or name.startswith("virt-")
    return "pvpanic" if target in ("aarch64", "armv6l", "armv7l", "arm") and virt else ""


def _notifiers(has_flags: bool, own: str | None, models: list[str], devices: list[str]) -> tuple[str, ...]:
    """Return libvirt's models of all panic notifiers that a domain has.

    :param has_flags: Whether flags of Hyper-V reach the guest, without which it has no such notifier.
    :param own: The architecture's own notifier.
    """
    found = [own] if own else []
    found += [*models, *(DEVICES[name] for name in devices)]
    return tuple(dict.fromkeys([model for model in found if model != "hyperv" or has_flags]))


def _has_hyperv(found: dict[str, Element]) -> bool:
    """Return whether libvirt gives the CPU a flag of Hyper-V.

    :param found: The domain's elements; its clock can be Hyper-V's, too.
    """
    features, clock = found.get("features/hyperv"), found.get("clock")
    if features is not None:
        states = [inner.get("state") for inner in features.iterchildren("*")]
        if features.get("mode") in ("passthrough", "host-model") or "on" in states:
            return True
    timers = () if clock is None else clock.iterchildren("timer")
    return any(timer.get("name") == "hypervclock" and timer.get("present") != "no" for timer in timers)


def _state(feature: Element | None) -> str:
    """Return the state of a feature that is on if nothing else is said; empty for None."""
    return "" if feature is None else str(feature.get("state", "on"))


def _launch_security(element: Element | None) -> str:
    return "" if element is None else str(element.get("type", "")) or "unknown"


def _is_resettable(element: Element | None) -> bool:
    """Return whether QEMU can reset the CPUs of a confidential guest (its ``cpus_are_resettable``)."""
    kind = _launch_security(element)
    if element is not None and kind == "sev":  # with encrypted state (SEV-ES) it cannot
        return not (c_number(text_of(child(element, "policy"))) or 0) & SEV_ES
    return kind in ("", "s390-pv")
