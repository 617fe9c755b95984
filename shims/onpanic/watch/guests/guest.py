"""The interface to a watched guest, which is the same for a libvirt domain and for a QMP monitor."""

from collections.abc import Callable
from typing import Literal, Protocol

import msgspec

from onpanic.probe.decision.policy import Policy
from onpanic.watch.rules.incident import Incident
from onpanic.watch.rules.next_step import Condition, Step

__all__ = ("Assignment", "DumpProgress", "Guest", "GuestState")

#: Called with the bytes dumped so far, and the bytes to dump.
DumpProgress = Callable[[int, int], None]


class GuestState(msgspec.Struct, frozen=True):
    """The state in which a guest was found.

    :param condition: Its condition.
    :param instance: Which start of the guest this is: another start has another value.
    :param cpu_time: The CPU time of its vCPUs, in nanoseconds; None if unknown.
    :param busy: Whether libvirt or QEMU works on the guest, for example dumps it.
    :param dumped: Bytes that a dump has written so far and bytes to dump; None if no dump is in progress.
    :param ending: How a guest that is off has ended: ``shutdown`` if QEMU shut down, also by a reset that it
        turned into one; ``crashed`` if libvirt destroyed it after a panic, or QEMU died; else empty.
    :param detail: Why the condition is unknown.
    """

    condition: Condition
    instance: str = ""
    cpu_time: int | None = None
    busy: bool = False
    dumped: tuple[int, int] | None = None
    ending: Literal["", "shutdown", "crashed"] = ""
    detail: str = ""


class Assignment(msgspec.Struct, frozen=True):
    """A guest's policy, and libvirt's share in it.

    :param policy: The policy.
    :param libvirt_action: The ``<on_crash>`` action that libvirt itself takes when the guest panics; empty if
        it takes none.
    :param reset_ends: The part of the guest's definition because of which a reset ends it; empty if a reset
        reboots it.
    """

    policy: Policy
    libvirt_action: str = ""
    reset_ends: str = ""


class Guest(Protocol):
    """A watched guest.

    Every method may raise `LostError` when the connection is gone, `GoneError` when the guest does not
    exist, and `BusyError` when the call must be repeated later.

    :ivar key: The guest's key in the journal.
    :ivar name: Its name.
    :ivar uuid: Its UUID; empty if it has none.
    """

    key: str
    name: str
    uuid: str

    async def read_state(self, *, ask_qemu: bool) -> GuestState:
        """Return the guest's state.  Raises no `GoneError`: its condition is ``gone`` then.

        :param ask_qemu: Whether to ask QEMU if libvirt's state leaves open whether the guest failed.  libvirt
            then marks the domain as tainted (``custom-monitor``).
        """

    async def read_assignment(self) -> Assignment | None:
        """Return the guest's policy; None if it has none, or an invalid one."""

    async def dump_path(self, at: float) -> str:
        """Return the file that the guest's memory can be dumped to.

        :param at: When the guest failed, in seconds since the epoch.
        """

    async def dump(self, incident: Incident, progress: DumpProgress) -> None:
        """Dump the guest's memory to the incident's file.

        :param progress: Called from time to time.
        :raise FailedError: When the dump fails.  No incomplete file is left if it can be removed.
        """

    async def take_step(self, step: Step, incident: Incident, on_starter: Callable[[str], None]) -> None:
        """Take a step other than ``coredump``.

        :param on_starter: Called with the identity of the process that starts the guest, which a
            restarted watcher needs.
        :raise FailedError: When the step is refused or fails.
        """

    async def new_name(self) -> str:
        """Return a name for the guest after a rename-restart."""

    async def transient_xml(self) -> str:
        """Return the XML that starts a transient domain again; empty if the guest's definition persists."""

    async def set_libvirt_action(self, action: str) -> bool:
        """Change what libvirt does when the guest panics, until the guest ends.

        :param action: A value of libvirt's ``<on_crash>``.
        :return: False if there is no libvirt.
        """
