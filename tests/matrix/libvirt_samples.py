"""Played conversations with libvirts, and records of them."""

from collections.abc import Mapping, Sequence

import msgspec

from onpanic.matrix import Matrix
from onpanic.matrix.libvirts.libvirt_conversation import (
    AskedElement,
    LibvirtConversation,
    LibvirtRefusal,
    LogEntry,
    ObservedGuest,
)
from onpanic.matrix.libvirts.libvirt_files import libvirt_name
from onpanic.matrix.libvirts.libvirt_questions import GuestPlan, questions
from onpanic.matrix.libvirts.libvirt_record import GuestQemu, LibvirtRecord
from onpanic.matrix.libvirts.qemu_guests import DOCUMENTS, MODELS
from onpanic.matrix.libvirts.record_from_libvirt import libvirt_record_of
from onpanic.shims.translation.asking_libvirt import CONTROL_WORD

NEW = ("preserve-running", "pvpanic")

RUNNING, PAUSED, OFF, CRASHED = (1, 1), (3, 0), (5, 3), (6, 1)
RESTARTED = (1, 9)


def unknown(element: str, word: str, text: str = "unknown {element} action: {word}") -> LibvirtRefusal:
    """Return the refusal of a word that libvirt does not know."""
    return LibvirtRefusal(67, 20, text.format(element=element, word=word))


def asked(
    refused: Mapping[tuple[str, str], LibvirtRefusal] | None = None,
    *,
    without: Sequence[str] = NEW,
    text: str = "unknown {element} action: {word}",
) -> list[AskedElement]:
    """Return the answers of a libvirt that accepts every word but those given.

    :param refused: Words that it refuses, by element and word.
    :param without: Words that it does not know.
    :param text: How it refuses a word that it does not know.
    """
    found = {
        (element, word): unknown(element, word, text)
        for element, word in questions(MODELS)
        if word in (*without, CONTROL_WORD)
    }
    found |= refused or {}
    return [AskedElement(element, word, found.get((element, word))) for element, word in questions(MODELS)]


def guest(plan: GuestPlan, *entries: LogEntry, before: Sequence[LogEntry] = ()) -> ObservedGuest:
    """Return a guest that panics after its start, and what followed."""
    start = [
        LogEntry("call", "create"),
        LogEntry("event", numbers=(4, 0)),
        LogEntry("event", numbers=(2, 0)),
        LogEntry("state", numbers=RUNNING),
        LogEntry("id", numbers=(7,)),
        *before,
        LogEntry("panic", "human-monitor-command: o /b 0x505 1"),
        LogEntry("panicked", '{"action":"pause"}'),
    ]
    return ObservedGuest(plan, [*start, *entries])


def ended(plan: GuestPlan, *, dump: str = "none") -> ObservedGuest:
    """Return a guest that libvirt destroys after its panic."""
    gone = LogEntry("state", numbers=OFF) if plan.persistent else LogEntry("absent")
    return guest(
        plan,
        LogEntry("event", numbers=(8, 0)),
        LogEntry("state", numbers=CRASHED),
        LogEntry("event", numbers=(5, 2)),
        gone,
        LogEntry("id", numbers=(-1,)),
        LogEntry("dump", dump),
    )


def restarted(plan: GuestPlan, *, dump: str = "none") -> ObservedGuest:
    """Return a guest that libvirt resets after its panic."""
    return guest(
        plan,
        LogEntry("event", numbers=(8, 0)),
        LogEntry("reset"),
        LogEntry("event", numbers=(4, 0)),
        LogEntry("state", numbers=RESTARTED),
        LogEntry("status", "running"),
        LogEntry("dump", dump),
    )


def preserved(
    plan: GuestPlan, *, state: tuple[int, int] = CRASHED, status: str = "guest-panicked"
) -> ObservedGuest:
    """Return a guest that libvirt leaves as it is after its panic."""
    return guest(
        plan,
        LogEntry("event", numbers=(8, 0)),
        LogEntry("state", numbers=state),
        LogEntry("status", status),
        LogEntry("dump", "none"),
    )


def conversation(
    guests: Sequence[ObservedGuest] | None = None,
    *,
    version: int = 9_000_000,
    client: int = 9_000_000,
    answers: Sequence[AskedElement] | None = None,
) -> LibvirtConversation:
    """Return a conversation with a libvirt; by default it has one guest for each value of <on_crash>."""
    refused = {
        ("on_crash", "rename-restart"): LibvirtRefusal(67, 10, "the driver doesn't support 'rename-restart'")
    }
    usual = [
        ended(GuestPlan("destroy", persistent=True)),
        restarted(GuestPlan("restart", persistent=True)),
        preserved(GuestPlan("preserve", persistent=True)),
        ended(GuestPlan("coredump-destroy", persistent=True), dump="elf"),
        restarted(GuestPlan("coredump-restart", persistent=True), dump="elf"),
        ended(GuestPlan("destroy", persistent=False)),
    ]
    return LibvirtConversation(
        version=version,
        client=client,
        driver="QEMU",
        mode="session",
        ran_on=GuestQemu(version="7.2.22", package="Debian 1:7.2", arch="x86_64", machine="pc"),
        documents=DOCUMENTS,
        asked=list(asked(refused) if answers is None else answers),
        guests=list(usual if guests is None else guests),
    )


def libvirt_record(found: LibvirtConversation | None = None, *, package: str = "") -> LibvirtRecord:
    """Return the record of a conversation."""
    return libvirt_record_of(
        found or conversation(), at="2026-11-26T12:00:00Z", by="onpanic", seconds=1.0, package=package
    )


def with_libvirts(matrix: Matrix, text: str = "") -> Matrix:
    """Return a matrix with records of two libvirts, of which the newer one knows more words.

    :param text: What stands in place of each text of libvirt's or QEMU's.
    """
    newer = conversation(
        [
            *conversation().guests,
            preserved(GuestPlan("destroy", persistent=False, set_live="preserve-running"), state=RESTARTED),
        ],
        version=12_008_000,
        client=12_008_000,
        answers=asked(without=()),
    )
    records = {libvirt_name(one): one for one in map(libvirt_record, (conversation(), newer))}
    if text:
        one = libvirt_record()
        guests = [msgspec.structs.replace(guest, log=[text]) for guest in one.guests]
        records = {text: msgspec.structs.replace(one, guests=guests, source=text)}
    return msgspec.structs.replace(matrix, libvirts=records)
