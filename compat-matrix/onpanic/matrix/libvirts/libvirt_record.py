"""The record of a libvirt: what it accepts, and what its guests were seen to end in when they panicked.

`record_from_libvirt` makes it from a conversation, `LibvirtRecord.from_json` reads it from JSON.  The JSON
form has schema version 1; the JSON Schema is the file ``libvirt.schema.json`` in this folder.
"""

from typing import Any, Literal, Self

import msgspec

from onpanic.core.errors import RecordError
from onpanic.core.json_decoding import decode_json, read_schema

__all__ = (
    "DumpFormat",
    "ElementAnswer",
    "GuestEnd",
    "GuestQemu",
    "LibvirtBuild",
    "LibvirtRecord",
    "PanickedGuest",
    "QemuProcess",
    "QuestionOutcome",
)

#: What libvirt does with a value: it accepts it; it refuses it as it refuses a word that does not exist;
#: it refuses it for another reason; ``unasked`` if it could not be asked.
QuestionOutcome = Literal["accepted", "not-known", "refused", "unasked"]

#: The format of a core dump, by its first bytes; ``none`` if there is no file, ``unknown`` if the folder
#: cannot be read, ``other`` for a file in another format.
DumpFormat = Literal["elf", "kdump", "win-dmp", "other", "none", "unknown"]

#: Whether a guest still runs in the QEMU process that panicked: in the ``same`` one, in a ``new`` one, or in
#: none (``ended``).
QemuProcess = Literal["same", "new", "ended", "unknown"]

_HINT = "onpanic matrix collect --libvirt URI writes one"


class LibvirtBuild(msgspec.Struct, frozen=True, kw_only=True):
    """Which libvirt a record is about.

    :param version: For example ``9.0.0``.
    :param package: The distributor's version; empty if it is not known.
    :param driver: What libvirt calls its driver: ``QEMU``.
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


class ElementAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """libvirt's answer to a document with one element.

    :param element: The element, such as ``<on_crash>preserve</on_crash>``.
    :param outcome: See `QuestionOutcome`.
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
    :param process: See `QemuProcess`.
    :param dump: See `DumpFormat`.
    """

    state: tuple[int, int] | None
    events: list[tuple[int, int]]
    process: QemuProcess
    dump: DumpFormat
    panic_action: str = ""
    run_state: str = ""
    unanswered: str = ""
    reset: bool = False
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
    """

    on_crash: str
    persistent: bool
    on_reboot: str = ""
    set_live: str = ""
    setting: ElementAnswer | None = None
    end: GuestEnd | None = None
    problem: str = ""
    log: list[str] = []


class LibvirtRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What one libvirt accepts, and what its guests end in.

    :param libvirt: Which libvirt it is.
    :param qemu: The QEMU that it ran.
    :param documents: The XML that was used: ``asked`` for `accepted`, ``guest`` for `guests`.
        ``{name}``, ``{lifecycle}`` and ``{devices}`` stand for what differs.
    :param accepted: Answers by element (``on_crash``, ``on_reboot``, ``on_poweroff``, ``panic``) and by
        value or model.  The model ``none`` is ``<panic/>`` without a model.
    :param guests: The guests that panicked.
    :param at: When it was asked: UTC, RFC 3339.
    :param by: The program that asked.
    :param seconds: How long it took.
    :param source: Where the libvirt comes from, such as ``Debian sid``; empty for one that the user named.
    """

    schema_version: Literal[1] = 1
    libvirt: LibvirtBuild
    qemu: GuestQemu
    documents: dict[str, str]
    accepted: dict[str, dict[str, ElementAnswer]]
    guests: list[PanickedGuest]
    at: str
    by: str
    seconds: float
    source: str = ""

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
