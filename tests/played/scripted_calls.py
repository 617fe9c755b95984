"""Calls of the played libvirt that a test scripts: they fail, hang, or make something happen."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

__all__ = ("DEADLINE", "Call", "Hang", "ScriptedCalls")

#: Seconds; for calls that are not made, or not released.
DEADLINE = 30


class Call(NamedTuple):
    """A call of libvirt's API, and the name of the domain that it was about; empty for a connection's."""

    name: str
    domain: str


class Hang:
    """A call that hangs.

    :param seconds: After which it fails the test; None for never.
    """

    def __init__(self, seconds: float | None = DEADLINE) -> None:
        self._seconds = seconds
        self._begun = threading.Event()
        self._released = threading.Event()

    def __call__(self) -> None:
        self._begun.set()
        assert self._released.wait(self._seconds), "the call was not released"

    @property
    def begun(self) -> bool:
        """True if the call was made."""
        return self._begun.is_set()

    def wait(self) -> None:
        """Wait until the call is made."""
        assert self._begun.wait(DEADLINE), "the call was not made"

    def release(self) -> None:
        """Let the call go on."""
        self._released.set()


@dataclass
class _Hook:
    call: str
    action: Callable[[], object]
    times: int
    domain: str | None
    after: bool


class ScriptedCalls:
    """What happens when calls are made.

    :ivar calls: All calls that were made, in order.
    """

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self._hooks: list[_Hook] = []
        self._hooks_lock = threading.Lock()
        self._hangs: list[Hang] = []

    def on(
        self,
        call: str,
        action: Callable[[], object],
        *,
        times: int = 1,
        domain: str | None = None,
        after: bool = False,
    ) -> None:
        """Do something when a call is made.

        :param call: The method's name, e.g. ``resume``.
        :param action: Called in the calling thread; the call raises what it raises.
        :param times: For how many calls.
        :param domain: For calls on the domain of this name only.
        :param after: Do it when the call has done its work, before it returns.
        """
        self._hooks.append(_Hook(call, action, times, domain, after))

    def hang(
        self, call: str, *, times: int = 1, domain: str | None = None, seconds: float | None = DEADLINE
    ) -> Hang:
        """Let a call block until it is released, and fail the test if it is not in time; see `on`."""
        hang = Hang(seconds)
        self._hangs.append(hang)
        self.on(call, hang, times=times, domain=domain)
        return hang

    def release_all(self) -> None:
        """Release the calls that hang."""
        for hang in self._hangs:
            if hang.begun:
                hang.release()

    def run_hooks(self, call: str, domain: str, *, after: bool = False) -> None:
        """Do what is scripted for a call, without holding up others."""
        due = []
        with self._hooks_lock:
            for hook in self._hooks:
                about_it = hook.domain is None or hook.domain == domain
                if hook.times > 0 and about_it and (hook.call, hook.after) == (call, after):
                    hook.times -= 1
                    due.append(hook)
        for hook in due:
            hook.action()
