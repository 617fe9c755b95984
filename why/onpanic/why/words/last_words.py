"""What a guest said last: the result of reading it, however it was read."""

from typing import Literal

import msgspec

__all__ = ("LastWords", "WordsSource")

#: Where the last words come from: a running QEMU's monitor, libvirt, a dump in a file, QEMU's event.
WordsSource = Literal["monitor", "libvirt", "elf", "kdump", "windows-dump", "event"]


class LastWords(msgspec.Struct, frozen=True, kw_only=True):
    """Why a guest panicked, in its own words.  All of it comes from the guest, which may be malicious.

    :param schema_version: The version of this document's format.
    :param guest: What kind of guest it is: ``linux``, ``windows``, or ``unknown``.
    :param architecture: As QEMU names it, e.g. ``x86_64``; empty if it is not known.
    :param release: The kernel's release, e.g. ``6.1.0-41-cloud-amd64``; empty if it is not known.
    :param source: Where this was read.
    :param panicked: Whether the guest says that it panicked; False for a running guest's log, for example.
    :param kind: The kind of the panic, one of a bounded set, e.g. ``null-pointer``; empty if there is none.
    :param reason: The panic's own line without its prefix, e.g. ``Fatal exception in interrupt``.
    :param cause: The line that told of the error before; empty if the reason says it all.
    :param details: What else is known, e.g. ``{"bugcheck": "0xd1", "parameter 1": "0x…"}``.
    :param trace: The lines of the call trace.
    :param lines: The last lines of the log, oldest first.
    :param torn: Whether the guest ran while it was read, so that lines may be missing or garbled.
    :param notes: What could not be read and why, and what to do about it, a sentence each.
    """

    schema_version: Literal[1] = 1
    guest: Literal["linux", "windows", "unknown"] = "unknown"
    architecture: str = ""
    release: str = ""
    source: WordsSource
    panicked: bool = False
    kind: str = ""
    reason: str = ""
    cause: str = ""
    details: dict[str, str] = {}
    trace: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()
    torn: bool = False
    notes: tuple[str, ...] = ()

    def last_lines(self, count: int | None) -> tuple[str, ...]:
        """Return the last lines of the log.

        :param count: How many at most; None for all.
        """
        return self.lines if count is None else self.lines[max(0, len(self.lines) - count) :]

    @property
    def sentence(self) -> str:
        """The reason in one line, with the cause if there is one; empty if there is no panic."""
        return ": ".join(part for part in (self.reason, self.cause) if part)
