"""Panics that events told of, until it is known what became of the guest."""

import time

import msgspec

from .report import now
from .voice import Voice

__all__ = ("Panic", "Panics")


class Panic(msgspec.Struct):
    """A guest's trouble.

    :param at: When it was seen, as a line has it.
    :param clock: The same in seconds, monotonic.
    :param detail: What is known of it.
    :param stopped: True if the guest was stopped for it.
    :param told: True if a line was written.
    """

    at: str
    clock: float
    detail: str
    stopped: bool = True
    told: bool = False

    @classmethod
    def found(cls, detail: str = "") -> "Panic":
        """Return one that is found now."""
        return cls(now(), time.monotonic(), detail)


class Panics:
    """What events told of one guest.

    :param voice: Says lines about it.
    :ivar pending: Panics of which nothing is known but that they were.
    :ivar down: True if it was stopped for one, and did not run since.
    """

    def __init__(self, voice: Voice) -> None:
        self._voice = voice
        self.pending: list[Panic] = []
        self.down = False

    def saw(self, detail: str, *, stopped: bool, tell: bool) -> bool:
        """Take note of a panic; return False if it is one that was told of already, by another notifier.

        :param tell: Write a line now.
        """
        if self.down and stopped:
            return False
        self.down = stopped
        panic = Panic(now(), time.monotonic(), detail, stopped)
        self.pending.append(panic)
        if tell:
            self.tell(panic)
        return True

    def newer(self, clock: float) -> bool:
        """Say if one was seen after a time, so that what was found then is out of date."""
        return bool(self.pending) and self.pending[-1].clock >= clock

    def tell(self, panic: Panic, event: str = "panicked") -> None:
        """Write a line about it, if there is none yet."""
        if not panic.told:
            self._voice.say(event, "warning", at=panic.at, detail=panic.detail)
        panic.told = True
