"""One guest's case: woken by events, it looks at the guest and does what is due.

A case does one thing at a time; what happens meanwhile makes it look again.  What libvirt
does by itself is waited for, and reported.
"""

import asyncio
import time

from msgspec.structs import replace

from onpanic.probe.errors import OnpanicError

from .course import Course
from .duty import TROUBLES, Duty, Step, duty_of, next_step, outcome_of
from .guest import BusyError, GoneError, Guest, Look, LostError, StaleError, Standing
from .hands import LEAVING, RESTARTS, Hands
from .journal import Entry
from .office import Office
from .panics import Panic, Panics
from .storm import calm, hold_back
from .voice import Voice

__all__ = ("Case",)

_POLL, _LONGEST_POLL = 0.05, 0.5  # seconds between looks at what libvirt does
_SETTLED = 4  # looks at an idle libvirt after which it is not going to act
_SAME = 3  # times that a step may change nothing


class Case:
    """What is going on with one guest.

    :param guest: The guest.
    :param office: What all cases share.
    """

    def __init__(self, guest: Guest, office: Office) -> None:
        self.guest = guest
        self.voice = Voice(guest, office.say)
        self._office = office
        self._journal = office.journal
        self._hands = Hands(guest, office, self.voice)
        self._known: Standing | None = None
        self._bell = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._panics = Panics(self.voice)
        self._ran = False  # since the last look
        self._ran_at = 0.0
        self._retry = False
        self._dump_error = ""  # of a dump that libvirt made
        self._began = 0.0

    # Events

    def panicked(self, detail: str, *, stopped: bool = True) -> None:
        """Note that an event told of a panic, and look.

        Two notifiers tell of the same panic twice.

        :param detail: What is known of it.
        :param stopped: True if the guest was stopped for it.
        """
        if self._panics.saw(detail, stopped=stopped, tell=self._known is not None):
            self._dump_error = ""
            self.voice.dumping()  # maybe; libvirt does not tell when it begins
        self.wake()

    def went_on(self) -> None:
        """Note that the guest runs, or ran, and look if that matters."""
        self._ran, self._ran_at, self._panics.down = True, time.monotonic(), False
        entry = self.entry
        if self._panics.pending or (entry and not entry.over):
            self.wake()

    def dump_ended(self, error: str) -> None:
        """Note how a dump ended that is none of the watcher's.

        :param error: Why it failed; empty if it did not.
        """
        if not self._hands.dumping:
            self._dump_error = error
            self.voice.action("coredump", "failed" if error else "done", by="libvirt", detail=error)
            self.wake()

    def wake(self, *, retry: bool = False) -> None:
        """Look at the guest, now or after what is being done.

        :param retry: Take up again what was given up.
        """
        self._retry = self._retry or retry
        self._bell.set()
        if not self.busy:
            self._task = asyncio.create_task(self._work())

    @property
    def busy(self) -> bool:
        """True while something is being done."""
        return self._task is not None and not self._task.done()

    @property
    def entry(self) -> Entry | None:
        """What was done for the guest already."""
        return self._journal.get(self.guest.key)

    def knows(self, standing: Standing | None) -> None:
        """Note what is to be done about the guest: libvirt forgets some guests before it says so."""
        self._known = standing
        self.voice.policy = standing.policy if standing else None

    async def settled(self) -> None:
        """Return when nothing is being done."""
        while self._task and not self._task.done():
            await asyncio.wait([self._task])

    async def end(self) -> None:
        """Stop whatever is being done, and give back to libvirt what was its own."""
        if self._timer:
            self._timer.cancel()
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        entry = self.entry
        if entry and entry.put_aside:
            await calm(self.guest, entry, self._office, self.voice)

    # Work

    async def _work(self) -> None:
        while self._bell.is_set():
            self._bell.clear()
            try:
                await self._attend()
            except LostError:
                return  # whoever connects again wakes all cases
            except OnpanicError as error:
                self.voice.say("problem", "error", detail=error.message)
            except Exception as error:  # noqa: BLE001  the next event still has to be handled
                self.voice.say("problem", "error", detail=f"a bug: {error!r}")

    async def _attend(self) -> None:
        """Look, and take a step, until none is due."""
        course, self._retry = Course(self._retry), False
        if course.retry:
            self._dump_error = ""
        while True:
            try:
                look = await self._turn(course)
            except GoneError:  # between two questions
                await self._rest(_POLL)
            except BusyError as error:
                if not course.busy and not isinstance(error, StaleError):
                    course.busy = True
                    self.voice.say("waiting", detail=error.message)
                await self._rest(error.wait)
            else:
                if look:
                    await self._look_after(look)
                    return

    async def _turn(self, course: Course) -> Look | None:
        """Look at the guest, and take a step; return how it was found if none is due."""
        began = time.monotonic()
        look = await self.guest.look(curious=self._curious)
        if self._panics.newer(began) or self._ran_at >= began:
            return None  # what was found is out of date
        if look.busy and (look.condition in TROUBLES or self._begun):
            if look.dumped:
                self.voice.progress(*look.dumped, self._office.settings.progress, by="libvirt")
            course.polls += 1
            await self._rest(min(_POLL * course.polls, _LONGEST_POLL))
            return None
        entry = await self._current(look, retry=course.retry)
        course.retry = False
        if entry is None or entry.finished:
            return look
        if entry.at != course.about:
            course.about, course.taken, course.idle, course.delayed = entry.at, [], 0, False
        step = self._due(entry, look)
        if step is None:
            self._finish(entry, look, acted=bool(course.taken))
            return look
        if self._libvirt_may_act(entry) and not course.taken and course.idle < _SETTLED:
            course.idle += 1
            await self._rest(_POLL * course.idle)
            return None
        if self._reason_not_to(entry, step, look, course):
            return look
        entry, wait = self._wait(entry, step, course)
        if wait:
            await self._rest(wait)
            return None
        may_go_on = await self._hands.take(step, entry)
        course.taken.append((step, look))
        return None if may_go_on else look

    def _due(self, entry: Entry, look: Look) -> Step | None:
        """Return the next step; what libvirt has forgotten cannot be started again without its XML."""
        if look.condition == "gone" and not entry.xml:
            return None
        renamed = entry.new_name == self.guest.name
        return next_step(entry.duty, look.condition, dumped=entry.dumped, begun=entry.begun, renamed=renamed)

    def _reason_not_to(self, entry: Entry, step: Step, look: Look, course: Course) -> bool:
        """Say why a step is not taken, if there is a reason."""
        if self._office.dry_run:
            self.voice.action(entry.duty.action, "dry-run", detail=f"{step} is due")
            self._journal.keep(entry, finished=True)
        elif step == "coredump" and self._dump_error:
            self._hands.give_up(entry, step, f"libvirt: {self._dump_error}")
        elif course.taken.count((step, look)) >= _SAME:
            self._hands.give_up(entry, step, f"it changes nothing: the guest is {look.condition} as before")
        elif step in ("coredump", *LEAVING) and self._limited(entry):
            counted, interval = len(entry.restarts), self._office.settings.start_interval
            said = f"{counted} restarts in {interval:g} s: the guest stays as it is"
            self.voice.action(entry.duty.action, "start-limit-hit", detail=said)
            self._journal.keep(entry, failed=said, finished=True)
        else:
            return False
        return True

    def _limited(self, entry: Entry) -> bool:
        """Say if a guest was restarted too often to be restarted now."""
        mine = entry.duty.action in RESTARTS and not entry.begun and not entry.due
        return mine and self._office.due(entry.restarts, time.time()) is None

    def _wait(self, entry: Entry, step: Step, course: Course) -> tuple[Entry, float]:
        """Return for how many seconds a step has to wait, 0 if it is to be taken; and the entry with that."""
        if step not in LEAVING or entry.duty.action not in RESTARTS:
            return entry, 0.0
        if not entry.due:
            due = self._office.due(entry.restarts, time.time()) or 0.0
            entry = self._journal.keep(entry, due=due)
        wait = max(entry.due - time.time(), 0.0)
        if wait and not course.delayed:
            course.delayed = True
            self.voice.action(step, "delayed", detail=f"for {wait:.1f} s: it panics again and again")
        return entry, wait

    async def _current(self, look: Look, *, retry: bool) -> Entry | None:
        """Return what there is to do, or was, about the condition that the guest is in."""
        entry, ran = self.entry, self._ran
        self._ran, self._panics.down = False, look.condition == "panicked"
        if look.condition not in TROUBLES:
            if self._panics.pending and (entry is None or entry.finished):
                await self._passed(look)
            elif entry and entry.failed and not entry.over and self._due(entry, look):
                if retry:  # it was ended, and could not be started
                    return self._journal.keep(entry, failed="", finished=False)
            elif entry and entry.finished and not entry.over:
                if look.instance == entry.instance:
                    self.voice.over(look.condition)
                self._journal.keep(entry, over=True)
            return self.entry
        if entry is None or ran or not entry.is_about(look.condition, look.instance, look.ran):
            return await self._open(look)
        if entry.failed and retry and not self._limited(entry):
            return self._journal.keep(entry, failed="", finished=False)
        return entry

    async def _open(self, look: Look) -> Entry | None:
        """Begin with a trouble."""
        assert look.condition in TROUBLES
        self.knows(await self.guest.standing())
        pending, is_panic = self._panics.pending, look.condition == "panicked"
        if self._known is None:
            pending.clear()
            return None
        await self._passed(look, leave=1 if is_panic else 0)
        panic = pending.pop() if pending else Panic.found("found in that state" if is_panic else "")
        self._began = panic.clock
        self._panics.tell(panic, look.condition)
        old = self.entry or Entry(self.guest.key, self.guest.name)
        return self._journal.keep(
            Entry(
                key=self.guest.key,
                name=self.guest.name,
                trouble=look.condition,
                duty=duty_of(self._known.policy, look.condition),
                instance=look.instance,
                ran=look.ran,
                at=time.time(),
                restarts=self._office.recent(old.restarts, time.time()),
                put_aside=old.put_aside if old.instance == look.instance else "",
                finished=False,
                over=False,
            )
        )

    async def _passed(self, look: Look, *, leave: int = 0) -> None:
        """Report panics that were dealt with before anybody looked.

        :param leave: How many to leave for somebody else to report.
        """
        pending = self._panics.pending
        if self._known is None and len(pending) > leave:
            try:
                self.knows(await self.guest.standing())
            except GoneError:  # nobody will know any more
                pending.clear()
        while len(pending) > leave:
            panic = pending.pop(0)
            if self._known is None:
                continue
            self._panics.tell(panic)
            self._began = panic.clock
            if not panic.stopped:
                self.voice.action("ignore", "done", by="QEMU")
            elif self._known.acts:
                self._libvirt_acted(look)

    def _libvirt_may_act(self, entry: Entry) -> bool:
        return entry.trouble == "panicked" and self._known is not None and bool(self._known.acts)

    def _libvirt_acted(self, look: Look) -> None:
        """Report what libvirt has done, if it has, and count its restarts."""
        assert self._known
        word, duty = self._known.acts.removeprefix("coredump-"), duty_of(self._known.policy, "panicked")
        if not outcome_of(Duty(word), look.condition):
            self.voice.over(look.condition)
            return
        detail = (
            "" if word == duty.action else f"its <on_crash> is not the policy's, which is to {duty.action}"
        )
        took = time.monotonic() - self._began
        self.voice.action(word, "done", by="libvirt", seconds=took, detail=detail)
        if word == "restart":
            entry = self.entry or Entry(self.guest.key, self.guest.name)
            at = time.time()
            restarts = [*self._office.recent(entry.restarts, at), at]
            self._journal.keep(entry, restarts=restarts, instance=look.instance)

    def _finish(self, entry: Entry, look: Look, *, acted: bool) -> None:
        """Write down that no step is due any more."""
        over = look.condition not in TROUBLES
        entry = self._journal.keep(entry, finished=True, over=over)
        if not over:
            self.voice.action(entry.duty.action, "kept", detail=f"the guest stays {look.condition}")
        elif acted or entry.begun:
            return
        elif self._libvirt_may_act(entry):
            self._libvirt_acted(look)
        else:
            self.voice.over(look.condition)

    async def _look_after(self, look: Look) -> None:
        """Hold back restarts that come again and again, and forget those of long ago."""
        entry = self.entry
        if entry is None or not entry.finished:
            return
        restarts = self._office.recent(entry.restarts, time.time())
        acts = self._known.acts if self._known else ""
        entry, acts = await hold_back(self.guest, entry, look, acts, self._office, self.voice)
        if self._known and acts != self._known.acts:
            self.knows(replace(self._known, acts=acts))
        if restarts:
            wait = restarts[-1] + self._office.settings.start_interval - time.time()
            if self._timer:
                self._timer.cancel()
            self._timer = asyncio.get_running_loop().call_later(max(wait, 0) + 0.1, self.wake)
        elif entry.over and not entry.put_aside:
            self._journal.drop(entry.key)

    # Small things

    @property
    def _begun(self) -> bool:
        return self.entry is not None and not self.entry.finished

    @property
    def _curious(self) -> bool:
        return self._begun or (self._known is not None and self._known.policy.on_crash is not None)

    async def _rest(self, seconds: float) -> None:
        """Wait for as long, or until something happens."""
        try:
            await asyncio.wait_for(self._bell.wait(), seconds)
        except TimeoutError:
            return
        self._bell.clear()
