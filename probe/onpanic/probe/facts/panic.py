"""Facts about what a panic does, for each notifier."""

from collections.abc import Sequence
from typing import Any

from onpanic.probe.conversation import Conversation
from onpanic.probe.emulator.notifier_models import NotifierModel
from onpanic.probe.facts.device import attachable, builtin_pvpanic
from onpanic.probe.facts.fact import Answer, Fact, no, unknown, yes
from onpanic.probe.facts.question import Excerpt, Question, Requirement
from onpanic.probe.observations.devices import devices
from onpanic.probe.observations.notifiers import about
from onpanic.probe.observations.panics import PANICKED, Panic, panics

__all__ = ("QUESTIONS", "proven_panics")

_NOT_MADE = "no panic was made on this machine type"
_NOTHING_THERE = "the guest cannot have it"
# `cont` refused for a while only, whatever the run state
_TEMPORARY = ("in process", "in progress", "not finalized")
_NO_KVM = ("No such file", "not supported", "invalid accelerator")


def panic_reported(conversations: Sequence[Conversation], model: NotifierModel) -> Fact:
    """Return whether a panic raises GUEST_PANICKED."""
    panic = next(iter(proven_panics(conversations, model)), None)
    if panic is None:
        return _follows(conversations, model, _NOTHING_THERE) or unknown(_NOT_MADE)
    if panic.action is None:
        seen = "" if panic.mask is None else f" (it reads {panic.mask:#x})"
        return _hyperv_silent(conversations, panic) or no(
            "observed", f"{panic.made_by}{seen}: no event{_moved(conversations)}"
        )
    if panic.mask is not None and not panic.mask & PANICKED:
        # a guest's driver reads the mask first, and then does not report
        return no("observed", f"it reads {panic.mask:#x}: bit 0 is not offered, so no guest reports a panic")
    kind = panic.info.get("type")
    info = f", info of type {kind}" if isinstance(kind, str) else ""
    return yes("observed", f"{panic.made_by}: GUEST_PANICKED, {_action(panic)}{info}")


def panic_action(conversations: Sequence[Conversation], model: NotifierModel) -> Fact:
    """Return what a panic ends in: ``pause``, ``poweroff``, ``run`` or ``exit``.

    ``poweroff``: QEMU shuts the guest down, and ends with status 0 unless something keeps it; ``exit``: it
    ends with another status.
    """
    panic = _with_known_end(proven_panics(conversations, model))
    if panic is None:
        gone = _follows(conversations, model, "nothing reports a panic, so that the guest runs on")
        return Fact("run", gone.how, gone.detail) if gone else unknown(_NOT_MADE)
    if unseen := _unseen(conversations, panic):
        return unseen
    said = "no event" if panic.action is None else _action(panic)
    if panic.exit_status is not None:
        word: Answer = "exit" if panic.exit_status else "poweroff"
        return Fact(word, "observed", f"{said}; the emulator ended with status {panic.exit_status}")
    if panic.action == "poweroff":
        return Fact("poweroff", "observed", f"{said}; query-status: {panic.status or 'not asked'}")
    if panic.status == "guest-panicked":
        return Fact("pause", "observed", f"{said}; query-status: guest-panicked")
    if panic.status in ("paused", "shutdown"):
        word = "pause" if panic.status == "paused" else "poweroff"
        return Fact(word, "observed", f"{said}; query-status: {panic.status}")
    goes_on = panic.status == "" and (panic.action == "run" or panic.went_on)
    if panic.status == "running" or goes_on:
        return Fact("run", "observed", f"{said}; the guest runs on")
    return unknown(f"{said}; query-status: {panic.status or 'not asked'}")


def panic_stops_guest(conversations: Sequence[Conversation], model: NotifierModel) -> Fact:
    """Return whether a panic takes the run state to ``guest-panicked``."""
    panic = _with_known_end(proven_panics(conversations, model))
    if panic is None:
        return _follows(conversations, model, _NOTHING_THERE) or unknown(_NOT_MADE)
    if unseen := _unseen(conversations, panic):
        return unseen
    if panic.exit_status is not None:
        return no("observed", f"the emulator ended with status {panic.exit_status}")
    if panic.status == "guest-panicked":
        return yes("observed", "query-status: guest-panicked")
    if panic.went_on:
        return no("observed", "the guest ran on")
    if not panic.status:
        return unknown("the run state after the panic was not asked")
    why = f", action {panic.action}" if panic.action else ""
    return no("observed", f"query-status: {panic.status}{why}")


def cont_after_panic(conversations: Sequence[Conversation], model: NotifierModel) -> Fact:
    """Return whether ``cont`` continues a panicked guest."""
    made = proven_panics(conversations, model)
    panic = next((p for p in made if p.cont), next(iter(made), None))
    if panic is None:
        return unknown(_NOT_MADE)
    if panic.status != "guest-panicked":
        return unknown("the guest never was in guest-panicked, so there was nothing to continue")
    if panic.cont is None:
        return unknown("cont was not asked in guest-panicked")
    if panic.cont.refusal:
        words = f"{panic.cont.refusal.error_class}: {panic.cont.refusal.desc}"
        if panic.cont.refusal.unknown_command or any(p in panic.cont.refusal.desc for p in _TEMPORARY):
            return unknown(f"cont was refused for another reason: {words}")
        return no("observed", f"cont: {words}")
    if panic.after == "guest-panicked":
        return no("observed", "cont was accepted, but the guest is in guest-panicked still")
    if panic.after not in ("", "running") and not panic.resumed:
        return no("observed", f"cont was accepted, but the guest is in {panic.after}")
    if not panic.after and not panic.resumed:
        return unknown("cont was accepted; whether the guest runs was not asked")
    return yes("observed", f"cont: the guest is {panic.after or 'running'} again")


def checkstop_reported(conversations: Sequence[Conversation]) -> Fact:
    """Return whether a checkstop of a Power CPU raises GUEST_PANICKED."""
    panic = next(iter(panics(conversations, "checkstop")), None)
    if panic is None:
        return unknown("no checkstop was caused on this machine type")
    if panic.action is None:
        return no("observed", "a checkstop: no event")
    return yes("observed", f"a checkstop: GUEST_PANICKED, action {panic.action}")


def proven_panics(conversations: Sequence[Conversation], model: NotifierModel) -> list[Panic]:
    """Return the panics that prove something, see `onpanic.probe.observations.panics.panics`."""
    missing = attachable(conversations, model).answer == "no" and not _is_builtin(conversations, model)
    return panics(about(conversations, model), model, without_notifier=missing)


def _with_known_end(made: Sequence[Panic]) -> Panic | None:
    """Return the first panic of which it is known what it ended in, else the first one; None without one."""
    known = (panic for panic in made if panic.status or panic.exit_status is not None)
    return next(known, next(iter(made), None))


def _action(panic: Panic) -> str:
    """Return what the event says about the action, in words."""
    return f"action {panic.action}" if panic.action else "no action"


def _is_builtin(conversations: Sequence[Conversation], model: NotifierModel) -> bool:
    """Return whether the machine type may create the notifier by itself."""
    return model == "isa" and builtin_pvpanic(conversations).answer != "no"


def _follows(conversations: Sequence[Conversation], model: NotifierModel, detail: str) -> Fact | None:
    """Return ``no`` for a notifier that the guest cannot have; None if it can, or that is unknown."""
    missing = attachable(conversations, model)
    gone = missing.answer == "no" and not _is_builtin(conversations, model)
    return Fact("no", missing.how, detail) if gone else None


def _hyperv_silent(conversations: Sequence[Conversation], panic: Panic) -> Fact | None:
    """Return what it means that nothing reported a write to Hyper-V's MSR; None for other notifiers."""
    if panic.source != "hyperv":
        return None
    held = about(conversations, "hyperv")
    ran = [c for c in held if c.answered and "hv-crash" in str(c.options("cpu"))]
    with_kvm = [c for c in held if "accel=kvm" in str(c.argv) and c not in ran]
    if any("accel=kvm" in str(c.argv) for c in ran):
        why = ", although KVM accepts it" if panic.went_on else ": this host's KVM has no Hyper-V"
        return no("observed", f"{panic.made_by}: no event{why}")
    words = next((c.own_words for c in with_kvm if c.failed), "")
    if words and not any(reason in words for reason in _NO_KVM):
        return unknown(f"TCG ignores hv-crash, and KVM could not be used: {words}")
    return no("observed", "TCG accepts hv-crash and ignores it, and this host has no KVM")


def _unseen(conversations: Sequence[Conversation], panic: Panic) -> Fact | None:
    """Return why it is unknown what a panic does that only KVM could have seen; None if it is not."""
    silent = _hyperv_silent(conversations, panic) if panic.action is None else None
    return silent if silent and silent.answer == "unknown" else None


def _moved(conversations: Sequence[Conversation]) -> str:
    present = [device for conversation in conversations for device in devices(conversation) or ()]
    moved = bool(present) and all(device.neutralised for device in present)
    return "; ioport=0 has moved the device away" if moved else ""


def _excerpt(*commands: str, events: tuple[str, ...]) -> Excerpt:
    return Excerpt(
        ("cont", *commands),
        (),
        ("i /b", "o /b"),
        ("GUEST_PANICKED", "RESET", *events),
        registers=True,
        starts=True,
    )


def _question(name: str, asks: str, known_from: str, read: Any, shows: Excerpt, **more: Any) -> Question:
    return Question(name, "notifier", asks, known_from, read, shows, **more)


#: The questions that this module answers.
QUESTIONS = (
    _question(
        "panic-reported",
        "Does a panic raise GUEST_PANICKED?",
        "a panic is made while the guest runs, as its driver makes one: the event comes before"
        " the next answer, or never",
        panic_reported,
        _excerpt(events=()),
        requires=Requirement("yes", "panic-not-reported"),
    ),
    _question(
        "panic-action",
        "What does a panic end in: pause, poweroff, run or exit?",
        "the event's action, query-status after the panic, and the emulator's exit status",
        panic_action,
        _excerpt("query-status", events=("STOP", "SHUTDOWN")),
        requires=Requirement(
            "pause",
            "panic-does-not-stop-guest",
            {"poweroff": "panic-ends-emulator", "exit": "panic-ends-emulator"},
        ),
    ),
    _question(
        "panic-stops-guest",
        "Does a panic take the run state to guest-panicked?",
        "query-status after the panic",
        panic_stops_guest,
        _excerpt("query-status", events=("STOP",)),
        requires=Requirement("yes", "panic-does-not-stop-guest"),
    ),
    _question(
        "cont-after-panic",
        "Does cont continue a panicked guest?",
        "cont in guest-panicked, and query-status after it",
        cont_after_panic,
        _excerpt("query-status", events=("STOP", "RESUME")),
        requires=Requirement("yes", "cont-refused-after-panic"),
    ),
    Question(
        "checkstop-reported",
        scope="machine",
        asks="Does a checkstop of the CPU raise GUEST_PANICKED?",
        known_from="the firmware is replaced by code that stops the CPU, or its pin is raised",
        read=checkstop_reported,
        shows=_excerpt("query-status", events=("STOP",)),
        applies=lambda target, machine: (
            target.startswith("ppc") and machine != "none" and not machine.startswith("pseries")
        ),
    ),
)
