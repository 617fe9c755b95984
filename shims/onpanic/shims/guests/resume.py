"""Continuing a panicked guest, through its monitor or through libvirt.

On a QEMU with the fix of 2013, ``cont`` continues it.  On one without, only a reset leaves the state;
the guest then loses its memory, so the caller must allow it.  A libvirt domain is continued through
libvirt, so that libvirt's state of the domain is right afterwards.
"""

from typing import Any, Literal

import msgspec

from onpanic.core.errors import RefusedError
from onpanic.core.libvirt_api import libvirt_module
from onpanic.probe.asking.session import Monitor
from onpanic.probe.conversation import Reply
from onpanic.probe.decision.rules import refusal
from onpanic.shims.guests.guest_states import NEED_RESET, domain_run_state, query_run_state, state_name

__all__ = ("Resumed", "resume_domain", "resume_monitor")


class Resumed(msgspec.Struct, frozen=True):
    """What was done to continue a guest.

    :param how: ``cont``, ``reset`` (followed by ``cont``), or ``nothing`` for a guest that was running.
    :param before: The state before, as QEMU or libvirt names it.
    :param after: The state after; a guest may panic again at once.
    """

    how: Literal["cont", "reset", "nothing"]
    before: str
    after: str


async def resume_monitor(monitor: Monitor, *, allow_reset: bool = False) -> Resumed:
    """Continue a panicked guest through its monitor.

    :param monitor: The guest's monitor, e.g. a `Session` of `onpanic.probe.asking.session.open_monitor`.
    :param allow_reset: Reset the guest if it cannot be continued otherwise.
    :raise RefusedError: When the guest did not panic, or needs a reset that is not allowed.
    :raise EmulatorError: When the monitor does not answer.
    """
    before = await query_run_state(monitor)
    if before == "running":
        return Resumed("nothing", before, before)
    if before == "guest-panicked":
        answer = await monitor.ask("cont")
        if answer.ok:
            return Resumed("cont", before, await query_run_state(monitor))
        if not allow_reset:
            raise RefusedError(refusal("cont-refused-after-panic", _message(answer)))
    elif before not in NEED_RESET:
        raise RefusedError(refusal("guest-did-not-panic", before))
    elif not allow_reset:
        raise RefusedError(refusal("guest-needs-reset", before))
    await monitor.ask("system_reset")
    answer = await monitor.ask("cont")
    if not answer.ok:
        raise RefusedError(refusal("no-way-back", _message(answer)))
    return Resumed("reset", before, await query_run_state(monitor))


def resume_domain(domain: Any, *, allow_reset: bool = False) -> Resumed:
    """Continue a panicked libvirt domain.  Blocks as libvirt does.

    :param domain: A `libvirt.virDomain`.
    :param allow_reset: Reset the guest if it cannot be continued otherwise.
    :raise RefusedError: When the guest did not panic, or needs a reset that is not allowed.
    :raise libvirt.libvirtError: What libvirt raises.
    """
    libvirt = libvirt_module()
    state, reason = domain.state()
    before = state_name(state, reason)
    if state == libvirt.VIR_DOMAIN_RUNNING:
        return Resumed("nothing", before, before)
    how: Literal["cont", "reset"] = "cont"
    if state == libvirt.VIR_DOMAIN_CRASHED:
        how = _resume_crashed(libvirt, domain, allow_reset)
    elif (state, reason) == (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_CRASHED):
        domain.resume()  # it has been reset since
    elif (state, reason) == (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_UNKNOWN):
        how = _resume_unknown(domain, allow_reset)
    else:
        raise RefusedError(refusal("guest-did-not-panic", before))
    return Resumed(how, before, state_name(*domain.state()))


def _resume_crashed(libvirt: Any, domain: Any, allow_reset: bool) -> Literal["cont", "reset"]:
    how: Literal["cont", "reset"] = "cont"
    try:
        domain.resume()
    except libvirt.libvirtError as error:
        # QEMU's message within libvirt's, of which the rest may be translated
        if "Resetting the Virtual Machine is required" not in str(error):
            raise
        if not allow_reset:
            raise RefusedError(refusal("cont-refused-after-panic", str(error))) from error
        domain.reset()
        domain.resume()
        how = "reset"
    if domain.state()[0] == libvirt.VIR_DOMAIN_CRASHED:  # its vCPUs were running already, unknown to libvirt
        domain.suspend()
        domain.resume()
    return how


def _resume_unknown(domain: Any, allow_reset: bool) -> Literal["reset"]:
    """Resume a paused domain for which libvirt knows no reason, but QEMU does."""
    run_state = domain_run_state(domain)
    if run_state not in NEED_RESET:
        raise RefusedError(refusal("guest-did-not-panic", run_state))
    if not allow_reset:
        raise RefusedError(refusal("guest-needs-reset", run_state))
    domain.reset()
    domain.resume()
    return "reset"


def _message(answer: Reply) -> str:
    return answer.refusal.desc if answer.refusal else "no answer"
