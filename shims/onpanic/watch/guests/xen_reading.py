"""What libvirt's Xen driver reports about a domain, and the condition of the guest that follows from it.

The driver shows a domain as shut off (crashed) from the crash on: while it dumps, destroys or
restarts it, and for good if ``<on_crash>`` is ``preserve``.  Only whether the domain is active, and
what its ``<on_crash>`` is, tell these apart.  Observed on libvirt 9.0.
"""

from typing import Any, Literal

import msgspec

from onpanic.core.errors import StaleError
from onpanic.core.libvirt_api import libvirt_module
from onpanic.shims.domain_xml.document import Document
from onpanic.shims.domain_xml.elements import child, text_of
from onpanic.watch.rules.incident import Incident
from onpanic.watch.rules.policy_steps import Condition

__all__ = ("XenReading", "is_pending", "read_xen_domain", "require_decided", "xen_condition", "xen_ending")


class XenReading(msgspec.Struct, frozen=True):
    """What libvirt reports about a domain of Xen.

    :param state: A ``virDomainState``.
    :param reason: The reason of that state.
    :param active: Whether the domain exists in Xen.
    :param instance: See `GuestState`.
    :param cpu_time: See `GuestState`.
    :param on_crash: Its ``<on_crash>``; empty if the domain has not crashed.
    """

    state: int
    reason: int
    active: bool
    instance: str
    cpu_time: int | None = None
    on_crash: str = ""

    @property
    def crashed(self) -> bool:
        """Whether libvirt knows that the guest has crashed."""
        libvirt = libvirt_module()
        return bool(
            (self.state, self.reason) == (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_CRASHED)
        )


def read_xen_domain(connection: Any, uuid: str) -> XenReading:
    """Read a domain's state.  Called in a thread.

    :param connection: A `libvirt.virConnect`.
    :param uuid: The domain's UUID.
    :raise StaleError: When libvirt restarts the domain meanwhile.
    :raise libvirt.libvirtError: What libvirt raises.
    """
    domain = connection.lookupByUUIDString(uuid)
    state, reason = domain.state()
    found = XenReading(state, reason, bool(domain.isActive()), str(domain.ID()))
    changes: dict[str, Any] = {}
    if found.active:
        changes["cpu_time"] = int(domain.info()[4])
    if found.crashed:
        changes["on_crash"] = text_of(child(Document(str(domain.XMLDesc())).root, "on_crash"))
    # An object keeps the ID that the domain had when it was looked up
    if str(connection.lookupByUUIDString(uuid).ID()) != found.instance:
        raise StaleError("libvirt restarts the guest")
    return msgspec.structs.replace(found, **changes)


def is_pending(found: XenReading) -> bool:
    """Return whether libvirt has to restart a guest that it has ended."""
    return found.crashed and not found.active and found.on_crash.endswith("restart")


def xen_condition(found: XenReading) -> Condition:
    """Return the condition of a guest whose domain is in a state, as far as libvirt knows it."""
    libvirt = libvirt_module()
    if found.crashed and found.active:
        return "panicked" if found.on_crash == "preserve" else "changing"
    if found.state == libvirt.VIR_DOMAIN_SHUTOFF:
        return "changing" if is_pending(found) else "off"
    return "changing" if found.state == libvirt.VIR_DOMAIN_SHUTDOWN else "healthy"


def xen_ending(found: XenReading) -> Literal["", "shutdown", "crashed"]:
    """Return how a domain has ended, see `GuestState.ending`."""
    libvirt = libvirt_module()
    if found.state != libvirt.VIR_DOMAIN_SHUTOFF or found.active:
        return ""
    if found.reason == libvirt.VIR_DOMAIN_SHUTOFF_SHUTDOWN:
        return "shutdown"
    return "crashed" if found.crashed else ""


def require_decided(domain: Any, incident: Incident) -> None:
    """Check that a domain is the one that a step was decided for, and has not ended.

    :param domain: A `libvirt.virDomain` that was just looked up.
    :raise StaleError: When it is not.
    :raise libvirt.libvirtError: What libvirt raises.
    """
    if str(domain.ID()) != incident.instance or not domain.isActive():
        raise StaleError("the guest has changed meanwhile")
