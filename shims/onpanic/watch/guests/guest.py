"""The interface to a watched guest, which is the same for a libvirt domain and for a QMP monitor."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import msgspec

from onpanic.watch.rules.incident import Incident
from onpanic.watch.rules.observation import Assignment, GuestState
from onpanic.watch.rules.policy_steps import Step
from onpanic.why.words.last_words import LastWords

__all__ = ("DumpProgress", "DumpResult", "Guest", "LibvirtDump")

#: Called with the bytes dumped so far, and the bytes to dump.
DumpProgress = Callable[[int, int], None]


class DumpResult(msgspec.Struct, frozen=True):
    """A dump that was made.

    :param path: Its file, on the guest's host.
    :param detail: Why it is not as the settings ask; empty if it is.
    """

    path: str = ""
    detail: str = ""


class LibvirtDump(msgspec.Struct, frozen=True):
    """What has become of a dump that libvirt makes by itself.

    :param path: Its file; empty if there is none.
    :param error: Why it is no complete dump; empty if it is one.
    """

    path: str
    error: str = ""


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
        """Return the file that the guest's memory can be dumped to, as an ELF file.

        :param at: When the guest failed, in seconds since the epoch.
        """

    async def dump(self, incident: Incident, progress: DumpProgress) -> DumpResult:
        """Dump the guest's memory to the incident's file, whose extension becomes that of the format.

        :param progress: Called from time to time.
        :raise FailedError: When the dump fails.  No incomplete file is left if it can be removed.
        """

    async def libvirt_dump(self) -> LibvirtDump | None:
        """Return what has become of the dump that libvirt was to make when the guest panicked.

        None if it was to make none, if that is not known here, or if an event reports it.
        """

    async def read_words(self, incident: Incident, timeout: float, folder: Path | None) -> LastWords:  # noqa: ASYNC109
        """Return why the panicked guest panicked, read from its memory.

        :param timeout: Seconds.
        :param folder: A directory that the host's root can use; None for none.
        :raise FailedError: When it cannot be read.
        """

    async def take_step(self, step: Step, incident: Incident, on_starter: Callable[[str], None]) -> None:
        """Take a step other than ``coredump``.

        :param on_starter: Called with the identity of the process that starts the guest, which a
            restarted watcher needs.
        :raise FailedError: When the step is refused or fails.
        """

    async def new_name(self) -> str:
        """Return a name for the guest after a rename-restart."""

    async def transient_xml(self, *, renames: bool) -> str:
        """Return the XML that starts a guest again whose definition does not persist; empty if it does.

        :param renames: Whether the guest is to have another name.
        """

    async def set_libvirt_action(self, action: str) -> None:
        """Change what libvirt does when the guest panics, until the guest ends.

        :param action: A value of libvirt's ``<on_crash>``.
        """
