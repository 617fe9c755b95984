"""Make records of many subjects, several at a time, and keep them in a folder.

Each subject is a job of its own, see `workers`.  What is done is on the disk at once; ending at
any moment loses the jobs in hand only, and the next run goes on from there.

Considered and left: one event loop for all emulators (a core does all the reading), and a
list of what is to be done kept on the disk (the folder itself says what is there).
"""

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from onpanic.probe import api
from onpanic.probe.recording import write_whole
from onpanic.probe.survey import Plan

from .records import alone
from .subjects import Subject, stamp
from .workers import Outcome, in_parallel

__all__ = ("Outcome", "collect")

_STATE = ".collected"  # in the folder of the records: by what each was seen not to have changed


class _Seen(msgspec.Struct, frozen=True):
    """A subject that has been collected, by what it would be seen to have changed."""

    stamp: list[int]
    asked: str
    record: str


def collect(
    subjects: Sequence[Subject],
    plan: Plan,
    folder: Path,
    *,
    again: bool = False,
    progress: Callable[[Outcome], None] = lambda _outcome: None,
) -> list[Outcome]:
    """Make a record of each subject, whatever becomes of others.

    :param plan: What to ask emulators.
    :param folder: Where records are kept; it is made if it is not there.
    :param again: Ask those that have not changed, too.
    :param progress: Told of each outcome as it comes.
    :return: An outcome for each subject, in the order of the subjects.
    :raise OSError: When the folder cannot be written at all.
    """
    folder.mkdir(parents=True, exist_ok=True)
    seen = _read_state(folder)
    outcomes: dict[str, Outcome] = {}
    jobs: dict[str, Subject] = {}
    stamps: dict[str, list[int]] = {}  # from before: what changes meanwhile is asked again
    for subject in subjects:
        if subject.key in outcomes or subject.key in jobs:
            continue  # named twice
        stamps[subject.key] = stamp(subject)
        before = None if again else seen.get(subject.key)
        if before and _is_unchanged(subject, stamps[subject.key], plan, folder, before):
            outcomes[subject.key] = Outcome(subject.name, "unchanged", before.record)
            progress(outcomes[subject.key])
        else:
            jobs[subject.key] = subject
    mine = {key: one.record for key, one in seen.items()}
    for key, outcome in in_parallel(jobs, mine, plan, folder):
        outcomes[key] = outcome
        if outcome.state == "collected":
            asked = "" if outcome.why else _asked(jobs[key], plan)  # what went wrong is asked again
            _remember(folder, key, _Seen(stamps[key], asked, outcome.record))
        progress(outcome)
    return [outcomes[key] for key in dict.fromkeys(subject.key for subject in subjects)]


def _remember(folder: Path, key: str, one: _Seen) -> None:
    """Add to what is remembered of the folder; others may have done so in the meantime."""
    with contextlib.suppress(OSError), alone(folder):  # it would be asked again
        write_whole(folder / _STATE, msgspec.json.encode({**_read_state(folder), key: one}))


def _asked(subject: Subject, plan: Plan) -> str:
    """Return what was asked, and by whom: another onpanic may read more from the same words."""
    how = msgspec.structs.replace(plan, jobs=0, timeout=0.0) if subject.kind == "emulator" else None
    return f"{api.PROGRAM} {how}"


def _is_unchanged(subject: Subject, now: list[int], plan: Plan, folder: Path, seen: _Seen) -> bool:
    if not now or now != seen.stamp or not (folder / f"{seen.record}.json").exists():
        return False
    more = msgspec.structs.replace(plan, acpi=True)
    return seen.asked in (_asked(subject, plan), _asked(subject, more))


def _read_state(folder: Path) -> dict[str, _Seen]:
    try:
        return msgspec.json.decode((folder / _STATE).read_bytes(), type=dict[str, _Seen])
    except (OSError, msgspec.DecodeError):
        return {}
