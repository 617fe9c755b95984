"""Which of a host's records a domain is judged by, and whether the host has what the domain names at all."""

from pathlib import PurePath

from msgspec.structs import replace

from onpanic.core.errors import RefusedError
from onpanic.core.untrusted import printable
from onpanic.fleet.hosts.emulator_places import EMULATOR_NAME, FIXED_FOLDERS
from onpanic.fleet.hosts.host_record import HostEmulator, HostRecord
from onpanic.probe.decision.rules import refusal
from onpanic.probe.record.capability_record import CapabilityRecord, MachineRecord
from onpanic.shims.domain_xml.domain_machine import DomainMachine, check_target
from onpanic.shims.translation.libvirt_features import Libvirt

__all__ = ("emulator_of", "libvirt_of_host", "record_of")


def libvirt_of_host(host: HostRecord) -> Libvirt:
    """Return what a host's libvirt supports.

    :raise RefusedError: When it has none, or the record says nothing about one.
    """
    if host.libvirt is None and host.libvirt_found == "no":
        raise RefusedError(refusal("no-libvirt"))
    if host.libvirt is None:
        raise RefusedError(refusal("libvirt-not-asked", printable("; ".join(host.problems), 100)))
    return host.libvirt.libvirt


def emulator_of(host: HostRecord, machine: DomainMachine) -> HostEmulator:
    """Return the emulator with which a host runs a domain, or its Xen.

    :raise RefusedError: When it has none, or the record does not say.
    """
    if machine.hypervisor == "xen":
        return _xen_of(host, machine)
    if host.xen is not None and not host.emulators:
        raise RefusedError(refusal("other-hypervisor", "Xen, not QEMU"))
    if machine.emulator:
        found = next(
            (one for one in host.emulators if machine.emulator in (one.path, *one.other_paths)), None
        )
        if found is None:
            looked = _is_looked_for(machine.emulator, host)
            code = "no-emulator-at-path" if looked else "emulator-path-not-asked"
            raise RefusedError(refusal(code, printable(machine.emulator, 100)))
    else:
        architecture = machine.arch or host.system.guest_architecture
        found = host.emulator_for(architecture)
        if found is None:
            raise RefusedError(refusal("no-emulator", printable(architecture, 60)))
    if found.domain_types and machine.kind not in found.domain_types:
        raise RefusedError(refusal("no-domain-type", f"{printable(machine.kind, 60)}, {found.path}"))
    return found


def _xen_of(host: HostRecord, machine: DomainMachine) -> HostEmulator:
    """Return the Xen of a host; the domain's ``<emulator>`` is its device model."""
    if host.xen is None:
        raise RefusedError(refusal("other-hypervisor", "QEMU, not Xen"))
    if host.xen.record is not None:
        check_target(host.xen.record, machine)
    return host.xen


def _is_looked_for(path: str, host: HostRecord) -> bool:
    """Return whether a host's record would have an emulator that is at a path."""
    program = PurePath(path)
    found = {PurePath(one.path).parent for one in host.emulators if "path" in one.found_in}
    return bool(EMULATOR_NAME.fullmatch(program.name)) and program.parent in found.union(FIXED_FOLDERS)


def record_of(host: HostRecord, machine: DomainMachine) -> CapabilityRecord:
    """Return the record that says what a domain's emulator, or Xen, can do on a host.

    :raise RefusedError: When the host lacks something that the domain names, or its record does not say.
    """
    emulator = emulator_of(host, machine)
    record = emulator.record
    if record is None:
        code = "toolstack-inconclusive" if emulator.hypervisor == "xen" else "emulator-not-asked"
        raise RefusedError(refusal(code, f"{emulator.path}: {printable(emulator.problem)}"))
    word = machine.machine or ""
    name = emulator.aliases.get(word, word)
    found = next((one for one in record.machines if _is_named(one, name)), None)
    if found is not None:
        return record if _is_named(found, word) else _with_alias(record, found, word)
    missing = bool(name and emulator.machine_types) and name not in emulator.machine_types
    code = "no-machine-type" if missing else "machine-type-not-asked"
    raise RefusedError(refusal(code, printable(name, 60) or "the default one"))


def _is_named(machine: MachineRecord, name: str) -> bool:
    return name in (machine.name, *machine.aliases) or (not name and machine.default)


def _with_alias(record: CapabilityRecord, machine: MachineRecord, word: str) -> CapabilityRecord:
    """Return a record that knows an alias of one of its machine types, as the host's list has it."""
    named = replace(machine, aliases=[*machine.aliases, word])
    return replace(record, machines=[named, *(one for one in record.machines if one is not machine)])
