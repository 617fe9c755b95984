"""Starts guests, lets them panic, and logs what libvirt and QEMU report until nothing changes any more.

All guests run together: libvirt handles panics one after the other, and needs up to two seconds to end a
guest.  The guests are ended and undefined and their core dumps removed, whatever happens; libvirt also ends
them if this process is killed (``VIR_DOMAIN_START_AUTODESTROY``).
"""

import contextlib
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from onpanic.core.errors import SourceError
from onpanic.core.libvirt_api import (
    deregister_monitor_events,
    libvirt_module,
    monitor_command,
    register_monitor_events,
)
from onpanic.matrix.libvirts.guest_files import kill_qemu, newest_format, remove_guest_files
from onpanic.matrix.libvirts.libvirt_conversation import LogEntry, LogKind, ObservedGuest
from onpanic.matrix.libvirts.libvirt_names import ACTIONS
from onpanic.matrix.libvirts.libvirt_questions import GuestPlan, document
from onpanic.matrix.libvirts.libvirt_session import LibvirtSession
from onpanic.shims.guests.dump_folder import dump_folder

__all__ = ("PANIC_COMMAND", "GuestRun", "observe")

#: Writes "panicked" to the port of the ISA device, as a guest would (docs/specs/pvpanic of QEMU).
PANIC_COMMAND = "o /b 0x505 1"

_PAUSED, _SHUTTING_DOWN, _OFF = 3, 4, 5  # virDomainState
_CRASHED, _STARTED = 8, 2  # virDomainEventType

# Seconds: until all guests run, until all have settled, without a change before a guest counts as settled,
# and between queries of the state of a guest that has not settled
_START, _SETTLE, _QUIET, _POLL = 60.0, 120.0, 1.0, 0.5

_REMOVE = 30.0  # seconds until libvirt has noticed that a QEMU was killed


class GuestRun:
    """What a pass with several guests yields.

    :ivar guests: The guests with their logs.
    :ivar version: What QEMU answers to ``query-version``.
    """

    def __init__(self, guests: list[ObservedGuest], version: dict[str, Any]) -> None:
        self.guests = guests
        self.version = version


def observe(
    session: LibvirtSession,
    plans: Sequence[GuestPlan],
    *,
    settle: float = _SETTLE,
    clock: Callable[[], float] = time.monotonic,
) -> GuestRun:
    """Run guests, and return their logs.

    :param plans: The guests.
    :param settle: Seconds after which a guest that still changes is left as it is.
    :raise SourceError: When libvirt does not answer, or a guest does not start.
    """
    folder = Path(dump_folder(str(session.call(session.connection.getURI))))
    token = secrets.token_hex(3)
    guests = [_StartedGuest(plan, f"onpanic-{token}-{number:02}") for number, plan in enumerate(plans)]
    watched = _WatchedGuests(session, guests, clock)
    version: dict[str, Any] = {}
    monitor = ""
    try:
        with watched.events():
            watched.start()
            version, monitor = watched.about_qemu()
            watched.panic()
            watched.settle(settle)
        for guest in guests:
            if guest.panicked:
                guest.add("dump", newest_format(folder, guest.name))
    finally:
        with contextlib.suppress(SourceError):
            monitor = monitor or watched.about_qemu()[1]
        try:
            watched.remove()
        finally:
            remove_guest_files(folder, monitor, [guest.name for guest in guests])
    return GuestRun([ObservedGuest(guest.plan, guest.entries) for guest in guests], version)


class _StartedGuest:
    """A guest, and its log so far."""

    def __init__(self, plan: GuestPlan, name: str) -> None:
        self.plan = plan
        self.name = name
        self.domain: Any = None
        self.entries: list[LogEntry] = []

    def add(self, kind: LogKind, text: str = "", numbers: Sequence[int] = (), **more: Any) -> None:
        self.entries.append(LogEntry(kind, text, tuple(numbers), **more))

    def has(self, kind: LogKind, first: int | None = None) -> bool:
        """Return whether the log has an entry of this kind, and with this first number."""
        return any(e.kind == kind and first in (None, *e.numbers[:1]) for e in list(self.entries))

    @property
    def panicked(self) -> bool:
        return self.has("panic")

    @property
    def last_state(self) -> tuple[int, ...] | None:
        """The last state; empty if the domain no longer exists, None if none is known."""
        found = (e.numbers for e in reversed(list(self.entries)) if e.kind in ("state", "absent"))
        return next(found, None)

    @property
    def ended(self) -> bool:
        return self.last_state is not None and self.last_state[:1] in ((), (_OFF,))

    @property
    def settled(self) -> bool:
        """Whether libvirt has handled the panic, as far as its state shows."""
        if not self.panicked or self.ended:
            return True
        state = self.last_state
        passing = state is None or state[0] in (_PAUSED, _SHUTTING_DOWN)
        return not passing and self.has("event", _CRASHED)


class _WatchedGuests:
    """Guests whose events are logged."""

    def __init__(
        self, session: LibvirtSession, guests: Sequence[_StartedGuest], clock: Callable[[], float]
    ) -> None:
        self._session = session
        self._guests = guests
        self._clock = clock
        self._libvirt = libvirt_module()
        self._changed = threading.Condition()
        self._with_events: dict[str, _StartedGuest] = {}  # since the last look
        self._by_name = {guest.name: guest for guest in guests}

    @contextlib.contextmanager
    def events(self) -> Iterator[None]:
        """Log the events of libvirt and QEMU in the meantime."""
        connection, libvirt = self._session.connection, self._libvirt

        def lifecycle(_connection: Any, domain: Any, kind: int, detail: int, _opaque: Any) -> None:
            self._note(domain, "event", numbers=(kind, detail))

        def reboot(_connection: Any, domain: Any, _opaque: Any) -> None:
            self._note(domain, "reset")

        def panicked(domain: Any, _event: str, details: str | None) -> None:
            self._note(domain, "panicked", details or "")

        def register(kind: int, callback: Callable[..., None]) -> Any:
            return self._session.call(lambda: connection.domainEventRegisterAny(None, kind, callback, None))

        numbers = [
            register(libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, lifecycle),
            register(libvirt.VIR_DOMAIN_EVENT_ID_REBOOT, reboot),
        ]
        monitor = self._session.call(
            lambda: register_monitor_events(connection, "^GUEST_PANICKED$", panicked)
        )
        try:
            yield
        finally:
            for number in numbers:
                self._session.attempt(lambda: connection.domainEventDeregisterAny(number))  # noqa: B023
            self._session.attempt(lambda: deregister_monitor_events(connection, monitor))

    def start(self) -> None:
        """Define and start all guests, and wait until libvirt has reported that they run."""
        connection = self._session.connection
        flags = self._libvirt.VIR_DOMAIN_START_AUTODESTROY

        def starting(guest: _StartedGuest) -> Callable[[], object]:
            lifecycle = guest.plan.lifecycle
            xml = document("guest", name=guest.name, lifecycle=lifecycle)
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

    def about_qemu(self) -> tuple[dict[str, Any], str]:
        """Return what QEMU says of its version, and the path of a guest's monitor; nothing if none runs."""
        for guest in self._guests:
            if guest.domain is None:
                continue
            version = self._query(guest.domain, "query-version") or {}
            devices = self._query(guest.domain, "query-chardev") or []
            names = [str(one.get("filename", "")) for one in devices if one.get("label") == "charmonitor"]
            if version and names:
                return version, names[0].removeprefix("unix:").partition(",")[0]
        return {}, ""

    def panic(self) -> None:
        """Set the action of guests that need it, and let them panic."""
        for guest in self._guests:
            self._look(guest)
            guest.add("id", numbers=(self._identity(guest),))
            word = guest.plan.set_live
            if not word or self._set(guest, word):
                guest.add("panic", PANIC_COMMAND)
                self._session.attempt(lambda: self._command(guest.domain, PANIC_COMMAND))  # noqa: B023

    def settle(self, seconds: float) -> None:
        """Wait until libvirt has handled all panics, and nothing has changed for a while."""
        deadline = self._clock() + seconds
        asked_at = -1  # how many entries there were when all guests were asked, and answered
        while self._wait_quiet(deadline):
            if asked_at == sum(len(guest.entries) for guest in self._guests):
                return
            answered = [self._ask(guest) for guest in self._guests if guest.panicked and not guest.ended]
            asked_at = sum(len(guest.entries) for guest in self._guests) if all(answered) else -1
        for guest in self._guests:
            if not guest.settled:
                guest.add("unsettled")

    def remove(self) -> None:
        """End and undefine the guests.

        :raise SourceError: When libvirt still has one afterwards.
        """
        self._session.at_once([partial(self._remove, guest) for guest in self._guests])
        left = [guest.name for guest in self._guests if self._identity(guest) != -1]
        if left:
            raise SourceError(
                f"libvirt does not end {', '.join(left)}", f"end it with virsh destroy {left[0]}"
            )

    def _remove(self, guest: _StartedGuest) -> None:
        """End and undefine a guest.

        libvirt refuses to end one that it is busy with; its QEMU is then killed.
        """
        error = self._libvirt.libvirtError
        domain = self._session.connection.lookupByName(guest.name)
        try:
            if domain.isActive():
                domain.destroy()
        except error:
            with contextlib.suppress(error):  # it may just have ended
                deadline = self._clock() + _REMOVE
                while domain.isActive() and self._clock() < deadline:
                    kill_qemu(guest.name)
                    time.sleep(_POLL)
        if guest.plan.persistent:
            domain.undefine()

    def _note(self, domain: Any, kind: LogKind, text: str = "", numbers: Sequence[int] = ()) -> None:
        """Log an event; called in libvirt's thread, for all domains of the connection."""
        with self._changed:
            guest = self._by_name.get(domain.name())
            if guest:
                guest.add(kind, text, numbers)
                self._with_events[guest.name] = guest
                self._changed.notify_all()

    def _wait_quiet(self, deadline: float) -> bool:
        """Wait until all guests have settled and nothing has changed for a while; False at the deadline."""
        last = polled = self._clock()
        while (now := self._clock()) < deadline:
            with self._changed:
                self._changed.wait_for(lambda: self._with_events, _POLL)
                found, self._with_events = self._with_events, {}
            looks = list(found.values())
            if now - polled >= _POLL:
                looks += [g for g in self._guests if not g.settled and g.name not in found]
                polled = now
            changes = [self._look(guest) for guest in looks]
            if any(changes) or found:
                last = self._clock()
            if all(guest.settled for guest in self._guests) and self._clock() - last >= _QUIET:
                return True
        return False

    def _look(self, guest: _StartedGuest) -> bool:
        """Log the state of a guest if it is another one than before, and return whether it is."""
        state, refusal = self._session.attempt(guest.domain.state)
        numbers = tuple(int(number) for number in state or ()) if not refusal else ()
        if numbers == guest.last_state:
            return False
        guest.add("state" if numbers else "absent", numbers=numbers)
        return True

    def _ask(self, guest: _StartedGuest) -> bool:
        """Log QEMU's run state, the domain's state and its ID, and return whether QEMU answered or has ended.

        libvirt sends no monitor command while it handles a panic, so what it does is done afterwards.
        """
        message = {"execute": "query-status"}
        answer, refusal = self._session.attempt(lambda: monitor_command(guest.domain, message))
        self._look(guest)
        if guest.ended:
            return True
        status = (answer or {}).get("return", {}).get("status", "")
        entry = LogEntry("unanswered", refusal=refusal) if refusal else LogEntry("status", str(status))
        for found in (entry, LogEntry("id", numbers=(self._identity(guest),))):
            before = [one for one in guest.entries if one.kind == found.kind]
            if not before or before[-1] != found:
                guest.entries.append(found)
        return not refusal

    def _set(self, guest: _StartedGuest, word: str) -> bool:
        """Set the crash action of a running guest, and return whether libvirt accepts it."""
        crash, flags = self._libvirt.VIR_DOMAIN_LIFECYCLE_CRASH, self._libvirt.VIR_DOMAIN_AFFECT_LIVE
        guest.add("call", f"setLifecycleAction(crash, {word}, live)")
        _, refusal = self._session.attempt(
            lambda: guest.domain.setLifecycleAction(crash, ACTIONS[word], flags)
        )
        guest.add("refused" if refusal else "set", refusal=refusal)
        return not refusal

    def _identity(self, guest: _StartedGuest) -> int:
        """Return the ID that the domain has now; -1 if it does not run."""
        connection = self._session.connection
        found, _ = self._session.attempt(lambda: connection.lookupByName(guest.name).ID())
        return -1 if found is None else int(found)

    def _query(self, domain: Any, command: str) -> Any:
        """Return the answer to a QMP command; None if there is none."""
        answer, _ = self._session.attempt(lambda: monitor_command(domain, {"execute": command}))
        return answer.get("return") if answer else None

    @staticmethod
    def _command(domain: Any, line: str) -> None:
        message = {"execute": "human-monitor-command", "arguments": {"command-line": line}}
        monitor_command(domain, message)
