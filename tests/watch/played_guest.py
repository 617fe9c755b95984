"""A guest in memory: it panics, and is dumped, restarted and renamed as libvirt and QEMU do it.

The watcher can be killed at each of its calls.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Self

from onpanic.core.errors import BusyError, FailedError, GoneError, LostError
from onpanic.core.files import write_atomically
from onpanic.probe.decision.policy import Policy
from onpanic.watch.guests.guest import DumpProgress, DumpResult
from onpanic.watch.reporting.lines import Line
from onpanic.watch.rules.incident import Incident
from onpanic.watch.rules.observation import Assignment, GuestState
from onpanic.watch.rules.panic_details import PanicDetails
from onpanic.watch.rules.policy_steps import Condition, Step
from onpanic.watch.rules.settings import Settings
from onpanic.watch.supervision.context import WatchContext
from onpanic.watch.supervision.journal import Journal, Writer
from onpanic.watch.supervision.supervisor import Supervisor
from onpanic.why.words.last_words import LastWords

SECOND = 1_000_000_000  # nanoseconds
DEADLINE = 60  # seconds


class Killed(BaseException):
    """The watcher was killed."""


@dataclass
class Clock:
    """A clock that a test can advance, and set.

    :ivar now: Seconds that it has shown when it was made.
    """

    now: float = 1_000_000.0
    made: float = field(default_factory=time.monotonic)

    def __call__(self) -> float:
        return self.now + time.monotonic() - self.made


@dataclass
class PlayedGuest:
    """A guest.

    :ivar policy: Its policy; None if it has none.
    :ivar condition: Its condition.
    :ivar libvirt_action: The action that libvirt takes when the guest panics.
    :ivar transient: Whether it is gone once it has been destroyed.
    :ivar busy: For how many reads of the state libvirt works on it.
    :ivar lost: Whether the connection is lost.
    :ivar fails: Steps that fail, with the message.
    :ivar log: The steps that were taken.
    :ivar dumps: The files that its memory was dumped to.
    :ivar calls_left: Calls after which the watcher is killed; None for never.
    :ivar cpu_time_of_a_run: The CPU time that it uses when it is continued, in nanoseconds.
    :ivar panics_again: How often it panics as soon as it runs.
    :ivar hangs: For how many reads of the state libvirt does not answer.
    :ivar passes: For how many reads of the state it only passes through one.
    :ivar reset_ends: What in its definition lets a reset end it; empty if a reset reboots it.
    :ivar no_reboot: Whether a reset ends it, although its definition does not say so.
    :ivar ending: How it has ended.
    :ivar detail: Why its condition is unknown.
    :ivar words: What is read of its memory; None for nothing.
    :ivar other_dumps: How often a dump is refused because another one is in progress.
    """

    policy: Policy | None
    condition: Condition = "healthy"
    libvirt_action: str = ""
    transient: bool = False
    key: str = "played"
    name: str = "guest"
    uuid: str = "played"
    instance: int = 1
    cpu_time: int = 0
    busy: int = 0
    lost: bool = False
    fails: dict[str, str] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    dumps: set[str] = field(default_factory=set)
    calls_left: int | None = None
    panics_again: int = 0
    cpu_time_of_a_run: int = SECOND
    dump_cpu_time: int = 0
    hangs: int = 0
    other_dumps: int = 0
    passes: int = 0
    words: LastWords | None = None
    reset_ends: str = ""
    no_reboot: bool = False
    ending: Literal["", "shutdown", "crashed"] = ""
    detail: str = ""

    def panic(self) -> None:
        assert self.condition == "healthy"
        self.condition, self.cpu_time = "panicked", self.cpu_time + SECOND

    async def read_state(self, *, ask_qemu: bool) -> GuestState:  # noqa: ARG002
        self._count_call()
        if self.hangs:
            self.hangs -= 1
            raise BusyError("it does not answer", wait=0.01)
        if self.busy:
            self.busy -= 1
            return GuestState(self.condition, str(self.instance), self.cpu_time, busy=True, dumped=(1, 2))
        if self.passes:
            self.passes -= 1
            return GuestState("changing", str(self.instance))
        if self.condition == "gone":
            return GuestState("gone")
        return GuestState(
            self.condition, str(self.instance), self.cpu_time, ending=self.ending, detail=self.detail
        )

    async def read_assignment(self) -> Assignment | None:
        self._count_call()
        if self.condition == "gone":
            raise GoneError("no such domain")
        if self.policy is None:
            return None
        return Assignment(self.policy, self.libvirt_action, self.reset_ends)

    async def dump_path(self, at: float) -> str:
        self._count_call()
        return f"/dumps/{self.name}-{at}.core"

    async def read_words(self, incident: Incident, timeout: float, folder: Path | None) -> LastWords:  # noqa: ARG002, ASYNC109
        if self.words is None:
            return LastWords(source="libvirt")
        self._count_call()
        self._require_failure(incident)
        self._fail("explain")
        self.log.append("explain")
        return self.words

    async def dump(self, incident: Incident, progress: DumpProgress) -> DumpResult:
        self._count_call()
        self._require_failure(incident)
        if self.other_dumps:
            self.other_dumps -= 1
            raise BusyError("There is a dump in process, please wait.", wait=0.01)
        progress(1, 2)
        await asyncio.sleep(0)
        self._fail("coredump")
        self.dumps.add(incident.coredump)
        self.cpu_time += self.dump_cpu_time
        self.log.append("coredump")
        self._count_call()
        return DumpResult(incident.coredump)

    async def take_step(self, step: Step, incident: Incident, on_starter: Callable[[str], None]) -> None:  # noqa: ARG002
        self._count_call()
        self._fail(step)
        steps = {
            "continue": self._continue,
            "restart": self._restart,
            "destroy": self._destroy,
            "rename": lambda _: setattr(self, "name", incident.new_name),
            "start": self._start,
        }
        steps[step](incident)
        self.log.append(step)
        self._count_call()

    async def new_name(self) -> str:
        self._count_call()
        return f"{self.name}-restart-1"

    async def libvirt_dump(self) -> None:
        return None

    async def transient_xml(self, *, renames: bool) -> str:  # noqa: ARG002
        self._count_call()
        return "<domain/>" if self.transient else ""

    async def set_libvirt_action(self, action: str) -> None:
        self._count_call()
        self.libvirt_action = "" if action == "preserve" else action
        self.log.append(f"libvirt: {action}")

    def _continue(self, _incident: Incident) -> None:
        assert self.condition in ("panicked", "reset"), self.condition
        self.condition, self.cpu_time = "healthy", self.cpu_time + self.cpu_time_of_a_run
        if self.panics_again:
            self.panics_again -= 1
            self.panic()

    def _restart(self, incident: Incident) -> None:
        self._require_failure(incident)
        if self.reset_ends or self.no_reboot:
            self.condition, self.ending = "gone" if self.transient else "off", "shutdown"
            return
        self.condition = "reset"
        self._count_call()
        self._continue(incident)

    def _destroy(self, incident: Incident) -> None:
        self._require_failure(incident)
        assert incident.instance == str(self.instance)
        self.condition = "gone" if self.transient else "off"

    def _start(self, incident: Incident) -> None:
        assert self.condition in ("off", "gone"), self.condition
        if incident.xml:
            self.name = incident.new_name
        self.condition, self.instance, self.cpu_time, self.ending = "healthy", self.instance + 1, 0, ""

    def _require_failure(self, incident: Incident) -> None:
        runs_on = self.condition == "healthy" and incident.grace_until
        assert runs_on or self.condition in ("panicked", "internal-error"), self.condition

    def _count_call(self) -> None:
        if self.lost:
            raise LostError("the connection is gone")
        if self.calls_left is not None:
            self.calls_left -= 1
            if self.calls_left < 0:
                raise Killed

    def _fail(self, step: str) -> None:
        if step in self.fails:
            raise FailedError(self.fails[step])


class Watch:
    """A supervisor of one played guest, with its log.

    :ivar lines: The log lines.
    :ivar warnings: What the journal has warned about.
    """

    def __init__(
        self,
        guest: PlayedGuest,
        folder: Path,
        settings: Settings | None = None,
        *,
        dry_run: bool = False,
        restart_delay: float = 0.0,
        clock: Callable[[], float] | None = None,
        wall_clock: Callable[[], float] | None = None,
        patience: float = DEADLINE,
        writer: Writer = write_atomically,
        on_line: Callable[[Line], object] = lambda _: None,
    ) -> None:
        def sink(line: Line) -> None:
            self.lines.append(line)
            on_line(line)

        self.lines: list[Line] = []
        self.warnings: list[str] = []
        self.journal = Journal(
            None if dry_run else folder, self.warnings.append, boot_id="boot", writer=writer
        )
        assert self.journal.try_acquire()
        self.context = WatchContext(
            self.journal,
            settings or Settings(),
            sink,
            dry_run=dry_run,
            restart_delay=restart_delay,
            poll=0.002,
            patience=patience,
            clock=clock or Clock(),
            wall_clock=wall_clock or Clock(),
        )
        self.supervisor = Supervisor(guest, self.context)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.supervisor.stop()
        self.journal.close()

    async def panicked(self) -> None:
        """Report a panic, and return when no step is due any more."""
        self.supervisor.on_panicked(PanicDetails())
        await self.idle()

    def restarted_by_libvirt(self) -> None:
        """Report that the guest was reset, and that it runs."""
        self.supervisor.on_reset()
        self.supervisor.on_running()

    async def reconcile(self, *, retry: bool = False) -> None:
        """Trigger the supervisor, and return when no step is due any more."""
        self.supervisor.trigger(retry=retry)
        await self.idle()

    async def idle(self) -> None:
        """Return when no step is due any more."""
        async with asyncio.timeout(DEADLINE):
            await self.supervisor.wait_idle()

    async def until_idle_with_events(self) -> None:
        """Report that the guest runs, again and again, until no step is due any more."""
        async with asyncio.timeout(DEADLINE):
            while self.supervisor.active:
                self.supervisor.on_running()
                await asyncio.sleep(0.001)

    async def until(self, reached: Callable[[], object]) -> None:
        """Wait until a condition holds."""
        async with asyncio.timeout(DEADLINE):
            while not reached():
                await asyncio.sleep(0.001)

    @property
    def events(self) -> list[tuple[str, ...]]:
        """The events of the log; of an action also its outcome and, if not the watcher, who took it."""
        return [
            (line.event, line.action, line.outcome, *([line.by] if line.by else []))
            if line.event == "action"
            else (line.event,)
            for line in self.lines
        ]
