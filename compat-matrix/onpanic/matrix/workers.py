"""A pool of processes, each of which makes one record at a time.

Most of a probe is our own reading, which threads would do in turns.  A worker gets a job
on its stdin and answers on its stdout, a line of JSON each; the end of its stdin is its end, and
by the lifeline that of its emulators, however this process may have ended.

Considered and left: `concurrent.futures`, whose processes outlive a parent that ends at once.
"""

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Literal, Self

import msgspec

from onpanic.probe.survey import Plan

from .records import WRITING
from .subjects import Subject

__all__ = ("Job", "Outcome", "in_parallel", "serve")

# It knows this module, and this one its name only
_WORKER = "onpanic.matrix.making"


class Job(msgspec.Struct, frozen=True):
    """A record to be made.

    :param folder: Where it is to be kept.
    :param mine: The record that was made of this subject before, by its name; empty for none.
    """

    subject: Subject
    plan: Plan
    folder: str
    mine: str


class Outcome(msgspec.Struct, frozen=True):
    """What became of a subject.

    :param subject: What messages call it.
    :param state: ``collected``; ``unchanged`` since it was collected; ``kept``: the record that was
        there knows more; ``failed``.
    :param record: The record's name; empty if there is none.
    :param why: Why it failed or was kept, or what went wrong in the middle, in one line.
    :param hint: What to do about it.
    :param machines: How many machine types were asked.
    """

    subject: str
    state: Literal["collected", "unchanged", "kept", "failed"]
    record: str = ""
    why: str = ""
    hint: str = ""
    machines: int = 0


def in_parallel(
    subjects: Mapping[str, Subject], mine: Mapping[str, str], plan: Plan, folder: Path
) -> Iterator[tuple[str, Outcome]]:
    """Have the record of each subject made, and yield outcomes as they come, by the subject's key.

    :param mine: Names of records that were made of subjects before, by key.
    :param plan: What to ask; `Plan.slots` emulators run at a time, over all workers, and one more
        for each of them if the plan leaves the number to us.
    """
    if not subjects:
        return
    count = min(plan.slots, len(subjects))
    spare = 0 if plan.jobs else 1  # it starts while the worker reads what another one has said
    each = msgspec.structs.replace(plan, jobs=max(1, plan.slots // count) + spare)
    idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
    with contextlib.ExitStack() as stack, ThreadPoolExecutor(count) as threads:
        for _ in range(count):
            idle.put(stack.enter_context(_Worker()))

        def one(key: str) -> Outcome:
            worker = idle.get()
            try:
                return worker.do(Job(subjects[key], each, str(folder), mine.get(key, "")))
            finally:
                idle.put(worker)

        waiting = {threads.submit(one, key): key for key in subjects}
        for future in as_completed(waiting):
            yield waiting[future], future.result()


class _Worker:
    """A process that does jobs; a new one takes its place if it ends."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._end()

    def do(self, job: Job) -> Outcome:
        """Do a job; that the process ended over it is an outcome, too."""
        if self._process is None:
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-m", _WORKER],  # what lies in the current folder is no module
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=None if sys.stderr else subprocess.DEVNULL,
                    process_group=0,  # Ctrl-C is not for it
                )
            except OSError as error:
                return Outcome(job.subject.name, "failed", why=str(error), hint="try again with fewer --jobs")
        assert self._process.stdin
        assert self._process.stdout
        with contextlib.suppress(OSError):
            self._process.stdin.write(_line(job))
            self._process.stdin.flush()
        answer = self._process.stdout.readline()
        try:
            return msgspec.convert(json.loads(answer), Outcome)
        except ValueError:
            self._end()
            why = "the process that asked it has ended"
            return Outcome(job.subject.name, "failed", why=why, hint="run it again: it goes on from there")

    def _end(self) -> None:
        if self._process is not None:
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe:
                    with contextlib.suppress(OSError):
                        pipe.close()
            self._process.wait()
            self._process = None


def _line(message: msgspec.Struct) -> bytes:
    """Return a message as a line; names of files need not be text, which json takes in its stride."""
    return json.dumps(msgspec.to_builtins(message)).encode() + b"\n"


def serve(make: Callable[[Job], Outcome]) -> None:
    """Be a worker: do the jobs that come on stdin until it ends, then end at once."""
    jobs: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def listen() -> None:
        for line in sys.stdin.buffer:
            jobs.put(line)
        WRITING.acquire()
        os._exit(0)

    threading.Thread(target=listen, daemon=True).start()
    while True:
        answers.write(_line(make(msgspec.convert(json.loads(jobs.get()), Job))))
        answers.flush()
