"""Continue a panicked guest, through its monitor or through libvirt.

On an emulator with the fix of 2013 that is ``cont``.  On one without it only a reset
leaves the state, and a reset loses what the guest was: it has to be allowed.  Through
libvirt it is libvirt that acts, so that what it says of the domain is so afterwards.
"""

from typing import Any, Literal

import msgspec

from onpanic.probe.conversation import Reply
from onpanic.probe.decision import refusal
from onpanic.probe.libvirt_access import module
from onpanic.probe.session import Questions

from .errors import RefusedError
from .states import NEED_RESET, run_state_by_monitor, run_state_of, state_name

__all__ = ("Resumed", "resume_domain", "resume_monitor")


class Resumed(msgspec.Struct, frozen=True):
    """What was done.

    :param how: ``cont``, ``reset`` (and cont), or ``nothing`` for a guest that was running.
    :param before: The state before, in the words of QEMU or libvirt.
    :param after: The state after; a guest may panic again at once.
    """

    how: Literal["cont", "reset", "nothing"]
    before: str
    after: str


async def resume_monitor(questions: Questions, *, allow_reset: bool = False) -> Resumed:
    """Continue a panicked guest through its monitor.

    :param questions: Its monitor, e.g. a `Session` of `onpanic.probe.live.monitor`.
    :param allow_reset: Reset the guest where nothing else helps.
    :raise RefusedError: When it did not panic, or needs a reset that is not allowed.
    :raise EmulatorError: When the monitor does not say what it is asked.
    """
    before = await run_state_by_monitor(questions)
    if before == "running":
        return Resumed("nothing", before, before)
    if before == "guest-panicked":
        answer = await questions.ask("cont")
        if answer.ok:
            return Resumed("cont", before, await run_state_by_monitor(questions))
        if not allow_reset:
            raise RefusedError(refusal("cont-refused-after-panic", _words(answer)))
    elif before not in NEED_RESET:
        raise RefusedError(refusal("guest-did-not-panic", before))
    elif not allow_reset:
        raise RefusedError(refusal("guest-needs-reset", before))
    await questions.ask("system_reset")
    answer = await questions.ask("cont")
    if not answer.ok:
        raise RefusedError(refusal("no-way-back", _words(answer)))
    return Resumed("reset", before, await run_state_by_monitor(questions))


def resume_domain(domain: Any, *, allow_reset: bool = False) -> Resumed:
    """Continue a panicked libvirt domain.  Blocks as libvirt does.

    :param domain: A `libvirt.virDomain`.
    :param allow_reset: Reset the guest where nothing else helps.
    :raise RefusedError: When it did not panic, or needs a reset that is not allowed.
    :raise libvirt.libvirtError: What libvirt raises.
    """
    libvirt = module()
    state, reason = domain.state()
    before = state_name(state, reason)
    if state == libvirt.VIR_DOMAIN_RUNNING:
        return Resumed("nothing", before, before)
    how: Literal["cont", "reset"] = "cont"
    if state == libvirt.VIR_DOMAIN_CRASHED:
        how = _resume_crashed(libvirt, domain, allow_reset)
    elif (state, reason) == (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_CRASHED):
        domain.resume()  # somebody has reset it, and left it there
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
        # QEMU's own words are in libvirt's, which may be translated around them
        if "Resetting the Virtual Machine is required" not in str(error):
            raise
        if not allow_reset:
            raise RefusedError(refusal("cont-refused-after-panic", str(error))) from error
        domain.reset()
        domain.resume()
        how = "reset"
    if domain.state()[0] == libvirt.VIR_DOMAIN_CRASHED:  # its vCPUs were running, which libvirt missed
        domain.suspend()
        domain.resume()
    return how


def _resume_unknown(domain: Any, allow_reset: bool) -> Literal["reset"]:
    """Resume a domain that libvirt does not know why it is paused; QEMU does."""
    run_state = run_state_of(domain)
    if run_state not in NEED_RESET:
        raise RefusedError(refusal("guest-did-not-panic", run_state))
    if not allow_reset:
        raise RefusedError(refusal("guest-needs-reset", run_state))
    domain.reset()
    domain.resume()
    return "reset"


def _words(answer: Reply) -> str:
    return answer.refusal.desc if answer.refusal else "no answer"
