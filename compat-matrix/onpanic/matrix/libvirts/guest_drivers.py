"""libvirt's drivers whose guests can be observed, by their names."""

from collections.abc import Callable, Mapping

from onpanic.core.errors import SourceError
from onpanic.matrix.libvirts.guest_driver import GuestDriver
from onpanic.matrix.libvirts.libvirt_session import LibvirtSession
from onpanic.matrix.libvirts.qemu_guests import QemuGuests
from onpanic.matrix.libvirts.xen_guests import XenGuests

__all__ = ("driver_of",)

_DRIVERS: Mapping[str, Callable[[LibvirtSession], GuestDriver]] = {"QEMU": QemuGuests, "Xen": XenGuests}


def driver_of(session: LibvirtSession) -> GuestDriver:
    """Return the driver behind a connection.

    :raise SourceError: When libvirt does not answer, or has another driver.
    """
    driver = session.call(session.connection.getType)
    if driver not in _DRIVERS:
        names = " or ".join(_DRIVERS)
        raise SourceError(
            f"libvirt's driver is {driver}, not {names}",
            f"name a connection to {names}: qemu:///system, xen:///system",
        )
    return _DRIVERS[driver](session)
