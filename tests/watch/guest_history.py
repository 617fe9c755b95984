"""The history of a guest and of the watchers that it had, in played time, and what must be true of it.

Everything that happens to the guest is known here, so each step of a watcher and each line of its log is
compared with that.  What must be true follows from the documentation; the watcher's own conditions play no
part in it.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from onpanic.core.errors import BusyError, FailedError, GoneError, LostError, StaleError
from onpanic.probe.decision.policy import Policy
from onpanic.watch.guests.guest import DumpProgress, DumpResult
from onpanic.watch.reporting.lines import Line
from onpanic.watch.rules.incident import Incident
from onpanic.watch.rules.observation import Assignment, GuestState
from onpanic.watch.rules.panic_details import PanicDetails
from onpanic.watch.rules.policy_steps import Condition, Step
from onpanic.watch.rules.settings import Settings
from onpanic.watch.supervision.context import WatchContext
from onpanic.watch.supervision.journal import Journal
from onpanic.watch.supervision.supervisor import Supervisor
from onpanic.why.words.last_words import LastWords

from .played_guest import SECOND, Killed
from .played_loop import PlayedLoop

RESTARTING = ("restart", "rename-restart")
WAITING = ("restart", "destroy", "rename-restart")
ERRORS = ("failed", "start-limit-hit", "lost")
SECOND_REPORT = 0.002  # seconds that a guest runs until its second notifier reports the same panic
RESYNC = 60.0  # seconds
MOST_READS = 60  # of a guest's state, while nothing happens and no time passes


@dataclass
class Panic:
    """A panic, and what has become of it.

    :ivar number: Its number in the history, which its details and so its log lines contain.
    :ivar at: When it happened, in seconds.
    :ivar policy: The guest's policy then.
    :ivar grace: The grace period in force then, in seconds.
    :ivar ends: When the grace period ends; None until a watcher has continued the guest.
    :ivar by: What has ended it: ``libvirt``, ``somebody``, ``itself``, ``watcher``; empty if nothing has.
    :ivar lines: The generations of the watchers that have logged it.
    :ivar dumps: The files to which the watchers have dumped it.
    :ivar restarts: How often a watcher has begun to restart or end the guest for it.
    :ivar reports_left: How often another notifier still reports it when the guest runs on.
    :ivar help_lost: Whether a watcher was there, but did not hear that the guest has helped itself.
    :ivar told: The generation of the watcher that its event has reached.
    :ivar disturbed: How often a watcher has ended before it came to rest.
    :ivar unclear: Whether nothing tells it from the panic before it, unless it is seen.
    :ivar policies: How often the policy has changed since.
    :ivar continued: How often a watcher has tried to continue the guest.
    :ivar begun: Whether a watcher has tried to restart or end the guest.
    :ivar changed: Whether the policy or the settings have changed since.
    """

    number: int
    at: float
    policy: Policy | None
    grace: float = 0.0
    ends: float | None = None
    by: str = ""
    lines: list[int] = field(default_factory=list)
    dumps: set[str] = field(default_factory=set)
    restarts: int = 0
    reports_left: int = 0
    help_lost: bool = False
    told: int | None = None
    disturbed: int = 0
    unclear: bool = False
    begun: bool = False
    continued: int = 0
    policies: int = 0
    changed: bool = False


class GuestHistory:
    """A guest and its watchers.

    :param folder: The watchers' journal.
    :param policy: The guest's policy; None if it has none.
    :param acting: Whether libvirt carries out restart and destroy by itself.
    :param transient: Whether the guest is gone once it has ended.
    :param reset_ends: Whether a reset ends it.
    :param ignored: Whether QEMU or libvirt lets it run on when it panics, if the policy is to ignore that.
    :param notifiers: How many notifiers report each panic.
    :param settings: The watchers' settings.
    """

    key = uuid = "played"

    def __init__(
        self,
        folder: Path,
        policy: Policy | None,
        *,
        acting: bool = False,
        transient: bool = False,
        reset_ends: bool = False,
        ignored: bool = False,
        notifiers: int = 1,
        settings: Settings | None = None,
    ) -> None:
        self.loop = PlayedLoop(Killed)
        self.folder = folder
        self.policy, self.acting, self.transient, self.reset_ends = policy, acting, transient, reset_ends
        self.ignored, self.notifiers = ignored, notifiers
        self.settings = settings or Settings()
        self.name = "guest"
        self.condition: Condition = "healthy"
        self.ending: Literal["", "shutdown", "crashed"] = ""
        self.instance = 1
        self.defined = True
        self.overridden = False  # libvirt's action
        self.busy = self.acts = False
        self.libvirt_delay = 0.0
        self.connected, self.hangs, self.latency, self.call_time = True, 0, 0.0, 0.0
        self.faults: list[str] = []
        self.panics: list[Panic] = []
        self.open: Panic | None = None  # the failure that the guest is in, or that its grace period is about
        self.wall_offset = 0.0
        self.steps: list[tuple[float, str]] = []
        self.lines: list[Line] = []
        self.effects: list[str] = []  # of watchers' steps, until a line tells of them
        self.libvirt_did: list[str] = []
        self.restarts: list[float] = []
        self.generation = 0
        self.watcher: Supervisor | None = None
        self.kill_after: int | None = None
        self.libvirt_misses = False
        self.dump_fails = False
        self.lose_events = 0
        self._ran, self._running_since = 0.0, self.loop.time()
        self._delivered_at = self.loop.time()
        self._tasks: set[asyncio.Task[None]] = set()
        self.told: list[str] = []
        self.wrong: list[AssertionError] = []
        self.pending = 0  # of the world: events on their way, and what libvirt does
        self._reads, self._reads_at = 0, self.loop.time()
        self._ended_by = ""
        self._acquired: Journal | None = None
        self._context: WatchContext | None = None

    # Time

    def pass_time(self, seconds: float) -> None:
        """Let time pass, and report what was found to be wrong meanwhile."""
        self.loop.run(asyncio.sleep(seconds))
        if self.wrong:
            raise self.wrong[0]

    @contextmanager
    def checking(self) -> Iterator[None]:
        """Keep what is found to be wrong in a call of the watcher's, which would only log it."""
        try:
            yield
        except AssertionError as error:
            self.wrong.append(error)
            raise

    def settle(self) -> None:
        """Let time pass until nothing is in progress any more."""
        for _ in range(4000):
            self.pass_time(0.5)
            if not self.pending and not (self.watcher and self.watcher.active):
                return
        raise AssertionError(f"it does not come to rest: {self.lines[-5:]}")

    def text(self) -> str:
        """Return what has happened, for a report of a failure."""
        return "\n".join([*self.told, f"incident: {self.watcher.incident if self.watcher else None}"])

    def close(self) -> None:
        """End the watcher and the loop."""
        self.kill()
        try:
            for task in asyncio.all_tasks(self.loop):
                task.cancel()
            self.pass_time(0)
        finally:
            self.loop.close()

    # Watchers

    def start_watcher(self) -> None:
        """Start a watcher, which takes the lock and looks at the guest."""
        assert self.watcher is None
        self._acquired = journal = Journal(self.folder, self._warn, boot_id="boot", writer=self._writer())
        assert journal.try_acquire()
        self._context = WatchContext(
            journal,
            self.settings,
            self._sink(self.generation),
            clock=self.loop.time,
            wall_clock=lambda: 1.7e9 + self.loop.time() + self.wall_offset,
        )
        self.kill_after = None

        async def start() -> None:
            assert self._context
            self.watcher = Supervisor(PlayedView(self, self.generation), self._context)

        self.loop.run(start())
        if self.connected:
            self._scan()

    def assert_another_stands_by(self) -> None:
        """Check that a second watcher does not get the lock."""
        other = Journal(self.folder, self._warn, boot_id="boot")
        assert not other.try_acquire()
        other.close()

    def kill(self) -> None:
        """Kill the watcher."""
        if self.watcher is None:
            return
        self._disturb()
        self.generation += 1
        self.watcher, self.kill_after = None, None
        assert self._acquired
        self._acquired.close()

    def stop_watcher(self) -> None:
        """Stop the watcher; it gives libvirt's action back."""
        assert self.watcher
        self._disturb()
        watcher, answers = self.watcher, not self.hangs
        self.loop.run(watcher.stop())
        if self.watcher and self.connected and answers and not self.faults:
            assert not self.overridden
        self.kill()

    def _disturb(self) -> None:
        """Note that what is in progress is cut off, so that a panic may be logged again."""
        for panic in self.panics[-1:]:
            busy = self.pending or (self.watcher and self.watcher.active)
            panic.disturbed += bool(busy or panic.reports_left or self.notifiers > 1)

    def reload(self, settings: Settings | None = None) -> None:
        """Reload the watcher's settings, and resume what was given up."""
        self.settings = settings or self.settings
        if self.open:
            self.open.changed = True
            if self.open.ends is None:
                self.open.grace = self._grace()
        if self._context:
            self._context.settings = self.settings
        if self.watcher and self.connected:
            self._scan()

    def lose_connection(self) -> None:
        """Lose the connection to libvirt; what happens then is not told."""
        self._disturb()
        self.connected = False
        if self.watcher:
            self.watcher.on_gap()

    def regain_connection(self) -> None:
        """Connect again."""
        self.connected = True
        if self.watcher:
            self._scan()

    def resync(self) -> None:
        """Trigger the watcher if libvirt shows the guest as crashed or paused, as it does each minute."""
        paused = self.condition in ("panicked", "internal-error", "reset", "changing")
        if self.connected and paused:
            self._call(lambda watcher: watcher.trigger())

    def _scan(self) -> None:
        def scan(watcher: Supervisor) -> None:
            assignment = self.assignment() if self.condition != "gone" else None
            if self.condition != "gone":
                watcher.assign(assignment)
            if assignment or watcher.incident:
                watcher.trigger(retry=True)

        self._call(scan)

    def _call(self, function: Callable[[Supervisor], object]) -> None:
        """Call a function with the watcher, unless that is killed first."""

        async def call() -> None:
            if self.watcher:
                function(self.watcher)

        self.loop.run(call())

    # What happens to the guest

    @property
    def free(self) -> bool:
        """Whether nothing is in progress in libvirt."""
        return not self.busy and not self.acts and self.condition != "changing"

    def panic(self) -> None:
        """Let the guest panic, which it does only after it has run for a while."""
        assert self.condition == "healthy"
        now = self.loop.time()
        if self._running_since + 0.05 > now:
            self.pass_time(0.05)
            if self.condition != "healthy":
                return
            now = self.loop.time()
        before = self.panics[-1] if self.panics else None
        panic = Panic(len(self.panics), now, self.policy, self._grace(), reports_left=self.notifiers - 1)
        panic.unclear = bool(before and now - before.at < 1.5)
        self.panics.append(panic)
        first = self.open
        if first and first.grace and not first.by and (first.ends is None or now < first.ends):
            panic.by = "another"
            self._stop_for(panic)
            return
        self.open = panic
        if self.policy and self.policy.on_panic == "ignore" and self.ignored:
            panic.by = "libvirt"
            for _ in range(self.notifiers):
                self._tell("panicked-on", panic)
            self.open = None
            return
        self._stop_for(panic)

    def internal_error(self) -> None:
        """Let QEMU fail."""
        assert self.condition == "healthy"
        self._stop("internal-error")
        self.open = Panic(len(self.panics), self.loop.time(), self.policy, by="internal")
        self._tell("suspended")

    def help_itself(self, how: str) -> None:
        """Let the guest reboot, start its crash kernel or shut down."""
        assert self.condition == "healthy"
        panic, self.open = self.open, None if how != "crashloaded" else self.open
        lost = bool(self.watcher and self.connected and self.lose_events)
        if panic:
            panic.help_lost = lost
        if how == "shutdown":
            self._end("shutdown", "itself")
            self._tell("stopped")
        else:
            self._tell("reboot" if how == "reset" else how)
            if panic and not panic.by:
                panic.by = "itself"
            if how == "reset" and self.reset_ends:
                self._end("shutdown", "itself")
                self._tell("stopped")
            elif how == "crashloaded":
                self.open = None

    def somebody(self, does: str) -> None:
        """Let somebody else continue, reset, destroy, start or undefine the guest."""
        if does == "start":
            assert self.condition == "off"
            self._start()
            self._tell("started")
        elif does == "destroy":
            self._end("", "somebody")
            self._tell("stopped")
        elif does == "undefine":
            assert self.condition == "off"
            self.condition, self.defined = "gone", False
            self._resolve("somebody")
            self._tell("undefined")
        elif does == "reset" and self.reset_ends:
            self._end("shutdown", "somebody")
            self._tell("stopped")
        else:
            waits = self.open and self.open.grace and self.open.ends is not None
            if does == "reset" or not waits:
                self._resolve("somebody")
            if does == "reset":
                self._tell("reboot")
            self._run_on()
            self._tell("resumed")

    def change_policy(self, policy: Policy | None) -> None:
        """Change the guest's policy, or remove it."""
        self.policy = policy
        for panic in self.panics[-1:]:
            panic.disturbed += 1
        if self.open:
            self.open.changed = True
            self.open.policies += 1
            if self.open.ends is None:
                self.open.grace = self._grace()
        self._tell("metadata")

    def assignment(self) -> Assignment | None:
        """Return what the domain says."""
        if self.policy is None:
            return None
        action = "" if self.overridden else self._libvirt_action()
        return Assignment(self.policy, action, "-no-reboot" if self.reset_ends else "")

    def _grace(self) -> float:
        policy = self.policy
        if policy is None or policy.on_panic not in WAITING or self._libvirt_action():
            return 0.0
        return self.settings.grace if policy.grace is None else policy.grace

    def _libvirt_action(self) -> str:
        policy = self.policy
        if not (policy and self.acting and policy.on_panic in ("restart", "destroy") and not policy.grace):
            return ""
        return ("coredump-" if policy.coredump else "") + policy.on_panic

    def _stop_for(self, panic: Panic) -> None:
        self._stop("panicked")
        self._tell("panicked", panic)
        action = "" if self.overridden else self._libvirt_action()
        if action and self.connected and not self.libvirt_misses:
            self.acts = True
            self._spawn(self._act_as_libvirt(panic, action))
        self.libvirt_misses = False

    async def _act_as_libvirt(self, panic: Panic, action: str) -> None:
        await asyncio.sleep(self.libvirt_delay)
        self.acts = False
        if self.condition != "panicked" or panic.by:
            return
        self.busy = True
        if action.startswith("coredump"):
            await asyncio.sleep(3.0)
            failed, self.dump_fails = self.dump_fails, False
            self._tell("dump", panic, error="No space left" if failed else "")
            if failed:
                self.busy = False
                return
        else:
            await asyncio.sleep(0.1)
        self.libvirt_did.append(action.removeprefix("coredump-"))
        if action.endswith("restart"):
            self._tell("reboot")
            self.busy = False
            self._resolve("libvirt")
            self._run_on()
            self._tell("resumed")
            if self.reset_ends:
                await asyncio.sleep(0.05)
                panic.by, self.open = "", panic
                self._end("shutdown", "reset")
                self._tell("stopped")
        else:
            self.condition = "changing"
            await asyncio.sleep(1.0)
            self.busy = False
            self._end("crashed", "libvirt")
            self._tell("stopped")

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        async def counted() -> None:
            try:
                await work
            except AssertionError as error:
                self.wrong.append(error)
            finally:
                self.pending -= 1

        self.pending += 1
        task = self.loop.create_task(counted())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _stop(self, condition: Condition) -> None:
        self._ran += self.loop.time() - self._running_since
        self.condition = condition

    def _run_on(self) -> None:
        self.condition, self._running_since = "healthy", self.loop.time()

    def _start(self) -> None:
        self.condition, self.ending, self.instance = "healthy", "", self.instance + 1
        self._ran, self._running_since, self.overridden = 0.0, self.loop.time(), False

    def _end(self, ending: Literal["", "shutdown", "crashed"], by: str) -> None:
        self.condition = "gone" if self.transient else "off"
        self.ending, self._ended_by, self.overridden = ending, by, False
        if by != "reset":
            self._resolve(by)

    def _resolve(self, by: str) -> None:
        if self.open and by in ("somebody", "itself") and self.acting:
            self.libvirt_did += ["restart", "destroy"]  # nothing tells it from libvirt's action
        if self.open and not self.open.by:
            self.open.by = by
        self.open = None

    @property
    def cpu_time(self) -> int:
        """The CPU time of the guest's vCPUs, in nanoseconds."""
        running = self.loop.time() - self._running_since if self.condition == "healthy" else 0.0
        return int((self._ran + running) * SECOND)

    # Events

    def _tell(self, kind: str, panic: Panic | None = None, *, error: str = "") -> None:
        """Send an event to the watcher that is there now, unless it is to be lost."""
        if self.lose_events and kind not in ("metadata", "dump"):
            self.lose_events -= 1
            return
        if not self.connected:
            return
        generation = self.generation
        self._delivered_at = max(self._delivered_at, self.loop.time() + self.latency)
        self.pending += 1

        def deliver() -> None:
            self.pending -= 1
            self._note(f"event: {kind}")
            if self.watcher and self.generation == generation and self.connected:
                self._deliver(self.watcher, kind, panic, error)

        self.loop.call_at(self._delivered_at, deliver)

    def _deliver(self, watcher: Supervisor, kind: str, panic: Panic | None, error: str) -> None:
        if kind.startswith("panicked"):
            assert panic
            if watcher.log.policy:
                panic.told = self.generation
            watcher.on_panicked(PanicDetails(f"panic {panic.number}"), stopped=kind == "panicked")
        elif kind == "crashloaded":
            watcher.on_crashloaded(PanicDetails())
        elif kind == "reboot":
            watcher.on_reset()
        elif kind == "dump":
            if watcher.log.policy:
                watcher.on_dump_completed(error)
        elif kind in ("resumed", "started"):
            watcher.on_running()
        elif kind in ("suspended", "stopped", "undefined") and (watcher.log.policy or watcher.incident):
            watcher.trigger()
        if kind in ("started", "metadata") and self.condition != "gone":
            watcher.assign(self.assignment())
            if self.policy:
                watcher.trigger()

    # Steps of a watcher

    async def called(self, generation: int) -> None:
        """Count a call of a watcher, and let it fail or be the watcher's last."""
        if self.kill_after is not None and generation == self.generation:
            self.kill_after -= 1
            if self.kill_after < 0:
                self.kill()
        if generation != self.generation:
            raise Killed
        if self.call_time:
            await asyncio.sleep(self.call_time)
            if generation != self.generation:
                raise Killed
        if not self.connected:
            raise LostError("the connection is gone")
        if self.hangs:
            self.hangs -= 1
            raise BusyError("it does not answer", wait=2.0)

    def read(self) -> GuestState:
        """Return the guest's state."""
        now = self.loop.time()
        if now - self._reads_at > 0.001:
            self._reads, self._reads_at = 0, now
        self._reads += 1
        with self.checking():
            assert self._reads < MOST_READS, "a loop without progress"
        if self.condition == "gone":
            return GuestState("gone")
        if self.condition == "off":
            return GuestState("off", "-1", ending=self.ending)
        dumped = (1, 2) if self.busy else None
        return GuestState(
            self.condition, str(self.instance), self.cpu_time, self.busy, dumped, ending=self.ending
        )

    def take(self, step: Step, incident: Incident) -> None:
        """Take a watcher's step, if the guest is as the watcher thinks, and check that it may be taken."""
        stops = step in ("coredump", "continue", "restart", "destroy")
        if stops and (incident.instance != str(self.instance) or not incident.expects(self.condition)):
            raise StaleError("the guest has changed meanwhile")
        if self.busy:
            raise BusyError("another job", wait=0.5)
        begun_before = False
        if self.open and step in ("restart", "destroy"):
            begun_before, self.open.begun = self.open.begun, True
        fault = self.faults.pop(0) if self.faults else ""
        if fault == "fails":
            raise FailedError(f"{step} is refused")
        if fault == "busy":
            raise BusyError("another job", wait=0.5)
        self.steps.append((self.loop.time(), step))
        self._note(f"step: {step} {fault}")
        with self.checking():
            self._check_step(step, begun_before)
        if fault == "no effect" and step in ("continue", "destroy"):
            return
        if fault == "late" and step != "coredump":
            self.busy = True
            self._spawn(self._take_late(step, incident))
            raise BusyError("it has not answered", wait=1.0)
        self._effect(step, incident)
        if fault == "no answer":
            raise BusyError("it has not answered", wait=1.0)

    async def _take_late(self, step: Step, incident: Incident) -> None:
        await asyncio.sleep(1.5)
        self.busy = False
        self._effect(step, incident)

    def _effect(self, step: Step, incident: Incident) -> None:
        with self.checking():
            self._take_effect(step, incident)

    def _take_effect(self, step: Step, incident: Incident) -> None:
        self.effects.append(step)
        panic = self.open or next((known for known in reversed(self.panics) if known.help_lost), None)
        if step == "coredump":
            assert panic
            panic.dumps.add(incident.coredump)
            assert len(panic.dumps) == 1, "dumped twice"
            self._tell("dump", panic)
        elif step == "continue":
            self._run_on()
            if panic and panic.reports_left and panic.policy:
                panic.reports_left -= 1
                self._spawn(self._report_again(panic))
            if panic and not panic.grace:
                self._resolve("watcher")
            self._tell("resumed")
        elif step == "restart":
            assert panic
            panic.restarts += 1
            self.restarts.append(self.loop.time())
            self._tell("reboot")
            if self.reset_ends:
                self._end("shutdown", "reset")
                self._tell("stopped")
                return
            self._resolve("watcher")
            self._run_on()
            self._tell("resumed")
        elif step == "destroy":
            assert panic
            panic.restarts += 1
            if incident.action.action in RESTARTING:
                self.restarts.append(self.loop.time())
                self._end("", "reset")
            else:
                self._end("", "watcher")
            self._tell("stopped")
        elif step == "rename":
            self.name = incident.new_name
        else:
            if incident.xml:
                self.name = incident.new_name
            if (
                self._ended_by == "reset"
                and "restart" in self.libvirt_did[-1:]
                and panic
                and not panic.restarts
            ):
                self.restarts.append(self.loop.time())
            self._resolve("watcher")
            self._start()
            self._tell("started")

    async def _report_again(self, panic: Panic) -> None:
        await asyncio.sleep(SECOND_REPORT)
        if self.condition == "healthy" and panic.by in ("", "watcher") and panic is self.panics[-1]:
            panic.by, self.open = "", panic
            self._stop("panicked")
            self._tell("panicked", panic)

    def _check_step(self, step: Step, begun_before: bool) -> None:
        now, panic = self.loop.time(), self.open
        if panic is None:  # a guest whose help nobody was told of counts as failed
            panic = next((known for known in reversed(self.panics) if known.help_lost), None)
        if step in ("limit", "unlimit", "rename"):
            return
        if step == "start":
            assert self.condition in ("off", "gone")
            # Nothing tells who has ended it then
            begun = any(known.begun for known in self.panics) or (self.acting and self.reset_ends)
            assert self._ended_by == "reset" or begun, f"it was ended by {self._ended_by}"
            return
        if self.condition == "reset":
            return
        assert panic, f"{step} of a guest that has not failed"
        if panic.by == "internal":
            raise AssertionError("no policy covers internal errors here")
        assert not panic.by or panic.help_lost, f"{step} of a guest that {panic.by} has handled"
        if step == "continue":
            again = panic.ends is None or (panic.disturbed and now >= panic.ends)  # nobody knows if it helped
            waits = panic.grace and (again or (panic.ends and now < panic.ends))
            if waits and again:
                panic.ends = now + panic.grace
            ignores = self.policy and self.policy.on_panic == "ignore"
            panic.continued += 1
            assert waits or ignores or panic.changed or panic.restarts
            return
        assert self.condition in ("panicked", "healthy")
        assert self.condition == "panicked" or panic.grace, f"{step} of a guest that runs"
        over = not panic.grace or (panic.ends is not None and now >= panic.ends - 0.1)
        assert over or panic.changed or panic.continued >= 3, "the grace period has not ended"
        if step == "coredump":
            assert panic.changed or (panic.policy and panic.policy.coredump)
            return
        assert panic.restarts == 0, "acted on twice"
        policy = self.policy
        if begun_before or (panic.changed and (panic.disturbed > panic.policies or self.call_time)):
            return  # it may have been begun before the policy was changed
        assert policy, "it has no policy any more"
        assert policy.on_panic in WAITING, f"the policy is to {policy.on_panic}"
        if policy.on_panic in RESTARTING and self.settings.start_limit and not panic.changed:
            recent = [at for at in self.restarts if now - at < self.settings.start_interval]
            assert len(recent) < self.settings.start_limit, "the restart limit"

    async def set_libvirt_action(self, action: str) -> None:
        """Replace libvirt's action, or restore it."""
        if self.faults:
            fault = self.faults.pop(0)
            if fault in ("fails", "no effect"):
                raise FailedError("it is refused")
            if fault != "no answer":
                raise BusyError("another job", wait=0.5)
            self.overridden = action == "preserve"
            raise BusyError("it has not answered", wait=1.0)
        self.overridden = action == "preserve"
        self.steps.append((self.loop.time(), f"libvirt: {action}"))

    # The journal and the log

    def _note(self, text: str) -> None:
        self.told.append(f"{self.loop.time() - 1e6:10.3f} {self.condition:10} {text}")

    def _warn(self, text: str) -> None:
        raise AssertionError(text)

    def _writer(self) -> Callable[..., None]:
        generation = self.generation

        def write(path: Path, data: bytes, *, mode: int | None = None) -> None:
            if generation == self.generation and self.kill_after is not None:
                self.kill_after -= 1
                if self.kill_after < 0:
                    self.kill()
            if generation != self.generation:
                raise Killed
            path.write_bytes(data)

        return write

    def _sink(self, generation: int) -> Callable[[Line], None]:
        def sink(line: Line) -> None:
            if generation == self.generation:
                self.lines.append(line)
                members = (line.event, line.action, line.outcome, line.by, line.detail)
                self._note(f"log: {' '.join(filter(None, members))}")
                with self.checking():
                    self._check_line(line)

        return sink

    def _check_line(self, line: Line) -> None:
        assert "a bug" not in line.detail, line
        if line.event == "panicked":
            number = line.detail.removeprefix("panic ")
            panic = self.panics[int(number)] if number.isdigit() else self.open
            assert panic, "a panic that there was not"
            panic.lines.append(self.generation)
            assert len(panic.lines) <= 1 + panic.disturbed, f"panic {panic.number} is logged again"
        elif line.event == "action" and line.outcome == "done" and not line.by:
            if line.action == "continue" and self.condition in ("off", "gone"):
                return  # it may have run
            assert line.action in self.effects, f"{line.action} was not done"
            self.effects.remove(line.action)
        elif line.event == "action" and line.outcome == "done" and line.by == "libvirt":
            if line.action != "coredump":
                assert line.action in self.libvirt_did, f"libvirt did not {line.action}"
                self.libvirt_did.remove(line.action)
                if line.action == "restart":
                    self.restarts.append(self.loop.time())
        elif line.event == "action" and line.outcome == "kept":
            assert self.condition in ("panicked", "internal-error")

    # What must be true when nothing is in progress

    def check_at_rest(self) -> None:
        """Check that each policy's promise is kept, or that a line says that it is not."""
        assert self.watcher
        assert self.connected
        panic = self.open
        for told in self.panics:
            if told.told == self.generation and not told.unclear:
                assert told.lines, f"panic {told.number} is not logged"
        if panic is None or panic.by == "internal" or panic.policy is None or self.policy is None:
            return
        if panic.told is None and self.condition != "panicked":
            return  # nobody can know of it
        assert panic.lines or panic.unclear, f"panic {panic.number} is not logged"
        if panic.changed:
            return
        wanted = panic.policy.on_panic
        if wanted in ("preserve", "pause"):
            assert self.condition == "panicked"
            if panic.policy.coredump and not panic.dumps:
                self._assert_said(panic, "coredump")
            return
        self._assert_said(panic, wanted)

    def _assert_said(self, panic: Panic, wanted: str) -> None:
        said = [
            line
            for line in self.lines
            if line.outcome in (*ERRORS, "kept") or (line.event == "over" and self.condition == "gone")
        ]
        assert said, (
            f"the guest is {self.condition}, not {wanted}, and nothing says why: panic {panic.number}"
        )

    def check_at_the_end(self) -> None:
        """Check that nothing is left when the interval has passed without a panic."""
        assert self.watcher
        assert not self.overridden, "libvirt's action is not given back"
        incident = self.watcher.incident
        if self.open is None:
            assert incident is None, incident
            assert not list(self.folder.glob("*.json"))


class PlayedView:
    """The guest as one watcher has it.

    :param history: The guest's history.
    :param generation: Which watcher it is.
    """

    key = uuid = "played"

    def __init__(self, history: GuestHistory, generation: int) -> None:
        self._history = history
        self._generation = generation
        self.name = history.name

    async def read_state(self, *, ask_qemu: bool) -> GuestState:  # noqa: ARG002
        await self._history.called(self._generation)
        self.name = self._history.name
        return self._history.read()

    async def read_assignment(self) -> Assignment | None:
        await self._history.called(self._generation)
        if self._history.condition == "gone":
            raise GoneError("no such domain")
        return self._history.assignment()

    async def dump_path(self, at: float) -> str:
        await self._history.called(self._generation)
        return f"/dumps/{at}.core"

    async def read_words(self, incident: Incident, timeout: float, folder: Path | None) -> LastWords:  # noqa: ARG002, ASYNC109
        await self._history.called(self._generation)
        return LastWords(source="libvirt")

    async def dump(self, incident: Incident, progress: DumpProgress) -> DumpResult:
        await self._history.called(self._generation)
        progress(1, 2)
        self._history.take("coredump", incident)
        await self._history.called(self._generation)
        return DumpResult(incident.coredump)

    async def take_step(self, step: Step, incident: Incident, on_starter: Callable[[str], None]) -> None:  # noqa: ARG002
        if step in ("destroy", "restart", "start"):
            await asyncio.sleep(0.05)
        await self._history.called(self._generation)
        self._history.take(step, incident)
        self.name = self._history.name
        await self._history.called(self._generation)

    async def new_name(self) -> str:
        await self._history.called(self._generation)
        return f"{self.name}-restart"

    async def libvirt_dump(self) -> None:
        return None

    async def transient_xml(self, *, renames: bool) -> str:  # noqa: ARG002
        await self._history.called(self._generation)
        return "<domain/>" if self._history.transient else ""

    async def set_libvirt_action(self, action: str) -> None:
        await self._history.called(self._generation)
        await self._history.set_libvirt_action(action)
        await self._history.called(self._generation)
