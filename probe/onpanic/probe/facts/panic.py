"""Facts about what a panic does."""

from collections.abc import Sequence

from onpanic.probe.conversation import Conversation
from onpanic.probe.facts.device import pvpanic_attachable
from onpanic.probe.facts.fact import Fact, no, unknown, yes
from onpanic.probe.facts.question import Excerpt, Question, Requirement
from onpanic.probe.observations.devices import devices
from onpanic.probe.observations.panics import PANICKED, Panic, panics

__all__ = ("QUESTIONS", "proven_panics")

_NOT_MADE = "no panic was made on this machine type"
# `cont` refused for a while only, whatever the run state
_TEMPORARY = ("in process", "in progress", "not finalized")


def panic_reported(conversations: Sequence[Conversation]) -> Fact:
    """Return whether a panic raises GUEST_PANICKED."""
    panic = next(iter(proven_panics(conversations)), None)
    if panic is None:
        return unknown(_NOT_MADE)
    place = "to the device" if panic.address is None else f"to {panic.address:#x}"
    if panic.action is None:
        seen = "" if panic.mask is None else f" (it reads {panic.mask:#x})"
        moved = "; ioport=0 has moved the device away" if _neutralised(conversations) else ""
        return no("observed", f"1 written {place}{seen}: no event{moved}")
    if panic.mask is not None and not panic.mask & PANICKED:
        # a guest's driver reads the mask first, and then does not report
        return no("observed", f"it reads {panic.mask:#x}: bit 0 is not offered, so no guest reports a panic")
    return yes("observed", f"1 written {place}: GUEST_PANICKED, action {panic.action}")


def panic_stops_guest(conversations: Sequence[Conversation]) -> Fact:
    """Return whether a panic takes the run state to ``guest-panicked``."""
    made = proven_panics(conversations)
    panic = next((p for p in made if p.status), next(iter(made), None))
    if panic is None:
        return unknown(_NOT_MADE)
    if not panic.status and panic.exited and panic.action != "pause":
        return no("observed", f"the emulator exited, action {panic.action}")
    if not panic.status:
        return unknown("the run state after the panic was not asked")
    if panic.status == "guest-panicked":
        return yes("observed", "query-status: guest-panicked")
    why = f", action {panic.action}" if panic.action else ""
    return no("observed", f"query-status: {panic.status}{why}")


def cont_after_panic(conversations: Sequence[Conversation]) -> Fact:
    """Return whether ``cont`` continues a panicked guest."""
    made = proven_panics(conversations)
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
    if not panic.after and not panic.resumed:
        return unknown("cont was accepted; whether the guest runs was not asked")
    return yes("observed", f"cont: the guest is {panic.after or 'running'} again")


def proven_panics(conversations: Sequence[Conversation]) -> list[Panic]:
    """Return the panics that prove something, see `onpanic.probe.observations.panics.panics`."""
    return panics(conversations, without_notifier=pvpanic_attachable(conversations).answer == "no")


def _neutralised(conversations: Sequence[Conversation]) -> bool:
    present = [device for conversation in conversations for device in devices(conversation) or ()]
    return bool(present) and all(device.neutralised for device in present)


def _excerpt(*commands: str, events: tuple[str, ...]) -> Excerpt:
    return Excerpt(
        ("cont", *commands),
        (),
        ("i /b", "o /b"),
        ("GUEST_PANICKED", *events),
        registers=True,
        starts=True,
    )


#: The questions that this module answers.
QUESTIONS = (
    Question(
        "panic-reported",
        scope="machine",
        asks="Does a panic raise GUEST_PANICKED?",
        known_from="1 is written to the device while the guest runs:"
        " the event comes before the next answer, or never",
        read=panic_reported,
        shows=_excerpt(events=()),
        requires=Requirement("yes", "panic-not-reported"),
    ),
    Question(
        "panic-stops-guest",
        scope="machine",
        asks="Does a panic take the run state to guest-panicked?",
        known_from="query-status after the panic",
        read=panic_stops_guest,
        shows=_excerpt("query-status", events=("STOP",)),
        requires=Requirement("yes", "panic-does-not-stop-guest"),
    ),
    Question(
        "cont-after-panic",
        scope="machine",
        asks="Does cont continue a panicked guest?",
        known_from="cont in guest-panicked, and query-status after it",
        read=cont_after_panic,
        shows=_excerpt("query-status", events=("STOP", "RESUME")),
        requires=Requirement("yes", "cont-refused-after-panic"),
    ),
)
