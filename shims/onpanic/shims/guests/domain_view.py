"""A libvirt domain's state, explained by what its hypervisor tells: the place that chooses between them."""

from datetime import UTC, datetime
from typing import Any

import msgspec

from onpanic.core.libvirt_api import libvirt_module
from onpanic.shims.domain_xml.document import Document
from onpanic.shims.domain_xml.domain_machine import machine_of
from onpanic.shims.domain_xml.elements import Element, child, text_of
from onpanic.shims.guests.driver import is_on_xen
from onpanic.shims.guests.guest_states import StateExplanation, explain_domain, state_name
from onpanic.shims.guests.observed_domain import observe_domain
from onpanic.shims.guests.state_since import since
from onpanic.shims.guests.xen_domain import observe_xen_domain, working_since
from onpanic.shims.guests.xen_states import explain_xen_domain

__all__ = ("DomainView", "view_domain")


class DomainView(msgspec.Struct, frozen=True):
    """A domain's state, explained.

    :param explanation: What it means.
    :param said: The state as libvirt names it, and as ``QEMU`` or ``xl`` does if it was asked.
    :param since: Since when (UTC, RFC 3339), and whether that is exact, not just the latest possible time;
        None if it is not known.
    """

    explanation: StateExplanation
    said: dict[str, str]
    since: tuple[str, bool] | None


def view_domain(domain: Any, timeout: float = 10.0) -> DomainView:
    """Explain the state of a domain.  Blocks as libvirt does.

    :param domain: A `libvirt.virDomain`.
    :param timeout: Seconds that the answer may take, see `observe_xen_domain`.
    :raise libvirt.libvirtError: What libvirt raises.
    """
    return _view_on_xen(domain, timeout) if is_on_xen(domain) else _view_on_qemu(domain)


def _view_on_xen(domain: Any, timeout: float) -> DomainView:
    seen = observe_xen_domain(domain, timeout=timeout)
    said = {"libvirt": state_name(seen.state, seen.reason)}
    if seen.xl is not None:
        said["xl"] = seen.xl.flags
    explanation = explain_xen_domain(seen)
    begin = working_since(seen, datetime.now(UTC)) if explanation.name == "dumping" else None
    return DomainView(explanation, said, None if begin is None else (begin, True))


def _view_on_qemu(domain: Any) -> DomainView:
    libvirt = libvirt_module()
    observed = observe_domain(domain)
    root = Document(domain.XMLDesc()).root
    said = {"libvirt": state_name(observed.state, observed.reason)}
    if observed.run_state:
        said["QEMU"] = observed.run_state
    explanation = explain_domain(
        observed,
        panic_ends_it=_panic_ends(root),
        reset_ends_it=bool(machine_of(root).reset_ends),
        persistent=bool(domain.isPersistent()),
    )
    # If libvirt has not seen the domain end, the log may be about another domain with its name
    unseen = (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_UNKNOWN)
    has_log = (observed.state, observed.reason) != unseen
    return DomainView(explanation, said, since(domain, explanation.name) if has_log else None)


def _panic_ends(root: Element) -> bool:
    """Return whether libvirt destroys the domain when it panics."""
    word = text_of(child(root, "on_crash")) or "destroy"
    return bool(machine_of(root).notifiers) and word in ("destroy", "coredump-destroy")
