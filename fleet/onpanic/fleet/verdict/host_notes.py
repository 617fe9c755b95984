"""Notes on hosts without libvirt, and on what could not be found out about hosts."""

from collections import defaultdict

from onpanic.core.untrusted import printable
from onpanic.fleet.documents.fleet import Fleet, FleetNote

__all__ = ("host_notes",)


def host_notes(fleet: Fleet) -> list[FleetNote]:
    """Return the notes on hosts without libvirt, and on what could not be found out about hosts."""
    without: list[str] = []
    problems: dict[str, list[str]] = defaultdict(list)
    for found in fleet.classes:
        names = [host.name for host in found.hosts]
        if found.record.libvirt_found == "no":
            without += names
        for problem in dict.fromkeys(found.record.problems):
            problems[printable(problem, 300)] += names
    reason = "no libvirt: the emulator alone decides"
    notes = [FleetNote("no-libvirt", reason, tuple(without))] if without else []
    return notes + [FleetNote("host-problem", problem, tuple(names)) for problem, names in problems.items()]
