"""Probing a Xen host: ask its toolstack, and return the host's record."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

from onpanic.core.errors import UsageError
from onpanic.core.libvirt_api import call_with_timeout, open_connection
from onpanic.core.version import PROGRAM
from onpanic.probe.record.capability_record import CapabilityRecord, Probed
from onpanic.probe.xen.ask_libvirt import ask_libvirt_of_xen
from onpanic.probe.xen.ask_xl import ask_xl
from onpanic.probe.xen.record_of_xen import record_of_xen
from onpanic.probe.xen.xen_conversation import XenConversation

__all__ = ("probe_connection", "probe_xen")


def probe_xen(connect: str | None = None, *, timeout: float = 10.0) -> CapabilityRecord:
    """Ask a Xen host what it accepts as ``<on_crash>``, and which guests it runs.

    Nothing is started, defined or changed.  A toolstack that does not answer, or refuses everything, leaves
    facts ``unknown``, and `CapabilityRecord.problems` says why.

    :param connect: libvirt's connection URI, such as ``xen:///system``; None to ask the ``xl`` of this dom0.
    :param timeout: Seconds that libvirt, or each call of xl, may take.
    :raise UsageError: When the timeout is out of range.
    :raise StartError: When this host is no dom0, or xl cannot be run.
    :raise SourceError: When libvirt refuses, does not answer in time, or its driver is not Xen's.
    :raise MissingExtraError: When libvirt's Python module is not installed.
    """
    if not timeout > 0:  # nan is not more than 0 either
        raise UsageError("timeout must be more than 0 seconds")
    if connect is None:
        return _probe(partial(ask_xl, timeout))
    return _probe(partial(call_with_timeout, timeout, partial(_ask, connect)))


def probe_connection(connection: Any, *, timeout: float = 10.0) -> CapabilityRecord:
    """Ask the libvirt behind a connection, see `probe_xen`.

    :param connection: A `libvirt.virConnect` to libvirt's Xen driver.
    :param timeout: Seconds that libvirt may take.
    :raise SourceError: When libvirt refuses, does not answer in time, or its driver is not Xen's.
    """
    return _probe(partial(call_with_timeout, timeout, partial(ask_libvirt_of_xen, connection)))


def _probe(ask: Callable[[], XenConversation]) -> CapabilityRecord:
    start, at = time.monotonic(), datetime.now(UTC)
    conversation = ask()
    when = at.isoformat(timespec="seconds").replace("+00:00", "Z")
    return record_of_xen(conversation, Probed(when, PROGRAM, round(time.monotonic() - start, 3)))


def _ask(uri: str) -> XenConversation:
    connection = open_connection(uri)
    try:
        return ask_libvirt_of_xen(connection)
    finally:
        connection.close()
