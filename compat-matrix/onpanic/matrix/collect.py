"""Make records of many subjects, several at a time, and keep them in a folder.

Each subject is a job of its own, see `workers`.  What is done is on the disk at once; ending at
any moment loses the jobs in hand only, and the next run goes on from there.

Considered and left: one event loop for all emulators (a core does all the reading), and a
list of what is to be done kept on the disk (the folder itself says what is there).
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from onpanic.probe import api, recording
from onpanic.probe.conversation import Conversation
from onpanic.probe.errors import OnpanicError
from onpanic.probe.excerpts import with_evidence
from onpanic.probe.lifeline import Lifeline
from onpanic.probe.record import CapabilityRecord
from onpanic.probe.recording import write_whole
from onpanic.probe.survey import Plan, survey

from . import replies
from .identity import build_name
from .records import write_record
from .replacing import record_there, why_not
from .subjects import Subject, stamp
from .workers import WRITING, Job, Outcome, in_parallel

__all__ = ("Outcome", "collect", "make_record")

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
        if not again and _is_unchanged(subject, plan, folder, seen.get(subject.key)):
            outcomes[subject.key] = Outcome(subject.name, "unchanged", seen[subject.key].record)
            progress(outcomes[subject.key])
        else:
            jobs[subject.key], stamps[subject.key] = subject, stamp(subject)
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
    with contextlib.suppress(OSError), _alone(folder):  # it would be asked again
        write_whole(folder / _STATE, msgspec.json.encode({**_read_state(folder), key: one}))


def make_record(job: Job) -> Outcome:
    """Make one record, and keep it unless the one that is there knows more, or knows otherwise."""
    subject, folder = job.subject, Path(job.folder)
    try:
        record = _record(subject, job.plan)
        name = build_name(record.emulator) + subject.variant
        with _alone(folder):
            before = record_there(folder / f"{name}.json")
            reason = (
                why_not(name, before, record, own=name == job.mine, acpi=job.plan.acpi) if before else None
            )
            if reason:
                return Outcome(subject.name, reason.state, name, reason.why, reason.hint)
            write_record(folder, name, record)
    except OnpanicError as error:
        return Outcome(subject.name, "failed", why=error.message, hint=error.hint)
    except OSError as error:
        hint = "see if the disk has room, and run it again: it goes on from there"
        return Outcome(subject.name, "failed", why=f"{folder}: {error.strerror}", hint=hint)
    broken = next((m.problem for m in record.machines if m.incomplete and m.started), "")
    return Outcome(subject.name, "collected", name, broken, machines=len(record.machines))


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Let nobody else write in the folder: two subjects may be of one build."""
    with WRITING:
        place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(place, fcntl.LOCK_EX)
            yield
        finally:
            os.close(place)


def _record(subject: Subject, plan: Plan) -> CapabilityRecord:
    start = time.monotonic()
    recorded = subject.kind == "recording"
    held: Sequence[Conversation]
    if subject.kind == "replies":
        record = replies.record(Path(subject.command[0]))
        return _from(subject, record, record.emulator.command)
    if recorded:
        found = recording.load(Path(subject.command[0]))
        held, command = found.conversations, found.command
        took = max((entry.t for c in held for entry in c.entries), default=0.0)
    else:
        held, command = _ask(subject.command, plan), subject.known_as
        took = time.monotonic() - start
    return _from(subject, with_evidence(api.read(held, command, took, recorded=recorded), held), command)


def _ask(command: Sequence[str], plan: Plan) -> list[Conversation]:
    import asyncio  # half of the time that it takes to start a worker

    async def ask() -> list[Conversation]:
        with Lifeline() as lifeline:
            return await survey(command, plan, lifeline)

    return asyncio.run(ask())


def _from(subject: Subject, record: CapabilityRecord, command: list[str]) -> CapabilityRecord:
    return msgspec.structs.replace(
        record,
        emulator=msgspec.structs.replace(record.emulator, command=command),
        probed=msgspec.structs.replace(record.probed, source=subject.source),
    )


def _asked(subject: Subject, plan: Plan) -> str:
    """Return what was asked, and by whom: another onpanic may read more from the same words."""
    how = msgspec.structs.replace(plan, jobs=0, timeout=0.0) if subject.kind == "emulator" else None
    return f"{api.PROGRAM} {how}"


def _is_unchanged(subject: Subject, plan: Plan, folder: Path, seen: _Seen | None) -> bool:
    if seen is None or not seen.asked or not subject.files or not (folder / f"{seen.record}.json").exists():
        return False
    more = msgspec.structs.replace(plan, acpi=True)
    return seen.stamp == stamp(subject) and seen.asked in (_asked(subject, plan), _asked(subject, more))


def _read_state(folder: Path) -> dict[str, _Seen]:
    try:
        return msgspec.json.decode((folder / _STATE).read_bytes(), type=dict[str, _Seen])
    except (OSError, msgspec.DecodeError):
        return {}
