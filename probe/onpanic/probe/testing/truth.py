"""What is true of a played emulator, from its description alone.

This is written without the code that probes: it says what the emulator does, not how that is found out.
The answers are those of the facts of a capability record.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from onpanic.probe.testing.played_emulator import PlayedEmulator, PlayedNotifier

__all__ = ("PlayedTruth", "truth")

Answers = Mapping[str, str]

_ISA = ("pvpanic", "isa-pvpanic")
_PCI = "pvpanic-pci"
_X86 = ("i386", "x86_64")
# What a guest that goes on, and one that cannot have the notifier, have in common
_NOTHING = {
    "panic-reported": "no",
    "panic-action": "run",
    "panic-stops-guest": "no",
    "cont-after-panic": "unknown",
}
_WORDS = {"guest-panicked": "pause", "paused": "pause", "shutdown": "poweroff", "running": "run"}


@dataclass(frozen=True)
class PlayedTruth:
    """What is true of one machine type of a played emulator.

    :param starts: Whether it starts.
    :param emulator: The answers about the emulator.
    :param machine: The answers about the machine type.
    :param builtin: The type and port of a builtin device that answers; None without one.
    :param notifiers: The answers about each notifier, by libvirt's model and the type of the device (None
        where it is not a device).  ``unknown`` where the question does not arise: whether ``cont``
        continues a guest that was not stopped, and what a panic ends in if no word says that.
    """

    starts: bool
    emulator: Answers
    machine: Answers
    builtin: tuple[str, int] | None
    notifiers: Mapping[tuple[str, str | None], Answers]


def truth(like: PlayedEmulator, machine: str) -> PlayedTruth:
    """Return what is true of a machine type of a played emulator.

    :param like: The emulator.
    :param machine: The machine type's name, not an alias.
    """
    starts = machine in like.machine_names and machine not in like.unstartable
    builtin = None
    if machine in like.builtin and _builtin(like).mask is not None:
        builtin = (like.builtin_type, like.builtin_port)
    notifiers: dict[tuple[str, str | None], Answers] = {}
    for kind in _ISA:
        notifiers["isa", kind] = _isa(like, machine, kind)
    notifiers["pvpanic", _PCI] = _device(like, _PCI, machine not in like.without_pci and machine != "none")
    notifiers["hyperv", None] = _hyperv(like, machine)
    notifiers["s390", None] = _architectural(like, "s390", there=like.target == "s390x" and machine != "none")
    pseries = like.target == "ppc64" and machine.startswith("pseries")
    notifiers["pseries", None] = _architectural(like, "pseries", there=pseries)
    has_dma = machine not in (*like.without_fw_cfg, *like.without_dma, *like.late_fw_cfg)
    own = {
        "builtin-pvpanic": _yes(builtin is not None),
        "vmcoreinfo-attachable": _yes(like.vmcoreinfo and has_dma),
    }
    return PlayedTruth(starts, _emulator(like), own, builtin, notifiers)


def _emulator(like: PlayedEmulator) -> Answers:
    events = {*(like.events or ()), *(like.schema if "query-qmp-schema" in like.commands else ())}
    return {
        "isa-pvpanic-type": _yes("isa-pvpanic" in like.types),
        "pvpanic-type": _yes("pvpanic" in like.types),
        "pvpanic-pci-type": _yes(_PCI in like.types),
        "guest-panicked-event": _yes("GUEST_PANICKED" in events),
        "guest-crashloaded-event": _yes("GUEST_CRASHLOADED" in events),
        "set-action-command": _yes("set-action" in like.commands and "set-action" not in like.lacks),
    }


def _isa(like: PlayedEmulator, machine: str, kind: str) -> Answers:
    """Return the answers about the ISA device under one of its names."""
    builtin = machine in like.builtin
    bus = machine not in like.without_isa and machine != "none"
    answers = _device(like, kind, bus and (not builtin or like.beside_builtin))
    if builtin and answers["pvpanic-attachable"] == "no":
        return {**answers, **_panic(like, _builtin(like))}  # then the guest has the builtin one
    return answers


def _device(like: PlayedEmulator, kind: str, accepted: bool) -> Answers:
    if kind not in like.types or not accepted:
        return {"pvpanic-attachable": "no", **_NOTHING}
    return {"pvpanic-attachable": "yes", **_panic(like, like.notifier(kind))}


def _hyperv(like: PlayedEmulator, machine: str) -> Answers:
    if like.target not in _X86 or machine == "none" or not like.hv_crash:
        return {"pvpanic-attachable": "no", **_NOTHING}
    outcome = _panic(like, like.notifier("hyperv")) if like.kvm in ("denied", "hyperv") else _NOTHING
    return {"pvpanic-attachable": "yes", **outcome}


def _architectural(like: PlayedEmulator, name: str, *, there: bool) -> Answers:
    if not there:
        return {"pvpanic-attachable": "no", **_NOTHING}
    return {"pvpanic-attachable": "yes", **_panic(like, like.notifier(name))}


def _builtin(like: PlayedEmulator) -> PlayedNotifier:
    return like.notifier("builtin" if "builtin" in like.notifiers else like.builtin_type)


def _panic(like: PlayedEmulator, does: PlayedNotifier) -> dict[str, str]:
    """Return what a panic does."""
    if does.mask is None:
        return dict(_NOTHING)
    sent = bool(does.event) and not (does.ends is not None and does.ends_first)
    reported = _yes(sent and bool(does.mask & 1))
    if does.ends is not None:
        action = "exit" if does.ends else "poweroff"
        return {**_NOTHING, "panic-reported": reported, "panic-action": action}
    stops = does.state == "guest-panicked"
    goes_on = like.resumable and not like.cont_stays
    action = "poweroff" if does.event == "poweroff" else _WORDS.get(does.state, "unknown")
    return {
        "panic-reported": reported,
        "panic-action": action,
        "panic-stops-guest": _yes(stops),
        "cont-after-panic": _yes(goes_on) if stops else "unknown",
    }


def _yes(condition: bool) -> str:
    return "yes" if condition else "no"
