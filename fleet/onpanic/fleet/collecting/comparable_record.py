"""Capability records in a form in which equal emulators have equal records."""

import re
from collections.abc import Sequence

import msgspec

from onpanic.probe.record.capability_record import CapabilityRecord

__all__ = ("comparable",)

# Where the firmware or the probe has placed a PCI device's register; an I/O port has four digits at most
_PLACED = re.compile(rb"written to 0x[0-9a-f]{5,}")
# A file that the emulator inherits, in its words about why it does not start
_INHERITED = re.compile(rb"/fd/[0-9]+")


def comparable(record: CapabilityRecord, names: Sequence[str]) -> CapabilityRecord:
    """Return a record without what depends on the moment, but for `CapabilityRecord.probed`.

    A machine type that the emulator does not list is left out as well: one without a default machine type is
    tried with virt.

    :param record: The record, without excerpts.
    :param names: The machine types that the emulator lists; empty if it lists none.
    """
    machines = [one for one in record.machines if one.started or not names or one.name in names]
    problems = dict.fromkeys(one.problem for one in machines if one.problem)
    found = msgspec.structs.replace(record, machines=machines, problems=list(problems))
    data = _INHERITED.sub(b"/fd/N", _PLACED.sub(b"written to its register", found.to_json()))
    return CapabilityRecord.from_json(data)
