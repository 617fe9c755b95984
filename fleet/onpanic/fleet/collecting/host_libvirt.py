"""Asking this host's libvirt: its version, what it accepts, and its emulators or its Xen.

A libvirt that does not answer costs its deadline, and nothing that it has answered before is lost.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from onpanic.core.errors import MissingExtraError, OnpanicError
from onpanic.core.libvirt_api import CallThread, libvirt_module, open_connection
from onpanic.core.libvirt_version import version_name
from onpanic.core.untrusted import printable
from onpanic.fleet.collecting.libvirt_guests import GuestArchitecture, guests_in
from onpanic.fleet.hosts.host_record import HostAnswer, HostLibvirt
from onpanic.probe.decision.policy import Hypervisor
from onpanic.probe.xen.ask_libvirt import DRIVER, ask_libvirt_of_xen
from onpanic.probe.xen.xen_conversation import XenConversation
from onpanic.shims.translation.libvirt_features import Libvirt
from onpanic.shims.translation.local_uri import local_parts

__all__ = ("LIBVIRT_PLACES", "LibvirtSeen", "ask_host_libvirt", "libvirt_found")

# libvirt's names of its drivers, and their modular daemons
_DRIVERS: dict[Hypervisor, str] = {"qemu": "QEMU", "xen": DRIVER}
_DAEMONS: dict[Hypervisor, str] = {"qemu": "virtqemud", "xen": "virtxend"}

#: Where a host that has a libvirt for a hypervisor's guests has its daemons and their sockets, the modular
#: ones included.
LIBVIRT_PLACES: dict[Hypervisor, tuple[Path, ...]] = {
    hypervisor: (
        *(Path("/run/libvirt", name) for name in ("libvirt-sock", f"{modular}-sock")),
        *(
            Path(folder, name)
            for folder in ("/usr/sbin", "/usr/bin", "/run/current-system/sw/bin")
            for name in ("libvirtd", modular)
        ),
    )
    for hypervisor, modular in _DAEMONS.items()
}

Result = TypeVar("Result")


class LibvirtSeen(msgspec.Struct):
    """What was found out about the host's libvirt.

    :param libvirt: None if there is none, or it did not answer.
    :param guests: The guests that its QEMU driver runs; None if it did not say.
    :param xen: What its Xen driver said; None if it did not.
    :param problems: What it did not answer, and why.
    :param exists: Whether a connection was opened.
    """

    libvirt: HostLibvirt | None = None
    guests: list[GuestArchitecture] | None = None
    xen: XenConversation | None = None
    problems: list[str] = msgspec.field(default_factory=list)
    exists: bool = False


async def ask_host_libvirt(
    uri: str,
    timeout: float,  # noqa: ASYNC109
    seen: LibvirtSeen,
    idle: "asyncio.Future[float]",
    hypervisor: Hypervisor = "qemu",
) -> None:
    """Ask libvirt.  Defines nothing and starts no domain.

    A user who may not change anything gets a read-only connection, for which the schema or the version tells
    what libvirt accepts.

    :param uri: The connection URI.
    :param timeout: Seconds that all answers may take from when the host is idle: a libvirt that was just
        started probes all emulators, too.
    :param seen: Gets the answers.
    :param idle: Done when nothing else is asked of the host; since when, in the event loop's time.
    :param hypervisor: Whose driver to ask.
    """
    asking = _LibvirtCalls(timeout, idle)
    try:
        await _ask(uri, asking, seen, hypervisor)
    except MissingExtraError as error:
        seen.problems.append(f"libvirt: {error.message}; {error.hint}")
    except OnpanicError as error:
        seen.problems.append(error.message)
    except TimeoutError:
        seen.problems.append(f"{printable(uri)}: {asking.subject}: no answer within {timeout:g} s")
    except Exception as error:
        if type(error).__name__ != "libvirtError":  # its module may not be installed
            raise
        seen.problems.append(f"libvirt: {asking.subject}: {printable(str(error), 300)}")
    finally:
        asking.end()


async def _ask(uri: str, asking: "_LibvirtCalls", seen: LibvirtSeen, hypervisor: Hypervisor) -> None:
    connection = await asking.call("connecting", partial(_open, uri))
    seen.exists = True
    driver, local = await asking.call("its driver", partial(_driver, connection))
    if not local:
        seen.problems.append(f"{printable(uri)}: libvirt was not asked: it is on another host")
        return
    if driver != _DRIVERS[hypervisor]:
        problem = f"libvirt was not asked: its driver is {driver}, not {_DRIVERS[hypervisor]}"
        seen.problems.append(f"{printable(uri)}: {problem}")
        return
    name = await asking.call("its URI", connection.getURI)
    number = await asking.call("its version", connection.getLibVersion)
    version = version_name(number)
    by_version = HostLibvirt.of(name, version, Libvirt.of(number))
    if hypervisor == "xen":  # what it accepts is not known by its version
        seen.xen = await asking.call("what it accepts", partial(ask_libvirt_of_xen, connection))
        seen.libvirt = by_version
        return
    seen.libvirt = by_version
    found = await asking.call("what it accepts", partial(Libvirt.of_connection, connection))
    seen.libvirt = HostLibvirt.of(name, version, found)
    guests = guests_in(await asking.call("its capabilities", connection.getCapabilities))
    seen.guests = guests
    defaults = await asking.call("its emulators", partial(_defaults, connection, guests))
    seen.guests = [
        msgspec.structs.replace(guest, default=defaults.get(guest.architecture, guest.default))
        for guest in guests
    ]


def libvirt_found(seen: LibvirtSeen, places: Sequence[Path]) -> HostAnswer:
    """Return whether the host has a libvirt; ``unknown`` if it may have one that did not answer.

    :param places: Those of `LIBVIRT_PLACES` for its hypervisor.
    """
    if seen.libvirt is not None:
        return "yes"
    try:
        return "unknown" if seen.exists or any(place.exists() for place in places) else "no"
    except OSError:  # the user may not look
        return "unknown"


class _LibvirtCalls:
    """Calls to libvirt with one deadline.

    :ivar subject: What it was asked last.
    """

    def __init__(self, timeout: float, idle: "asyncio.Future[float]") -> None:
        self.subject = ""
        self._thread = CallThread()
        self._timeout = timeout
        self._idle = idle

    async def call(self, subject: str, function: Callable[[], Result]) -> Result:
        """Make a call.

        :raise TimeoutError: When it does not return before the deadline.
        """
        self.subject = subject
        answer = asyncio.ensure_future(self._thread.call(function))
        try:
            await asyncio.wait((answer, self._idle), return_when=asyncio.FIRST_COMPLETED)
            async with asyncio.timeout_at(self._idle.result() + self._timeout if self._idle.done() else None):
                result: Result = await answer
        finally:
            answer.cancel()
        return result

    def end(self) -> None:
        """End the thread when its last call has returned."""
        self._thread.finish(lambda: None)


def _open(uri: str) -> Any:
    """Open a connection that can be asked everything, or else a read-only one."""
    try:
        return open_connection(uri)
    except MissingExtraError:
        raise
    except OnpanicError as first:
        try:
            return open_connection(uri, read_only=True)
        except OnpanicError:
            raise first from None


def _driver(connection: Any) -> tuple[str, bool]:
    """Return the name of a connection's driver, and whether it is on this host."""
    return connection.getType(), local_parts(connection) is not None


def _defaults(connection: Any, guests: Sequence[GuestArchitecture]) -> dict[str, str]:
    """Return the emulator that libvirt chooses for each architecture, as far as it tells."""
    libvirt = libvirt_module()
    from onpanic.shims.domain_xml.xml_parser import parse_xml

    found = {}
    for guest in guests:
        try:
            xml = connection.getDomainCapabilities(None, guest.architecture, None, None)
        except libvirt.libvirtError as error:
            if error.get_error_code() in (libvirt.VIR_ERR_OPERATION_DENIED, libvirt.VIR_ERR_NO_SUPPORT):
                break  # the connection is read-only
            continue  # libvirt does not choose an emulator for this one
        if path := parse_xml(xml.encode()).findtext("path"):
            found[guest.architecture] = path
    return found
