"""Played conversations with libvirt's Xen driver, and records of them."""

from collections.abc import Sequence

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
from onpanic.matrix.libvirts.libvirt_record import GuestXen, LibvirtRecord
from onpanic.matrix.libvirts.xen_guests import XEN_DOCUMENTS
from onpanic.shims.translation.asking_libvirt import CONTROL_WORD

from .libvirt_samples import libvirt_record

STARTED, RESUMED, STOPPED = (2, 0), (4, 0), (5, 2)
RUNNING, OFF = (1, 1), (5, 3)
FIRST, SECOND = 7, 8


def pv(word: str, *, persistent: bool = True) -> GuestPlan:
    """Return a PV guest."""
    return GuestPlan(word, persistent, guest_type="pv")


def crashed(
    plan: GuestPlan,
    *,
    events: Sequence[tuple[int, int]] = (STOPPED,),
    state: tuple[int, int] | None = OFF,
    number: int = -1,
    dump: str = "none",
    renamed: bool = False,
) -> ObservedGuest:
    """Return a guest that crashes when it is resumed, and what followed.

    :param events: What libvirt reported.
    :param state: The last state; None if the domain no longer exists.
    :param number: The ID that the domain has then.
    :param dump: The format of its dump.
    :param renamed: Whether there is a domain of another name.
    """
    entries = [
        LogEntry("call", "create"),
        LogEntry("event", numbers=STARTED),
        LogEntry("state", numbers=(3, 1)),
        LogEntry("id", numbers=(FIRST,)),
        LogEntry("panic", "resume: the guest crashes"),
        *(LogEntry("event", numbers=event) for event in (RESUMED, *events)),
        LogEntry("state", numbers=state) if state else LogEntry("absent"),
        LogEntry("id", numbers=(number,)),
        LogEntry("dump", dump),
    ]
    return ObservedGuest(plan, entries + [LogEntry("renamed")] * renamed)


def restarted(plan: GuestPlan, *, dump: str = "none", renamed: bool = False) -> ObservedGuest:
    """Return a guest that is started again."""
    return crashed(plan, events=(STARTED, STOPPED), state=RUNNING, number=SECOND, dump=dump, renamed=renamed)


def xen_conversation(guests: Sequence[ObservedGuest] | None = None) -> LibvirtConversation:
    """Return a conversation; by default it has one guest for each value of <on_crash>."""
    usual = [
        crashed(pv("destroy")),
        restarted(pv("restart")),
        restarted(pv("rename-restart")),
        crashed(pv("preserve"), number=FIRST),
        crashed(pv("coredump-destroy"), dump="elf"),
        restarted(pv("coredump-restart"), dump="elf"),
        crashed(pv("destroy", persistent=False), state=None),
        crashed(GuestPlan("destroy", persistent=True, guest_type="pvh")),
    ]
    unknown = LibvirtRefusal(67, 20, "unknown action")
    return LibvirtConversation(
        version=9_000_000,
        client=9_000_000,
        driver="Xen",
        mode="system",
        ran_on=GuestXen(version="4.17", guest_types=["pv", "pvh"], left_out={"hvm": "it has a firmware"}),
        documents=XEN_DOCUMENTS,
        asked=[
            AskedElement(element, word, unknown if word in (CONTROL_WORD, "preserve-running") else None)
            for element, word in questions(())
        ],
        guests=list(usual if guests is None else guests),
    )


def xen_record(guests: Sequence[ObservedGuest] | None = None) -> LibvirtRecord:
    """Return the record of a conversation."""
    return libvirt_record(xen_conversation(guests))


def with_xen(matrix: Matrix) -> Matrix:
    """Return a matrix with a record of libvirt's QEMU driver, and one of its Xen driver."""
    records = {libvirt_name(one): one for one in (libvirt_record(), xen_record())}
    return msgspec.structs.replace(matrix, libvirts=records)
