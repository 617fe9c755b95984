"""Whether one host can keep a policy for guests of one machine type, and what the policy becomes there.

The guest is the plainest one: a domain without a notifier, without arguments of its own, and with libvirt's
default actions.  Whatever else a domain says is judged by `onpanic.shims.to_libvirt`.
"""

from functools import lru_cache
from typing import Literal

import msgspec

from onpanic.core.errors import RefusedError
from onpanic.fleet.hosts.host_record import HostEmulator, HostRecord
from onpanic.fleet.judging.hindrance import is_unsettled
from onpanic.probe.decision.policy import Policy
from onpanic.probe.decision.rules import refusal
from onpanic.probe.record.capability_record import Builtin, MachineRecord
from onpanic.shims.domain_xml.domain_machine import DomainMachine, machine_of
from onpanic.shims.domain_xml.xml_parser import parse_xml
from onpanic.shims.translation.libvirt_features import Libvirt
from onpanic.shims.translation.mapping import DomainChanges, changes_for
from onpanic.shims.translation.requirements import check_requirements

__all__ = ("GuestVisible", "Kept", "Promise", "promise_of")

#: ``unknown`` if the host's record does not say.
Kept = Literal["yes", "no", "unknown"]


class GuestVisible(msgspec.Struct, frozen=True):
    """What a guest sees of its panic notifier: it must not change under a running guest.

    :param model: libvirt's model of the notifier that the policy uses; None if it uses none.
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


class Promise(msgspec.Struct, frozen=True):
    """What a host can promise about a policy and a machine type.

    :param kept: Whether the host keeps the policy.
    :param code: Why not: a code of the catalogue; empty if it does.
    :param reason: Why not, in one sentence.
    :param remedy: What to do about it.
    :param machine: The machine type's own name on this host; empty if the host does not have it.
    :param changes: What the policy becomes on the host's libvirt; None if it is not kept, or without one.
    :param visible: What the guest sees; None if it is not kept.
    """

    kept: Kept
    code: str = ""
    reason: str = ""
    remedy: str = ""
    machine: str = ""
    changes: DomainChanges | None = None
    visible: GuestVisible | None = None


def promise_of(
    host: HostRecord, architecture: str, machine: str, policy: Policy, *, libvirt: Libvirt | None = None
) -> Promise:
    """Return what a host can promise.

    :param architecture: libvirt's name of the guest's architecture.
    :param machine: The machine type or its alias; empty for the emulator's default one.
    :param policy: The policy.
    :param libvirt: What the domain is translated for; None for the host's own libvirt.
    """
    emulator = host.emulator_for(architecture)
    if emulator is None:
        return _refused("no-emulator", architecture)
    if emulator.record is None:
        return _refused("emulator-not-asked", f"{emulator.path}: {emulator.problem}")
    name = emulator.aliases.get(machine, machine)
    found = next((one for one in emulator.record.machines if _is_named(one, name)), None)
    if found is None:
        missing = bool(emulator.machine_types) and name not in emulator.machine_types
        return _refused("no-machine-type" if missing else "machine-type-not-asked", name or "the default one")
    if not (_is_name(found.name) and _is_name(architecture)):
        return _refused("machine-type-not-asked", "its name is not one that a domain can have", found.name)
    return _judged(host, emulator, found, architecture, policy, libvirt)


def _is_named(machine: MachineRecord, name: str) -> bool:
    return name in (machine.name, *machine.aliases) or (not name and machine.default)


def _is_name(name: str) -> bool:
    """Return whether a name from a record can be in a domain: options would follow a comma."""
    return name.isprintable() and "," not in name


def _judged(
    host: HostRecord,
    emulator: HostEmulator,
    machine: MachineRecord,
    architecture: str,
    policy: Policy,
    libvirt: Libvirt | None,
) -> Promise:
    record = emulator.record
    assert record is not None
    target = libvirt or (host.libvirt.libvirt if host.libvirt else None)
    if target is None:
        decision = record.accepts(
            policy.on_panic,
            coredump=policy.coredump,
            on_crash=policy.on_crash,
            on_crash_coredump=policy.on_crash_coredump,
            grace=policy.grace,
            machine=machine.name,
        )
        if not decision:
            return _refused(decision.code, "", machine.name, (decision.reason, decision.remedy))
        return Promise("yes", machine=machine.name, visible=_visible(machine, machine.notifier))
    domain = _plain_domain(_domain_type(host, emulator), architecture, machine.name, emulator.path)
    try:
        context = check_requirements(policy, domain, record, target)
    except RefusedError as error:
        found = error.decision
        return _refused(found.code, "", machine.name, (found.reason, found.remedy))
    changes = changes_for(policy, context)
    model = context.added.model if context.added else next(iter(context.notifiers), None)
    return Promise("yes", machine=machine.name, changes=changes, visible=_visible(machine, model))


def _refused(code: str, detail: str, machine: str = "", words: tuple[str, str] | None = None) -> Promise:
    """Return the promise that is not given.

    :param words: Reason and remedy, if they are not those of the catalogue.
    """
    found = refusal(code, detail)
    reason, remedy = words or (found.reason, found.remedy)
    return Promise("unknown" if is_unsettled(code) else "no", code, reason, remedy, machine)


def _visible(machine: MachineRecord, model: str | None) -> GuestVisible:
    notifier = machine.notifier_named(model) if model else None
    acpi = notifier.facts.get("acpi-exposes-pvpanic") if notifier else None
    return GuestVisible(
        model=model,
        type=notifier.type if notifier else None,
        event_mask=notifier.event_mask if notifier else None,
        acpi=acpi.answer if acpi else "unknown",
        builtin=machine.builtin,
    )


def _domain_type(host: HostRecord, emulator: HostEmulator) -> str:
    """Return the domain type that such a guest has: KVM's if the host has it."""
    return "kvm" if "kvm" in emulator.domain_types and host.kvm.usable == "yes" else "qemu"


@lru_cache(maxsize=4096)
def _plain_domain(kind: str, architecture: str, machine: str, emulator: str) -> DomainMachine:
    """Return the machine of a domain that says nothing else."""
    root = parse_xml(b"<domain><os><type>hvm</type></os><features><acpi/></features></domain>")
    root.set("type", kind)
    system = root.find("os/type")
    assert system is not None
    system.set("arch", architecture)
    system.set("machine", machine)
    found = machine_of(root)
    return msgspec.structs.replace(found, emulator=emulator)
