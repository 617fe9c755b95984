"""Domain XML with a policy ⇄ domain XML for libvirt as it is.

Both ways begin by taking out what an earlier translation has written, so that a document
is the same whether it has been to libvirt and back or not.  What is left states a
policy, or is libvirt's own.  Then it is plan and edit; only where no record is given does
an emulator start.  Considered and left: editing the earlier translation in place, which
has to tell old from new at every step.
"""

from collections.abc import Sequence
from typing import Generic, TypeVar, cast

import msgspec
from lxml import etree
from msgspec.structs import replace

from onpanic.probe.decision import ON_CRASH, Capabilities, Decision, Policy, decide, refusal
from onpanic.probe.foreign import printable
from onpanic.probe.record import CapabilityRecord

from .document import Document
from .domain import Machine, check_panics, check_target, free_slot, machine_of
from .elements import child, text_of
from .emulators import Recorder, record_for
from .errors import DocumentError, RefusedError
from .libvirt_versions import Libvirt
from .mapping import Note, Situation, plan
from .policy import stated_policy
from .writing import state, untranslated, write

__all__ = ("Translation", "amounts_to", "from_libvirt", "to_libvirt")

Text = TypeVar("Text", str, bytes)


class Translation(msgspec.Struct, Generic[Text], frozen=True):
    """A translated document.

    :param xml: The document, text for text and bytes for bytes.
    :param policy: The policy that it is about; None if there is none, and nothing was changed.
    :param notes: What libvirt alone will not do, and who does it instead.
    """

    xml: Text
    policy: Policy | None
    notes: tuple[Note, ...] = ()

    def __str__(self) -> str:
        return Document(self.xml).text


def to_libvirt(
    xml: Text | Translation[Text],
    record: CapabilityRecord | Recorder | None = None,
    *,
    libvirt: Libvirt | str | int | None = None,
) -> Translation[Text]:
    """Translate a policy into what libvirt has for it, and keep it in the metadata.

    ``<on_panic>`` beside ``<on_crash>`` states the policy; without it, the one that the
    metadata keep is translated again, for another libvirt or emulator.  A document with
    neither comes back as it is.

    :param xml: The domain's XML.
    :param record: What the emulator can do with the domain's machine type, or a function that
        finds out, called only if it matters; without it, the domain's own ``<emulator>`` is
        probed, which takes about a tenth of a second.
    :param libvirt: What the domain is for: its version (``12.6.0``, or libvirt's number), or
        `Libvirt.of_connection`; None for the one that is installed here.
    :raise DocumentError: When the document cannot be read, or contradicts itself.
    :raise RefusedError: When the policy cannot be honoured.
    :raise RecordError: When the record does not have the domain's machine type.
    :raise EmulatorError: When there is no record, and the emulator cannot be asked.
    """
    source = xml.xml if isinstance(xml, Translation) else xml
    document, notes = untranslated(source)
    policy = stated_policy(document.root)
    if policy is None:
        return Translation(source, None)
    machine = machine_of(document.root)
    if not isinstance(libvirt, Libvirt):
        libvirt = Libvirt.installed() if libvirt is None else Libvirt.of(libvirt)
    situation = _situation(policy, machine, record, libvirt)
    if situation.offered == "pvpanic" and not libvirt.pci:
        situation = replace(situation, slot=free_slot(document.root))
    planned = plan(policy, situation)
    write(document, policy, planned, libvirt)
    return Translation(cast("Text", document.edited()), policy, notes + planned.notes)


def from_libvirt(xml: Text | Translation[Text]) -> Translation[Text]:
    """State a domain's policy: the one that its metadata keep, else what libvirt would do.

    What `to_libvirt` has written is taken out again.  What libvirt would do is read from
    ``<panic>`` and ``<on_crash>``; the document then only gains an ``<on_panic>``.

    :param xml: The domain's XML.
    :raise DocumentError: When the document cannot be read, or contradicts itself.
    """
    source = xml.xml if isinstance(xml, Translation) else xml
    document, notes = untranslated(source)
    policy = stated_policy(document.root)
    if policy is None:
        policy, notes = amounts_to(document.root)
        state(document, policy)
    return Translation(cast("Text", document.edited()), policy, notes)


def amounts_to(root: etree._Element) -> tuple[Policy, tuple[Note, ...]]:
    """Return the policy that a domain's ``<panic>`` and ``<on_crash>`` amount to in libvirt.

    :param root: The element ``<domain>``.
    :raise DocumentError: When ``<on_crash>`` says what libvirt does not know.
    """
    machine = machine_of(root)
    word = text_of(child(root, "on_crash"))
    action = word.removeprefix("coredump-")
    if word not in ("", *ON_CRASH, "coredump-destroy", "coredump-restart", "preserve-running"):
        said = printable(word, 60)
        raise DocumentError(
            f"<on_crash> is {said!r}, which libvirt does not know", "name a domain of libvirt's"
        )
    dumps = action != word
    on_crash = None if word in ("", "preserve-running") else action
    if machine.hypervisor == "xen":
        return Policy("crash", on_crash=on_crash, on_crash_coredump=dumps), ()
    if machine.hypervisor is None or not machine.notifiers:
        notes = (Note.of("hyperv-needs-kvm"),) if "hyperv" in machine.panics else ()
        return Policy("ignore", on_crash=on_crash, on_crash_coredump=dumps), notes
    if word == "preserve-running":
        return Policy("ignore"), ()
    return Policy(action or "destroy", dumps, on_crash, dumps), ()


# What a policy is translated with


def _situation(
    policy: Policy, machine: Machine, record: CapabilityRecord | Recorder | None, target: Libvirt
) -> Situation:
    """Find out what there is to honour a policy with; raises `RefusedError` where it cannot be."""
    notifiers, offered, builtin = machine.notifiers, None, False
    _accept(_judged(policy, machine, Capabilities({})), or_unknown=True)  # whatever the emulator can do
    if machine.hypervisor == "qemu":
        if not isinstance(record, CapabilityRecord):
            record = (record or record_for)(machine)
        check_target(record, machine)
        found = record.machine(machine.machine)
        capabilities = record.capabilities(found.name)
        _accept(_judged(policy, machine, capabilities))
        check_panics(machine)
        _check_models(machine, libvirt=target)
        model = found.notifier.model if found.notifier else None
        offered = model if model == "isa" or model == "pvpanic" else None  # noqa: PLR1714
        builtin = capabilities.fact("builtin-pvpanic").answer == "yes"
        if capabilities.architectural and not notifiers:  # the document does not say which architecture
            notifiers = (capabilities.architectural,)
        if policy.on_panic not in ("default", "ignore"):
            _check_notifier(notifiers, offered, target)
            if machine.panic_action and not target.preserve_running:  # later ones set the action themselves
                said = f"<qemu:commandline> has -action panic={printable(machine.panic_action, 60)}"
                raise RefusedError(refusal("panic-does-not-stop-guest", said))
        elif notifiers and not target.preserve_running:
            _check_continuing(capabilities)
    return Situation(machine.hypervisor, notifiers, offered, builtin, machine.acpi, target)


def _check_notifier(notifiers: Sequence[str], offered: str | None, target: Libvirt) -> None:
    """Make sure that the domain has the notifier that works, or can get it."""
    if notifiers and offered and not {offered, "hyperv"} & set(notifiers):
        detail = f"the record is of the {offered} notifier, the domain has {notifiers[0]}"
        raise RefusedError(refusal("probe-inconclusive", detail))
    if not notifiers and not offered:
        raise RefusedError(refusal("panic-device-missing", "the record names none"))
    if not notifiers and not target.device:
        raise RefusedError(refusal("libvirt-too-old", target.name))


def _check_models(machine: Machine, *, libvirt: Libvirt) -> None:
    """Make sure that this libvirt knows the ``<panic>`` elements that are there; an older one drops them."""
    for model in machine.panics:
        known = libvirt.pci if model == "pvpanic" else libvirt.models or model in ("", "default", "isa")
        if not (libvirt.device and known):
            raise RefusedError(
                refusal("libvirt-too-old", f"{libvirt.name}, <panic model='{model or 'isa'}'>")
            )


def _check_continuing(capabilities: Capabilities) -> None:
    """Make sure that a guest can go on that libvirt stops because it has a notifier."""
    if capabilities.fact("cont-after-panic").answer == "no":
        detail = "so the notifier that the domain has cannot be ignored"
        raise RefusedError(refusal("cont-refused-after-panic", detail))


def _judged(policy: Policy, machine: Machine, capabilities: Capabilities) -> Decision:
    if machine.hypervisor is None and policy.on_panic not in ("default", "ignore"):
        return refusal("hypervisor-reports-no-panic", printable(machine.kind, 60) or "no domain type")
    return decide(policy, machine.hypervisor or "qemu", capabilities)


def _accept(decision: Decision, *, or_unknown: bool = False) -> None:
    if not decision and not (or_unknown and decision.code == "probe-inconclusive"):
        raise RefusedError(decision)
