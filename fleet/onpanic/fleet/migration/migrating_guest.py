"""A guest as it runs on one host, and what becomes of it on another one.

libvirt migrates the document that the guest was started with, and the other host's libvirt parses it.  So the
judge is that document: not what the other host would have been given, which may have another value of
``<on_crash>`` and another notifier.  The policy travels in the document's metadata, where the other host's
``onpanic watch`` finds it.
"""

import msgspec

from onpanic.core.errors import RefusedError
from onpanic.fleet.hosts.host_record import HostRecord
from onpanic.fleet.judging.domain_on_host import libvirt_of_host, record_of
from onpanic.fleet.judging.guest_view import GuestView, difference, view_of
from onpanic.probe.decision.policy import Policy
from onpanic.probe.decision.rules import Decision, refusal
from onpanic.probe.facts.xen_questions import ON_CRASH_FACTS
from onpanic.probe.record.capability_record import CapabilityRecord
from onpanic.shims.domain_xml.domain_machine import DomainMachine
from onpanic.shims.translation.mapping import DomainChanges, Note, changes_for
from onpanic.shims.translation.requirements import check_requirements

__all__ = ("Arrival", "MigratingGuest", "arrival", "settled")

# Values of <on_panic> under which a guest that libvirt has preserved does not run on
_STAYS = ("restart", "destroy", "preserve", "rename-restart", "pause")


class MigratingGuest(msgspec.Struct, frozen=True):
    """A guest as it runs on a host.

    :param document: Its domain.
    :param machine: The machine that the document describes.
    :param policy: Its policy.
    :param changes: What the policy became there.
    :param view: What the guest sees of its panic notifiers.
    """

    document: str
    machine: DomainMachine
    policy: Policy
    changes: DomainChanges
    view: GuestView


class Arrival(msgspec.Struct, frozen=True):
    """What becomes of a migrating guest on another host.

    :param refused: Why it may not migrate there, or what changes for it; None if it may migrate unchanged.
    :param notes: Notes on it there.
    """

    refused: Decision | None
    notes: tuple[Note, ...] = ()


def arrival(guest: MigratingGuest, host: HostRecord) -> Arrival:
    """Return what becomes of a guest that migrates to a host."""
    try:
        record, notes = settled(guest, host)
    except RefusedError as error:
        found = error.decision
        return Arrival(Decision(False, found.code, found.reason, found.remedy))
    if guest.changes.on_crash == "preserve" and guest.policy.on_panic in _STAYS:
        notes = (*notes, Note.of("migration-continues-guest"))
    return Arrival(difference(guest.view, view_of(guest.machine, record)), notes)


def settled(guest: MigratingGuest, host: HostRecord) -> tuple[CapabilityRecord, tuple[Note, ...]]:
    """Return the record that a guest's domain is judged by on a host, and notes on it there.

    :raise RefusedError: When the host's libvirt refuses the domain, or the policy is not kept with exactly
        that document, or the host's record does not say.
    """
    libvirt, on_crash = libvirt_of_host(host), guest.changes.on_crash
    record = record_of(host, guest.machine)
    if guest.machine.hypervisor == "xen" and on_crash and on_crash not in ON_CRASH_FACTS:
        raise RefusedError(
            refusal("toolstack-inconclusive", f"Xen's toolstack was not asked about {on_crash}")
        )
    if on_crash == "preserve-running" and not libvirt.preserve_running:  # it parses no domain with the word
        code = "on-crash-not-asked" if libvirt.known_by == "version" else "on-crash-not-known"
        raise RefusedError(refusal(code, f"{on_crash}: {libvirt}"))
    context = check_requirements(guest.policy, guest.machine, record, libvirt)
    if on_crash == "coredump-destroy" and context.quits:
        raise RefusedError(refusal("panic-ends-emulator", f"{libvirt}: every action is to destroy"))
    wanted = changes_for(guest.policy, context).on_crash
    if wanted != on_crash == "preserve":
        code = "watch-destroys" if guest.policy.on_panic == "destroy" else "watch-continues"
        return record, (Note.of(code, "the domain has preserve, as an older libvirt needs"),)
    if guest.machine.hypervisor == "xen" and on_crash == "rename-restart":  # it was not translated so
        return record, (Note.of("xen-does-not-rename"),)
    return record, ()
