"""What can be asked of a guest, and done with it: the same for a domain and for a monitor.

::

    OnpanicError
     ├── LostError     nobody can be asked now; what was begun is taken up again later
     ├── GoneError     the guest is not there any more
     ├── BusyError     somebody is at work on the guest, or does not answer: look again
     │    └── StaleError   the guest is not as it was, and nothing was done
     └── FailedError   what was asked for was refused, or did not work
"""

from collections.abc import Callable
from typing import Protocol

import msgspec

from onpanic.probe.decision import Policy
from onpanic.probe.errors import OnpanicError

from .duty import Condition, Step
from .journal import Entry

__all__ = (
    "BusyError",
    "FailedError",
    "GoneError",
    "Guest",
    "Look",
    "LostError",
    "Progress",
    "StaleError",
    "Standing",
)

#: Called with the bytes that are dumped, and those that there are.
Progress = Callable[[int, int], None]


class LostError(OnpanicError):
    """Nobody can be asked now: the connection is gone, or nobody answers."""


class GoneError(OnpanicError):
    """The guest is not there any more."""


class BusyError(OnpanicError):
    """Somebody is at work on the guest, or does not answer; what was asked for may come about still.

    :param wait: Seconds after which it may be asked for again, unless an event tells before.
    """

    def __init__(self, message: str, *, wait: float = 1.0) -> None:
        super().__init__(message)
        self.wait = wait


class StaleError(BusyError):
    """The guest is not as it was when it was looked at, and nothing was done."""


class FailedError(OnpanicError):
    """What was asked for was refused, or did not work; the guest is as it was."""


class Look(msgspec.Struct, frozen=True):
    """How a guest was found.

    :param condition: Its condition.
    :param instance: Which start of it this is.
    :param ran: How long its vCPUs have run, in nanoseconds; None where nobody knows.
    :param busy: True while libvirt is at work on it.
    :param dumped: Bytes that libvirt has dumped of it by now, and those that there are; None if it does not.
    """

    condition: Condition
    instance: str = ""
    ran: int | None = None
    busy: bool = False
    dumped: tuple[int, int] | None = None


class Standing(msgspec.Struct, frozen=True):
    """What is to be done about a guest, and by whom.

    :param policy: Its policy.
    :param acts: libvirt's word for what it does by itself when the guest panics; empty for nothing.
    """

    policy: Policy
    acts: str = ""


class Guest(Protocol):
    """A guest that is watched.

    Every method raises `LostError`, `BusyError` and, but for `look`, `GoneError`.

    :ivar key: What the journal knows it by.
    :ivar name: Its name.
    :ivar uuid: Its UUID; empty if it has none.
    """

    key: str
    name: str
    uuid: str

    async def look(self, *, curious: bool) -> Look:
        """Look at it.

        :param curious: Find out why it is paused where libvirt does not know; libvirt marks the
            domain as tainted for it.
        """

    async def standing(self) -> Standing | None:
        """Return what is to be done about it; None if it has no policy, or one that makes no sense."""

    async def dump_path(self, at: float) -> str:
        """Return where its memory can be dumped to.

        :param at: When it got into trouble, in seconds since the epoch.
        """

    async def dump(self, entry: Entry, progress: Progress) -> None:
        """Dump its memory to the entry's file.

        :raise FailedError: When that does not work; no file is left, where that can be helped.
        """

    async def act(self, step: Step, entry: Entry, note: Callable[[str], None]) -> None:
        """Take any other step.

        :param note: Writes down who starts it, for a watcher that is started meanwhile.
        :raise FailedError: When it is refused, or does not work.
        """

    async def new_name(self) -> str:
        """Return a name that it can have after a rename-restart."""

    async def configuration(self) -> str:
        """Return what it can be started with again once it is gone; empty if it is not gone then."""

    async def act_itself(self, word: str) -> bool:
        """Have libvirt do something else on a panic, until the guest ends; False where nobody can.

        :param word: A value of libvirt's ``<on_crash>``.
        """
