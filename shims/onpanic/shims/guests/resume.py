"""Continuing a panicked guest, through its monitor or through libvirt.

On a QEMU with the fix of 2013, ``cont`` continues it.  On one without, only a reset leaves the state;
the guest then loses its memory, so the caller must allow it.  A libvirt domain is continued through
libvirt, so that libvirt's state of the domain is right afterwards.
"""

from typing import Any, Literal

import msgspec

from onpanic.core.errors import RefusedError
from onpanic.core.libvirt_api import libvirt_module, monitor_command
from onpanic.core.untrusted import printable
from onpanic.probe.asking.session import Monitor
from onpanic.probe.conversation import Reply
from onpanic.probe.decision.rules import refusal
from onpanic.shims.guests.driver import is_on_xen
from onpanic.shims.guests.guest_states import NEED_RESET, query_run_state, state_name
from onpanic.shims.guests.observed_domain import ObservedDomain, observe_domain

__all__ = ("Resumed", "continue_domain", "resume_domain", "resume_monitor")


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


def resume_domain(domain: Any, *, allow_reset: bool = False, timeout: float = 10.0) -> Resumed:
    """Continue a panicked libvirt domain.  Blocks as libvirt does.

    :param domain: A `libvirt.virDomain`.
    :param allow_reset: Reset the guest if it cannot be continued otherwise.
    :param timeout: Seconds in which to learn the state of a guest of Xen.
    :raise RefusedError: When the guest did not panic, when it needs a reset that is not allowed, or when a
        reset would end it; on Xen, when it does not run.
    :raise libvirt.libvirtError: What libvirt raises.
    """
    if is_on_xen(domain):
        from onpanic.shims.guests.xen_resume import refuse_unless_running  # needs lxml

        running = refuse_unless_running(domain, timeout)
        return Resumed("nothing", running, running)
    libvirt = libvirt_module()
    observed = observe_domain(domain)
    before = _shown(observed)
    how: Literal["cont", "reset"] = "cont"
    if observed.state == libvirt.VIR_DOMAIN_CRASHED or observed.run_state == "guest-panicked":
        how = _continue_panicked(libvirt, domain, allow_reset)
    elif (observed.state, observed.reason) == (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_CRASHED):
        domain.resume()  # it has been reset since
    elif observed.run_state in NEED_RESET:
        if not allow_reset:
            raise RefusedError(refusal("guest-needs-reset", observed.run_state))
        _reset(domain)
        how = "reset"
    elif observed.running_for_libvirt:
        return Resumed("nothing", before, before)
    else:
        raise RefusedError(refusal("guest-did-not-panic", before))
    return Resumed(how, before, _shown(observe_domain(domain)))


def continue_domain(domain: Any) -> None:
    """Continue a stopped domain, also one that libvirt takes for running.  Blocks as libvirt does.

    libvirt does not resume a running domain, so QEMU is told directly.

    :param domain: A `libvirt.virDomain`.
    :raise RefusedError: When QEMU refuses.
    :raise libvirt.libvirtError: What libvirt raises.
    """
    libvirt = libvirt_module()
    try:
        if domain.state()[0] != libvirt.VIR_DOMAIN_RUNNING:
            domain.resume()
            return
    except libvirt.libvirtError as error:
        # QEMU's message within libvirt's, of which the rest may be translated
        if "Resetting the Virtual Machine is required" not in str(error):
            raise
        raise RefusedError(refusal("cont-refused-after-panic", str(error))) from error
    refused = monitor_command(domain, {"execute": "cont"}).get("error")
    if refused:
        desc = refused.get("desc") if isinstance(refused, dict) else refused
        raise RefusedError(refusal("cont-refused-after-panic", printable(str(desc), 200)))


def _continue_panicked(libvirt: Any, domain: Any, allow_reset: bool) -> Literal["cont", "reset"]:
    how: Literal["cont", "reset"] = "cont"
    try:
        continue_domain(domain)
    except RefusedError:
        if not allow_reset:
            raise
        _reset(domain)
        how = "reset"
    if domain.state()[0] == libvirt.VIR_DOMAIN_CRASHED:  # its vCPUs were running already, unknown to libvirt
        domain.suspend()
        domain.resume()
    return how


def _reset(domain: Any) -> None:
    """Reset a domain and continue it.

    :raise RefusedError: When a reset would end the guest.
    """
    from onpanic.shims.domain_xml.document import Document  # needs lxml, which a monitor does not
    from onpanic.shims.domain_xml.domain_machine import machine_of

    ends = machine_of(Document(domain.XMLDesc()).root).reset_ends
    if ends:
        raise RefusedError(refusal("reset-ends-guest", ends))
    domain.reset()
    continue_domain(domain)


def _shown(observed: ObservedDomain) -> str:
    """Return a domain's state as libvirt names it, or as QEMU does where that says something else."""
    as_expected = {
        "": True,
        "paused": not observed.running_for_libvirt,
        "running": observed.running_for_libvirt,
    }
    if as_expected.get(observed.run_state):
        return state_name(observed.state, observed.reason)
    return observed.run_state


def _message(answer: Reply) -> str:
    return answer.refusal.desc if answer.refusal else "no answer"
