"""A pool of processes, each of which makes one record at a time.

Reading replies takes most of a probe's time, and threads would do it one after the other.  A worker
reads jobs from its stdin and writes outcomes to its stdout, one line of JSON each.  It exits at the
end of its stdin, and the reaper then ends its emulators, even if this process is killed.

Rejected: `concurrent.futures`, whose processes outlive a parent that is killed.
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

from onpanic.matrix.records.record_files import WRITING
from onpanic.matrix.sources.subjects import Subject
from onpanic.probe.asking.plan import ProbePlan

__all__ = ("CollectOutcome", "Job", "in_parallel", "serve")

_WORKER = "onpanic.matrix.collecting.record_maker"  # imports this module, so that only its name is here
_EXIT_TIMEOUT = 10.0  # seconds for a worker to exit after its stdin was closed


class Job(msgspec.Struct, frozen=True):
    """A record to be made.

    :param subject: What the record is made of.
    :param plan: What to ask an emulator.
    :param folder: Where the record is written.
    :param own_record: The name of the record that was made from this subject before; empty for none.
    """

    subject: Subject
    plan: ProbePlan
    folder: str
    own_record: str


class CollectOutcome(msgspec.Struct, frozen=True):
    """What became of a subject.

    :param subject: The subject's name in messages.
    :param state: ``collected``; ``unchanged`` since it was collected; ``kept`` if the existing record
        knows more; ``failed``.
    :param record: The record's name; empty if there is none.
    :param why: Why it failed or was kept, or which problem occurred while it was asked, in one line.
    :param hint: What the user can do.
    :param machines: The number of machine types that were asked about.
    """

    subject: str
    state: Literal["collected", "unchanged", "kept", "failed"]
    record: str = ""
    why: str = ""
    hint: str = ""
    machines: int = 0


def in_parallel(
    subjects: Mapping[str, Subject], own_records: Mapping[str, str], plan: ProbePlan, folder: Path
) -> Iterator[tuple[str, CollectOutcome]]:
    """Make the record of each subject, and yield keys with outcomes in the order of completion.

    :param subjects: The subjects by key.
    :param own_records: Names of the records that were made from subjects before, by key.
    :param plan: What to ask.  `ProbePlan.jobs` emulators run at a time, over all workers; if the plan
        does not set the number, there is a worker for each CPU, and each runs one emulator more.
    :param folder: Where records are written.
    """
    if not subjects:
        return
    slots = plan.jobs or os.cpu_count() or 1
    count = min(slots, len(subjects))
    spare = 0 if plan.jobs else 1  # it starts while the worker reads the replies of another one
    each = msgspec.structs.replace(plan, jobs=max(1, slots // count) + spare)
    idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
    with contextlib.ExitStack() as stack, ThreadPoolExecutor(count) as threads:
        workers = [stack.enter_context(_Worker()) for _ in range(count)]
        for worker in workers:
            idle.put(worker)

        def make(key: str) -> CollectOutcome:
            worker = idle.get()
            try:
                return worker.make(Job(subjects[key], each, str(folder), own_records.get(key, "")))
            finally:
                idle.put(worker)

        futures = {threads.submit(make, key): key for key in subjects}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BaseException:  # the caller gives up, or is interrupted
            threads.shutdown(wait=False, cancel_futures=True)
            for worker in workers:
                worker.stop()
            raise


class _Worker:
    """A process that makes records; it is started when it is needed, and again if it ends."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._end()

    def make(self, job: Job) -> CollectOutcome:
        """Make a record.  If the process ends meanwhile, the outcome is a failure."""
        if self._process is None:
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-m", _WORKER],  # -P: the current folder holds no modules
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=None if sys.stderr else subprocess.DEVNULL,
                    process_group=0,  # Ctrl-C does not reach it
                )
            except OSError as error:
                return CollectOutcome(
                    job.subject.name, "failed", why=str(error), hint="try again with fewer --jobs"
                )
        assert self._process.stdin
        assert self._process.stdout
        if self._stopped:
            self.stop()
        with contextlib.suppress(OSError, ValueError):  # ValueError: it was stopped
            self._process.stdin.write(_line(job))
            self._process.stdin.flush()
        answer = self._process.stdout.readline()  # the plan's deadlines limit how long it takes
        try:
            return msgspec.convert(json.loads(answer), CollectOutcome)
        except (ValueError, msgspec.ValidationError):
            self._end()
            why = "the process that asked it has ended"
            return CollectOutcome(job.subject.name, "failed", why=why, hint="run it again to continue")

    def stop(self) -> None:
        """Make the process end at once, in any thread.  The record that it is making is lost."""
        self._stopped = True
        process = self._process
        if process and process.stdin:
            with contextlib.suppress(OSError):
                process.stdin.close()

    def _end(self) -> None:
        if self._process is None:
            return
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                with contextlib.suppress(OSError):
                    pipe.close()
        try:
            self._process.wait(_EXIT_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_EXIT_TIMEOUT)
        self._process = None


def _line(message: msgspec.Struct) -> bytes:
    """Return a message as a line; json, unlike msgspec, encodes file names that are not text."""
    return json.dumps(msgspec.to_builtins(message)).encode() + b"\n"


def serve(make: Callable[[Job], CollectOutcome]) -> None:
    """Run a worker: make records for the jobs on stdin until it ends, then exit at once.

    :param make: Makes one record.
    """
    jobs: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what is printed must not mix with outcomes

    def receive() -> None:
        for line in sys.stdin.buffer:
            jobs.put(line)
        WRITING.acquire()
        os._exit(0)

    threading.Thread(target=receive, daemon=True).start()
    while True:
        answer = _line(make(msgspec.convert(json.loads(jobs.get()), Job)))
        try:
            answers.write(answer)
            answers.flush()
        except OSError:  # the command has ended
            os._exit(0)
