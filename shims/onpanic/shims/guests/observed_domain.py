"""The state of a libvirt domain, with QEMU's run state wherever libvirt's state leaves open what it is.

libvirt does not notice every panic.  A panicked guest that was saved and restored, or migrated with
``--paused``, is paused for libvirt; on libvirt 12.6 and later a guest whose ``<on_crash>`` was changed at
run time may be running for it.  QEMU knows the truth in each of these cases.
"""

from typing import Any

import msgspec

from onpanic.core.errors import EmulatorError
from onpanic.core.libvirt_api import libvirt_module, monitor_command
from onpanic.core.untrusted import printable

__all__ = ("ObservedDomain", "domain_run_state", "is_changing", "needs_qemu", "observe_domain")


class ObservedDomain(msgspec.Struct, frozen=True):
    """A domain's state.

    :param state: libvirt's state, a ``virDomainState``.
    :param reason: The reason of that state.
    :param run_state: QEMU's run state; empty if QEMU was not asked.
    :param not_asked: Why QEMU could not be asked although libvirt's state leaves it open; empty otherwise.
    """

    state: int
    reason: int
    run_state: str = ""
    not_asked: str = ""

    @property
    def running_for_libvirt(self) -> bool:
        """Whether libvirt takes the guest for running."""
        return bool(self.state == libvirt_module().VIR_DOMAIN_RUNNING)


def is_changing(state: int, reason: int) -> bool:
    """Return whether a state is one that a domain only passes through.

    :param state: A ``virDomainState``.
    :param reason: The reason of that state.
    """
    libvirt = libvirt_module()
    if state == libvirt.VIR_DOMAIN_PAUSED:
        return reason in (libvirt.VIR_DOMAIN_PAUSED_SHUTTING_DOWN, libvirt.VIR_DOMAIN_PAUSED_STARTING_UP)
    return state in (libvirt.VIR_DOMAIN_NOSTATE, libvirt.VIR_DOMAIN_SHUTDOWN)


def needs_qemu(state: int, reason: int) -> bool:
    """Return whether only QEMU knows if a domain in this state has panicked.

    :param state: A ``virDomainState``.
    :param reason: The reason of that state.
    """
    libvirt = libvirt_module()
    if state == libvirt.VIR_DOMAIN_RUNNING:
        return bool(reason == libvirt.VIR_DOMAIN_RUNNING_CRASHED)
    if state != libvirt.VIR_DOMAIN_PAUSED or is_changing(state, reason):
        return False
    known = (
        libvirt.VIR_DOMAIN_PAUSED_CRASHED,
        libvirt.VIR_DOMAIN_PAUSED_IOERROR,
        libvirt.VIR_DOMAIN_PAUSED_WATCHDOG,
    )
    return reason not in known


def observe_domain(domain: Any) -> ObservedDomain:
    """Read a domain's state, and ask QEMU if libvirt's state leaves open whether the guest panicked.

    libvirt marks a domain as tainted (``custom-monitor``) when QEMU is asked.  A read-only connection
    cannot ask it.  Blocks as libvirt does.

    :param domain: A `libvirt.virDomain`.
    :raise libvirt.libvirtError: When the state cannot be read.
    """
    libvirt = libvirt_module()
    state, reason = domain.state()
    if not needs_qemu(state, reason):
        return ObservedDomain(state, reason)
    try:
        return ObservedDomain(state, reason, domain_run_state(domain))
    except EmulatorError as error:
        return ObservedDomain(state, reason, not_asked=error.message)
    except libvirt.libvirtError as error:
        code = error.get_error_code()
        if code == libvirt.VIR_ERR_OPERATION_INVALID:  # it has ended meanwhile
            return ObservedDomain(*domain.state())
        if code == libvirt.VIR_ERR_NO_SUPPORT:  # another hypervisor, of which libvirt knows all there is
            return ObservedDomain(state, reason)
        if code in (libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_OPERATION_TIMEOUT):
            raise
        return ObservedDomain(state, reason, not_asked=printable(str(error)))


def domain_run_state(domain: Any) -> str:
    """Return QEMU's run state of a running domain (``query-status``).  libvirt marks the domain as tainted.

    :param domain: A `libvirt.virDomain`.
    :raise EmulatorError: When QEMU does not tell.
    :raise libvirt.libvirtError: What libvirt raises.
    """
    answer = monitor_command(domain, {"execute": "query-status"}).get("return")
    found = answer.get("status") if isinstance(answer, dict) else None
    if not isinstance(found, str) or not found:
        raise EmulatorError("QEMU does not report the guest's state", "is this a domain of QEMU?")
    return found
