"""From what a Xen host said to its record: a pure function, whichever toolstack answered.

The record is a `CapabilityRecord` like QEMU's, so that whatever reads one reads the other.
"""

from onpanic.core.untrusted import printable
from onpanic.core.version import PROGRAM
from onpanic.probe.decision.rules import UNASKED, Capabilities
from onpanic.probe.facts import Fact
from onpanic.probe.facts.fact import no, unknown, yes
from onpanic.probe.facts.xen_questions import GUEST_TYPE, ON_CRASH_FACTS
from onpanic.probe.record.capability_record import (
    CapabilityRecord,
    Emulator,
    MachineRecord,
    Probed,
    capabilities_of,
    on_panic_of,
)
from onpanic.probe.xen.xen_conversation import CONTROL_WORD, GUEST_TYPES, XenConversation

__all__ = ("record_of_xen", "unasked_xen")

_LIMIT = 200  # characters of the toolstack's words


def record_of_xen(conversation: XenConversation, probed: Probed) -> CapabilityRecord:
    """Return the record of a Xen host.

    :param conversation: What it said.
    :param probed: When and by what it was asked.
    """
    facts = {name: _word(conversation, word) for word, name in ON_CRASH_FACTS.items()}
    target = conversation.target
    machines = []
    for name, alias in GUEST_TYPES.items():
        own = {GUEST_TYPE: _guest_type(conversation, name)}
        decision = on_panic_of(capabilities_of(facts, own, target, name), "xen")
        machines.append(MachineRecord(name, [alias], name == _default(conversation), own, decision))
    return CapabilityRecord(
        emulator=Emulator(
            command=[],
            target=target,
            version=conversation.version,
            package="",
            hypervisor="xen",
            toolstack=conversation.toolstack,
        ),
        facts=facts,
        machines=machines,
        probed=probed,
        problems=_problems(conversation),
    )


def unasked_xen() -> CapabilityRecord:
    """Return the record of a Xen that was not asked, by which the rules alone decide."""
    machines = [
        MachineRecord(name, [alias], name == next(iter(GUEST_TYPES)), {}, on_panic_of(UNASKED, "xen"))
        for name, alias in GUEST_TYPES.items()
    ]
    emulator = Emulator(command=[], target="", version="", package="", hypervisor="xen")
    return _UnaskedXen(emulator=emulator, facts={}, machines=machines, probed=Probed("", PROGRAM, 0.0))


class _UnaskedXen(CapabilityRecord, frozen=True, kw_only=True):
    """A record that no file holds: one that was read and lacks its facts proves nothing."""

    def capabilities(self, machine: str | None = None, notifier: str | None = None) -> Capabilities:
        """Return that nothing is known."""
        super().capabilities(machine, notifier)
        return UNASKED


def _doubt(conversation: XenConversation) -> tuple[str, str]:
    """Return why nothing can be concluded from the answers, and what the toolstack said; empty if it can.

    A refusal counts only if a guest without a crash action is accepted, and an acceptance only if a word that
    nobody knows is refused.
    """
    who = conversation.toolstack
    plain, control = (conversation.words.get(one) for one in ("", CONTROL_WORD))
    if plain and not plain.accepted:
        return f"{who} refuses a guest without a crash action, too", plain.said
    if not plain or not control:
        return f"{who} did not answer", ""
    return (f"{who} accepts a crash action that does not exist" if control.accepted else ""), ""


def _problems(conversation: XenConversation) -> list[str]:
    doubt, words = _doubt(conversation)
    said = f"{doubt}: {_short(words)}" if words else doubt
    return [*conversation.problems] or ([said] if said else [])


def _word(conversation: XenConversation, word: str) -> Fact:
    """Return whether the toolstack accepts a crash action."""
    who, asked = conversation.toolstack, conversation.words.get(word)
    doubt, _ = _doubt(conversation)
    if doubt or not asked:
        return unknown(doubt or f"{who} did not answer")
    if asked.accepted:
        return yes("introspected", f"{who} accepts it")
    return no("introspected", f"{who}: {_short(asked.said)}")


def _guest_type(conversation: XenConversation, machine: str) -> Fact:
    types, source = conversation.guest_types, _short(conversation.types_from)
    if types is None or machine not in types:
        return unknown(f"{conversation.toolstack} does not say which guests this Xen runs")
    return yes("introspected", source) if types[machine] else no("introspected", source)


def _default(conversation: XenConversation) -> str:
    """Return the first machine type that the host runs."""
    types = conversation.guest_types or {}
    return next((name for name in GUEST_TYPES if types.get(name)), next(iter(GUEST_TYPES)))


def _short(text: str) -> str:
    return printable(text, _LIMIT)
