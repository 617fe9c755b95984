"""The states that a guest can be in, as QEMU and libvirt call them, and what they mean for it."""

from typing import Any

import msgspec

from onpanic.probe.errors import EmulatorError
from onpanic.probe.libvirt_access import module, monitor_command
from onpanic.probe.session import Questions

__all__ = (
    "NEED_RESET",
    "Condition",
    "Remedy",
    "of_libvirt",
    "of_run_state",
    "run_state_by_monitor",
    "run_state_of",
    "state_name",
)

#: QEMU's run states that a reset leaves, and ``cont`` does not (its ``runstate_needs_reset``,
#: without ``guest-panicked``, which left it with the fix of 2013).
NEED_RESET = ("internal-error", "shutdown")

_STATES = ("nostate", "running", "blocked", "paused", "shutdown", "shutoff", "crashed", "pmsuspended")


class Remedy(msgspec.Struct, frozen=True):
    """Something that can be done about a guest's state.

    :param what: In a few words.
    :param domain: The command for a libvirt domain; ``{domain}`` stands for its name, ``{connect}``
        for the option that names libvirt.
    :param monitor: The same for a guest whose monitor is ``{address}``.
    """

    what: str
    domain: str
    monitor: str


class Condition(msgspec.Struct, frozen=True):
    """What a state means.

    :param name: In a word or two.
    :param meaning: One sentence.
    :param remedies: What can be done.
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
_RUN = Remedy("let it run", "virsh{connect} resume {domain}", "cont over QMP")
_WAKE = Remedy("wake it", "virsh{connect} dompmwakeup {domain}", "system_wakeup over QMP")
_START = Remedy("start it again", "virsh{connect} start {domain}", "start its QEMU")

_RUNNING = Condition("running", "the guest runs")
_RUNNING_AGAIN = Condition("running", "the guest runs; it has panicked since it was started")
_PAUSED = Condition("paused", "somebody stopped the guest; it did not panic", (_RUN,))
_PANICKED = Condition(
    "panicked", "the guest's kernel panicked, and QEMU stopped the guest", (_DUMP, _CONTINUE, _REBOOT)
)
_INTERNAL = Condition(
    "internal error", "QEMU or KVM could not go on with the guest; it is no panic", (_DUMP, _RESET)
)
_SHUT_DOWN = Condition("shut down", "the guest shut down, and its QEMU was told to stay", (_RESET,))
_OFF = Condition("off", "the guest is not running", (_START,))
_GONE = Condition(
    "crashed process", "its QEMU ended or was killed; the guest itself reported nothing", (_START,)
)
_CRASHED = Condition(
    "crashed",
    "it panicked and was destroyed for it, or its QEMU ended; libvirt does not keep which",
    (_START,),
)
_AFTER_RESET = Condition("paused", "it panicked and was reset since; it waits to be started", (_CONTINUE,))
_IO_ERROR = Condition("I/O error", "a disk failed, and QEMU stopped the guest until it is mended", (_RUN,))
_WATCHDOG = Condition("watchdog", "the guest's watchdog stopped it; it may hang", (_DUMP, _RUN))
_ASLEEP = Condition("suspended", "the guest sent itself to sleep", (_WAKE,))

_BY_RUN_STATE = {
    "running": _RUNNING,
    "guest-panicked": _PANICKED,
    "internal-error": _INTERNAL,
    "shutdown": _SHUT_DOWN,
    "paused": _PAUSED,
    "prelaunch": Condition("not started", "the guest has not begun to run, or was reset", (_RUN,)),
    "io-error": _IO_ERROR,
    "suspended": _ASLEEP,
    "watchdog": _WATCHDOG,
}


def of_run_state(run_state: str) -> Condition:
    """Return what a run state of QEMU's means (QAPI's ``RunState``).

    :param run_state: For example ``guest-panicked``.
    """
    return _BY_RUN_STATE.get(run_state) or Condition(run_state, "QEMU is busy with the guest")


def of_libvirt(state: int, reason: int, *, panic_ends_it: bool) -> Condition | None:
    """Return what a domain's state in libvirt means; None where only QEMU's own state tells.

    :param state: A ``virDomainState``.
    :param reason: Its reason.
    :param panic_ends_it: True if a panic would take the domain to the state SHUTOFF, reason CRASHED.
    """
    libvirt = module()
    if state == libvirt.VIR_DOMAIN_PAUSED:
        by_reason = {
            libvirt.VIR_DOMAIN_PAUSED_UNKNOWN: None,
            libvirt.VIR_DOMAIN_PAUSED_CRASHED: _AFTER_RESET,
            libvirt.VIR_DOMAIN_PAUSED_IOERROR: _IO_ERROR,
            libvirt.VIR_DOMAIN_PAUSED_WATCHDOG: _WATCHDOG,
        }
        return by_reason.get(reason, _PAUSED)
    if state == libvirt.VIR_DOMAIN_SHUTOFF and reason == libvirt.VIR_DOMAIN_SHUTOFF_CRASHED:
        return _CRASHED if panic_ends_it else _GONE
    if state == libvirt.VIR_DOMAIN_RUNNING and reason == libvirt.VIR_DOMAIN_RUNNING_CRASHED:
        return _RUNNING_AGAIN
    by_state = {
        libvirt.VIR_DOMAIN_CRASHED: _PANICKED,
        libvirt.VIR_DOMAIN_SHUTOFF: _OFF,
        libvirt.VIR_DOMAIN_SHUTDOWN: Condition("shutting down", "the guest is about to be off"),
        libvirt.VIR_DOMAIN_PMSUSPENDED: _ASLEEP,
    }
    return by_state.get(state, _RUNNING)


def state_name(state: int, reason: int) -> str:
    """Return libvirt's words for a state and its reason, e.g. ``crashed (panicked)``."""
    libvirt = module()
    name = _STATES[state] if 0 <= state < len(_STATES) else f"state {state}"
    prefix = f"VIR_DOMAIN_{name.upper()}_"
    if name == "shutdown":  # flags share its prefix
        return name
    names = {
        getattr(libvirt, word): word.removeprefix(prefix) for word in dir(libvirt) if word.startswith(prefix)
    }
    return f"{name} ({names.get(reason, f'reason {reason}').lower().replace('_', ' ')})"


async def run_state_by_monitor(questions: Questions) -> str:
    """Return QEMU's run state as its monitor tells it.

    :param questions: The monitor.
    :raise EmulatorError: When it does not.
    """
    answer = await questions.ask("query-status")
    if not answer.ok:
        raise EmulatorError("the monitor does not tell the guest's state", "is it a QMP monitor of QEMU's?")
    return answer.member("status")


def run_state_of(domain: Any) -> str:
    """Return QEMU's run state of a running domain; libvirt marks the domain as tainted for it.

    :param domain: A `libvirt.virDomain`.
    :raise libvirt.libvirtError: What libvirt raises.
    """
    answer = monitor_command(domain, {"execute": "query-status"})
    found = answer.get("return", {}).get("status")
    return str(found or "unknown")
