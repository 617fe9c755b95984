"""What a domain's guest sees of its panic notifiers on a host, and how that differs between two hosts."""

import msgspec

from onpanic.probe.decision.rules import Decision, refusal
from onpanic.probe.record.capability_record import Builtin, CapabilityRecord
from onpanic.shims.domain_xml.domain_machine import DEVICES, DomainMachine
from onpanic.shims.translation.domain_notifiers import domain_notifiers

__all__ = ("GuestView", "GuestVisible", "difference", "view_of")


class GuestVisible(msgspec.Struct, frozen=True):
    """What a guest sees of a panic notifier: it must not change under a running guest.

    :param model: libvirt's model of the notifier; None if there is none.
    :param type: The QOM type of its device; None if it is not a device.
    :param event_mask: The event bits that it offers; None if they were not read.
    :param acpi: Whether ACPI tables show it; ``unknown`` if that was not asked.
    :param builtin: A pvpanic that the machine type creates by itself; None without one.
    """

    model: str | None
    type: str | None
    event_mask: int | None
    acpi: str
    builtin: Builtin | None


#: What a guest sees: one for each notifier; one without a model if it has none.
GuestView = tuple[GuestVisible, ...]


def view_of(machine: DomainMachine, record: CapabilityRecord) -> GuestView:
    """Return what a domain's guest sees of its panic notifiers.

    :param machine: The domain's machine.
    :param record: What its emulator can do.
    :raise RecordError: When the record does not have the domain's machine type.
    """
    recorded = record.machine(machine.machine)
    devices = {DEVICES[device]: device for device in machine.devices}
    found = []
    for notifier in domain_notifiers(machine, record):
        known = recorded.notifier_named(notifier.model)
        acpi = known.facts.get("acpi-exposes-pvpanic") if known else None
        found.append(
            GuestVisible(
                model=notifier.model,
                type=devices.get(notifier.model) or (known.type if known else None),
                event_mask=notifier.event_mask,
                acpi=acpi.answer if acpi else "unknown",
                builtin=recorded.builtin,
            )
        )
    found.sort(key=lambda one: str(one.model))
    return tuple(found) or (GuestVisible(None, None, None, "unknown", recorded.builtin),)


def difference(here: GuestView, there: GuestView) -> Decision | None:
    """Return how the guest's notifiers differ between two hosts, as a refusal; None if they do not.

    What is known about one host only is no difference, but it is not known that there is none.
    """
    if [_device(one) for one in here] != [_device(one) for one in there]:
        return refusal("notifier-differs", " or ".join(sorted((_devices(here), _devices(there)))))
    unknown: Decision | None = None
    for one, other in zip(here, there, strict=True):
        if one.event_mask != other.event_mask:
            if one.event_mask is not None and other.event_mask is not None:
                masks = sorted((one.event_mask, other.event_mask))
                return refusal("event-mask-differs", " or ".join(f"{mask:#x}" for mask in masks))
            unknown = refusal("notifier-not-compared", "the events were read on one host only")
        if one.acpi != other.acpi:
            if "unknown" not in (one.acpi, other.acpi):
                return refusal("notifier-acpi-differs")
            unknown = unknown or refusal("notifier-not-compared", "ACPI was read on one host only")
    return unknown


def _device(one: GuestVisible) -> tuple[str | None, str | None, Builtin | None]:
    return one.model, one.type, one.builtin


def _devices(view: GuestView) -> str:
    """Return notifiers in a few words."""
    words = [one.type or one.model for one in view if one.model]
    builtin = view[0].builtin
    if builtin:
        port = "without a port" if builtin.port is None else f"at port {builtin.port:#x}"
        words.append(f"a builtin {builtin.type} {port}")
    return " and ".join(word for word in words if word) or "none"
