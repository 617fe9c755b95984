"""Events of the played libvirt: who registered for them, and the event loop that delivers them."""

from __future__ import annotations

import json
import queue
import re
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .client import virConnect, virDomain
from .constants import LIBVIRT_QEMU
from .scripted_calls import DEADLINE

if TYPE_CHECKING:
    from .domain import PlayedDomain

__all__ = ("Events",)

_REGEX = LIBVIRT_QEMU["VIR_CONNECT_DOMAIN_QEMU_MONITOR_EVENT_REGISTER_REGEX"]
_NOCASE = LIBVIRT_QEMU["VIR_CONNECT_DOMAIN_QEMU_MONITOR_EVENT_REGISTER_NOCASE"]


@dataclass
class _Registration:
    connection: virConnect
    uuid: str | None
    kind: int | str  # an event id; the name or pattern of QEMU's events
    callback: Callable[..., Any]
    opaque: Any
    flags: int

    def wants(self, kind: int | str) -> bool:
        if isinstance(kind, int) or isinstance(self.kind, int):
            return kind == self.kind
        if not self.kind:
            return True
        case = re.IGNORECASE if self.flags & _NOCASE else 0
        pattern = self.kind if self.flags & _REGEX else f"^{re.escape(self.kind)}$"
        return bool(re.search(pattern, kind, case))


class Events:
    """Events that are delivered by whoever runs the event loop.

    :ivar has_event_loop: True after ``virEventRegisterDefaultImpl``.
    :ivar blocked: True to send no event until the last registration has ended, see `unblock_events`.
    :ivar callback_errors: Exceptions that callbacks raised, as text.
    """

    def __init__(self) -> None:
        self.has_event_loop = False
        self.blocked = False
        self.callback_errors: list[str] = []
        self._registrations: dict[int, _Registration] = {}
        self._last_registration = 0
        self._queue: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        self._undelivered = 0
        self._count_lock = threading.Lock()
        self._threads: set[threading.Thread] = set()
        self._ended = False

    def wait_delivered(self) -> None:
        """Wait until all events have been delivered."""
        deadline = time.monotonic() + DEADLINE
        while self._undelivered:
            assert time.monotonic() < deadline, "the event loop does not run"
            time.sleep(0.001)

    def event(self, domain: PlayedDomain, kind: int | str, *values: Any) -> None:
        """Send an event to all who registered for it."""
        if self.blocked:
            return
        for number, registration in list(self._registrations.items()):
            if registration.uuid in (None, domain.uuid) and registration.wants(kind):
                seen = virDomain(registration.connection, domain)

                def deliver(number: int = number, seen: virDomain = seen) -> None:
                    now = self._registrations.get(number)
                    if now is not None and not now.connection._dead:
                        now.callback(now.connection, seen, *values, now.opaque)

                self.deliver_later(deliver)

    def monitor_event(self, domain: PlayedDomain, name: str, data: dict[str, Any] | None = None) -> None:
        """Send one of QEMU's own events."""
        self.event(domain, name, name, int(time.time()), 0, None if data is None else json.dumps(data))

    def deliver_later(self, deliver: Callable[[], object]) -> None:
        """Queue a callback behind all earlier ones."""
        with self._count_lock:
            self._undelivered += 1
        self._queue.put(deliver)

    def register(
        self,
        connection: virConnect,
        uuid: str | None,
        kind: int | str,
        callback: Callable[..., Any],
        opaque: Any,
        flags: int,
    ) -> int:
        """Return the number of a new registration."""
        self._last_registration += 1
        registration = _Registration(connection, uuid, kind, callback, opaque, flags)
        self._registrations[self._last_registration] = registration
        return self._last_registration

    def deregister(self, connection: virConnect, number: int) -> bool:
        """Forget a registration; return False if the connection does not have it."""
        found = self._registrations.get(number)
        if found is None or found.connection is not connection:
            return False
        del self._registrations[number]
        self.blocked = self.blocked and bool(self._registrations)
        return True

    def has_callbacks(self, connection: virConnect) -> bool:
        """Return True for a connection that has registered for events."""
        return any(one.connection is connection for one in list(self._registrations.values()))

    def run_event_loop_once(self) -> int:
        """Deliver an event, as ``virEventRunDefaultImpl`` does; end the thread after `end_event_loop`."""
        self._threads.add(threading.current_thread())
        deliver = None if self._ended else self._queue.get()
        if deliver is None:
            raise SystemExit
        try:
            deliver()
        except Exception:  # noqa: BLE001
            self.callback_errors.append(traceback.format_exc())
        finally:
            with self._count_lock:
                self._undelivered -= 1
        return 0

    def end_event_loop(self) -> None:
        """End the threads that run the event loop."""
        self._ended = True
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads - {threading.current_thread()}:
            thread.join(DEADLINE)
            assert not thread.is_alive(), f"{thread.name} is stuck in a callback"
