"""One record of one subject: what each worker does.

``python -m onpanic.matrix.making`` is such a worker.
"""

import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from onpanic.probe import api, recording
from onpanic.probe.conversation import Conversation
from onpanic.probe.errors import OnpanicError
from onpanic.probe.excerpts import with_evidence
from onpanic.probe.lifeline import Lifeline
from onpanic.probe.record import CapabilityRecord
from onpanic.probe.survey import Plan, survey

from . import replies
from .identity import build_name
from .records import alone, write_record
from .replacing import record_there, why_not
from .subjects import Subject
from .workers import Job, Outcome, serve

__all__ = ("make_record",)


def make_record(job: Job) -> Outcome:
    """Make one record, and keep it unless the one that is there knows more, or knows otherwise."""
    subject, folder = job.subject, Path(job.folder)
    try:
        record = _record(subject, job.plan)
        name = build_name(record.emulator) + subject.variant
        with alone(folder):
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


if __name__ == "__main__":
    serve(make_record)
