"""What a guest ended in, in words: a few for a table, and a sentence."""

from collections.abc import Mapping
from typing import Literal

from onpanic.matrix.libvirts.libvirt_names import event_name, state_name
from onpanic.matrix.libvirts.libvirt_record import GuestEnd, GuestProcess

__all__ = ("RunsOn", "end_in_words", "end_sentence")

#: What the guest ran on.
RunsOn = Literal["QEMU", "Xen"]

# Words of a table's cell, where the state does not say it
_NEW: Mapping[RunsOn, str] = {"QEMU": "new process", "Xen": "new domain"}
_KEPT = "crashed domain kept"

_PROCESSES: Mapping[RunsOn, Mapping[GuestProcess, str]] = {
    "QEMU": {
        "same": "the QEMU process is the same",
        "new": "QEMU was started anew",
        "ended": "QEMU has ended",
        "unknown": "whether QEMU is the same process is not known",
    },
    "Xen": {
        "same": "the domain that crashed is still there, with its ID",
        "new": "a new domain runs, with another ID",
        "ended": "the domain that crashed is no longer there",
        "unknown": "whether the domain is the one that crashed is not known",
    },
}


def end_in_words(end: GuestEnd, runs_on: RunsOn = "QEMU") -> str:
    """Return what a guest ended in, in a few words.

    They are libvirt's own words for the state, and QEMU's run state where the two do not agree.
    """
    if end.state is None:
        stopped = [event_name(event) for event in end.events if event_name(event).startswith("stopped")]
        words = [f"gone, {stopped[-1]}" if stopped else "gone"]
    else:
        words = [state_name(end.state)]
    if end.reset and end.process != "ended":
        words.append("reset")
    if end.process == "new":
        words.append(_NEW[runs_on])
    if runs_on == "Xen" and end.process == "same":
        words.append(_KEPT)
    if end.renamed:
        words.append("renamed")
    if end.run_state and not _agree(end):
        words.append(f"QEMU is {end.run_state}")
    if end.unanswered:
        words.append("QEMU does not answer")
    if end.dump == "unknown":
        words.append("dump unknown")
    elif end.dump != "none":
        words.append(f"dump ({end.dump})")
    return ", ".join(words)


def end_sentence(end: GuestEnd, runs_on: RunsOn = "QEMU") -> str:
    """Return everything that was seen of a guest's end."""
    panic = f"QEMU's panic action: {end.panic_action}" if end.panic_action else "no GUEST_PANICKED"
    parts = [
        f"libvirt: {state_name(end.state) if end.state else 'the domain no longer exists'}",
        f"events: {', '.join(map(event_name, end.events)) or 'none'}",
        panic if runs_on == "QEMU" else "",
        f"run state: {end.run_state}" if end.run_state else "",
        f"QEMU was not asked for its run state: {end.unanswered}" if end.unanswered else "",
        _PROCESSES[runs_on][end.process],
        "the guest was reset" if end.reset else "",
        "libvirt has it under another name" if end.renamed else "",
        f"core dump: {end.dump}",
    ]
    if runs_on == "Xen" and not end.renamed:
        parts.append("no other name")
    return "; ".join(part for part in parts if part)


def _agree(end: GuestEnd) -> bool:
    """Return whether libvirt's state and QEMU's run state say the same."""
    says_running = end.state is not None and end.state[0] == 1
    return says_running == (end.run_state == "running")
