"""What the state of a Xen guest means.

A guest ends by the hypercall ``SCHEDOP_shutdown`` with a reason, which is "crash" when its kernel panicked;
Xen ends it with the same reason when it cannot go on (public/sched.h).  Its memory stays until a toolstack
frees it.  No toolstack continues such a guest.
"""

from onpanic.core.libvirt_api import libvirt_module
from onpanic.shims.guests.guest_states import Remedy, StateExplanation
from onpanic.shims.guests.xen_domain import XenDomain

__all__ = ("HAS_ENDED", "explain_xen_domain")

_DUMP = Remedy("keep its memory", "virsh{connect} dump {domain} FILE")
_DUMP_SLOWLY = Remedy("keep its memory (takes long)", _DUMP.domain)  # Xen looks for pages up to 4 GiB
_ANEW = Remedy("end it and start it again", "virsh{connect} destroy {domain}; virsh{connect} start {domain}")
_ANEW_TRANSIENT = Remedy(
    _ANEW.what,
    "virsh{connect} dumpxml --migratable --security-info {domain} > FILE; "
    "virsh{connect} destroy {domain}; virsh{connect} create FILE",
)
_START = Remedy("start it again", "virsh{connect} start {domain}")
_RUN = Remedy("let it run", "virsh{connect} resume {domain}")
_JOB = Remedy("see how long it takes", "virsh{connect} domjobinfo {domain}")
_ASK_CPUS = Remedy("see if its CPUs are blocked (it waits) or offline", "virsh{connect} vcpuinfo {domain}")

_CRASH = "the guest's kernel panicked, or Xen stopped the guest for an error"

#: The names of the states in which a guest has ended, and cannot be continued.
HAS_ENDED = ("preserved", "dumping", "restarting", "crashed", "shut down", "ending")

_CONTROL = StateExplanation("running", "this is the control domain, which runs the toolstack")
_RUNNING = StateExplanation("running", "the guest runs")
_OFF = StateExplanation("off", "the guest is not running", (_START,))
_CRASHED = StateExplanation(
    "crashed",
    f"{_CRASH}, or virsh dump --crash ended it; its memory is gone",
    (_START,),
)
_RESTARTING = StateExplanation("restarting", f"{_CRASH}; libvirt starts it again")
_ENDING = StateExplanation("ending", "the guest has ended, and Xen frees its memory")


def explain_xen_domain(seen: XenDomain) -> StateExplanation:
    """Return what a domain's state means.

    :param seen: The domain.
    """
    libvirt = libvirt_module()
    if not seen.active:
        crashed = (seen.state, seen.reason) == (
            libvirt.VIR_DOMAIN_SHUTOFF,
            libvirt.VIR_DOMAIN_SHUTOFF_CRASHED,
        )
        if crashed and seen.worked is not None and seen.on_crash.endswith("restart"):
            return _RESTARTING
        return _CRASHED if crashed else _OFF
    if seen.number == 0:
        return _CONTROL
    ended = _ended(seen)
    if ended == "crash":
        return _crashed_in_memory(seen)
    if ended:
        meaning = f"the guest has ended ({ended}), and its memory is kept{_believed(seen)}"
        return StateExplanation("shut down", meaning, (_anew(seen),))
    if seen.xl is None:
        return _by_libvirt(seen)
    if seen.xl.is_dying:
        return _ENDING
    if seen.xl.is_paused:
        by_libvirt = seen.state == libvirt.VIR_DOMAIN_PAUSED
        return _paused(
            "the guest was stopped on request; it did not crash",
            _RUN if by_libvirt else _by_xl(_RUN.what, "unpause", seen),
        )
    return _RUNNING


def _ended(seen: XenDomain) -> str:
    """Return the reason that a domain in memory has ended for; empty if it has not, or nobody knows."""
    libvirt = libvirt_module()
    if seen.xl is not None:
        return seen.xl.ended
    if seen.state != libvirt.VIR_DOMAIN_SHUTOFF:
        return ""
    return "crash" if seen.reason == libvirt.VIR_DOMAIN_SHUTOFF_CRASHED else "poweroff or reboot"


def _crashed_in_memory(seen: XenDomain) -> StateExplanation:
    noticed = seen.state == libvirt_module().VIR_DOMAIN_SHUTOFF
    dumps, restarts = seen.on_crash.startswith("coredump-"), seen.on_crash.endswith("restart")
    if seen.worked is not None and dumps:
        then = "starts it again" if restarts else "destroys it"
        return StateExplanation("dumping", f"{_CRASH}; libvirt dumps its memory, and then {then}", (_JOB,))
    if noticed and restarts:
        return _RESTARTING
    if noticed and seen.worked is None and seen.on_crash != "preserve":
        return StateExplanation("ending", f"{_CRASH}; libvirt destroys it")
    if seen.worked is not None:
        return StateExplanation(
            "preserved", f"{_CRASH}; its memory is kept, and libvirt works on it", (_JOB,)
        )
    return StateExplanation(
        "preserved",
        f"{_CRASH}; its memory is kept{_believed(seen)}",
        (_DUMP if seen.is_pv else _DUMP_SLOWLY, _anew(seen)),
    )


def _by_libvirt(seen: XenDomain) -> StateExplanation:
    """Return what libvirt's state of a domain in memory means, if Xen cannot be asked."""
    libvirt = libvirt_module()
    asked = f"; Xen cannot be asked: {seen.not_asked}"
    ask_xen = _by_xl("ask Xen in its dom0", "list", seen)
    if seen.state == libvirt.VIR_DOMAIN_PAUSED:
        if seen.reason == libvirt.VIR_DOMAIN_PAUSED_UNKNOWN:  # libvirt's daemon has been restarted
            meaning = "whether the guest was stopped on request, or has crashed, is not known"
            return StateExplanation("unknown", meaning + asked, (ask_xen, _RUN))
        return _paused(
            "the guest was stopped on request; libvirt does not show whether it crashed before", _RUN
        )
    if seen.cpus_run:
        return _RUNNING
    works = "; libvirt works on it" if seen.worked is not None else ""
    meaning = (
        "whether the guest runs is not known: its CPUs do nothing, so it waits, is paused, or has crashed "
        f"without libvirt's notice{asked}{works}"
    )
    return StateExplanation("unknown", meaning, (ask_xen, _ASK_CPUS))


def _paused(meaning: str, remedy: Remedy) -> StateExplanation:
    return StateExplanation("paused", meaning, (remedy,))


def _by_xl(what: str, command: str, seen: XenDomain) -> Remedy:
    """Return what xl does with a domain: it takes every number for an ID, and knows no UUID."""
    return Remedy(what, f"xl {command} {seen.number}")


def _believed(seen: XenDomain) -> str:
    """Return what libvirt takes an ended domain for, if that is wrong."""
    libvirt = libvirt_module()
    wrong = {libvirt.VIR_DOMAIN_RUNNING: "running", libvirt.VIR_DOMAIN_PAUSED: "paused"}
    return f"; libvirt takes it for {wrong[seen.state]}" if seen.state in wrong else ""


def _anew(seen: XenDomain) -> Remedy:
    return _ANEW if seen.persistent else _ANEW_TRANSIENT
