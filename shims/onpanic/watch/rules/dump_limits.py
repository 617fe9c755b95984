"""Which old dumps make room for a new one, and when there is no room for it."""

from collections.abc import Collection

import msgspec

from onpanic.watch.rules.dump_files import DumpFile
from onpanic.watch.rules.settings import with_unit

__all__ = ("RoomForDump", "room_for_dump")


class RoomForDump(msgspec.Struct, frozen=True):
    """What is to be done before a dump.

    :param remove: The names of dumps to remove, oldest first.
    :param refusal: Why the dump is refused; nothing is to be removed then.  Empty if it is not refused.
    """

    remove: tuple[str, ...] = ()
    refusal: str = ""


def room_for_dump(
    dumps: Collection[DumpFile], needed: int, free: int | None, quota: int, reserve: int
) -> RoomForDump:
    """Return what makes room for a dump.

    The newest complete dump of each guest is never removed: the new dump may fail.

    :param dumps: The dumps in the directory, those that are being written included.
    :param needed: Bytes that the new dump takes at most.
    :param free: Free bytes of the file system; None if that is unknown.
    :param quota: Bytes that all dumps may take; 0 for any number.
    :param reserve: Bytes that must stay free; 0 for none.
    """
    total = sum(dump.size for dump in dumps)
    removed: list[DumpFile] = []
    need = f"the dump needs up to {with_unit(needed)}"
    if quota:
        for dump in _removable(dumps):
            if total + needed <= quota:
                break
            removed.append(dump)
            total -= dump.size
        if total + needed > quota:
            return RoomForDump(
                refusal=f"{need}; dump-quota is {with_unit(quota)}"
                if needed > quota
                else f"{need}; {with_unit(total)} of {with_unit(quota)} (dump-quota) are in use by dumps "
                "that must be kept (the newest of each guest)"
            )
    if reserve and free is not None:
        pending = sum(dump.size - dump.written for dump in dumps if not dump.complete)
        left = free + sum(dump.written for dump in removed) - pending
        if left - needed < reserve:
            return RoomForDump(
                refusal=f"{need}; {with_unit(left)} are free, of which {with_unit(reserve)} (dump-reserve) "
                "must stay free"
            )
    return RoomForDump(tuple(dump.name for dump in removed))


def _removable(dumps: Collection[DumpFile]) -> list[DumpFile]:
    """Return the complete dumps that are not the newest of their guest, oldest first."""
    complete = sorted((d for d in dumps if d.complete), key=lambda dump: (dump.modified, dump.name))
    newest = {dump.guest: dump for dump in complete}
    return [dump for dump in complete if dump is not newest[dump.guest]]
