"""The guest that is asked about: a plain one with a policy, or that of a domain."""

from functools import lru_cache
from typing import Self

import msgspec
from msgspec.structs import replace

from onpanic.core.errors import DocumentError, RefusedError, UsageError
from onpanic.fleet.hosts.host_record import HostRecord
from onpanic.fleet.judging.domain_on_host import libvirt_of_host
from onpanic.fleet.judging.guest_view import view_of
from onpanic.fleet.judging.plain_guest import domain_type, plain_document
from onpanic.fleet.judging.promise import promise_of
from onpanic.fleet.migration.migrating_guest import MigratingGuest, settled
from onpanic.fleet.verdict.verdict_rows import ArchitectureRows
from onpanic.probe.decision.policy import Hypervisor, Policy
from onpanic.probe.decision.rules import Decision, refusal
from onpanic.shims.domain_xml.apply_translation import apply_translation
from onpanic.shims.domain_xml.document import Document
from onpanic.shims.domain_xml.domain_machine import DomainMachine, machine_of
from onpanic.shims.domain_xml.elements import child, text_of
from onpanic.shims.domain_xml.policy_xml import stated_policy, stored_policy
from onpanic.shims.translation.domain_policy import effective_policy, unhonoured_changes
from onpanic.shims.translation.libvirt_features import Libvirt
from onpanic.shims.translation.mapping import DomainChanges

__all__ = ("DomainGuest", "PlainGuest")

_TRANSLATE = "onpanic to-libvirt --fleet translates it for all hosts"


class PlainGuest(msgspec.Struct, frozen=True):
    """A plain guest with a policy: a domain without a notifier, translated for the host that it is on.

    :param policy: The policy.
    :param machine: The machine type, or an alias.
    :param architecture: libvirt's name of the architecture; None for the hosts' own one that has the machine
        type.
    :param hypervisor: Whose guest it is.
    """

    policy: Policy
    machine: str
    architecture: str | None = None
    hypervisor: Hypervisor = "qemu"

    @property
    def name(self) -> str:
        """The domain's name: none."""
        return ""

    def of(self, rows: ArchitectureRows, machine: str) -> Self:
        """Return the guest with the names that its architecture and its machine type have on some hosts."""
        architecture, hypervisor = rows.architecture, rows.hypervisor
        return replace(self, architecture=architecture, machine=machine, hypervisor=hypervisor)

    def on(self, host: HostRecord) -> MigratingGuest:
        """Return the guest as it runs on a host.

        :raise RefusedError: When the host cannot keep the policy, or its record does not say.
        """
        libvirt = libvirt_of_host(host)
        architecture = self.architecture or ""
        promise = promise_of(host, architecture, self.machine, self.policy, self.hypervisor)
        emulator = host.emulator_for(architecture, self.hypervisor)
        if promise.changes is None or emulator is None or emulator.record is None:
            raise RefusedError(Decision(False, promise.code, promise.reason, promise.remedy))
        try:
            document, machine = _translated_document(
                (domain_type(emulator, self.hypervisor), architecture, promise.machine, emulator.path),
                self.policy,
                promise.changes,
                libvirt.models,
            )
        except DocumentError as error:  # a record may hold names that no document can
            raise RefusedError(refusal("emulator-not-asked", error.message)) from error
        view = view_of(machine, emulator.record)
        return MigratingGuest(document, machine, self.policy, promise.changes, view)


class DomainGuest(msgspec.Struct, frozen=True):
    """The guest of a domain as it is: the same document on every host.

    :param document: The document.
    :param name: The domain's name.
    :param policy: The policy that its metadata store, or else what libvirt does.
    :param described: The machine that it describes.
    :param on_crash: Its ``<on_crash>``.
    """

    document: str
    name: str
    policy: Policy
    described: DomainMachine
    on_crash: str

    @classmethod
    def from_xml(cls, xml: str | bytes) -> Self:
        """Return the guest of a domain.

        :raise DocumentError: When the document cannot be read, or contradicts itself.
        :raise UsageError: When it states a policy that was not translated, or was changed after that, or is
            for neither QEMU nor Xen.
        """
        document = Document(xml)
        root = document.root
        machine = machine_of(root)
        if machine.hypervisor is None:
            raise UsageError("the domain is not one of QEMU or Xen", "name a domain of type kvm, qemu or xen")
        if not machine.machine:
            raise UsageError("the domain names no machine type", "name that of virsh dumpxml")
        stored = stored_policy(root)
        if stated_policy(root) is not None:
            raise UsageError("the domain's policy is not translated: libvirt drops <on_panic>", _TRANSLATE)
        changed = unhonoured_changes(root, stored) if stored else ()
        if changed:
            raise UsageError(f"{changed[0].code}: {changed[0].reason}", _TRANSLATE)
        policy = stored.policy if stored else effective_policy(root, Libvirt())[0]
        on_crash = text_of(child(root, "on_crash"))
        return cls(document.text, text_of(child(root, "name")), policy, machine, on_crash)

    @property
    def machine(self) -> str:
        """The machine type, or an alias."""
        return self.described.machine or ""

    @property
    def architecture(self) -> str | None:
        """libvirt's name of the architecture; None if the document leaves it to libvirt."""
        return self.described.arch

    def of(self, rows: ArchitectureRows, machine: str) -> Self:
        """Return the guest with the names that its architecture and its machine type have on some hosts."""
        return replace(self, described=replace(self.described, arch=rows.architecture, machine=machine))

    def on(self, host: HostRecord) -> MigratingGuest:
        """Return the guest as it runs on a host.

        :raise RefusedError: When the host cannot keep the policy, or its record does not say.
        """
        changes = DomainChanges(self.on_crash or None)
        guest = MigratingGuest(self.document, self.described, self.policy, changes, ())
        record, notes = settled(guest, host)
        return replace(guest, changes=replace(changes, notes=notes), view=view_of(self.described, record))


@lru_cache(maxsize=4096)
def _translated_document(
    words: tuple[str, str, str, str], policy: Policy, changes: DomainChanges, models: bool
) -> tuple[str, DomainMachine]:
    """Return the translated domain, and its machine.

    :param words: What `plain_document` is given.
    :param models: Whether libvirt has models of ``<panic>``.
    """
    plain = Document(plain_document(*words))
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
