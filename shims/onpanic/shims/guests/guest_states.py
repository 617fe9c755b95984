"""The states of a guest, as QEMU and libvirt name them, and what they mean for the guest."""

import msgspec

from onpanic.core.errors import EmulatorError
from onpanic.core.libvirt_api import libvirt_module
from onpanic.probe.asking.session import Monitor
from onpanic.shims.guests.observed_domain import ObservedDomain, needs_qemu

__all__ = (
    "NEED_RESET",
    "Remedy",
    "StateExplanation",
    "explain_domain",
    "explain_run_state",
    "query_run_state",
    "state_name",
)

#: QEMU's run states that only a reset leaves (its ``runstate_needs_reset``), except ``guest-panicked``,
#: which has not been one of them since the fix of 2013.
NEED_RESET = ("internal-error", "shutdown")

_STATES = ("nostate", "running", "blocked", "paused", "shutdown", "shutoff", "crashed", "pmsuspended")


class Remedy(msgspec.Struct, frozen=True):
    """Something that can be done about a guest's state.

    :param what: What it is, in a few words.
    :param domain: The command for a libvirt domain, with ``{domain}`` for its name and ``{connect}`` for the
        option that names the libvirt connection.
    :param monitor: The command for a guest whose monitor has the address ``{address}``; empty on a hypervisor
        without one.
    """

    what: str
    domain: str
    monitor: str = ""


class StateExplanation(msgspec.Struct, frozen=True):
    """What a state means.

    :param name: The state, in one or two words.
    :param meaning: The same in one sentence.
    :param remedies: What can be done about it.
    """

    name: str
    meaning: str
    remedies: tuple[Remedy, ...] = ()


_DUMP = Remedy(
    "keep its memory",
    "virsh{connect} dump --memory-only {domain} FILE",
    "dump-guest-memory over QMP",
)
_CONTINUE = Remedy(
    "continue it as it is", "onpanic resume{connect} --domain {domain}", "onpanic resume --qmp {address}"
)
_RESET = Remedy(
    "reset it and let it boot",
    "onpanic resume --allow-reset{connect} --domain {domain}",
    "onpanic resume --allow-reset --qmp {address}",
)
_REBOOT = Remedy(
    "reset it and let it boot",
    "virsh{connect} reset {domain}; virsh{connect} resume {domain}",
    "system_reset, then cont over QMP",
)
_ANEW = Remedy(
    "end it and start it again",
    "virsh{connect} destroy {domain}; virsh{connect} start {domain}",
    "quit over QMP, then start its QEMU",
)
_ANEW_TRANSIENT = Remedy(
    "end it and start it again",
    "virsh{connect} dumpxml --migratable --security-info {domain} > FILE; "
    "virsh{connect} destroy {domain}; virsh{connect} create FILE",
    _ANEW.monitor,
)
_RUN = Remedy("let it run", "virsh{connect} resume {domain}", "cont over QMP")
_WAKE = Remedy("wake it", "virsh{connect} dompmwakeup {domain}", "system_wakeup over QMP")
_START = Remedy("start it again", "virsh{connect} start {domain}", "start its QEMU")

_RUNNING = StateExplanation("running", "the guest runs")
_RUNNING_AGAIN = StateExplanation("running", "the guest runs; it has panicked since it was started")
_PAUSED = StateExplanation("paused", "the guest was stopped on request; it did not panic", (_RUN,))
_PANICKED = StateExplanation(
    "panicked", "the guest's kernel panicked, and QEMU stopped the guest", (_DUMP, _CONTINUE, _REBOOT)
)
_INTERNAL = StateExplanation(
    "internal error", "QEMU or KVM cannot continue the guest; this is not a panic", (_DUMP, _RESET)
)
_SHUT_DOWN = StateExplanation(
    "shut down", "the guest shut down, and its QEMU was started with -no-shutdown", (_RESET,)
)
_SHUTTING_DOWN = StateExplanation("shutting down", "the guest is shutting down")
_OFF = StateExplanation("off", "the guest is not running", (_START,))
_GONE = StateExplanation(
    "crashed process", "its QEMU exited or was killed; the guest reported nothing", (_START,)
)
_CRASHED = StateExplanation(
    "crashed",
    "it panicked and was destroyed, or its QEMU exited; libvirt does not record which",
    (_START,),
)
_AFTER_RESET = StateExplanation(
    "paused", "it panicked and has been reset; it waits to be continued", (_CONTINUE,)
)
_IO_ERROR = StateExplanation(
    "I/O error", "a disk failed, and QEMU stopped the guest until it works again", (_RUN,)
)
_WATCHDOG = StateExplanation(
    "watchdog", "the guest's watchdog stopped the guest, which may hang", (_DUMP, _RUN)
)
_ASLEEP = StateExplanation("suspended", "the guest suspended itself", (_WAKE,))

_BY_RUN_STATE = {
    "running": _RUNNING,
    "guest-panicked": _PANICKED,
    "internal-error": _INTERNAL,
    "shutdown": _SHUT_DOWN,
    "paused": _PAUSED,
    "prelaunch": StateExplanation("not started", "the guest has not been started yet, or was reset", (_RUN,)),
    "io-error": _IO_ERROR,
    "suspended": _ASLEEP,
    "watchdog": _WATCHDOG,
}


def explain_run_state(run_state: str) -> StateExplanation:
    """Return what one of QEMU's run states means (QAPI's ``RunState``).

    :param run_state: For example ``guest-panicked``.
    """
    return _BY_RUN_STATE.get(run_state) or StateExplanation(run_state, "QEMU is busy with the guest")


def explain_domain(
    observed: ObservedDomain, *, panic_ends_it: bool, reset_ends_it: bool, persistent: bool
) -> StateExplanation:
    """Return what a domain's state means.

    :param observed: The state.
    :param panic_ends_it: Whether a panic changes the domain's state to SHUTOFF, with the reason CRASHED.
    :param reset_ends_it: Whether a reset ends the guest, so that only a new start of its QEMU reboots it.
    :param persistent: Whether libvirt keeps the domain's definition when it ends.
    """
    if observed.not_asked:
        reason = f"QEMU cannot be asked: {observed.not_asked}"
        return StateExplanation("unknown", f"whether the guest panicked is not known: {reason}")
    found = _explanation(observed, panic_ends_it=panic_ends_it)
    anew = _ANEW if persistent else _ANEW_TRANSIENT
    if found is _PANICKED and observed.running_for_libvirt:
        # virsh dump would continue the guest, and virsh resume refuses
        return StateExplanation(found.name, found.meaning, (_CONTINUE, anew))
    if not reset_ends_it:
        return found
    remedies = [anew if remedy in (_RESET, _REBOOT) else remedy for remedy in found.remedies]
    return StateExplanation(found.name, found.meaning, tuple(remedies))


def _explanation(observed: ObservedDomain, *, panic_ends_it: bool) -> StateExplanation:
    libvirt = libvirt_module()
    state, reason = observed.state, observed.reason
    if observed.run_state == "running" and observed.running_for_libvirt:
        return _RUNNING_AGAIN
    if observed.run_state == "shutdown":
        return _SHUTTING_DOWN  # libvirt then ends QEMU
    if observed.run_state:
        return explain_run_state(observed.run_state)
    if state == libvirt.VIR_DOMAIN_PAUSED:
        by_reason = {
            libvirt.VIR_DOMAIN_PAUSED_CRASHED: _AFTER_RESET,
            libvirt.VIR_DOMAIN_PAUSED_IOERROR: _IO_ERROR,
            libvirt.VIR_DOMAIN_PAUSED_WATCHDOG: _WATCHDOG,
            libvirt.VIR_DOMAIN_PAUSED_SHUTTING_DOWN: _SHUTTING_DOWN,
        }
        return by_reason.get(reason, _PAUSED)
    if state == libvirt.VIR_DOMAIN_SHUTOFF and reason == libvirt.VIR_DOMAIN_SHUTOFF_CRASHED:
        return _CRASHED if panic_ends_it else _GONE
    if state == libvirt.VIR_DOMAIN_RUNNING and needs_qemu(state, reason):
        return _RUNNING_AGAIN
    by_state = {
        libvirt.VIR_DOMAIN_CRASHED: _PANICKED,
        libvirt.VIR_DOMAIN_SHUTOFF: _OFF,
        libvirt.VIR_DOMAIN_SHUTDOWN: _SHUTTING_DOWN,
        libvirt.VIR_DOMAIN_PMSUSPENDED: _ASLEEP,
    }
    return by_state.get(state, _RUNNING)


def state_name(state: int, reason: int) -> str:
    """Return libvirt's names of a state and its reason, e.g. ``crashed (panicked)``.

    :param state: A ``virDomainState``.
    :param reason: The reason of that state.
    """
    libvirt = libvirt_module()
    name = _STATES[state] if 0 <= state < len(_STATES) else f"state {state}"
    prefix = f"VIR_DOMAIN_{name.upper()}_"
    if name == "shutdown":  # other constants have this prefix, too
        return name
    names = {
        getattr(libvirt, word): word.removeprefix(prefix) for word in dir(libvirt) if word.startswith(prefix)
    }
    return f"{name} ({names.get(reason, f'reason {reason}').lower().replace('_', ' ')})"


async def query_run_state(monitor: Monitor) -> str:
    """Return QEMU's run state (``query-status``).

    :param monitor: The guest's monitor.
    :raise EmulatorError: When the monitor does not answer, or refuses.
    """
    answer = await monitor.ask("query-status")
    if not answer.ok:
        raise EmulatorError(
            "the monitor does not report the guest's state", "is this a QMP monitor of a QEMU?"
        )
    return answer.member("status")
