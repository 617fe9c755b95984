"""What libvirt refuses in a domain, with the reason, before libvirt does: its panic devices and actions.

libvirt's QEMU driver checks these when a domain is defined (its ``qemu_validate.c`` and ``domain_conf.c``).
Its test driver and Xen's accept every panic device.
"""

from onpanic.core.errors import RefusedError
from onpanic.core.untrusted import printable
from onpanic.probe.decision.rules import refusal
from onpanic.probe.record.capability_record import CapabilityRecord
from onpanic.shims.domain_xml.domain_machine import (
    LIBVIRT_TYPES,
    DomainMachine,
    has_model,
    has_pci,
    model_of,
)
from onpanic.shims.translation.libvirt_features import Libvirt

__all__ = ("check_domain", "check_panic_devices")

# The type of address that a model may have; a model that is not listed may have none
_ADDRESSES = {"isa": "isa", "pvpanic": "pci"}

# Actions on a reboot or a shutdown that libvirt carries out, and that it has accepted without doing so
_CARRIED_OUT = ("", "destroy", "restart")
_ACCEPTED = (*_CARRIED_OUT, "rename-restart", "preserve")


def check_domain(machine: DomainMachine, libvirt: Libvirt) -> None:
    """Check that libvirt accepts a domain, as far as that does not depend on its emulator.

    :param machine: The domain's machine.
    :param libvirt: What libvirt supports.
    :raise RefusedError: When it does not.
    """
    _check_actions(machine, libvirt)
    models: set[str] = set()
    for written, address in machine.panics:
        model = model_of(written, machine)
        if not has_model(machine, written):
            shown = printable(model, 60) or "an empty name"
            raise RefusedError(refusal("no-such-panic-model", f"{shown} on {machine.target}"))
        if not model:
            raise RefusedError(refusal("no-default-panic-model", machine.target))
        if model in models:
            raise RefusedError(refusal("panic-model-twice", model))
        models.add(model)
        _check_version(written, model, libvirt)
        if model == "pvpanic" and not has_pci(machine):
            detail = f"pvpanic on {printable(machine.machine or '', 60)}, to which libvirt gives no PCI bus"
            raise RefusedError(refusal("no-such-panic-model", detail))
        if address == "none" or (address not in ("", _ADDRESSES.get(model)) and machine.checks_panics):
            raise RefusedError(refusal("panic-address-refused", f"{model}, type='{printable(address, 60)}'"))
    if machine.address_problem:
        raise RefusedError(refusal("panic-address-refused", printable(machine.address_problem, 60)))


def check_panic_devices(machine: DomainMachine, record: CapabilityRecord) -> None:
    """Check that the emulator has the devices that libvirt adds for a domain's ``<panic>`` elements.

    :param machine: The domain's machine, which `check_domain` has accepted.
    :param record: What the emulator can do.
    :raise RefusedError: When it lacks one.
    """
    for written, _ in machine.panics:
        model = model_of(written, machine)
        device = LIBVIRT_TYPES.get(model, "")
        fact = record.facts.get(f"{device}-type")
        if fact and fact.answer == "no" and machine.kind != "test":
            raise RefusedError(refusal("panic-model-without-device", device))


def _check_version(written: str, model: str, libvirt: Libvirt) -> None:
    """Check that libvirt knows a model; one that does not drops the element, or refuses it."""
    if not libvirt.device:
        lacking = libvirt.lacking("device")
    elif model == "pvpanic" and not libvirt.pci:
        lacking = libvirt.lacking("pci")
    elif written not in ("default", "isa") and not libvirt.models:
        lacking = libvirt.lacking("models")
    else:
        return
    raise RefusedError(refusal("libvirt-too-old", f"{lacking}: <panic model='{model}'>"))


def _check_actions(machine: DomainMachine, libvirt: Libvirt) -> None:
    """Check ``<on_poweroff>`` and ``<on_reboot>``."""
    actions = {"on_poweroff": machine.on_poweroff, "on_reboot": machine.on_reboot}
    checked = machine.hypervisor == "qemu" and machine.kind != "test" and libvirt.checks_actions
    by = f"; {libvirt.checking}" if checked and libvirt.targets else ""
    for name, action in actions.items():
        if action not in (_CARRIED_OUT if checked else _ACCEPTED):
            raise RefusedError(
                refusal("lifecycle-action-refused", f"<{name}> is {printable(repr(action), 60)}{by}")
            )
    if checked and (machine.on_reboot, machine.on_poweroff) == ("destroy", "restart"):
        detail = f"<on_reboot> is destroy, and <on_poweroff> is restart{by}"
        raise RefusedError(refusal("lifecycle-action-refused", detail))
