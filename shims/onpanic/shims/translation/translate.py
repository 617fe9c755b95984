"""Translating a domain's XML with a policy into one for libvirt as it is, and back.

Both directions first remove what an earlier translation wrote, so that the result does not depend on
whether the document has been translated before.  What is left states a policy, or has none.  An
emulator is started only if no record is given.

What is guaranteed, for a document with the same record and libvirt:

* ``to_libvirt`` of its own result changes no byte; nor does ``from_libvirt`` of its own result.
* ``from_libvirt`` of the result of ``to_libvirt`` is the document that went in, byte for byte, except
  for ``<on_panic>`` and ``<on_crash>`` and for spaces, tabs and line breaks directly beside them.
* These two elements may be spelled differently and be in another place: a coredump is written as
  ``coredump='yes'``, comments and white space in them are lost, and an ``<on_crash>`` without a value or
  with ``preserve-running`` may be dropped.  A second time there and back changes no byte.
* A ``<vmcoreinfo>`` that was asked for stays: it is a device of the guest's, and no part of the policy.

Alternative considered: editing an earlier translation in place, which would have to distinguish old
from new at every step.
"""

from collections.abc import Sequence
from typing import Generic, TypeAlias, TypeVar, cast

import msgspec
from msgspec.structs import replace

from onpanic.core.errors import UsageError
from onpanic.probe.decision.policy import Policy
from onpanic.probe.emulator.notifier_models import PCI_TYPE, NotifierModel, require_model
from onpanic.probe.record.capability_record import CapabilityRecord
from onpanic.shims.domain_xml.apply_translation import (
    add_vmcoreinfo,
    apply_translation,
    arguments_in_sequence,
    state_policy,
)
from onpanic.shims.domain_xml.document import Document
from onpanic.shims.domain_xml.domain_machine import machine_of
from onpanic.shims.domain_xml.elements import Element, child, text_of
from onpanic.shims.domain_xml.pci_slots import free_slot
from onpanic.shims.domain_xml.policy_xml import StoredPolicy, stated_policy, stored_policy
from onpanic.shims.domain_xml.qemu_arguments import arguments
from onpanic.shims.domain_xml.strip_translation import assigned_address, strip_translation, written_panics
from onpanic.shims.translation.domain_emulator import Prober
from onpanic.shims.translation.domain_policy import effective_policy, unhonoured_changes
from onpanic.shims.translation.libvirt_features import Libvirt
from onpanic.shims.translation.mapping import DomainChanges, Note, changes_for
from onpanic.shims.translation.requirements import check_requirements

__all__ = ("Translation", "from_libvirt", "to_libvirt")

Text = TypeVar("Text", str, bytes)

#: A libvirt that a domain is for: what it supports, or its version.
Target: TypeAlias = Libvirt | str | int


class Translation(msgspec.Struct, Generic[Text], frozen=True):
    """A translated document.

    :param xml: The document, of the same type as the one that was given.
    :param policy: The domain's policy; None if it has none, and nothing was changed.
    :param notes: What libvirt alone does not do, and side effects.
    """

    xml: Text
    policy: Policy | None
    notes: tuple[Note, ...] = ()

    def __str__(self) -> str:
        return Document(self.xml).text


def to_libvirt(
    xml: Text | Translation[Text],
    record: CapabilityRecord | Prober | None = None,
    *,
    libvirt: Target | Sequence[Target] | None = None,
    notifier: NotifierModel | None = None,
    vmcoreinfo: bool = False,
) -> Translation[Text]:
    """Translate a domain's policy into what libvirt supports, and store the policy in the metadata.

    A policy that ``<on_panic>`` and ``<on_crash>`` state is translated; without one, the policy that the
    metadata store is translated again, for another libvirt or emulator.  A document without either,
    or that would become what it is already, is returned as it is.

    :param xml: The domain's XML.
    :param record: What the emulator can do, or a `Prober`, which is called only if it is needed.  None to
        probe the domain's own ``<emulator>``, which takes a fraction of a second.
    :param libvirt: What the domain is for: libvirt's version (``12.6.0``, or libvirt's number), or a
        `Libvirt`; several if the domain may migrate between them; None for the libvirt that is installed on
        this host.
    :param notifier: The model of panic notifier to add if the domain has none: ``isa``, ``pvpanic`` (PCI) or
        ``hyperv``; None for the best that works.
    :param vmcoreinfo: Switch the vmcoreinfo device on where the guest can have it, so that its last words are
        found after a panic.  The guest has it when it is next started.
    :raise DocumentError: When the document cannot be read, or contradicts itself.
    :raise RefusedError: When the policy cannot be honoured.
    :raise RecordError: When the record does not have the domain's machine type.
    :raise EmulatorError: When there is no record, and the emulator cannot be probed.
    :raise UsageError: When `libvirt` is not a version, or `notifier` not a model.
    """
    require_model(notifier)
    source = xml.xml if isinstance(xml, Translation) else xml
    original = Document(source)
    document, stored, notes = _stripped(original)
    policy = stated_policy(root := document.root)
    if policy is None:
        return Translation(source, None)
    target = _target(libvirt)
    context = check_requirements(policy, machine_of(root), record, target, notifier)
    if context.added and context.added.device == PCI_TYPE:
        context = replace(context, slot=free_slot(root, arguments(root)))
    changes = changes_for(policy, context, with_vmcoreinfo=vmcoreinfo)
    if stored and not notes and _is_translated(original.root, root, stored, policy, changes, target):
        return Translation(_with_changed_features(source, changes), policy, changes.notes)
    apply_translation(
        document,
        policy,
        on_crash=changes.on_crash,
        panic=changes.panic,
        arguments=changes.arguments,
        models=target.models,
        address=_address(original, stored, changes),
    )
    if changes.vmcoreinfo:
        add_vmcoreinfo(document)
    return Translation(cast("Text", document.edited()), policy, notes + changes.notes)


def _with_changed_features(source: Text, changes: DomainChanges) -> Text:
    """Return a document that is what its policy becomes, with the device that it may lack."""
    if not changes.vmcoreinfo:
        return source
    document = Document(source)
    add_vmcoreinfo(document)
    return cast("Text", document.edited())


def _target(libvirt: Target | Sequence[Target] | None) -> Libvirt:
    """Return what the libvirts that a domain is for have in common."""
    if libvirt is None:
        return Libvirt.installed()
    if not isinstance(libvirt, Libvirt | str | int | list | tuple):
        raise UsageError(
            f"{type(libvirt).__name__} is not a libvirt", "a version, a Libvirt, or a list of them"
        )
    several = [libvirt] if isinstance(libvirt, Libvirt | str | int) else libvirt
    if not several:
        raise UsageError("no libvirt is named", "name at least one, or None for the one on this host")
    return Libvirt.common([found if isinstance(found, Libvirt) else Libvirt.of(found) for found in several])


def from_libvirt(xml: Text | Translation[Text]) -> Translation[Text]:
    """State a domain's policy: the one that its metadata store, else the one that libvirt carries out.

    What `to_libvirt` wrote is removed.  What libvirt carries out is read from ``<panic>`` and
    ``<on_crash>``; the document then only gains an ``<on_panic>``.

    :param xml: The domain's XML.
    :raise DocumentError: When the document cannot be read, or contradicts itself.
    """
    source = xml.xml if isinstance(xml, Translation) else xml
    document, _, notes = _stripped(Document(source))
    policy = stated_policy(document.root)
    if policy is None:
        policy, notes = effective_policy(document.root)
        state_policy(document, policy)
    return Translation(cast("Text", document.edited()), policy, notes)


def _stripped(document: Document) -> tuple[Document, StoredPolicy | None, tuple[Note, ...]]:
    """Return a document without an earlier translation, the policy that it stores, and notes on changes."""
    stored = stored_policy(document.root)
    if stored is None:
        return document, None, ()
    notes = unhonoured_changes(document.root, stored)
    return strip_translation(document, stored), stored, notes


def _address(document: Document, stored: StoredPolicy | None, changes: DomainChanges) -> str:
    """Return the address of the ``<panic>`` that is replaced by the same one, as XML; empty for none."""
    kept = stored is not None and stored.written.panic == changes.panic
    return assigned_address(document, stored.written) if stored and kept else ""


def _is_translated(
    root: Element,
    stripped: Element,
    stored: StoredPolicy,
    policy: Policy,
    changes: DomainChanges,
    libvirt: Libvirt,
) -> bool:
    """Return whether a document is already what its policy becomes.

    :param root: Its element ``<domain>``.
    :param stripped: The same without the earlier translation.
    :param stored: The policy that its metadata store.
    :param policy: The policy that is translated.
    :param changes: What the policy becomes.
    :param libvirt: What libvirt supports.
    """
    written = stored.written
    on_crash = text_of(child(root, "on_crash")) or "destroy"  # libvirt's default
    missing = () if arguments_in_sequence(stripped, changes.arguments) else changes.arguments
    return (
        stored.is_current
        and child(root, "on_panic") is None
        and policy == stored.policy
        and on_crash == (changes.on_crash or "destroy")
        and written.panic == changes.panic
        and all(("model" in panic.attrib) == libvirt.models for panic in written_panics(root, written))
        and (written.arguments or "") == " ".join(missing)
    )
