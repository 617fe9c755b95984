"""What depends on libvirt's driver: which events report a panic, and how domains are listed and watched."""

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from onpanic.core.errors import OnpanicError
from onpanic.core.libvirt_api import libvirt_module
from onpanic.core.untrusted import printable
from onpanic.probe.decision.catalogue import CATALOGUE
from onpanic.probe.xen.xl import run_xl
from onpanic.shims.guests.observed_domain import is_changing, needs_qemu
from onpanic.watch.guests.events import LibvirtEvent
from onpanic.watch.guests.guest import Guest
from onpanic.watch.guests.libvirt_connection import LibvirtConnection
from onpanic.watch.guests.libvirt_guest import LibvirtGuest
from onpanic.watch.guests.watched_domain import WatchedDomain
from onpanic.watch.guests.xen_guest import XenGuest
from onpanic.watch.rules.settings import Settings

__all__ = ("Driver", "ListedDomain", "driver_of")


_XL_TIMEOUT = 20.0  # seconds


class ListedDomain(msgspec.Struct, frozen=True):
    """A domain in a list of all.

    :param uuid: Its UUID.
    :param name: Its name.
    :param failed: Whether it may have failed.
    :param open: Whether its state leaves that open.
    """

    uuid: str
    name: str
    failed: bool
    open: bool


class Driver(Protocol):
    """What depends on libvirt's driver.

    :ivar one_report: Whether only one event reports a panic, and says which start of the guest has panicked.
    """

    one_report: bool

    def reports_panic(self, event: LibvirtEvent) -> bool:
        """Return whether an event says that a guest has panicked."""

    def list_domains(self, connection: Any) -> list[ListedDomain]:
        """Return all domains with their states.  Called in a thread.

        :param connection: A `libvirt.virConnect`.
        :raise libvirt.libvirtError: What libvirt raises.
        """

    def guest(self, domain: WatchedDomain) -> Guest:
        """Return a domain as a guest."""

    def limits(self, settings: Settings) -> list[str]:
        """Return what cannot be done on this connection."""


def driver_of(connection: LibvirtConnection, warn: Callable[[str], object]) -> Driver:
    """Return what depends on the driver of a connection that is open.

    :param warn: Called with a problem that is about no single guest.
    """
    return _Xen(warn, here=connection.here) if connection.hypervisor == "xen" else _Qemu()


class _Qemu:
    """The driver of QEMU."""

    one_report = False

    def reports_panic(self, event: LibvirtEvent) -> bool:
        return event.kind == "crashed" and event.detail == libvirt_module().VIR_DOMAIN_EVENT_CRASHED_PANICKED

    def list_domains(self, connection: Any) -> list[ListedDomain]:
        libvirt, found = libvirt_module(), []
        flags = libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT
        for domain, stats in connection.getAllDomainStats(libvirt.VIR_DOMAIN_STATS_STATE, flags):
            state, reason = stats.get("state.state"), stats.get("state.reason")
            failed = state in (libvirt.VIR_DOMAIN_CRASHED, libvirt.VIR_DOMAIN_PAUSED)
            doubtful = is_changing(state, reason) or needs_qemu(state, reason)
            found.append(ListedDomain(domain.UUIDString(), domain.name(), failed, doubtful))
        return found

    def guest(self, domain: WatchedDomain) -> Guest:
        return LibvirtGuest(domain)

    def limits(self, settings: Settings) -> list[str]:  # noqa: ARG002  all is possible
        return []


class _Xen:
    """The driver of Xen, which has no event for a panic, and no list of states."""

    one_report = True

    def __init__(self, warn: Callable[[str], object], *, here: bool) -> None:
        self._warn = warn
        self._here = here
        self._said = ""

    def reports_panic(self, event: LibvirtEvent) -> bool:
        return event.kind == "stopped" and event.detail == libvirt_module().VIR_DOMAIN_EVENT_STOPPED_CRASHED

    def list_domains(self, connection: Any) -> list[ListedDomain]:
        # A crash that libvirt has missed shows in Xen only, which each guest is asked about
        return [
            ListedDomain(domain.UUIDString(), domain.name(), failed=False, open=bool(domain.isActive()))
            for domain in connection.listAllDomains()
        ]

    def guest(self, domain: WatchedDomain) -> Guest:
        return XenGuest(domain, xl_list=self._xl_list, here=self._here)

    def limits(self, settings: Settings) -> list[str]:
        codes = [] if self._here else ["xl-not-asked", "xen-dump-unchecked"]
        codes += ["xen-no-grace"] if settings.grace else []
        return [f"{code}: {CATALOGUE[code].reason}; {CATALOGUE[code].remedy}" for code in codes]

    async def _xl_list(self) -> str | None:
        if not self._here:
            return None
        try:
            done = await asyncio.to_thread(run_xl, ["xl", "list", "-v"], _XL_TIMEOUT)
        except OnpanicError as error:
            wrong = error.message
        else:
            said = " ".join(done.stderr.split()) or f"exit status {done.returncode}"
            wrong = f"xl: {printable(said, 200)}; xl needs root in dom0" if done.returncode else ""
        if wrong and wrong != self._said:
            self._warn(f"xl-not-asked: {CATALOGUE['xl-not-asked'].reason}: {wrong}")
        self._said = wrong
        return None if wrong else done.stdout
