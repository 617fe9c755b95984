"""A fleet: the hosts whose records were read, in classes of equal ones, and what was not counted."""

from collections.abc import Iterator
from typing import Literal

import msgspec

from onpanic.fleet.hosts.host_record import HostName, HostRecord, HostSystem

__all__ = ("Fleet", "FleetHost", "FleetNote", "FleetNoteCode", "HostClass", "Uncounted", "UncountedReason")

UncountedReason = Literal["unreadable", "foreign", "schema-version", "no-answer", "superseded"]

FleetNoteCode = Literal[
    "clock-ahead",
    "document-old",
    "same-name",
    "same-id",
    "same-time",
    "no-time",
    "no-libvirt",
    "host-problem",
]


class FleetHost(msgspec.Struct, frozen=True):
    """A host of the fleet.

    :param name: Its name; with the source in brackets if another host has the same name.
    :param at: When its record was made, by its own clock: UTC, RFC 3339.
    :param source: The document.
    :param host: Its name and its identifier, as the document has them.
    :param system: What it runs.
    """

    name: str
    at: str
    source: str
    host: HostName
    system: HostSystem


class HostClass(msgspec.Struct, frozen=True):
    """Hosts that can do the same.

    :param hosts: At least one, in the order in which they were read.
    :param record: The record of one of them.  The others' differ at most in `HostRecord.host`,
        `HostRecord.collected`, the operating system and the kernel, and in when their emulators were probed.
    """

    hosts: tuple[FleetHost, ...]
    record: HostRecord


class Uncounted(msgspec.Struct, frozen=True):
    """A host or a document that is not counted.

    :param why: Why a document or a host is not counted: ``unreadable`` (cannot be read, or is not JSON),
        ``foreign`` (is not the record of a host), ``schema-version`` (another onpanic wrote it),
        ``no-answer`` (the host could not be asked, or there is no document of it), ``superseded`` (there is a
        newer document of the same host).
    :param source: The document; empty for a host without one.
    :param name: The host's name; empty if the document does not say.
    :param detail: What is wrong, in one line.
    """

    why: UncountedReason
    source: str
    name: str
    detail: str


class FleetNote(msgspec.Struct, frozen=True):
    """Something about hosts that are counted, which may make the answer wrong.

    :param code: What a note is about: ``same-name`` and ``same-id`` (hosts that may be one), ``same-time``
        (another document of the host has the same time, and says something else), ``no-time`` (the document
        does not say when it was made), ``clock-ahead`` (it is from the future), ``document-old``;
        ``no-libvirt`` and ``host-problem`` (something about the host is not known) in answers that depend on
        them.
    :param reason: What it is, in one sentence.
    :param hosts: The names of the hosts.
    """

    code: FleetNoteCode
    reason: str
    hosts: tuple[str, ...]


class Fleet(msgspec.Struct, frozen=True):
    """Hosts whose records were read.

    :param classes: The hosts, each in one class; the greatest class first.
    :param uncounted: What was left out, each with its reason.
    :param notes: What may make the answer wrong.
    """

    classes: tuple[HostClass, ...]
    uncounted: tuple[Uncounted, ...] = ()
    notes: tuple[FleetNote, ...] = ()

    @property
    def host_count(self) -> int:
        """How many hosts the fleet's answers are about."""
        return sum(len(found.hosts) for found in self.classes)

    @property
    def missing_count(self) -> int:
        """How many hosts or documents may stand for hosts that the answers are not about."""
        return sum(one.why != "superseded" for one in self.uncounted)

    def hosts(self) -> Iterator[tuple[FleetHost, HostRecord]]:
        """Yield every host with the record of its class."""
        for found in self.classes:
            for host in found.hosts:
                yield host, found.record
