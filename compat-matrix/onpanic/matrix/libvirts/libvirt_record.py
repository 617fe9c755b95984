"""The record of a libvirt: what it accepts, and what its guests were seen to end in when they panicked.

The guests are those of its QEMU driver, or of its Xen driver; on Xen, a guest crashes.

`record_from_libvirt` makes it from a conversation, `LibvirtRecord.from_json` reads it from JSON.  The JSON
form has schema version 1; the JSON Schema is the file ``libvirt.schema.json`` in this folder.
"""

from typing import Any, Literal, Self, cast

import msgspec

from onpanic.core.errors import RecordError
from onpanic.core.json_decoding import decode_json, read_schema

__all__ = (
    "DumpFormat",
    "ElementAnswer",
    "GuestEnd",
    "GuestProcess",
    "GuestQemu",
    "GuestType",
    "GuestXen",
    "LibvirtBuild",
    "LibvirtRecord",
    "PanickedGuest",
    "QuestionOutcome",
)

QuestionOutcome = Literal["accepted", "not-known", "refused", "unasked"]

DumpFormat = Literal["elf", "kdump", "win-dmp", "other", "empty", "none", "unknown"]

GuestProcess = Literal["same", "new", "ended", "unknown"]

GuestType = Literal["", "pv", "pvh", "hvm"]

_HINT = "onpanic matrix collect --libvirt URI writes one"


class LibvirtBuild(msgspec.Struct, frozen=True, kw_only=True):
    """Which libvirt a record is about.

    :param version: For example ``9.0.0``.
    :param package: The distributor's version; empty if it is not known.
    :param driver: What libvirt calls its driver: ``QEMU`` or ``Xen``.
    :param mode: The path of the connection URI: ``system``, ``session`` or ``embed``.
    :param client: The version of the client library.  An older one cannot set every action.
    """

    version: str
    package: str = ""
    driver: str
    mode: str
    client: str


class GuestQemu(msgspec.Struct, frozen=True, kw_only=True):
    """The QEMU that libvirt ran.

    :param version: For example ``7.2.22``.
    :param package: What QEMU reports as its package.
    :param arch: The architecture of the guests.
    :param machine: The machine type of the guests, as it was named.
    """

    version: str
    package: str = ""
    arch: str
    machine: str


class GuestXen(msgspec.Struct, frozen=True, kw_only=True):
    """The Xen that libvirt ran guests on.

    :param version: As libvirt says it, without the patch level: ``4.17``.
    :param guest_types: The types of the guests that crashed.
    :param left_out: What was not tried, a guest type or a guest type with a value of ``<on_crash>``, and why.
    """

    version: str
    guest_types: list[GuestType]
    left_out: dict[str, str] = {}


class ElementAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """libvirt's answer to a document with one element.

    :param element: The element, such as ``<on_crash>preserve</on_crash>``.
    :param outcome: ``accepted``; ``not-known`` if libvirt refuses the element as it refuses a word that does
        not exist; ``refused`` if for another reason; ``unasked`` if it could not be asked.
    :param code: libvirt's error code; None if it accepts the element.
    :param domain: The error's domain; None if it accepts the element.
    :param text: libvirt's message.
    """

    element: str
    outcome: QuestionOutcome
    code: int | None = None
    domain: int | None = None
    text: str = ""


class GuestEnd(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a guest ended in after its panic.

    :param state: libvirt's state and reason; None if the domain no longer exists.
    :param states: The states that were seen on the way, in order, without the last one.
    :param events: Lifecycle events since the panic, in order: event and detail.
    :param panic_action: The action of QEMU's event ``GUEST_PANICKED``; empty if the event did not come.
    :param run_state: QEMU's run state (``query-status``); empty if QEMU has ended or did not answer.
    :param unanswered: libvirt's error where it was asked to ask QEMU; empty if QEMU answered, or has ended.
    :param reset: True if the guest was reset.
    :param process: Whether a guest is still in the QEMU process, or in the domain of Xen, that it panicked
        in: in the ``same`` one, in a ``new`` one, or in none (``ended``).
    :param dump: The format of a core dump, by its first bytes; ``none`` if there is no file, ``unknown`` if
        the folder cannot be read, ``other`` for a file in another format, ``empty`` for one without a byte,
        as a dump that fails leaves it.
    :param renamed: True if libvirt had the guest under another name, too, or instead.
    """

    state: tuple[int, int] | None
    events: list[tuple[int, int]]
    process: GuestProcess
    dump: DumpFormat
    panic_action: str = ""
    run_state: str = ""
    unanswered: str = ""
    reset: bool = False
    renamed: bool = False
    states: list[tuple[int, int]] = []


class PanickedGuest(msgspec.Struct, frozen=True, omit_defaults=True):
    """A guest that was started, and what became of it.

    :param on_crash: The value of ``<on_crash>``.
    :param persistent: False for a transient domain.
    :param on_reboot: The value of ``<on_reboot>``; empty if the document does not have the element.
    :param set_live: The crash action that was set while the guest ran; empty if none was set.
    :param setting: libvirt's answer to that.
    :param end: What the panic ended in; None if there was no panic, or nothing final was seen.
    :param problem: Why `end` is missing; empty if it is not.
    :param log: What was asked, and what libvirt and QEMU reported: lines that start with ``->`` or ``<-``.
    :param guest_type: The type of a guest of Xen; empty for a guest of QEMU.
    """

    on_crash: str
    persistent: bool
    on_reboot: str = ""
    set_live: str = ""
    setting: ElementAnswer | None = None
    end: GuestEnd | None = None
    problem: str = ""
    log: list[str] = []
    guest_type: GuestType = ""


class LibvirtRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What one libvirt accepts, and what its guests end in.

    :param schema_version: The version of this form.
    :param libvirt: Which libvirt it is.
    :param qemu: The QEMU that it ran; a record has either this or `xen`.
    :param xen: The Xen that it ran guests on.
    :param documents: The XML that was used: ``asked`` for `accepted`, ``guest`` for `guests`; on Xen,
        ``guest-pv`` and ``guest-pvh``.  ``{name}``, ``{lifecycle}``, ``{devices}`` and ``{image}`` stand for
        what differs.
    :param accepted: Answers by element (``on_crash``, ``on_reboot``, ``on_poweroff``, and for QEMU ``panic``)
        and by value or model.  The model ``none`` is ``<panic/>`` without a model.
    :param guests: The guests that panicked, or that crashed on Xen.
    :param at: When it was asked: UTC, RFC 3339.
    :param by: The program that asked.
    :param seconds: How long it took.
    :param source: Where the libvirt comes from, such as ``Debian sid``; empty for one that the user named.
    """

    schema_version: Literal[1] = 1
    libvirt: LibvirtBuild
    qemu: GuestQemu | msgspec.UnsetType = msgspec.UNSET
    xen: GuestXen | msgspec.UnsetType = msgspec.UNSET
    documents: dict[str, str]
    accepted: dict[str, dict[str, ElementAnswer]]
    guests: list[PanickedGuest]
    at: str
    by: str
    seconds: float
    source: str = ""

    def __post_init__(self) -> None:
        """Refuse a record of no guests, and one of QEMU's and of Xen's.

        :raise ValueError: For such a record.
        """
        if isinstance(self.qemu, GuestQemu) == isinstance(self.xen, GuestXen):
            raise ValueError("a record has either the member qemu or the member xen")

    @property
    def ran_on(self) -> GuestQemu | GuestXen:
        """What libvirt ran guests on."""
        return self.qemu if isinstance(self.qemu, GuestQemu) else cast("GuestXen", self.xen)

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Read a record.

        :raise RecordError: When it is not a record of a libvirt, or has another schema version.
        """
        try:
            return decode_json(data, cls)
        except ValueError as error:
            raise RecordError(f"not a record of a libvirt: {error}", _HINT) from error

    @staticmethod
    def json_schema() -> dict[str, Any]:
        """Return the JSON Schema of a record: the file that is installed with the package."""
        return read_schema(__package__, "libvirt.schema.json")
