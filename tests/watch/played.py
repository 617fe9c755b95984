"""A guest that is played: it panics, is dumped, restarted and renamed in memory.

It does to itself what libvirt does, and can be killed with its watcher at every step.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from onpanic.probe.decision import Policy
from onpanic.watch.case import Case
from onpanic.watch.duty import Condition, Step
from onpanic.watch.guest import BusyError, FailedError, GoneError, Look, LostError, Progress, Standing
from onpanic.watch.journal import Entry, Journal
from onpanic.watch.office import Office
from onpanic.watch.report import Line
from onpanic.watch.settings import Settings

SECOND = 1_000_000_000  # nanoseconds


class Killed(BaseException):
    """The watcher was killed."""


@dataclass
class PlayedGuest:
    """A guest, with what became of it.

    :ivar condition: How it is.
    :ivar policy: Its policy; None if it has none.
    :ivar acts: libvirt's word for what it does by itself.
    :ivar fails: Steps that are refused, with the words for it.
    :ivar log: What was done to it.
    :ivar patience: Calls after which the watcher is killed; None for never.
    """

    policy: Policy | None
    condition: Condition = "fine"
    acts: str = ""
    transient: bool = False
    key: str = "played"
    name: str = "guest"
    uuid: str = "played"
    instance: int = 1
    ran: int = 0
    busy: int = 0
    lost: bool = False
    fails: dict[str, str] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    dumps: set[str] = field(default_factory=set)
    patience: int | None = None
    panics_again: int = 0
    ran_by_dump: int = 0
    hangs: int = 0
    dumped_by_another: int = 0

    def panic(self) -> None:
        assert self.condition == "fine"
        self.condition, self.ran = "panicked", self.ran + SECOND

    async def look(self, *, curious: bool) -> Look:  # noqa: ARG002
        self._call()
        if self.hangs:
            self.hangs -= 1
            raise BusyError("it does not answer", wait=0.01)
        if self.busy:
            self.busy -= 1
            return Look(self.condition, str(self.instance), self.ran, busy=True, dumped=(1, 2))
        if self.condition == "gone":
            return Look("gone")
        return Look(self.condition, str(self.instance), self.ran)

    async def standing(self) -> Standing | None:
        self._call()
        if self.condition == "gone":
            raise GoneError("no such domain")
        return Standing(self.policy, self.acts) if self.policy else None

    async def dump_path(self, at: float) -> str:
        self._call()
        return f"/dumps/{self.name}-{at:.0f}.core"

    async def dump(self, entry: Entry, progress: Progress) -> None:
        self._call()
        assert self.condition in ("panicked", "internal-error")
        if self.dumped_by_another:
            self.dumped_by_another -= 1
            raise BusyError("There is a dump in process, please wait.", wait=0.01)
        progress(1, 2)
        await asyncio.sleep(0)
        self._refuse("coredump")
        self.dumps.add(entry.coredump)
        self.ran += self.ran_by_dump
        self.log.append("coredump")
        self._call()

    async def act(self, step: Step, entry: Entry, note: Callable[[str], None]) -> None:  # noqa: ARG002
        self._call()
        self._refuse(step)
        done = {
            "continue": self._run,
            "restart": self._restart,
            "destroy": self._destroy,
            "rename": lambda _: setattr(self, "name", entry.new_name),
            "start": self._start,
        }
        done[step](entry)
        self.log.append(step)
        self._call()

    async def new_name(self) -> str:
        self._call()
        return f"{self.name}-restart-1"

    async def configuration(self) -> str:
        self._call()
        return "<domain/>" if self.transient else ""

    async def act_itself(self, word: str) -> bool:
        self._call()
        self.acts = "" if word == "preserve" else word
        self.log.append(f"libvirt: {word}")
        return True

    def _run(self, _entry: Entry) -> None:
        assert self.condition in ("panicked", "reset"), self.condition
        self.condition, self.ran = "fine", self.ran + SECOND
        if self.panics_again:
            self.panics_again -= 1
            self.panic()

    def _restart(self, entry: Entry) -> None:
        assert self.condition in ("panicked", "internal-error"), self.condition
        self.condition = "reset"
        self._call()
        self._run(entry)

    def _destroy(self, entry: Entry) -> None:
        assert self.condition in ("panicked", "internal-error"), self.condition
        assert entry.instance == str(self.instance)
        self.condition = "gone" if self.transient else "off"

    def _start(self, entry: Entry) -> None:
        assert self.condition in ("off", "gone"), self.condition
        if entry.xml:
            self.name = entry.new_name
        self.condition, self.instance, self.ran = "fine", self.instance + 1, 0

    def _call(self) -> None:
        if self.lost:
            raise LostError("the connection is gone")
        if self.patience is not None:
            self.patience -= 1
            if self.patience < 0:
                raise Killed

    def _refuse(self, step: str) -> None:
        if step in self.fails:
            raise FailedError(self.fails[step])


class Watch:
    """A watcher of one played guest.

    :ivar lines: What it said.
    """

    def __init__(
        self, guest: PlayedGuest, folder: Path, settings: Settings | None = None, *, dry_run: bool = False
    ) -> None:
        self.lines: list[Line] = []
        self.complaints: list[str] = []
        self.journal = Journal(None if dry_run else folder, self.complaints.append)
        assert self.journal.acquire()
        self.office = Office(self.journal, settings or Settings(), self.lines.append, dry_run=dry_run)
        self.case = Case(guest, self.office)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.case.end()
        self.journal.close()

    async def look(self, *, retry: bool = False) -> None:
        """Look at the guest, and return when nothing is due any more."""
        self.case.wake(retry=retry)
        await self.case.settled()

    @property
    def said(self) -> list[tuple[str, ...]]:
        """Return events and, of actions, what was done, how it ended and who did it."""
        return [
            (line.event, line.action, line.outcome, *([line.by] if line.by else []))
            if line.event == "action"
            else (line.event,)
            for line in self.lines
        ]
