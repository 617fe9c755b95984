"""Makes records of many subjects, several at a time, and keeps them in a folder.

Each record is written as soon as it is made, so that a run that is interrupted loses only the records
that are being made, and the next run continues.  The file ``.collected`` in the folder lists which
subjects are done; it can be removed at any time.

Rejected: one event loop for all emulators, as reading replies takes most of the time and would keep
one core busy; and a queue of pending jobs on disk, as the folder shows which are done.
"""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from onpanic.core.errors import FileError
from onpanic.core.files import read_at_most, write_atomically
from onpanic.core.json_decoding import decode_json
from onpanic.core.version import PROGRAM
from onpanic.matrix.collecting.workers import CollectOutcome, in_parallel
from onpanic.matrix.records.record_files import locked
from onpanic.matrix.sources.subjects import Subject, stamp
from onpanic.probe.asking.plan import ProbePlan

__all__ = ("collect",)

_STATE = ".collected"
_STATE_LIMIT = 64 * 2**20  # bytes; a subject takes less than 2 KiB


class _Collected(msgspec.Struct, frozen=True):
    """A subject that has a record.

    :param stamp: See `onpanic.matrix.sources.subjects.stamp`.
    :param asked: What it was asked, and by which version of onpanic.
    :param record: The record's name.
    """

    stamp: list[int]
    asked: str
    record: str


def collect(
    subjects: Sequence[Subject],
    plan: ProbePlan,
    folder: Path,
    *,
    again: bool = False,
    progress: Callable[[CollectOutcome], None] = lambda _outcome: None,
) -> list[CollectOutcome]:
    """Make a record of each subject, even if others fail.

    :param subjects: What records are made of; one that is named twice is asked once.
    :param plan: What to ask emulators.
    :param folder: Where records are kept; it is created if necessary.
    :param again: Also ask subjects that have not changed.
    :param progress: Called with each outcome.
    :return: An outcome for each subject, in the order of the subjects.
    :raise OSError: When the folder cannot be created.
    """
    folder.mkdir(parents=True, exist_ok=True)
    collected = _read_state(folder)
    outcomes: dict[str, CollectOutcome] = {}
    jobs: dict[str, Subject] = {}
    stamps: dict[str, list[int]] = {}  # taken before asking: what changes meanwhile is asked again
    for subject in subjects:
        if subject.key in outcomes or subject.key in jobs:
            continue  # named twice
        stamps[subject.key] = stamp(subject)
        before = None if again else collected.get(subject.key)
        if before and _is_unchanged(subject, stamps[subject.key], plan, folder, before):
            outcomes[subject.key] = CollectOutcome(subject.name, "unchanged", before.record)
            progress(outcomes[subject.key])
        else:
            jobs[subject.key] = subject
    own_records = {key: entry.record for key, entry in collected.items()}
    for batch in _batches(jobs):
        for key, outcome in in_parallel(batch, own_records, plan, folder):
            outcomes[key] = outcome
            if outcome.state == "collected":
                asked = "" if outcome.why else _asked(jobs[key], plan)  # after a problem it is asked again
                _remember(folder, key, _Collected(stamps[key], asked, outcome.record))
            progress(outcome)
    return [outcomes[key] for key in dict.fromkeys(subject.key for subject in subjects)]


def _batches(jobs: Mapping[str, Subject]) -> list[dict[str, Subject]]:
    """Divide jobs: records whose answers are added to others must come after those."""
    added = {key: subject for key, subject in jobs.items() if subject.kind == "record"}
    return [{key: subject for key, subject in jobs.items() if key not in added}, added]


def _asked(subject: Subject, plan: ProbePlan) -> str:
    """Return what is asked, and by whom: another version may read more from the same replies."""
    how = msgspec.structs.replace(plan, jobs=0, timeout=0.0) if subject.kind == "emulator" else None
    return f"{PROGRAM} {how}"


def _is_unchanged(
    subject: Subject, now: list[int], plan: ProbePlan, folder: Path, before: _Collected
) -> bool:
    if not now or now != before.stamp or not (folder / f"{before.record}.json").exists():
        return False
    with_acpi = msgspec.structs.replace(plan, acpi=True)
    return before.asked in (_asked(subject, plan), _asked(subject, with_acpi))


def _remember(folder: Path, key: str, entry: _Collected) -> None:
    """Add a subject to the state file, which other processes may have changed meanwhile."""
    path = folder / _STATE
    if path.exists() and not path.is_file():  # a pipe would be written to
        return
    with contextlib.suppress(OSError, FileError), locked(folder):  # without an entry it is asked again
        write_atomically(path, msgspec.json.encode({**_read_state(folder), key: entry}))


def _read_state(folder: Path) -> dict[str, _Collected]:
    """Return the state file's entries by key; none if it is missing or damaged."""
    path = folder / _STATE
    try:
        return decode_json(read_at_most(path, _STATE_LIMIT), dict[str, _Collected]) if path.is_file() else {}
    except (OSError, ValueError):
        return {}
