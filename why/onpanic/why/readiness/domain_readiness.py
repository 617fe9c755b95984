"""Whether a panic of a libvirt domain's guest would be reported and could be read."""

from typing import Any

import msgspec

from onpanic.shims.domain_xml.document import Document
from onpanic.shims.domain_xml.domain_machine import DomainMachine, machine_of
from onpanic.shims.domain_xml.elements import Element
from onpanic.shims.domain_xml.qemu_arguments import arguments
from onpanic.why.locating.unnoted_words import FoundNote, find_note, unnoted_words
from onpanic.why.locating.virtual_note import find_in_virtual_memory
from onpanic.why.memory.peeked_memory import PeekedMemory
from onpanic.why.memory.reading import read_with
from onpanic.why.readers.machine_devices import MachineDevices, no_note
from onpanic.why.readiness.assessment import SeenGuest, assess
from onpanic.why.readiness.guest_kernel import GuestKernel, guest_kernel
from onpanic.why.readiness.readiness_result import Readiness
from onpanic.why.words.last_words import LastWords

__all__ = ("domain_devices", "readiness_of_domain", "words_of_running_domain")

_RUNNING = 1  # VIR_DOMAIN_RUNNING
_BIG_ENDIAN = "s390x"
_NO_STATE = "its first processor's memory does not lead to a Linux kernel's vmcoreinfo"


def readiness_of_domain(domain: Any) -> Readiness:
    """Return whether a panic of a domain's guest would be reported and could be read.

    It blocks as libvirt does.  Nothing is changed; the domain is not tainted, and a running guest goes on.

    :param domain: A `libvirt.virDomain` that is active.
    :raise libvirt.libvirtError: What libvirt raises when it is asked about the domain.
    """
    running = domain.state()[0] == _RUNNING
    root = Document(domain.XMLDesc()).root
    machine = machine_of(root)
    architecture, devices = machine.target, domain_devices(root, machine)
    if devices.encryption:
        nothing = LastWords(architecture=architecture, source="libvirt", notes=(no_note(devices),))
        return assess(SeenGuest(running, architecture, devices, None, False, GuestKernel(), nothing))
    memory = PeekedMemory(domain)
    found = _found(memory, architecture)
    words = _words(memory, found, architecture)
    kernel = GuestKernel(unknown=_NO_STATE)
    if found.text is not None:
        reading = guest_kernel(found.text, architecture, _byte_order(architecture))
        kernel = read_with(reading, memory.physical)
    return assess(SeenGuest(running, architecture, devices, found.text, None, kernel, words))


def words_of_running_domain(domain: Any) -> LastWords:
    """Return the log of a running domain's guest, without a stop and without a note.  Blocks as libvirt does.

    :param domain: A `libvirt.virDomain`.
    :raise libvirt.libvirtError: What libvirt raises when it is asked about the domain.
    """
    root = Document(domain.XMLDesc()).root
    machine = machine_of(root)
    devices = domain_devices(root, machine)
    if devices.encryption:
        notes = (no_note(devices),)
        return LastWords(architecture=machine.target, source="libvirt", torn=True, notes=notes)
    memory = PeekedMemory(domain)
    words = _words(memory, _found(memory, machine.target), machine.target)
    return msgspec.structs.replace(words, torn=True)


def domain_devices(root: Element, machine: DomainMachine) -> MachineDevices:
    """Return what a domain's XML says about its machine.

    :param root: The element ``<domain>``.
    :param machine: The machine that it describes.
    """
    feature = root.find("features/vmcoreinfo")
    has_note = feature is not None and feature.get("state", "on") == "on"
    own = [word.partition(",")[0] for word in arguments(root)]
    types = {*machine.devices, *(word for word in own if word == "vmcoreinfo")}
    masks = machine.arguments.event_masks
    notifiers = {kind: masks.get(kind) for kind in machine.devices if kind not in machine.unreachable}
    others = [model for model in machine.notifiers if model in ("hyperv", "pseries", "s390")]
    return MachineDevices(
        frozenset(types | ({"vmcoreinfo"} if has_note else set())),
        machine.confidential,
        notifiers | dict.fromkeys(others),
    )


def _found(memory: PeekedMemory, architecture: str) -> FoundNote:
    if architecture == "x86_64":
        return find_in_virtual_memory(memory.virtual, _NO_STATE)
    reading = find_note(architecture, None, byte_order=_byte_order(architecture), otherwise=_NO_STATE)
    return read_with(reading, memory.physical)


def _words(memory: PeekedMemory, found: FoundNote, architecture: str) -> LastWords:
    reading = unnoted_words(found, architecture, _byte_order(architecture), "libvirt")
    return read_with(reading, memory.physical)


def _byte_order(architecture: str) -> str:
    return ">" if architecture == _BIG_ENDIAN else "<"
