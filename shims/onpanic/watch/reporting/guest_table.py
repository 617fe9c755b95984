"""What the metrics say about single guests.  Guests come and go, so the table is bounded."""

from collections.abc import Callable
from typing import Literal

import msgspec

from onpanic.core.untrusted import printable
from onpanic.watch.reporting.lines import Line
from onpanic.watch.reporting.panic_labels import code_label, kind_label

__all__ = ("GUESTS", "RETENTION", "GuestRow", "GuestTable")

#: The most guests that have series.
GUESTS = 256

#: Seconds that the series of a guest stay after the last line about it, unless its incident is open.
RETENTION = 48 * 3600.0

_NAME_LIMIT = 200  # characters; longer than any name that libvirt or QEMU can put into a file name

# Outcomes after which a guest is left in its failure
_LEFT = ("kept", "failed", "start-limit-hit")


class GuestRow(msgspec.Struct, frozen=True):
    """A guest that has failed.

    :param domain: Its name.
    :param uuid: Its UUID; empty if it has none.
    :param seen: When the last line about it came, in monotonic seconds.
    :param panics: How often it has panicked.
    :param panicked_at: When it panicked last, in seconds since the epoch; 0 if it has not.
    :param kind: The label for the kind of that panic.
    :param code: The label for its code.
    :param action: The action that has left its incident open; empty if none is open.
    :param outcome: The outcome of that action.
    """

    domain: str = ""
    uuid: str = ""
    seen: float = 0.0
    panics: int = 0
    panicked_at: float = 0.0
    kind: str = ""
    code: str = ""
    action: str = ""
    outcome: str = ""


class GuestTable:
    """The guests that have failed lately.

    :param clock: Returns seconds since the epoch.
    :param monotonic: Returns monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float], monotonic: Callable[[], float]) -> None:
        self._clock = clock
        self._monotonic = monotonic
        self._rows: dict[str, GuestRow] = {}  # the one seen last is the last one

    def __call__(self, line: Line) -> None:
        """Take a line."""
        domain, uuid = printable(line.domain, _NAME_LIMIT), printable(line.uuid, _NAME_LIMIT)
        key, change = uuid or domain, _change(line)
        if not key or (key not in self._rows and change not in ("panic", "failure", "open")):
            return
        row = self._rows.pop(key, GuestRow())
        row = msgspec.structs.replace(row, domain=domain, uuid=uuid, seen=self._monotonic())
        if change == "panic":
            row = msgspec.structs.replace(
                row,
                panics=row.panics + 1,
                panicked_at=self._clock(),
                kind=kind_label(line.panic),
                code=code_label(line.panic, line.code),
            )
        if change == "open":
            row = msgspec.structs.replace(row, action=line.action, outcome=line.outcome)
        elif change:
            row = msgspec.structs.replace(row, action="", outcome="")
        self._rows[key] = row
        if len(self._rows) > GUESTS:
            del self._rows[self._least_wanted()]

    def rows(self) -> list[GuestRow]:
        """Return the guests, without those that nothing was heard of for long."""
        oldest = self._monotonic() - RETENTION
        self._rows = {key: row for key, row in self._rows.items() if row.outcome or row.seen > oldest}
        return list(self._rows.values())

    def _least_wanted(self) -> str:
        """Return the guest seen first, if possible one without an open incident."""
        closed = (key for key, row in self._rows.items() if not row.outcome)
        return next(closed, next(iter(self._rows)))


def _change(line: Line) -> Literal["", "panic", "failure", "open", "close"]:
    """Return what a line says about its guest's incident; empty for nothing."""
    if line.event == "panicked":
        return "panic"
    if line.event == "internal-error":
        return "failure"
    if line.event == "over":
        return "close"
    if line.event == "unresolved" or (line.event == "action" and line.outcome in _LEFT):
        return "open"
    if line.event == "action" and line.outcome in ("done", "lost") and line.action != "coredump":
        return "close"
    return ""
