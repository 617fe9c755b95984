"""The guest that migrates: the domain that a policy becomes on one host, and what another host makes of it.

libvirt migrates the document that the first host wrote, and the other host's libvirt parses it.  So the judge
is that document: not what the other host would have written itself, which may have another value of
``<on_crash>`` and another notifier.  The policy travels in the document's metadata, where the other host's
``onpanic watch`` finds it.
"""

from functools import lru_cache
from html import escape

import msgspec

from onpanic.core.errors import DocumentError, RefusedError
from onpanic.fleet.hosts.host_record import HostEmulator, HostRecord
from onpanic.fleet.judging.domain_on_host import libvirt_of_host, record_of
from onpanic.fleet.judging.guest_view import GuestView, difference, view_of
from onpanic.fleet.judging.promise import promise_of
from onpanic.probe.decision.policy import Policy
from onpanic.probe.decision.rules import Decision, refusal
from onpanic.shims.domain_xml.apply_translation import apply_translation
from onpanic.shims.domain_xml.document import Document
from onpanic.shims.domain_xml.domain_machine import DomainMachine, machine_of
from onpanic.shims.translation.libvirt_features import Libvirt
from onpanic.shims.translation.mapping import DomainChanges, Note, changes_for
from onpanic.shims.translation.requirements import check_requirements

__all__ = ("Arrival", "MigratingGuest", "arrival", "guest_of")

# Values of <on_panic> under which libvirt preserves a guest that is then meant to stay as it is for a while
_STAYS = ("restart", "destroy", "preserve", "rename-restart", "pause")

# libvirt writes the emulator into a domain that names none
_PLAIN = """\
<domain type="{}">
  <name>guest</name>
  <os>
    <type arch="{}" machine="{}">hvm</type>
  </os>
  <features>
    <acpi/>
  </features>
  <devices>
    <emulator>{}</emulator>
  </devices>
</domain>
"""


class MigratingGuest(msgspec.Struct, frozen=True):
    """A guest with a policy, as it runs on a host.

    :param document: Its domain, translated for the host's libvirt.
    :param machine: The machine that the document describes.
    :param changes: What the policy became.
    :param view: What the guest sees of its panic notifiers.
    """

    document: str
    machine: DomainMachine
    changes: DomainChanges
    view: GuestView


class Arrival(msgspec.Struct, frozen=True):
    """What becomes of a migrating guest on another host.

    :param refused: Why it may not migrate there; None if it may.
    :param notes: What is to be known about it there.
    """

    refused: Decision | None
    notes: tuple[Note, ...] = ()


def guest_of(host: HostRecord, architecture: str, machine: str, policy: Policy) -> MigratingGuest:
    """Return the plainest guest with a policy that a host can have.

    :param architecture: libvirt's name of the guest's architecture.
    :param machine: The machine type's own name: a guest migrates with it, whatever alias named it first.
    :raise RefusedError: When the host cannot keep the policy, or its record does not say.
    """
    libvirt = libvirt_of_host(host)
    promise = promise_of(host, architecture, machine, policy)
    emulator = host.emulator_for(architecture)
    if promise.changes is None or emulator is None or emulator.record is None:
        raise RefusedError(Decision(False, promise.code, promise.reason, promise.remedy))
    kind, path = _kind(emulator), emulator.path
    try:
        document, described = _domain(
            kind, architecture, promise.machine, path, policy, promise.changes, libvirt.models
        )
    except DocumentError as error:  # a record may hold names that no document can
        raise RefusedError(refusal("emulator-not-asked", error.message)) from error
    return MigratingGuest(document, described, promise.changes, view_of(described, emulator.record))


def arrival(guest: MigratingGuest, policy: Policy, host: HostRecord) -> Arrival:
    """Return what becomes of a guest that migrates to a host."""
    try:
        libvirt = libvirt_of_host(host)
        record = record_of(host, guest.machine)
        _check_on_crash(guest.changes.on_crash, libvirt)
        context = check_requirements(policy, guest.machine, record, libvirt)
    except RefusedError as error:
        found = error.decision
        return Arrival(Decision(False, found.code, found.reason, found.remedy))
    refused = difference(guest.view, view_of(guest.machine, record))
    if refused is not None:
        return Arrival(refused)
    notes: list[Note] = []
    if changes_for(policy, context).on_crash != guest.changes.on_crash == "preserve":
        notes.append(Note.of("watch-continues", "the domain has preserve, as its first host's libvirt needs"))
    if guest.changes.on_crash == "preserve" and policy.on_panic in _STAYS:
        notes.append(Note.of("migration-continues-guest"))
    return Arrival(None, tuple(notes))


def _check_on_crash(value: str | None, libvirt: Libvirt) -> None:
    """Check that a libvirt knows a value of ``<on_crash>``; it parses no domain with another one."""
    if value == "preserve-running" and not libvirt.preserve_running:
        raise RefusedError(refusal("on-crash-not-known", f"{value}: {libvirt}"))


def _kind(emulator: HostEmulator) -> str:
    """Return the type of such a guest's domain: KVM's if the host's libvirt offers it."""
    return "kvm" if "kvm" in emulator.domain_types else "qemu"


@lru_cache(maxsize=4096)
def _domain(
    kind: str,
    architecture: str,
    machine: str,
    emulator: str,
    policy: Policy,
    changes: DomainChanges,
    models: bool,
) -> tuple[str, DomainMachine]:
    """Return the domain that says nothing else, and its machine.

    :param models: Whether libvirt has models of ``<panic>``.
    """
    plain = Document(_PLAIN.format(*(escape(word) for word in (kind, architecture, machine, emulator))))
    apply_translation(
        plain,
        policy,
        on_crash=changes.on_crash,
        panic=changes.panic,
        arguments=changes.arguments,
        models=models,
    )
    document = str(plain.edited())
    return document, machine_of(Document(document).root)
