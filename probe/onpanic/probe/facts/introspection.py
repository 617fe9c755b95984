"""What the emulator says of itself: QOM types, QMP events, QMP commands.

A list that names a thing says yes, a list without it says no, and a command that
does not exist (RHEL 6 has no QOM, QEMU 6 lost ``query-events``) says nothing.
"""

from collections.abc import Iterable, Sequence

from ..conversation import Conversation, Reply
from .fact import Fact, no, unknown, yes

__all__ = (
    "guest_crashloaded_event",
    "guest_panicked_event",
    "isa_pvpanic_type",
    "pvpanic_pci_type",
    "pvpanic_type",
    "set_action_command",
)


def isa_pvpanic_type(conversations: Sequence[Conversation]) -> Fact:
    """Say if the type ``isa-pvpanic`` exists: the name that was proposed in 2013 for the working design."""
    return _type(conversations, "isa-pvpanic")


def pvpanic_type(conversations: Sequence[Conversation]) -> Fact:
    """Say if the type ``pvpanic`` exists: the ISA device, under the name that it kept."""
    return _type(conversations, "pvpanic")


def pvpanic_pci_type(conversations: Sequence[Conversation]) -> Fact:
    """Say if the type ``pvpanic-pci`` exists: the PCI device."""
    return _type(conversations, "pvpanic-pci")


def guest_panicked_event(conversations: Sequence[Conversation]) -> Fact:
    """Say if the emulator has the QMP event ``GUEST_PANICKED``."""
    return _event(conversations, "GUEST_PANICKED")


def guest_crashloaded_event(conversations: Sequence[Conversation]) -> Fact:
    """Say if it has ``GUEST_CRASHLOADED``, by which a guest says that it dumps itself."""
    return _event(conversations, "GUEST_CRASHLOADED")


def set_action_command(conversations: Sequence[Conversation]) -> Fact:
    """Say if it has ``set-action``, which sets at run time what a panic does."""
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


def _type(conversations: Sequence[Conversation], name: str) -> Fact:
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


def _event(conversations: Sequence[Conversation], name: str) -> Fact:
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


def _replies(conversations: Sequence[Conversation], command: str) -> list[Reply]:
    return [r for c in conversations for r in c.replies if r.command == command and r.received >= 0]


def _listed(replies: Iterable[Reply], kind: str = "") -> set[str] | None:
    """Return the names of the first reply that lists named things, None without one."""
    for reply in replies:
        if reply.ok:
            return {item["name"] for item in reply.items if not kind or item["meta-type"] == kind}
    return None
