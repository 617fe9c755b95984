"""The panics of a conversation, and the outcome of each.

A panic is a write of bit 0 to the notifier's register (QEMU's ``docs/specs/pvpanic``).  The
evidence is what followed the first such write that was made *while the guest was running*: a
paused guest changes no state, so any other write proves nothing.  QEMU sends its events before
it answers the next QMP command.  Once that answer has come, an event that is missing will not
come any more, so that nothing depends on a waiting time.
"""

from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

from onpanic.probe.conversation import Conversation, PortAccess, Reply
from onpanic.probe.observations.devices import DEFAULT_PORT, NOTIFIERS, devices
from onpanic.probe.observations.pci import BAR0, IDENTITY, bars

__all__ = ("PANICKED", "Panic", "panics")

#: Bit 0 of the register: the guest has panicked (QEMU's ``docs/specs/pvpanic``).
PANICKED = 1
# Run states in which a panic changes nothing, so that nothing follows from it
_NOT_RUNNING = ("prelaunch", "paused", "inmigrate", "preconfig", "suspended", "shutdown")


class Panic(msgspec.Struct, frozen=True):
    """A panic that was made to happen, and its outcome.

    :param space: ``io`` for the ISA device, ``memory`` for the PCI one.
    :param address: The port or register that was written; None if the guest did it unseen.
    :param equipped: False if no notifier was in the machine.
    :param mask: What the register showed when it was read before; None if it was not read.
    :param action: The event's action (``pause``, ``run``, …); None if no event came.
    :param status: The run state afterwards; empty if it was not asked.
    :param cont: The answer to ``cont`` in that state; None if it was not asked.
    :param after: The run state after ``cont``; empty if it was not asked.
    :param resumed: True if a RESUME event came with ``cont``.
    :param exited: True if the emulator ended by itself, right after the panic.
    """

    space: Literal["io", "memory"]
    address: int | None
    equipped: bool
    mask: int | None
    action: str | None
    status: str
    cont: Reply | None
    after: str
    resumed: bool
    exited: bool

    @property
    def there(self) -> bool:
        """True if a notifier was there: it was listed, or an event came."""
        return self.equipped or self.action is not None


def panics(conversations: Sequence[Conversation], *, without_notifier: bool = False) -> list[Panic]:
    """Return the panics that prove something, those that raised an event first.

    A missing event proves something only where a notifier is there, or where none can be.

    :param without_notifier: True if no notifier can be added to the machine type.
    """
    made = [panic for conversation in conversations for panic in _panics(conversation)]
    silent = [p for p in made if p.action is None and (p.equipped or without_notifier)]
    return [p for p in made if p.action is not None] + silent


def _panics(conversation: Conversation) -> Iterable[Panic]:
    """Yield the panics of a conversation that happened in a running guest."""
    registers = _registers(conversation)
    writes = [a for a in conversation.accesses if a.kind == "write"]
    for access in writes:
        if access.value == PANICKED and (access.space, access.address) in registers:
            panic = _outcome(conversation, access) if _running(conversation, access) else None
            if panic and panic.status not in _NOT_RUNNING:
                yield panic
    if not _tried(conversation):
        for index, _ in conversation.events("GUEST_PANICKED"):
            unseen = PortAccess("write", "io", -1, PANICKED, index, index)
            panic = _outcome(conversation, unseen) if _running(conversation, unseen) else None
            if panic and panic.status not in _NOT_RUNNING:
                yield msgspec.structs.replace(panic, address=None)


def _tried(conversation: Conversation) -> bool:
    """Return whether registers were written: then an event without a write is another panic."""
    lines = [str(r.arguments.get("command-line", "")) for r in conversation.replies]
    by_qtest = any(e.chan == "qtest" and e.dir == "send" for e in conversation.entries)
    return by_qtest or any(line.startswith("o /") for line in lines)


def _outcome(conversation: Conversation, write: PortAccess) -> Panic | None:
    later = [r for r in conversation.replies if r.received > write.received]
    fence = later[0].received if later else len(conversation.entries)
    events = conversation.events("GUEST_PANICKED", write.sent, fence)
    if not later and not events:
        return None  # it broke off there, so nothing is known
    end = _disturbed(conversation, write, fence)
    after_write = [r for r in later if r.sent < end]
    first = next((r for r in after_write if r.command in ("query-status", "cont")), None)
    status = first if first and first.command == "query-status" else None
    if status and conversation.events("RESUME", write.received, status.received):
        status = None  # something has continued the guest in the meantime
    state = status.member("status") if status else ""
    cont = after = None
    resumed = False
    if status and state == "guest-panicked":
        conts = [r for r in after_write if r.command == "cont" and r.sent > status.sent]
        cont = conts[0] if conts and (conts[0].ok or conts[0].refusal) else None
        if cont:
            end = conts[1].sent if len(conts) > 1 else end
            asked = [r for r in after_write if r.command == "query-status" and cont.sent < r.sent < end]
            after = asked[0] if asked else None
            resumed = bool(conversation.events("RESUME", cont.sent, end))
    reads = [a for a in conversation.accesses if a.kind == "read" and _same(a, write)]
    mask = [a.value for a in reads if a.sent < write.sent]
    return Panic(
        space=write.space,
        address=write.address,
        equipped=_equipped(conversation),
        mask=mask[-1] if mask else None,
        action=str(events[0][1].get("action", "")) if events else None,
        status=state,
        cont=cont,
        after=after.member("status") if after else "",
        resumed=resumed,
        exited=not later and conversation.exit.get("rc") is not None and not conversation.exit.get("killed"),
    )


def _disturbed(conversation: Conversation, write: PortAccess, fence: int) -> int:
    """Return the index of the entry from which on another panic, or a reset, is seen."""
    others = [a.sent for a in conversation.accesses if a.kind == "write" and a.sent > write.sent]
    resets = [r.sent for r in conversation.replies if r.command == "system_reset" and r.sent > write.sent]
    resets += [index for index, _ in conversation.events("RESET", write.sent)]
    more = [index for index, _ in conversation.events("GUEST_PANICKED", fence)]
    return min([*others, *resets, *more, len(conversation.entries)])


def _registers(conversation: Conversation) -> set[tuple[str, int]]:
    """Return where the notifier's register is: its port, and the addresses of PCI devices' BARs."""
    ports = {d.port for d in devices(conversation) or () if d.port is not None and not d.neutralised}
    found: set[tuple[str, int]] = {("io", port) for port in ports or {DEFAULT_PORT}}
    identity = {a.address for a in conversation.accesses if a.kind == "read" and a.value == IDENTITY}
    for access in conversation.accesses:
        if access.kind == "write" and access.address - BAR0 in identity and access.value:
            found.add(("memory", access.value))
    for reply in conversation.all_replies("query-pci"):
        found |= {("memory", address) for address in bars(reply)}
    return found


def _running(conversation: Conversation, write: PortAccess) -> bool:
    """Return whether the guest was running when a register was written: between request and answer."""
    running = not {"-S", "--S"} & set(conversation.argv)
    for entry in conversation.entries[: write.sent]:
        if entry.chan == "qmp" and entry.dir == "recv" and isinstance(entry.msg, dict):
            value = entry.msg.get("return")
            if isinstance(value, dict) and isinstance(value.get("running"), bool):
                running = value["running"]
            elif entry.msg.get("event") in ("RESUME", "STOP"):
                running = entry.msg["event"] == "RESUME"
    return running or bool(conversation.events("RESUME", write.sent, write.received))


def _equipped(conversation: Conversation) -> bool:
    present = devices(conversation)
    return bool(NOTIFIERS & set(conversation.devices)) if present is None else bool(present)


def _same(one: PortAccess, other: PortAccess) -> bool:
    return (one.space, one.address) == (other.space, other.address)
