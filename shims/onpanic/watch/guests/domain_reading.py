"""What libvirt and QEMU report about a domain, and the condition of a watched guest that follows from it.

The functions that read are called in a thread.
"""

from collections.abc import Collection
from contextlib import suppress
from typing import Any, Literal

import msgspec

from onpanic.core.errors import StaleError
from onpanic.core.libvirt_api import libvirt_module
from onpanic.shims.guests.observed_domain import ObservedDomain, is_changing, needs_qemu, observe_domain
from onpanic.watch.rules.incident import Incident
from onpanic.watch.rules.policy_steps import Condition

__all__ = (
    "DomainReading",
    "condition_of",
    "ending_of",
    "handles_events",
    "is_occupied",
    "is_paused_unknown",
    "read_domain",
    "require_unchanged",
)

# QEMU's run states that are not passed through, nor healthy
_BY_RUN_STATE: dict[str, Condition] = {
    "guest-panicked": "panicked",
    "internal-error": "internal-error",
    "prelaunch": "reset",
}
_PASSING = ("shutdown", "inmigrate", "finish-migrate", "postmigrate", "restore-vm", "save-vm", "colo")


class DomainReading(msgspec.Struct, frozen=True):
    """What libvirt, and QEMU if it was asked, report about a domain.

    :param observed: Its state.
    :param instance: See `GuestState`, as for the other parameters.
    """

    observed: ObservedDomain
    instance: str
    cpu_time: int | None = None
    busy: bool = False
    dumped: tuple[int, int] | None = None

    @property
    def is_open(self) -> bool:
        """Whether QEMU must be asked, and can be."""
        return not self.busy and needs_qemu(self.observed.state, self.observed.reason)


def read_domain(domain: Any, *, ask_qemu: bool = False, ask_job: bool = True) -> DomainReading:
    """Read a domain's state.

    :param domain: A `libvirt.virDomain`.
    :param ask_qemu: Whether to ask QEMU if libvirt's state leaves open whether the guest failed.
    :param ask_job: Whether to ask how far a job is, for which libvirt asks QEMU.
    :raise libvirt.libvirtError: What libvirt raises.
    """
    libvirt = libvirt_module()
    observed = observe_domain(domain) if ask_qemu else ObservedDomain(*domain.state())
    instance = str(domain.ID())
    if observed.state not in (libvirt.VIR_DOMAIN_CRASHED, libvirt.VIR_DOMAIN_PAUSED) and (
        observed.run_state not in _BY_RUN_STATE
    ):
        return DomainReading(observed, instance)
    try:
        occupied, cpu_time = is_occupied(domain), _cpu_time(domain)
        job = domain.jobStats() if ask_job else {}
        occupied = occupied or (not ask_job and domain.controlInfo()[0] != libvirt.VIR_DOMAIN_CONTROL_OK)
    except libvirt.libvirtError:
        again = ObservedDomain(*domain.state())
        if again.state in (libvirt.VIR_DOMAIN_CRASHED, libvirt.VIR_DOMAIN_PAUSED):
            if not is_occupied(domain):
                raise
            return DomainReading(again, instance, busy=True)  # libvirt ends it
        return DomainReading(again, instance)  # it has ended meanwhile
    has_job = job.get("type", libvirt.VIR_DOMAIN_JOB_NONE) != libvirt.VIR_DOMAIN_JOB_NONE
    done, total = job.get("memory_processed", 0), job.get("memory_total", 0)
    dumped = (done, total) if has_job and total else None
    return DomainReading(observed, instance, cpu_time, busy=has_job or occupied, dumped=dumped)


def is_paused_unknown(observed: ObservedDomain) -> bool:
    """Return whether libvirt knows no reason why a domain is paused."""
    libvirt = libvirt_module()
    unknown = (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_UNKNOWN)
    return bool((observed.state, observed.reason) == unknown)


def condition_of(observed: ObservedDomain) -> Condition:
    """Return the condition of a guest whose domain is in a state."""
    libvirt = libvirt_module()
    if observed.not_asked:
        return "unknown"
    if observed.run_state:
        return (
            "changing" if observed.run_state in _PASSING else _BY_RUN_STATE.get(observed.run_state, "healthy")
        )
    if is_changing(observed.state, observed.reason):
        return "changing"
    if observed.state == libvirt.VIR_DOMAIN_CRASHED:
        return "panicked"
    if (observed.state, observed.reason) == (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_CRASHED):
        return "reset"
    return "off" if observed.state == libvirt.VIR_DOMAIN_SHUTOFF else "healthy"


def ending_of(observed: ObservedDomain) -> Literal["", "shutdown", "crashed"]:
    """Return how a domain has ended, see `GuestState.ending`."""
    libvirt = libvirt_module()
    if observed.state != libvirt.VIR_DOMAIN_SHUTOFF:
        return ""
    if observed.reason == libvirt.VIR_DOMAIN_SHUTOFF_SHUTDOWN:
        return "shutdown"
    return "crashed" if observed.reason == libvirt.VIR_DOMAIN_SHUTOFF_CRASHED else ""


def _cpu_time(domain: Any) -> int:
    """Return the CPU time of a domain's vCPUs; it hardly changes while the domain is stopped."""
    return sum(int(vcpu[2]) for vcpu in domain.vcpus()[0])


def is_occupied(domain: Any) -> bool:
    """Return whether libvirt works on a domain, other than in a job that `jobStats` shows.

    This needs no job itself, so it neither waits for libvirt's work nor taints the domain.
    """
    libvirt = libvirt_module()
    try:
        state, details, _ = domain.controlInfo()
    except libvirt.libvirtError as error:
        if error.get_error_code() not in (libvirt.VIR_ERR_OPERATION_INVALID, libvirt.VIR_ERR_NO_SUPPORT):
            raise
        return False  # it is off
    # Between the commands that a job sends to QEMU, libvirt reports an internal error
    between = (libvirt.VIR_DOMAIN_CONTROL_ERROR, libvirt.VIR_DOMAIN_CONTROL_ERROR_REASON_INTERNAL)
    return bool(state == libvirt.VIR_DOMAIN_CONTROL_OCCUPIED or (state, details) == between)


def handles_events(connection: Any, beside: Collection[str] = ()) -> bool:
    """Return whether libvirt may be handling an event of some domain, which others then wait for.

    :param connection: A `libvirt.virConnect`.
    :param beside: UUIDs of domains that libvirt is occupied with for another reason.
    """
    libvirt = libvirt_module()
    for domain in connection.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE):
        if domain.UUIDString() in beside:
            continue
        with suppress(libvirt.libvirtError):
            is_dumped = domain.state()[0] == libvirt.VIR_DOMAIN_CRASHED and domain.controlInfo()[0] != 0
            if is_dumped or is_occupied(domain):
                return True
    return False


def require_unchanged(domain: Any, incident: Incident) -> ObservedDomain:
    """Return the state of a domain that is still in the failure that an incident is about.

    :raise StaleError: When it is not.
    :raise libvirt.libvirtError: What libvirt raises.
    """
    observed = observe_domain(domain)
    if str(domain.ID()) != incident.instance or not incident.expects(condition_of(observed)):
        raise StaleError("the guest has changed meanwhile")
    return observed
