"""Decides whether a new record replaces the existing one of the same name.

It does unless a known answer would be lost: an emulator that breaks later does not take away what was
known about it.  If an emulator now answers the opposite, it has changed, and its new record counts
even where it knows less.  If the existing record was made from another subject and only the name is
the same, opposite answers are a contradiction that a person must resolve.

A record of version 1 is about one notifier of each machine type, and some of its answers are wrong.  A
record of version 2 replaces it: always if it is of the same subject, otherwise if no answer is lost.
Opposite answers are then no contradiction.

The answers about a notifier that depends on the host are an exception.  Where the host's KVM has no
Hyper-V, nothing is learnt about an emulator, so a "no" does not replace a "yes".
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec

from onpanic.core.errors import RecordError
from onpanic.matrix.records.comparison import HOST_DEPENDENT, Shared, shared_facts, weakness
from onpanic.matrix.records.record_files import read_versioned_record
from onpanic.probe.facts import QUESTIONS, Fact
from onpanic.probe.record.capability_record import CapabilityRecord

__all__ = ("ExistingRecord", "KeptRecord", "existing_record", "why_kept")

_ON_REQUEST = tuple(question.name for question in QUESTIONS if question.on_request)


class ExistingRecord(msgspec.Struct, frozen=True):
    """A record that a new one may replace.

    :param record: The record, in the form of the current version.
    :param version: The schema version of its file.
    """

    record: CapabilityRecord
    version: int


class KeptRecord(msgspec.Struct, frozen=True):
    """Why an existing record stays.

    :param state: ``kept``, or ``failed`` if the two records contradict each other.
    :param why: The reason, in one line; empty if nothing is wrong.
    :param hint: What the user can do.
    """

    state: Literal["kept", "failed"]
    why: str = ""
    hint: str = ""


def existing_record(path: Path) -> ExistingRecord | None:
    """Return the record at a path; None if there is no file.

    :raise RecordError: When the file is not a record, which must not be replaced.
    """
    if not path.exists():
        return None
    try:
        record, version = read_versioned_record(path)
    except RecordError as error:
        raise RecordError(f"not replaced: {error.message}", "move it away") from error
    return ExistingRecord(record, version)


def why_kept(
    name: str, before: ExistingRecord, after: CapabilityRecord, *, own: bool, acpi: bool
) -> KeptRecord | None:
    """Return why a new record does not replace the existing one; None if it does.

    :param name: The records' name.
    :param before: The existing record.
    :param after: The new record.
    :param own: Whether the existing record was made from the same subject.
    :param acpi: Whether the new record was to include the facts that are asked only on request.
    """
    outdated = before.version < after.schema_version
    if own and outdated:
        return None
    pairs = list(shared_facts(before.record, after))
    opposite = [one.what for one in pairs if _is_opposite(one)]
    if opposite and not own and not outdated:
        source = before.record.probed.source or "another emulator"
        hint = "find out which is right, and leave the other out"
        return KeptRecord("failed", f"contradicts {name}.json, of {source}: {_first(opposite)}", hint)
    lost = [one.what for one in pairs if _is_lost(one)]
    if (opposite and own) or not lost:
        return None
    if not own or (not acpi and all(what.startswith(_ON_REQUEST) for what in lost)):
        return KeptRecord("kept")  # the new one was not meant to know as much
    hint = f"remove {name}.json if the new answers are right"
    return KeptRecord("kept", f"the existing record knows more: {_first(lost)}", hint)


def _is_opposite(one: Shared[Fact]) -> bool:
    return {one.before.answer, one.after.answer} == {"yes", "no"} and one.model not in HOST_DEPENDENT


def _is_lost(one: Shared[Fact]) -> bool:
    if one.model in HOST_DEPENDENT and one.before.answer == "yes" and one.after.answer != "yes":
        return True
    return weakness(one.after.how) > weakness(one.before.how)


def _first(names: Sequence[str]) -> str:
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return min(names) + more
