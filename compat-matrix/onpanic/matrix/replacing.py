"""Whether a new record may take the place of the one that is there.

It may unless something would be lost by it: an emulator that breaks later on does not take
away what was known of it.  One that answers the opposite has changed, so that its new record
counts, whatever it knows less of then.  Where the one that is there was made of something else,
and only the build's name is the same, the opposite is a contradiction that people must settle.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from onpanic.probe.errors import RecordError
from onpanic.probe.facts import Fact
from onpanic.probe.record import CapabilityRecord

from .model import rank
from .records import read_record

__all__ = ("Reason", "record_there", "why_not")

_ACPI = "acpi-exposes-pvpanic"  # asked for on demand


class Reason(msgspec.Struct, frozen=True):
    """Why a record stays.

    :param state: ``kept``, or ``failed`` if the two contradict each other.
    :param why: In one line; empty if nothing is wrong with it.
    :param hint: What to do about it.
    """

    state: Literal["kept", "failed"]
    why: str = ""
    hint: str = ""


def record_there(path: Path) -> CapabilityRecord | None:
    """Return the record that is in a place; None if nothing is there.

    :raise RecordError: When what is there is no record that can be read: it is not ours to replace.
    """
    if not path.exists():
        return None
    try:
        return read_record(path)
    except RecordError as error:
        raise RecordError(f"not replaced: {error.message}", "move it away") from error


def why_not(
    name: str, before: CapabilityRecord, after: CapabilityRecord, *, own: bool, acpi: bool
) -> Reason | None:
    """Say why a record is not to be replaced, None if it is.

    :param name: Its name, for people.
    :param own: The one that is there was made of the same subject.
    :param acpi: The new one was to tell of ACPI tables, too.
    """
    pairs = list(_pairs(before, after))
    other = [what for what, old, new in pairs if {old.answer, new.answer} == {"yes", "no"}]
    if other and not own:
        of = before.probed.source or "another emulator"
        hint = "find out which is right, and leave the other out"
        return Reason("failed", f"contradicts {name}.json, of {of}: {_first(other)}", hint)
    lost = [what for what, old, new in pairs if rank(new.how) > rank(old.how)]
    if other or not lost:
        return None
    if not own or (not acpi and all(what.startswith(_ACPI) for what in lost)):
        return Reason("kept")  # it was to show less, or may well do so
    hint = f"remove {name}.json if the new answers are right"
    return Reason("kept", f"the record that is there knows more: {_first(lost)}", hint)


def _pairs(before: CapabilityRecord, after: CapabilityRecord) -> Iterator[tuple[str, Fact, Fact]]:
    """Yield what both records speak of, in words, with what each says."""
    for name in before.facts.keys() & after.facts.keys():
        yield name, before.facts[name], after.facts[name]
    machines = {machine.name: machine.facts for machine in after.machines}
    for machine in before.machines:
        mine, new = machine.facts, machines.get(machine.name, {})
        for name in mine.keys() & new.keys():
            yield f"{name} on {machine.name}", mine[name], new[name]


def _first(names: Sequence[str]) -> str:
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return min(names) + more
