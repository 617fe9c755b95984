"""Starts guests, lets them panic, and logs what libvirt reports until nothing changes any more.

All guests run together: libvirt handles panics one after the other, and needs up to two seconds to end a
guest.  The guests are ended and undefined and their core dumps removed, whatever happens.
"""

import contextlib
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from onpanic.core.errors import SourceError
from onpanic.core.libvirt_api import libvirt_module, unblock_events
from onpanic.matrix.libvirts.guest_driver import GuestDriver
from onpanic.matrix.libvirts.libvirt_conversation import LogEntry, LogKind, ObservedGuest
from onpanic.matrix.libvirts.libvirt_names import ACTIONS
from onpanic.matrix.libvirts.libvirt_questions import GuestPlan
from onpanic.matrix.libvirts.libvirt_record import GuestQemu, GuestXen
from onpanic.matrix.libvirts.libvirt_session import LibvirtSession
from onpanic.matrix.libvirts.started_guest import StartedGuest

__all__ = ("GuestRun", "observe")

_STARTED = 2  # virDomainEventType

# Seconds: until all guests run, until all have settled, without a change before a guest counts as settled,
# and between queries of the state of a guest that has not settled
_START, _SETTLE, _QUIET, _POLL = 60.0, 120.0, 1.0, 0.5

_REMOVE = 30.0  # seconds until libvirt has ended a guest, or noticed that it was killed


class GuestRun:
    """What a pass with several guests yields.

    :ivar guests: The guests with their logs.
    :ivar about: What the guests ran on.
    """

    def __init__(self, guests: list[ObservedGuest], about: GuestQemu | GuestXen) -> None:
        self.guests = guests
        self.about = about


def observe(
    session: LibvirtSession,
    driver: GuestDriver,
    plans: Sequence[GuestPlan],
    *,
    settle: float = _SETTLE,
    clock: Callable[[], float] = time.monotonic,
) -> GuestRun:
    """Run guests, and return their logs.

    :param driver: What the guests run on.
    :param plans: The guests.
    :param settle: Seconds after which a guest that still changes is left as it is.
    :raise SourceError: When libvirt does not answer, or a guest does not start.
    """
    token = secrets.token_hex(3)
    guests = [StartedGuest(plan, f"onpanic-{token}-{number:02}") for number, plan in enumerate(plans)]
    watched = _WatchedGuests(session, driver, guests, clock)
    about: GuestQemu | GuestXen | None = None
    with driver.files():
        try:
            with watched.events():
                watched.start()
                about = driver.about(guests)
                watched.panic()
                watched.settle(settle)
            for guest in guests:
                if guest.panicked:
                    guest.add("dump", driver.dump_of(guest.name))
        finally:
            if about is None:  # it tells what is to be removed
                with contextlib.suppress(SourceError):
                    driver.about(guests)
            try:
                watched.remove()
            finally:
                driver.remove_files([guest.name for guest in guests])
    return GuestRun([ObservedGuest(guest.plan, guest.entries) for guest in guests], about)


class _WatchedGuests:
    """Guests whose events are logged."""

    def __init__(
        self,
        session: LibvirtSession,
        driver: GuestDriver,
        guests: Sequence[StartedGuest],
        clock: Callable[[], float],
    ) -> None:
        self._session = session
        self._driver = driver
        self._guests = guests
        self._clock = clock
        self._libvirt = libvirt_module()
        self._changed = threading.Condition()
        self._with_events: dict[str, StartedGuest] = {}  # since the last look
        self._by_name = {guest.name: guest for guest in guests}

    @contextlib.contextmanager
    def events(self) -> Iterator[None]:
        """Log the events of libvirt and of the driver in the meantime."""
        connection, libvirt = self._session.connection, self._libvirt

        def lifecycle(_connection: Any, domain: Any, kind: int, detail: int, _opaque: Any) -> None:
            self._note(domain, "event", numbers=(kind, detail))

        def reboot(_connection: Any, domain: Any, _opaque: Any) -> None:
            self._note(domain, "reset")

        def register(kind: int, callback: Callable[..., None]) -> Any:
            return self._session.call(lambda: connection.domainEventRegisterAny(None, kind, callback, None))

        self._session.call(lambda: unblock_events(connection))
        with contextlib.ExitStack() as at_exit:
            for kind, callback in (
                (libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, lifecycle),
                (libvirt.VIR_DOMAIN_EVENT_ID_REBOOT, reboot),
            ):
                end = partial(connection.domainEventDeregisterAny, register(kind, callback))
                at_exit.callback(self._session.attempt, end)
            at_exit.enter_context(self._driver.events(self._note))
            yield

    def start(self) -> None:
        """Define and start all guests, and wait until libvirt has reported that they run."""
        connection = self._session.connection
        flags = self._driver.start_flags

        def starting(guest: StartedGuest) -> Callable[[], object]:
            lifecycle = guest.plan.lifecycle
            xml = self._driver.xml(guest)
            if not guest.plan.persistent:
                guest.add("call", f"createXML: {lifecycle}")
                return lambda: setattr(guest, "domain", connection.createXML(xml, flags))
            guest.add("call", f"defineXML: {lifecycle}")
            guest.domain = self._session.call(lambda: connection.defineXML(xml))
            guest.add("call", "create")
            return lambda: guest.domain.createWithFlags(flags)

        refusals = self._session.at_once([starting(guest) for guest in self._guests])
        for guest, refusal in zip(self._guests, refusals, strict=True):
            if refusal:
                raise SourceError(
                    f"libvirt does not start a guest with {guest.plan.lifecycle}: {refusal.text}",
                    "try the same with virsh",
                )
        with self._changed:
            started = lambda: all(guest.has("event", _STARTED) for guest in self._guests)  # noqa: E731
            if not self._changed.wait_for(started, _START):
                raise SourceError("libvirt did not report that its guests run", "see libvirt's log")

    def panic(self) -> None:
        """Set the action of guests that need it, and let them panic."""
        for guest in self._guests:
            self._look(guest)
            guest.add("id", numbers=(self._identity(guest),))
            word = guest.plan.set_live
            if not word or self._set(guest, word):
                guest.add("panic", self._driver.panic(guest))
                self._session.attempt(partial(self._driver.make_panic, guest))

    def settle(self, seconds: float) -> None:
        """Wait until libvirt has handled all panics, and nothing has changed for a while."""
        deadline = self._clock() + seconds
        asked_at = -1  # how many entries there were when all guests were asked, and answered
        while self._wait_quiet(deadline):
            if asked_at == sum(len(guest.entries) for guest in self._guests):
                break
            answered = [self._ask(guest) for guest in self._guests if guest.panicked]
            asked_at = sum(len(guest.entries) for guest in self._guests) if all(answered) else -1
        for guest in self._guests:
            if not self._handled(guest):
                guest.add("unsettled")
        self._look_for_new_names()

    def remove(self) -> None:
        """End and undefine the guests.

        :raise SourceError: When libvirt still has one afterwards.
        """
        self._session.at_once([partial(self._remove, domain) for domain in self._domains()])
        left = [domain.name() for domain in self._domains()]
        if left:
            raise SourceError(
                f"libvirt does not end {', '.join(left)}", f"end it with virsh destroy {left[0]}"
            )

    def _look_for_new_names(self) -> None:
        """Log which guests libvirt has under another name, which begins with theirs."""
        names = [domain.name() for domain in self._domains()]
        for guest in self._guests:
            if any(name != guest.name and name.startswith(guest.name) for name in names):
                guest.add("renamed")

    def _domains(self) -> list[Any]:
        """Return the domains of all guests, also of those that libvirt has under other names."""
        names = tuple(self._by_name)
        domains = self._session.call(self._session.connection.listAllDomains)
        return [domain for domain in domains if domain.name().startswith(names)]

    def _remove(self, domain: Any) -> None:
        """End and undefine a domain.

        libvirt refuses to end one that it is busy with; what it runs is then killed.
        """
        error = self._libvirt.libvirtError
        deadline = self._clock() + _REMOVE
        with contextlib.suppress(error):  # it may just have ended
            while domain.isActive() and self._clock() < deadline:
                try:
                    domain.destroy()
                except error:
                    self._driver.kill(domain.name())
                    time.sleep(_POLL)
        with contextlib.suppress(error):  # a transient domain is gone
            if domain.isPersistent():
                domain.undefine()

    def _note(self, domain: Any, kind: LogKind, text: str = "", numbers: Sequence[int] = ()) -> None:
        """Log an event; called in libvirt's thread, for all domains of the connection."""
        with self._changed:
            guest = self._by_name.get(domain.name())
            if guest:
                guest.add(kind, text, numbers)
                self._with_events[guest.name] = guest
                self._changed.notify_all()

    def _handled(self, guest: StartedGuest) -> bool:
        """Return whether there is nothing more to come of a guest."""
        return not guest.panicked or self._driver.handled(guest)

    def _wait_quiet(self, deadline: float) -> bool:
        """Wait until all guests have settled and nothing has changed for a while; False at the deadline."""
        last = polled = self._clock()
        while (now := self._clock()) < deadline:
            with self._changed:
                self._changed.wait_for(lambda: self._with_events, _POLL)
                found, self._with_events = self._with_events, {}
            looks = list(found.values())
            if now - polled >= _POLL:
                looks += [g for g in self._guests if not self._handled(g) and g.name not in found]
                polled = now
            changes = [self._look(guest) for guest in looks]
            if any(changes) or found:
                last = self._clock()
            if all(map(self._handled, self._guests)) and self._clock() - last >= _QUIET:
                return True
        return False

    def _look(self, guest: StartedGuest) -> bool:
        """Log the state of a guest if it is another one than before, and return whether it is."""
        state, refusal = self._session.attempt(guest.domain.state)
        numbers = tuple(int(number) for number in state or ()) if not refusal else ()
        if numbers == guest.last_state:
            return False
        guest.add("state" if numbers else "absent", numbers=numbers)
        return True

    def _ask(self, guest: StartedGuest) -> bool:
        """Log what is asked when all is quiet, and return whether there was an answer."""
        state = None if guest.ended else self._driver.run_state(guest)
        self._look(guest)
        if state and not guest.ended:
            guest.add_change(state)
        guest.add_change(LogEntry("id", numbers=(self._identity(guest),)))
        return guest.ended or state is None or state.refusal is None

    def _set(self, guest: StartedGuest, word: str) -> bool:
        """Set the crash action of a running guest, and return whether libvirt accepts it."""
        crash, flags = self._libvirt.VIR_DOMAIN_LIFECYCLE_CRASH, self._libvirt.VIR_DOMAIN_AFFECT_LIVE
        guest.add("call", f"setLifecycleAction(crash, {word}, live)")
        _, refusal = self._session.attempt(
            lambda: guest.domain.setLifecycleAction(crash, ACTIONS[word], flags)
        )
        guest.add("refused" if refusal else "set", refusal=refusal)
        return not refusal

    def _identity(self, guest: StartedGuest) -> int:
        """Return the ID that the domain of this name has now; -1 if it does not run."""
        connection = self._session.connection
        found, _ = self._session.attempt(lambda: connection.lookupByName(guest.name).ID())
        return -1 if found is None else int(found)
