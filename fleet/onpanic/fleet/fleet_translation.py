"""Translating a domain's policy for all hosts of a fleet: one document that is valid on each of them.

Each host is asked alone first, so that a refusal names the hosts that are its cause.  Then the policy is
translated for what all libvirts have in common, with each host's emulator, and the results must be the same.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial, reduce
from operator import and_
from typing import Generic, TypeVar, cast

import msgspec

from onpanic.core.errors import RefusedError
from onpanic.core.untrusted import printable
from onpanic.fleet.documents.fleet import Fleet, HostClass
from onpanic.fleet.hosts.host_record import HostRecord
from onpanic.fleet.judging.domain_on_host import libvirt_of_host, record_of
from onpanic.fleet.judging.guest_view import GuestView, difference, view_of
from onpanic.fleet.judging.hindrance import Hindrance, sorted_hindrances
from onpanic.fleet.verdict.natural_order import natural
from onpanic.fleet.verdict.verdict_rows import may_run
from onpanic.probe.decision.rules import Decision, refusal
from onpanic.probe.emulator.notifier_models import NotifierModel
from onpanic.probe.record.capability_record import CapabilityRecord
from onpanic.shims.domain_xml.apply_translation import add_arguments
from onpanic.shims.domain_xml.document import Document
from onpanic.shims.domain_xml.domain_machine import DEVICES, DomainMachine, machine_of
from onpanic.shims.domain_xml.qemu_arguments import PANICKED_EVENT
from onpanic.shims.translation.libvirt_features import Libvirt
from onpanic.shims.translation.mapping import Note
from onpanic.shims.translation.translate import Translation, to_libvirt

__all__ = ("FleetTranslation", "translate_for_fleet")

Text = TypeVar("Text", str, bytes)

# The notifiers that are tried if the hosts' own choices differ
_MODELS: tuple[NotifierModel, ...] = ("isa", "pvpanic", "hyperv")

# QEMU's version from which on the events of a pvpanic can be set
_SETTABLE_EVENTS = [5, 2]


class FleetTranslation(msgspec.Struct, Generic[Text], frozen=True):
    """A domain that was translated for all hosts of a fleet, or why it cannot be.

    :param translation: The translated document; None if it is not valid on all hosts.
    :param hosts: How many hosts the answer is about.
    :param others: How many hosts are of another architecture, and do not emulate the domain's, or have
        another hypervisor.
    :param hindrances: Why there is no translation, the reason on most hosts first.
    :param notes: Notes on the domain on the hosts, with those of the translation.
    """

    translation: Translation[Text] | None
    hosts: int = 0
    others: int = 0
    hindrances: tuple[Hindrance, ...] = ()
    notes: tuple[Note, ...] = ()


def translate_for_fleet(
    xml: Text,
    fleet: Fleet,
    *,
    notifier: NotifierModel | None = None,
    vmcoreinfo: bool = False,
    same_events: bool = False,
) -> FleetTranslation[Text]:
    """Translate a domain's policy so that the document is valid on all hosts that are counted.

    Hosts of another architecture that do not emulate the domain's are left out, as are those of another
    hypervisor, unless no host is left.  If the hosts would add different notifiers, one is used that all of
    them have.

    :param xml: The domain's XML.
    :param notifier: The model of the notifier to add if the domain has none; None for the best one.
    :param vmcoreinfo: Switch the vmcoreinfo device on where the guest can have it.
    :param same_events: Where the hosts' QEMUs offer different events to the guest, set those that all of them
        offer, through ``<qemu:commandline>``.
    :raise DocumentError: When the document cannot be read, or contradicts itself.
    """
    part = _hosts_for(xml, fleet)
    found = _for_all(xml, part, notifier, vmcoreinfo=vmcoreinfo, same_events=same_events)
    count = part.host_count
    return msgspec.structs.replace(found, hosts=count, others=fleet.host_count - count)


def _hosts_for(xml: Text, fleet: Fleet) -> Fleet:
    """Return the part of a fleet that a domain may be meant for."""
    machine = machine_of(Document(xml).root)
    classes = tuple(one for one in fleet.classes if _may_have(one.record, machine))
    return msgspec.structs.replace(fleet, classes=classes) if classes else fleet


def _may_have(host: HostRecord, machine: DomainMachine) -> bool:
    architecture = machine.arch or host.system.guest_architecture
    return machine.hypervisor is None or may_run(host, architecture, machine.hypervisor)


def _for_all(
    xml: Text, fleet: Fleet, notifier: NotifierModel | None, *, vmcoreinfo: bool, same_events: bool
) -> FleetTranslation[Text]:
    ways: list[NotifierModel | None] = [notifier] if notifier else [None, *_MODELS]
    failed: list[FleetTranslation[Text]] = []
    for model in ways:
        found: FleetTranslation[Text] = _translated(xml, fleet, model, vmcoreinfo)
        if found.translation is None:
            failed.append(found)
            continue
        machine = machine_of(Document(found.translation.xml).root)
        views = _views(machine, fleet)
        words = _common_events(machine, views, fleet) if same_events else []
        if words:
            document = Document(xml)
            add_arguments(document, words)
            edited = cast("Text", document.edited())
            return _for_all(edited, fleet, model, vmcoreinfo=vmcoreinfo, same_events=False)
        return _with_notes(found, _differences(machine, views, fleet))
    return min(failed, key=_severity)


def _translated(
    xml: Text, fleet: Fleet, notifier: NotifierModel | None, vmcoreinfo: bool
) -> FleetTranslation[Text]:
    """Return the translation that all hosts have in common, or why there is none."""
    machine = machine_of(Document(xml).root)

    def translate(host: HostRecord, libvirts: Sequence[Libvirt]) -> Translation[Text]:
        # A domain of Xen is translated without an emulator, so that no prober is ever called
        record = record_of(host, machine) if machine.hypervisor == "xen" else partial(record_of, host)
        return to_libvirt(xml, record, libvirt=libvirts, notifier=notifier, vmcoreinfo=vmcoreinfo)

    refused: dict[Decision, list[str]] = defaultdict(list)
    libvirts: dict[Libvirt, None] = {}
    for one in fleet.classes:
        with _collected(refused, one):
            libvirt = libvirt_of_host(one.record)
            translate(one.record, [libvirt])
            libvirts[libvirt] = None
    if refused:
        return FleetTranslation(None, hindrances=sorted_hindrances(refused, natural))
    notes: dict[Note, None] = {}
    results: dict[Text, tuple[Translation[Text], list[str]]] = {}
    for one in fleet.classes:
        with _collected(refused, one):
            found = translate(one.record, list(libvirts))
            notes.update(dict.fromkeys(found.notes))
            results.setdefault(found.xml, (found, []))[1].extend(host.name for host in one.hosts)
    ranked = sorted(results.values(), key=lambda result: -len(result[1]))
    for _, names in ranked[1:]:
        refused[refusal("translations-differ")] += names
    if refused:
        return FleetTranslation(None, hindrances=sorted_hindrances(refused, natural))
    return FleetTranslation(ranked[0][0], notes=tuple(notes))


@contextmanager
def _collected(refused: dict[Decision, list[str]], hosts: HostClass) -> Iterator[None]:
    """Collect a `RefusedError` with the names of the hosts that are its cause."""
    try:
        yield
    except RefusedError as error:
        found = error.decision
        decision = Decision(False, found.code, found.reason, found.remedy)
        refused[decision] += [host.name for host in hosts.hosts]


def _severity(failed: FleetTranslation[Text]) -> tuple[int, bool]:
    """Return the rank of an error: a refusal with a cause is more specific than translations that differ."""
    differs = any(one.code == "translations-differ" for one in failed.hindrances)
    return sum(len(one.hosts) for one in failed.hindrances), differs


def _with_notes(found: FleetTranslation[Text], notes: Sequence[Note]) -> FleetTranslation[Text]:
    return msgspec.structs.replace(found, notes=(*found.notes, *notes))


def _views(machine: DomainMachine, fleet: Fleet) -> dict[GuestView, list[str]]:
    """Return what the guest sees, with the hosts on which it does; of hosts whose records say it."""
    views: dict[GuestView, list[str]] = defaultdict(list)
    for one, record in _records(machine, fleet):
        views[view_of(machine, record)] += [host.name for host in one.hosts]
    return views


def _records(machine: DomainMachine, fleet: Fleet) -> Iterator[tuple[HostClass, CapabilityRecord]]:
    """Yield the record that a domain is judged by on each host; a domain without a policy needs none."""
    if machine.hypervisor == "qemu":
        for one in fleet.classes:
            with suppress(RefusedError):
                yield one, record_of(one.record, machine)


def _common_events(machine: DomainMachine, views: Iterable[GuestView], fleet: Fleet) -> list[str]:
    """Return the arguments that make all hosts offer the same events; empty if none are needed."""
    if not all(_can_set_events(record) for _, record in _records(machine, fleet)):
        return []
    masks: dict[str, set[int | None]] = defaultdict(set)
    for view in views:
        for one in view:
            if one.type in DEVICES:
                masks[one.type].add(one.event_mask)
    words = []
    for device, found in masks.items():
        known = [mask for mask in found if mask is not None]
        common = reduce(and_, known, -1)
        if len(found) > 1 and len(known) == len(found) and common & PANICKED_EVENT:
            words += ["-global", f"{device}.events={common}"]
    return words


def _can_set_events(record: CapabilityRecord) -> bool:
    """Return whether a QEMU has the property ``events``; one without it does not start if it is set."""
    parts = record.emulator.version.split(".")[:2]
    return len(parts) == 2 and all(map(str.isdecimal, parts)) and [*map(int, parts)] >= _SETTABLE_EVENTS


def _differences(
    machine: DomainMachine, views: Mapping[GuestView, Sequence[str]], fleet: Fleet
) -> tuple[Note, ...]:
    """Return what a guest of a domain that all hosts accept would see of the host that it runs on."""
    names: dict[str, int] = defaultdict(int)
    for one, record in _records(machine, fleet):
        names[record.machine(machine.machine).name] += len(one.hosts)
    if len(names) > 1:
        each = ", ".join(f"{printable(name, 60)} on {count:,}" for name, count in names.items())
        return (Note.of("machine-alias-differs", each),)
    notes = []
    first: GuestView = next(iter(views), ())
    for view, hosts in views.items():
        decision = difference(first, view)
        if decision is not None:
            where = f"{printable(views[first][0], 60)} and {printable(hosts[0], 60)}"
            notes.append(Note("guest-sees-difference", f"{decision.reason}: {where}", decision.remedy))
    return tuple(notes)
