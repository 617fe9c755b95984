"""Facts that the emulator states about itself: its QOM types, QMP events and QMP commands.

A list that names something says yes, a list without it says no, and a command that does not
exist (RHEL 6 has no QOM, QEMU 6 dropped ``query-events``) says nothing.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial

from onpanic.probe.conversation import Conversation, Reply
from onpanic.probe.facts.fact import Fact, no, unknown, yes
from onpanic.probe.facts.question import Excerpt, Question

__all__ = ("QUESTIONS",)


def type_exists(conversations: Sequence[Conversation], name: str) -> Fact:
    """Return whether the emulator has a QOM type."""
    listed = _listed(r for r in _replies(conversations, "qom-list-types") if not r.arguments)
    if listed is not None and name in listed:
        return yes("introspected", "listed by qom-list-types")
    if listed is not None:
        return no("introspected", "not among the types of qom-list-types")
    for reply in _replies(conversations, "device-list-properties"):
        if reply.arguments.get("typename") == name:
            if reply.ok:
                return yes("introspected", "device-list-properties knows it")
            if reply.refusal and reply.refusal.error_class == "DeviceNotFound":
                return no("introspected", f"device-list-properties: {reply.refusal.desc}")
    if any(name in c.devices and c.answered for c in conversations):
        return yes("observed", f"-device {name} was accepted")
    return unknown("qom-list-types was not answered")


def event_exists(conversations: Sequence[Conversation], name: str) -> Fact:
    """Return whether the emulator has a QMP event."""
    if any(c.events(name) for c in conversations):
        return yes("observed", "the event came")
    listed = _listed(_replies(conversations, "query-events"))
    source = "query-events"
    if listed is None:
        schema = _replies(conversations, "query-qmp-schema")
        listed = _listed(schema, kind="event")
        source = "query-qmp-schema"
    if listed is None:
        return unknown("neither query-events nor query-qmp-schema was answered")
    if name in listed:
        return yes("introspected", f"listed by {source}")
    return no("introspected", f"not among the events of {source}")


def set_action_exists(conversations: Sequence[Conversation]) -> Fact:
    """Return whether the emulator has ``set-action``, which sets at run time what a panic does."""
    listed = _listed(_replies(conversations, "query-commands"))
    source = "query-commands"
    if listed is None:
        listed = _listed(_replies(conversations, "query-qmp-schema"), kind="command")
        source = "query-qmp-schema"
    if listed is None:
        return unknown("neither query-commands nor query-qmp-schema was answered")
    if "set-action" in listed:
        return yes("introspected", f"listed by {source}")
    return no("introspected", f"not among the commands of {source}")


def _replies(conversations: Sequence[Conversation], command: str) -> list[Reply]:
    return [r for c in conversations for r in c.replies if r.command == command and r.received >= 0]


def _listed(replies: Iterable[Reply], kind: str = "") -> set[str] | None:
    """Return the names of the first reply that lists named things, None without one."""
    for reply in replies:
        if reply.ok:
            return {item["name"] for item in reply.items if not kind or item["meta-type"] == kind}
    return None


def _type(name: str) -> tuple[Callable[[Sequence[Conversation]], Fact], Excerpt]:
    shows = Excerpt(("qom-list-types", "device-list-properties"), (name,), starts=True)
    return partial(type_exists, name=name), shows


def _event(name: str) -> tuple[Callable[[Sequence[Conversation]], Fact], Excerpt]:
    commands = ("query-events", "query-qmp-schema")
    shows = Excerpt(commands, (name,), ("i /b", "o /b"), (name,), registers=True)
    return partial(event_exists, name=name), shows


#: The questions that this module answers.
QUESTIONS = (
    Question(
        "isa-pvpanic-type",
        "emulator",
        "Is there a type isa-pvpanic, the name proposed in 2013 for the working design?",
        "qom-list-types; no released QEMU has it, and one that has it must still behave",
        *_type("isa-pvpanic"),
    ),
    Question(
        "pvpanic-type",
        "emulator",
        "Is there a type pvpanic, the ISA device?",
        "qom-list-types; broken builds carry the name too, so it decides nothing",
        *_type("pvpanic"),
    ),
    Question(
        "pvpanic-pci-type",
        "emulator",
        "Is there a type pvpanic-pci, the PCI device?",
        "qom-list-types; QEMU 6.0 and later, if the build includes it",
        *_type("pvpanic-pci"),
    ),
    Question(
        "guest-panicked-event",
        "emulator",
        "Does the emulator have the event GUEST_PANICKED?",
        "the event itself, else query-events or query-qmp-schema",
        *_event("GUEST_PANICKED"),
    ),
    Question(
        "guest-crashloaded-event",
        "emulator",
        "Does the emulator have the event GUEST_CRASHLOADED: the guest dumps itself?",
        "the event itself, after a write of bit 1, else query-events or query-qmp-schema",
        *_event("GUEST_CRASHLOADED"),
    ),
    Question(
        "set-action-command",
        "emulator",
        "Can it be set at run time what a panic does?",
        "query-commands lists set-action; QEMU 6.0 and later",
        set_action_exists,
        Excerpt(("query-commands", "query-qmp-schema"), ("set-action",)),
    ),
)
