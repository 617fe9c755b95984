"""Notes on hosts without libvirt, and on what could not be found out about hosts."""

from collections import defaultdict

from onpanic.core.untrusted import printable
from onpanic.fleet.documents.fleet import Fleet, FleetNote

__all__ = ("host_notes",)


def host_notes(fleet: Fleet) -> list[FleetNote]:
    """Return the notes on hosts without libvirt, and on what could not be found out about hosts."""
    without: dict[str, list[str]] = defaultdict(list)
    problems: dict[str, list[str]] = defaultdict(list)
    for found in fleet.classes:
        names = [host.name for host in found.hosts]
        if found.record.libvirt_found == "no":
            without["Xen's xl" if found.record.xen else "the emulator"] += names
        for problem in dict.fromkeys(found.record.problems):
            problems[printable(problem, 300)] += names
    notes = [
        FleetNote("no-libvirt", f"no libvirt: {who} alone decides", tuple(names))
        for who, names in without.items()
    ]
    return notes + [FleetNote("host-problem", problem, tuple(names)) for problem, names in problems.items()]
