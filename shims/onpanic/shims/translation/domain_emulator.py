"""Probing the emulator that runs a domain, or asking the Xen that does."""

import os
import shutil
from collections.abc import Sequence
from functools import partial
from typing import Any, Protocol

from onpanic.core.errors import RefusedError, SourceError, StartError
from onpanic.core.libvirt_api import call_with_timeout, libvirt_module
from onpanic.core.ownership import changeable_by_others
from onpanic.core.untrusted import printable
from onpanic.probe.api import probe
from onpanic.probe.decision.rules import refusal
from onpanic.probe.emulator.notifier_models import NOTIFIER_MODELS, NotifierModel
from onpanic.probe.host import host_emulator, resolve_command
from onpanic.probe.record.capability_record import CapabilityRecord
from onpanic.probe.xen.ask_libvirt import DRIVER
from onpanic.probe.xen.probe_xen import probe_connection
from onpanic.probe.xen.record_of_xen import unasked_xen
from onpanic.shims.domain_xml.domain_machine import DomainMachine
from onpanic.shims.domain_xml.xml_parser import parse_xml
from onpanic.shims.translation.local_uri import local_parts

__all__ = ("Prober", "prober_for", "record_for")

_NAME_ANOTHER = "name one with --emulator, or a record of it with --record"
_PROBE_THERE = "run onpanic probe --format json there, and name the record that it prints with --record"


# libvirt's drivers that run domains of one hypervisor only
_DRIVERS = (DRIVER, "QEMU")


class Prober(Protocol):
    """Finds out what the emulator, or the Xen, that runs a domain can do: any function of this signature."""

    def __call__(self, machine: DomainMachine, /) -> CapabilityRecord:
        """Return its record.

        :param machine: The machine that the domain describes.
        :raise OnpanicError: When it cannot be probed.
        """


def record_for(
    machine: DomainMachine,
    emulator: Sequence[str] = (),
    *,
    notifier: NotifierModel | None = None,
    timeout: float = 10.0,
) -> CapabilityRecord:
    """Probe a domain's emulator, with the domain's machine type, and the notifier that the domain has.

    If the domain has several or none, all notifiers are probed, which takes longer.  No Xen is asked for a
    Xen domain: its record has no facts, and the rules alone decide.

    :param machine: The machine that the domain describes.
    :param emulator: A command to use instead of the domain's own ``<emulator>``.  Without both, the
        emulator with QEMU's name for the domain's architecture is probed.
    :param notifier: The only notifier to probe if the domain has none; None for all of them.
    :param timeout: Seconds that the emulator has.
    :raise EmulatorError: When the emulator cannot be probed, does not start with the machine type, or is the
        domain's own and another user's.
    :raise RefusedError: When an emulator is named for a Xen domain.
    """
    if machine.hypervisor == "xen":
        if emulator:
            raise RefusedError(
                refusal("record-of-another-hypervisor", "an emulator; the domain is of type xen")
            )
        return unasked_xen()
    command = list(emulator) or [_own_emulator(machine) or _host_emulator(machine)]
    flagged = ("hyperv",) if machine.hyperv else ()
    own = [model for model in NOTIFIER_MODELS if model in (*machine.notifiers, *flagged)]
    try:
        record = probe(
            resolve_command(command),
            machines=[machine.machine] if machine.machine else (),
            notifier=own[0] if len(own) == 1 else None if own else notifier,
            timeout=timeout,
        )
    except StartError as error:
        if not error.missing:
            raise
        raise StartError(error.message, _NAME_ANOTHER, missing=True) from error
    found = record.machine(machine.machine)
    if not found.started:
        raise StartError(found.problem, "run the emulator by hand to see more")
    return record


def _own_emulator(machine: DomainMachine) -> str | None:
    """Return the emulator that a domain names, None if it names none.

    :raise StartError: When another user may decide what that is.
    """
    found = machine.emulator and (shutil.which(machine.emulator) or machine.emulator)
    if found and (where := changeable_by_others(found)):
        program, place = printable(str(machine.emulator), 200), printable(where, 200)
        raise StartError(
            f"the domain names {program}, but another user may change {place}",
            f"if you trust it, {_NAME_ANOTHER}",
        )
    return machine.emulator


def _host_emulator(machine: DomainMachine) -> str:
    """Return the path of this host's emulator for a domain's architecture.

    :raise StartError: When there is none.
    """
    try:
        return host_emulator(machine.arch)
    except StartError as error:
        raise StartError(
            f"the domain names no emulator: {error.message}", _NAME_ANOTHER, missing=True
        ) from error


def prober_for(connection: Any, *, notifier: NotifierModel | None = None, timeout: float = 10.0) -> Prober:
    """Return a function that probes the emulator that libvirt would run for a domain, or asks its Xen driver.

    The function raises `SourceError` if libvirt, and so the emulator, is on another host, or if libvirt
    does not answer, `EmulatorError` if the emulator cannot be probed, and `RefusedError` if libvirt's driver
    is of another hypervisor than the domain.  Xen may be on another host.

    :param connection: A `libvirt.virConnect`, asked for the emulator that a domain does not name.
    :param notifier: The only notifier to probe if the domain has none; None for all of them.
    :param timeout: Seconds that libvirt has, and then the emulator.
    """

    def ask(machine: DomainMachine) -> CapabilityRecord:
        driver = call_with_timeout(timeout, connection.getType)
        if (driver == DRIVER) != (machine.hypervisor == "xen") and driver in _DRIVERS:
            detail = f"a connection to {driver}; the domain is of type {printable(machine.kind, 60)}"
            raise RefusedError(refusal("record-of-another-hypervisor", detail))
        if machine.hypervisor == "xen":
            return probe_connection(connection, timeout=timeout) if driver == DRIVER else unasked_xen()
        if call_with_timeout(timeout, partial(local_parts, connection)) is None:
            uri = call_with_timeout(timeout, connection.getURI)
            raise SourceError(f"{uri}: the emulator is on another host", _PROBE_THERE)
        chosen = (
            []
            if machine.emulator
            else call_with_timeout(timeout, partial(_libvirt_emulator, connection, machine))
        )
        # In a thread of its own, because this may be called in a thread that runs an event loop
        return call_with_timeout(
            None, partial(record_for, machine, chosen, notifier=notifier, timeout=timeout)
        )

    return ask


def _libvirt_emulator(connection: Any, machine: DomainMachine) -> list[str]:
    """Return the emulator that libvirt uses for a domain; empty if its driver uses none.

    :raise SourceError: When libvirt has no emulator for the domain.
    """
    libvirt = libvirt_module()
    try:
        xml = connection.getDomainCapabilities(None, machine.arch, machine.machine, machine.kind)
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_SUPPORT:  # of the test driver, for example
            return []
        if error.get_error_code() == libvirt.VIR_ERR_OPERATION_DENIED:  # on a read-only connection
            return _emulator_in_capabilities(connection.getCapabilities(), machine)
        raise SourceError(f"libvirt: {printable(str(error))}", _NAME_ANOTHER) from error
    path = parse_xml(xml.encode()).findtext("path")
    return [path] if path else []


def _emulator_in_capabilities(xml: str, machine: DomainMachine) -> list[str]:
    """Return the emulator that a host's capabilities name for a domain; empty if they name none."""
    for arch in parse_xml(xml.encode()).iterfind("guest/arch"):
        if arch.get("name") == (machine.arch or os.uname().machine):
            own = arch.findtext(f"domain[@type='{machine.kind}']/emulator") if machine.kind.isalnum() else ""
            path = own or arch.findtext("emulator")
            return [path] if path else []
    return []
