"""Why a guest of Xen is not continued: its end is final, or it did not panic."""

from typing import Any

from onpanic.core.errors import RefusedError
from onpanic.probe.decision.rules import refusal
from onpanic.shims.guests.domain_view import DomainView, view_domain
from onpanic.shims.guests.xen_states import HAS_ENDED

__all__ = ("refuse_unless_running",)


def refuse_unless_running(domain: Any, timeout: float) -> str:
    """Return the state of a guest that runs, as libvirt names it.  Blocks as libvirt does.

    :param domain: A `libvirt.virDomain` on Xen.
    :param timeout: Seconds that the answer may take.
    :raise RefusedError: When it does not run, or whether it does is not known.
    :raise libvirt.libvirtError: What libvirt raises.
    """
    view = view_domain(domain, timeout)
    name, said = view.explanation.name, view.said["libvirt"]
    if name == "running":
        return said
    raise RefusedError(refusal(_code(name), _detail(view)))


def _code(name: str) -> str:
    if name in HAS_ENDED:
        return "xen-shutdown-is-final"
    codes = {"unknown": "xen-state-unknown", "paused": "xen-guest-paused"}
    return codes.get(name, "guest-did-not-panic")


def _detail(view: DomainView) -> str:
    said = "; ".join(f"{who}: {words}" for who, words in view.said.items())
    return f"{view.explanation.name}; {said}"
