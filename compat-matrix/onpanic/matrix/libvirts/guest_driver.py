"""What differs between drivers of libvirt when their guests are run: the protocol that each implements."""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from onpanic.matrix.libvirts.libvirt_conversation import LogEntry, LogKind
from onpanic.matrix.libvirts.libvirt_questions import GuestPlan
from onpanic.matrix.libvirts.libvirt_record import DumpFormat, GuestQemu, GuestXen
from onpanic.matrix.libvirts.started_guest import StartedGuest

__all__ = ("GuestDriver", "LogForDomain")

#: Logs an entry for a domain (a `libvirt.virDomain`): its kind, and its text.
LogForDomain = Callable[[Any, LogKind, str], None]


class GuestDriver(Protocol):
    """A driver of libvirt, whose guests are started and made to panic.

    All methods but `plans` and `handled` may block as libvirt does.

    :ivar native: Its format of ``domainXMLToNative``.
    :ivar documents: See `LibvirtRecord.documents`.
    :ivar models: The models of ``<panic>`` to ask about.
    :ivar needs: What to do if libvirt refuses even the simplest guest.
    """

    native: str
    documents: Mapping[str, str]
    models: Sequence[str]
    needs: str

    @property
    def start_flags(self) -> int:
        """Flags of ``virDomainCreateWithFlags``."""

    def plans(self, accepted: Collection[str]) -> list[GuestPlan]:
        """Return the guests to start.

        :param accepted: The values of ``<on_crash>`` that libvirt accepts.
        """

    def files(self) -> AbstractContextManager[None]:
        """Have the files that guests are started from, until the context is left."""

    def xml(self, guest: StartedGuest) -> str:
        """Return the document of a guest."""

    def events(self, note: LogForDomain) -> AbstractContextManager[None]:
        """Log the driver's own events, until the context is left."""

    def about(self, guests: Sequence[StartedGuest]) -> GuestQemu | GuestXen:
        """Return what its guests run on.

        :param guests: Guests that may run, and may be asked.
        """

    def panic(self, guest: StartedGuest) -> str:
        """Prepare that a guest panics, and return in words what makes it panic."""

    def make_panic(self, guest: StartedGuest) -> None:
        """Let a guest panic.

        :raise libvirt.libvirtError: When libvirt refuses.
        """

    def handled(self, guest: StartedGuest) -> bool:
        """Return whether libvirt has handled a guest's panic, as far as the log shows."""

    def run_state(self, guest: StartedGuest) -> LogEntry | None:
        """Return the run state of a guest that has not ended, if there is one beside libvirt's state."""

    def dump_of(self, name: str) -> DumpFormat:
        """Return the format of the newest core dump of a guest."""

    def kill(self, name: str) -> None:
        """Kill a guest that libvirt does not end, as far as this is possible."""

    def remove_files(self, names: Sequence[str]) -> None:
        """Remove what libvirt left of guests: core dumps and logs, as far as this is permitted."""
