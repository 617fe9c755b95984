"""Decides whether a new record replaces the existing one of the same name.

It does unless a known answer would be lost: an emulator that breaks later does not take away what was
known about it.  If an emulator now answers the opposite, it has changed, and its new record counts
even where it knows less.  If the existing record was made from another subject and only the name is
the same, opposite answers are a contradiction that a person must resolve.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec

from onpanic.core.errors import RecordError
from onpanic.matrix.records.comparison import shared_facts, weakness
from onpanic.matrix.records.record_files import read_record
from onpanic.probe.facts import QUESTIONS
from onpanic.probe.record.capability_record import CapabilityRecord

__all__ = ("KeptRecord", "existing_record", "why_kept")

_ON_REQUEST = tuple(question.name for question in QUESTIONS if question.on_request)


class KeptRecord(msgspec.Struct, frozen=True):
    """Why an existing record stays.

    :param state: ``kept``, or ``failed`` if the two records contradict each other.
    :param why: The reason, in one line; empty if nothing is wrong.
    :param hint: What the user can do.
    """

    state: Literal["kept", "failed"]
    why: str = ""
    hint: str = ""


def existing_record(path: Path) -> CapabilityRecord | None:
    """Return the record at a path; None if there is no file.

    :raise RecordError: When the file is not a record, which must not be replaced.
    """
    if not path.exists():
        return None
    try:
        return read_record(path)
    except RecordError as error:
        raise RecordError(f"not replaced: {error.message}", "move it away") from error


def why_kept(
    name: str, before: CapabilityRecord, after: CapabilityRecord, *, own: bool, acpi: bool
) -> KeptRecord | None:
    """Return why a new record does not replace the existing one; None if it does.

    :param name: The records' name.
    :param before: The existing record.
    :param after: The new record.
    :param own: Whether the existing record was made from the same subject.
    :param acpi: Whether the new record was to include the facts that are asked only on request.
    """
    pairs = list(shared_facts(before, after))
    opposite = [what for what, old, new in pairs if {old.answer, new.answer} == {"yes", "no"}]
    if opposite and not own:
        source = before.probed.source or "another emulator"
        hint = "find out which is right, and leave the other out"
        return KeptRecord("failed", f"contradicts {name}.json, of {source}: {_first(opposite)}", hint)
    lost = [what for what, old, new in pairs if weakness(new.how) > weakness(old.how)]
    if opposite or not lost:
        return None
    if not own or (not acpi and all(what.startswith(_ON_REQUEST) for what in lost)):
        return KeptRecord("kept")  # the new one was not meant to know as much
    hint = f"remove {name}.json if the new answers are right"
    return KeptRecord("kept", f"the existing record knows more: {_first(lost)}", hint)


def _first(names: Sequence[str]) -> str:
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return min(names) + more
