"""Whether a panic of a libvirt domain's guest would be reported and could be read."""

import time
from typing import Any

from onpanic.core.errors import SourceError
from onpanic.shims.domain_xml.document import Document
from onpanic.shims.domain_xml.domain_machine import DomainMachine, machine_of
from onpanic.why.kernel.kernel_memory import byte_order_of
from onpanic.why.locating.unnoted_words import unnoted_words
from onpanic.why.memory.domain_memory import domain_memory
from onpanic.why.memory.reading import read_with
from onpanic.why.readers.from_domain import foreign_driver
from onpanic.why.readers.machine_devices import MachineDevices, no_note
from onpanic.why.readers.running_domain import find_in_domain
from onpanic.why.readiness.assessment import SeenGuest, assess
from onpanic.why.readiness.guest_kernel import GuestKernel, guest_kernel
from onpanic.why.readiness.readiness_result import Readiness
from onpanic.why.words.last_words import LastWords

__all__ = ("readiness_of_domain",)

_RUNNING = 1  # VIR_DOMAIN_RUNNING
_NO_DEVICES = ("hyperv", "pseries", "s390")  # libvirt's models of notifiers that are no devices


def readiness_of_domain(domain: Any, timeout: float = 10.0) -> Readiness:
    """Return whether a panic of a domain's guest would be reported and could be read.

    It blocks as libvirt does.  Nothing is changed; the domain is not tainted, and a running guest goes on.

    :param domain: A `libvirt.virDomain` that is active.
    :param timeout: Seconds for all of its memory.
    :raise SourceError: When it is not a domain of QEMU.
    :raise DocumentError: When its XML cannot be read.
    :raise libvirt.libvirtError: What libvirt raises when it is asked about the domain.
    """
    deadline = time.monotonic() + timeout
    if foreign := foreign_driver(domain):
        raise SourceError(foreign, "onpanic status tells whether the guest has crashed")
    running = domain.state()[0] == _RUNNING
    machine = machine_of(Document(domain.XMLDesc()).root)
    architecture, devices = machine.target, _domain_devices(machine)
    if devices.encryption:
        nothing = LastWords(architecture=architecture, source="libvirt", notes=(no_note(devices),))
        return assess(SeenGuest(running, architecture, devices, None, False, GuestKernel(), nothing))
    order = byte_order_of(architecture)
    with domain_memory(domain, deadline) as memory:
        found = find_in_domain(memory, architecture)
        words = read_with(unnoted_words(found, architecture, order, "libvirt"), memory.fetch)
        kernel = GuestKernel(unknown=" ".join(found.notes))
        if found.text is not None:
            kernel = read_with(guest_kernel(found.text, architecture, order), memory.fetch)
    return assess(SeenGuest(running, architecture, devices, found.text, None, kernel, words))


def _domain_devices(machine: DomainMachine) -> MachineDevices:
    """Return what a domain's machine has.

    :param machine: What its XML describes.
    """
    masks = machine.arguments.event_masks
    notifiers = {kind: masks.get(kind) for kind in machine.devices if kind not in machine.unreachable}
    others = [model for model in machine.notifiers if model in _NO_DEVICES]
    types = {*machine.devices, *(["vmcoreinfo"] if machine.vmcoreinfo == "on" else [])}
    return MachineDevices(frozenset(types), machine.confidential, notifiers | dict.fromkeys(others))
