"""Makes and writes one record of one subject: the job of each worker.

``python -m onpanic.matrix.collecting.record_maker`` is such a worker, see `workers`.
"""

import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from onpanic.core.errors import OnpanicError, RecordingError
from onpanic.matrix.collecting.joining import with_requested_answers
from onpanic.matrix.collecting.replacing import existing_record, why_kept
from onpanic.matrix.collecting.workers import CollectOutcome, Job, serve
from onpanic.matrix.records.build_identity import build_name
from onpanic.matrix.records.record_files import locked, read_record, write_record
from onpanic.matrix.sources import libvirt_replies as replies
from onpanic.matrix.sources.subjects import Subject, known_as
from onpanic.probe import api
from onpanic.probe.asking.plan import ProbePlan
from onpanic.probe.asking.starts import ask_emulator
from onpanic.probe.conversation import Conversation, recording
from onpanic.probe.emulator.reaper import Reaper
from onpanic.probe.record.capability_record import CapabilityRecord
from onpanic.probe.record.evidence import with_evidence

__all__ = ("make_record",)


def make_record(job: Job) -> CollectOutcome:
    """Make a record and write it, unless an existing one must stay; every error becomes an outcome."""
    subject, folder = job.subject, Path(job.folder)
    try:
        record = _record(subject, job.plan)
        name = build_name(record.emulator) + subject.variant
        with locked(folder):
            before = existing_record(folder / f"{name}.json")
            if before:
                own = name == job.own_record or _is_same_source(before.record, record)
                kept = why_kept(name, before, record, own=own, acpi=job.plan.acpi)
                is_added = subject.kind == "record" and not (kept and kept.state == "failed")
                if is_added:
                    record = with_requested_answers(before.record, record)
                elif kept:
                    return CollectOutcome(subject.name, kept.state, name, kept.why, kept.hint)
                elif own and not job.plan.acpi:
                    record = with_requested_answers(record, before.record)
            write_record(folder, name, record)
    except OnpanicError as error:
        return CollectOutcome(subject.name, "failed", why=error.message, hint=error.hint)
    except OSError as error:
        hint = "check that the disk has room, and run it again to continue"
        return CollectOutcome(subject.name, "failed", why=f"{folder}: {error.strerror}", hint=hint)
    problem = next((m.problem for m in record.machines if m.incomplete and m.started), "")
    return CollectOutcome(subject.name, "collected", name, problem, machines=len(record.machines))


def _record(subject: Subject, plan: ProbePlan) -> CapabilityRecord:
    """Return the record of a subject, with its command and source as they are published."""
    if subject.kind != "emulator":
        _require_file(Path(subject.command[0]))
    if subject.kind == "record":
        return _without_folders(read_record(Path(subject.command[0])))
    if subject.kind == "replies":
        record = replies.record(Path(subject.command[0]))
        return _published(subject, record, record.emulator.command)
    conversations: Sequence[Conversation]
    if subject.kind == "recording":
        found = recording.load(Path(subject.command[0]))
        conversations, seconds = found.conversations, found.seconds
        command = known_as(found.command)
    else:
        start = time.monotonic()
        conversations, command = _ask(subject.command, plan), subject.known_as
        seconds = time.monotonic() - start
    record = api.record_from(conversations, command, seconds, recorded=subject.kind == "recording")
    return _published(subject, with_evidence(record, conversations), command)


def _is_same_source(before: CapabilityRecord, after: CapabilityRecord) -> bool:
    """Return whether two records of one build were made from the same suite, or the same file."""
    return bool(after.probed.source) and before.probed.source == after.probed.source


def _without_folders(record: CapabilityRecord) -> CapabilityRecord:
    emulator = msgspec.structs.replace(record.emulator, command=known_as(record.emulator.command))
    return msgspec.structs.replace(record, emulator=emulator)


def _require_file(path: Path) -> None:
    """Raise `RecordingError` for a pipe, which may be waited for without end."""
    if path.exists() and not path.is_file():
        raise RecordingError(f"{path}: not a file", "name files, or folders of them")


def _ask(command: Sequence[str], plan: ProbePlan) -> list[Conversation]:
    import asyncio  # takes half of a worker's start-up time

    async def ask() -> list[Conversation]:
        with Reaper() as reaper:
            return await ask_emulator(command, plan, reaper)

    return asyncio.run(ask())


def _published(subject: Subject, record: CapabilityRecord, command: list[str]) -> CapabilityRecord:
    return msgspec.structs.replace(
        record,
        emulator=msgspec.structs.replace(record.emulator, command=command),
        probed=msgspec.structs.replace(record.probed, source=subject.source),
    )


if __name__ == "__main__":
    serve(make_record)
