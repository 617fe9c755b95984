"""Everything that a libvirt was asked, and everything that it and its guests' QEMU reported."""

from collections.abc import Mapping
from typing import Literal

import msgspec

from onpanic.matrix.libvirts.libvirt_questions import GuestPlan
from onpanic.matrix.libvirts.libvirt_record import GuestQemu, GuestXen

__all__ = ("AskedElement", "LibvirtConversation", "LibvirtRefusal", "LogEntry", "LogKind", "ObservedGuest")

#: What an entry of a guest's log is:
#:
#: ``call``      a call to libvirt, in words
#: ``panic``     what makes the guest panic, in words
#: ``refused``   libvirt's refusal of the call before it
#: ``set``       the live change of the crash action was accepted
#: ``event``     a lifecycle event
#: ``panicked``  QEMU's event GUEST_PANICKED
#: ``reset``     the guest was reset, as libvirt reports it
#: ``state``     the domain's state, where it is not that of the entry before
#: ``absent``    the domain no longer exists
#: ``id``        the domain's ID, which changes with each QEMU process, or domain of Xen; -1 if it has none
#: ``renamed``   libvirt has the guest under another name, too, or instead
#: ``status``    QEMU's run state
#: ``unanswered`` libvirt's error where QEMU was asked for its run state
#: ``dump``      the format of the core dump
#: ``unsettled`` nothing final was seen in time
LogKind = Literal[
    "call",
    "panic",
    "refused",
    "set",
    "event",
    "panicked",
    "reset",
    "state",
    "absent",
    "id",
    "renamed",
    "status",
    "unanswered",
    "dump",
    "unsettled",
]


class LibvirtRefusal(msgspec.Struct, frozen=True):
    """An error of libvirt.

    :param code: Its code (``virErrorNumber``).
    :param domain: The part of libvirt that it comes from (``virErrorDomain``).
    :param text: Its message, which may be translated.
    """

    code: int
    domain: int
    text: str


class AskedElement(msgspec.Struct, frozen=True):
    """A document that libvirt was asked about.

    :param element: The name of the element: ``on_crash``, …, ``panic``.
    :param word: Its value, or the device's model.
    :param refusal: libvirt's error; None if it accepts the document.
    """

    element: str
    word: str
    refusal: LibvirtRefusal | None


class LogEntry(msgspec.Struct, frozen=True):
    """An entry of a guest's log.

    :param kind: See `LogKind`.
    :param text: A call, a run state, a format, or an action.
    :param numbers: A state with its reason, an event with its detail, or an ID.
    :param refusal: For ``refused``.
    """

    kind: LogKind
    text: str = ""
    numbers: tuple[int, ...] = ()
    refusal: LibvirtRefusal | None = None


class ObservedGuest(msgspec.Struct, frozen=True):
    """A guest that was started, and its log in the order in which things happened."""

    plan: GuestPlan
    entries: list[LogEntry]


class LibvirtConversation(msgspec.Struct, frozen=True, kw_only=True):
    """All of it.

    :param version: libvirt's version number.
    :param client: The client library's version number.
    :param driver: See `LibvirtBuild.driver`.
    :param mode: See `LibvirtBuild.mode`.
    :param ran_on: What guests ran on; QEMU's version is empty if no guest was started.
    :param documents: See `LibvirtRecord.documents`.
    :param asked: The documents that it was asked about.
    :param guests: The guests that it ran.
    """

    version: int
    client: int
    driver: str
    mode: str
    ran_on: GuestQemu | GuestXen
    documents: Mapping[str, str]
    asked: list[AskedElement]
    guests: list[ObservedGuest]
