"""Asking the Xen of which this host is the dom0: libvirt's Xen driver, or else xl.

A domain is judged by what libvirt accepts, so libvirt is asked first.  xl is asked if there is no libvirt, or
it does not answer: then its record stands, though policies are unknown as long as a libvirt may be there.
Nothing is defined, started or changed.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from onpanic.core.errors import OnpanicError
from onpanic.fleet.collecting.host_libvirt import LibvirtSeen, ask_host_libvirt
from onpanic.fleet.hosts.host_record import XEN, HostEmulator
from onpanic.probe.facts.xen_questions import GUEST_TYPE
from onpanic.probe.record.capability_record import CapabilityRecord, Probed
from onpanic.probe.xen.ask_xl import ask_xl
from onpanic.probe.xen.record_of_xen import record_of_xen
from onpanic.probe.xen.xen_below import SYSFS, xen_below
from onpanic.probe.xen.xen_conversation import XenConversation

__all__ = ("XenPlaces", "ask_host_xen", "is_dom0", "is_uri_of_xen")


class XenPlaces(msgspec.Struct, frozen=True):
    """Where a dom0 has what it knows of Xen.

    :param sysfs: What Linux knows of its hypervisor.
    :param xl: The program.
    """

    sysfs: Path = SYSFS
    xl: str = "xl"


def is_dom0(places: XenPlaces) -> bool:
    """Return whether this host is the dom0 of a Xen, and no guest of one."""
    xen = xen_below(places.sysfs)
    return xen is not None and bool(xen.is_dom0)


def is_uri_of_xen(uri: str) -> bool:
    """Return whether libvirt's Xen driver answers at a connection URI."""
    try:
        return urlsplit(uri).scheme.partition("+")[0] == XEN
    except ValueError:
        return False


async def ask_host_xen(
    uri: str | None,
    timeout: float,  # noqa: ASYNC109
    seen: LibvirtSeen,
    places: XenPlaces,
    probed: Callable[[], Probed],
) -> HostEmulator:
    """Return what is recorded of this host's Xen.

    :param uri: libvirt's connection URI; None to ask no libvirt.
    :param timeout: Seconds that libvirt has, and then each call of xl.
    :param seen: Gets what libvirt answers.
    :param probed: Returns when and by what the record is made.
    """
    if uri is not None:
        idle = asyncio.get_running_loop().create_future()
        idle.set_result(asyncio.get_running_loop().time())
        await ask_host_libvirt(uri, timeout, seen, idle, "xen")
    if seen.xen is not None:
        record = record_of_xen(seen.xen, probed())
        return _emulator(record, found_in="libvirt", domain_types=[XEN])
    try:
        conversation = await asyncio.to_thread(_ask_xl, timeout, places)
    except OnpanicError as error:
        return _emulator(None, problem=error.message)
    return _emulator(record_of_xen(conversation, probed()), found_in="path")


def _ask_xl(timeout: float, places: XenPlaces) -> XenConversation:
    return ask_xl(timeout, places.xl, places.sysfs)


def _emulator(
    record: CapabilityRecord | None,
    *,
    found_in: str = "",
    domain_types: list[str] | None = None,
    problem: str = "",
) -> HostEmulator:
    machines = record.machines if record else []
    target = record.emulator.target if record else ""
    return HostEmulator(
        path=XEN,
        found_in=[found_in] if found_in else [],  # type: ignore[list-item]
        runs=[target] if target else [],
        domain_types=domain_types or [],
        machine_types=[one.name for one in machines if one.facts[GUEST_TYPE].answer != "no"],
        aliases={alias: one.name for one in machines for alias in one.aliases},
        record=record,
        problem=problem,
    )
