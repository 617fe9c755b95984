"""Which architectures and machine types a verdict has rows for, and over which hosts each row holds.

An architecture's row holds for its own hosts, and for those of other architectures that emulate it.  A host
of another architecture without such an emulator never runs such a guest, so it stands in no one's way; one
of the architecture itself without an emulator does, and so does one that says neither what it is nor what it
emulates.

A Xen host is to guests of QEMU what a host of another architecture is, and the reverse: each hypervisor has
its rows, so that ``restart`` does not fail everywhere because of one Xen host.  The machine types of Xen's
guests are its own, also where a QEMU lists the same names for its part in them.

Rejected: rows over all hosts.  Then one Arm host would make every policy of x86 guests fail.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from onpanic.fleet.documents.fleet import Fleet, HostClass
from onpanic.fleet.hosts.host_record import HostEmulator, HostRecord
from onpanic.fleet.hosts.usual_machines import USUAL_MACHINES
from onpanic.fleet.verdict.natural_order import natural
from onpanic.probe.decision.policy import Hypervisor
from onpanic.probe.xen.xen_conversation import GUEST_TYPES

__all__ = (
    "ROWS",
    "ArchitectureRows",
    "architecture_rows",
    "common_machines",
    "may_run",
    "own_names",
    "versions",
)

#: So many machine types are judged if none is named: each is judged on every host.
ROWS = 16

# The machine types that have a row without being named, beside the default one
_USUAL: Mapping[Hypervisor, tuple[str, ...]] = {"qemu": USUAL_MACHINES, "xen": tuple(GUEST_TYPES)}
_NAMES_OF_XEN = frozenset((*GUEST_TYPES, *GUEST_TYPES.values()))


class ArchitectureRows(msgspec.Struct, frozen=True):
    """The rows of an architecture and a hypervisor.

    :param architecture: libvirt's name of it.
    :param classes: The hosts over which they hold, with their emulators, or their Xen.
    :param machines: The machine types, most hosts first; an empty name is the default one.
    :param further: Machine types that hosts were asked about, and that have no row.
    """

    architecture: str
    classes: list[tuple[HostClass, HostEmulator | None]]
    machines: list[str]
    further: list[str]
    hypervisor: Hypervisor = "qemu"


def architecture_rows(
    fleet: Fleet, architectures: Sequence[str] = (), machines: Sequence[str] = (), *, everything: bool = False
) -> list[ArchitectureRows]:
    """Return the rows of a verdict, those of the most hosts first.

    :param architectures: libvirt's names of those that are wanted; empty for those that hosts are of.
    :param machines: The machine types or aliases that are wanted; empty for the default one of each emulator,
        `USUAL_MACHINES` and Xen's, as far as hosts were asked about them and started them: the `ROWS` that
        most hosts have.
    :param everything: Also architectures that are only emulated, and every machine type that was asked about.
    """
    own = {name for one in fleet.classes for name in own_names(one.record)}
    emulated = {
        name for one in fleet.classes for emulator in one.record.every_emulator() for name in emulator.runs
    }
    wanted = set(architectures) or (own | emulated if everything else own)
    found = _rows_of_all(fleet, wanted, machines, everything=everything)
    if machines:
        having = [one for one in found if one.machines]
        if not having and not architectures and not everything:
            found = _rows_of_all(fleet, emulated, machines, everything=False)
        found = [one for one in found if one.machines]
    return sorted(
        (one for one in found if one.classes),
        key=lambda one: (
            -sum(len(hosts.hosts) for hosts, _ in one.classes),
            one.architecture,
            one.hypervisor,
        ),
    )


def own_names(record: HostRecord) -> Iterable[str]:
    """Return libvirt's name of a host's architecture; all that it emulates if the host does not say."""
    name = record.system.guest_architecture
    return [name] if name else [runs for one in record.every_emulator() for runs in one.runs]


def may_run(record: HostRecord, architecture: str, hypervisor: Hypervisor = "qemu") -> bool:
    """Return whether a hypervisor's guests of an architecture may be meant for a host.

    They are if the architecture is its own, or is emulated there, and the hypervisor is its own.

    :param architecture: libvirt's name of it.
    """
    if record.emulator_for(architecture, hypervisor) is not None:
        return True
    own = [*own_names(record)]
    return (record.xen is not None) == (hypervisor == "xen") and (not own or architecture in own)


def common_machines(rows: ArchitectureRows) -> list[str]:
    """Return the aliases and then the machine types that all hosts have; none if one did not say."""
    aliases = [{*emulator.aliases} if emulator else set() for _, emulator in rows.classes]
    names = [{*emulator.machine_types} if emulator else set() for _, emulator in rows.classes]
    if not all(names):
        return []
    found = set.intersection(*aliases)
    return [*sorted(found, key=natural), *sorted(set.intersection(*names) - found, key=natural)]


def versions(rows: ArchitectureRows, machine: str) -> dict[str, int]:
    """Return on how many hosts a machine type or alias stands for which machine type, oldest first."""
    counts: Counter[str] = Counter()
    for hosts, emulator in rows.classes:
        name = _own_version(emulator, machine) if emulator else ""
        if name:
            counts[name] += len(hosts.hosts)
    return {name: counts[name] for name in sorted(counts, key=natural)}


def _rows_of_all(
    fleet: Fleet, architectures: Iterable[str], machines: Sequence[str], *, everything: bool
) -> list[ArchitectureRows]:
    """Return the rows of some architectures: those of QEMU, and those of Xen if a host is one of its."""
    if all(one.record.xen is None for one in fleet.classes):
        return [_rows(fleet, name, "qemu", machines, everything=everything) for name in architectures]
    found = []
    for name in architectures:
        on_qemu = [machine for machine in machines if machine not in _NAMES_OF_XEN]
        if on_qemu or not machines:
            found.append(_rows(fleet, name, "qemu", on_qemu, everything=everything))
        found.append(_rows(fleet, name, "xen", machines, everything=everything))
    return found


def _rows(
    fleet: Fleet, architecture: str, hypervisor: Hypervisor, machines: Sequence[str], *, everything: bool
) -> ArchitectureRows:
    classes = [
        (one, one.record.emulator_for(architecture, hypervisor))
        for one in fleet.classes
        if may_run(one.record, architecture, hypervisor)
    ]
    usual: Counter[str] = Counter()
    asked: set[str] = set()
    for hosts, emulator in classes:
        if emulator is not None:
            usual.update(dict.fromkeys(_usual(emulator), len(hosts.hosts)))
            asked |= _asked(emulator)
    if machines:
        known = [
            one for one in dict.fromkeys(machines) if any(_has(emulator, one) for _, emulator in classes)
        ]
        return ArchitectureRows(architecture, classes, known, [], hypervisor)
    ranked = sorted(usual, key=lambda name: (-usual[name], natural(name))) or [""]
    shown = ranked if everything else ranked[:ROWS]
    hidden = sorted({*asked, *ranked} - {*shown}, key=natural)
    if everything:
        return ArchitectureRows(architecture, classes, shown + hidden, [], hypervisor)
    return ArchitectureRows(architecture, classes, shown, hidden, hypervisor)


def _usual(emulator: HostEmulator) -> set[str]:
    """Return what the default machine type and the usual ones are called, if they were started."""
    found = set()
    for one in emulator.record.machines if emulator.record else []:
        names = (*one.aliases, one.name)
        usual = [name for name in names if name in _USUAL[emulator.hypervisor]]
        if one.started and (usual or one.default):
            found.add((*usual, *names)[0])
    return found


def _asked(emulator: HostEmulator) -> set[str]:
    """Return the names of the machine types that were asked about, by their aliases if they have any."""
    machines = emulator.record.machines if emulator.record else []
    if emulator.hypervisor == "xen":
        return {one.name for one in machines}
    return {name for one in machines for name in one.aliases or [one.name]}


def _has(emulator: HostEmulator | None, machine: str) -> bool:
    """Return whether an emulator has a machine type or alias, or may have it."""
    return emulator is not None and (
        machine in emulator.aliases
        or machine in emulator.machine_types
        or bool(_own_version(emulator, machine))
    )


def _own_version(emulator: HostEmulator, machine: str) -> str:
    """Return the name of the machine type that a name stands for; empty if the emulator has none."""
    if machine in emulator.aliases:
        return emulator.aliases[machine]
    if machine in emulator.machine_types:
        return machine
    for one in emulator.record.machines if emulator.record else []:
        if machine in (one.name, *one.aliases) or (not machine and one.default):
            return one.name
    return ""
