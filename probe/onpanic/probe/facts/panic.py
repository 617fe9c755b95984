"""What a panic did: the heart of it.

A panic is a write of bit 0 to the notifier's register (QEMU's ``docs/specs/pvpanic``).
The evidence is what came after the first such write that was made *while the guest
was running*: nobody's state changes while it is paused, so anything else proves
nothing.  QEMU raises its events before it answers the next QMP command, so once that
answer is there an event that has not come will not come; no waiting time is involved.
"""

from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

from ..conversation import Conversation, PortAccess, Reply
from ..launch import OWN_ID
from .device import DEFAULT_PORT, NOTIFIERS, PCI_BAR0, PCI_IDENTITY, devices, pvpanic_attachable
from .fact import Fact, no, unknown, yes

__all__ = ("Panic", "bars", "cont_after_panic", "panic_reported", "panic_stops_guest", "panics")

_PANICKED = 1  # bit 0 of the register
_PCI_ID = divmod(PCI_IDENTITY, 1 << 16)  # device and vendor
_NOT_MADE = "no panic was made on this machine type"
# Run states in which a panic changes nothing, so that nothing follows from it
_NOT_RUNNING = ("prelaunch", "paused", "inmigrate", "preconfig", "suspended", "shutdown")
# `cont` refused for a while only, whatever the run state
_PASSING = ("in process", "in progress", "not finalized")


class Panic(msgspec.Struct, frozen=True):
    """A panic that was made, and what came of it.

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
        """True if a notifier was there: it was listed, or it was heard."""
        return self.equipped or self.action is not None


def panic_reported(conversations: Sequence[Conversation]) -> Fact:
    """Say if a panic raises GUEST_PANICKED."""
    panic = next(iter(panics(conversations)), None)
    if panic is None:
        return unknown(_NOT_MADE)
    place = "to the device" if panic.address is None else f"to {panic.address:#x}"
    if panic.action is None:
        seen = "" if panic.mask is None else f" (it reads {panic.mask:#x})"
        moved = "; ioport=0 has moved the device away" if _neutralised(conversations) else ""
        return no("observed", f"1 written {place}{seen}: no event{moved}")
    if panic.mask is not None and not panic.mask & _PANICKED:
        # a guest's driver reads the mask first, and stays silent
        return no("observed", f"it reads {panic.mask:#x}: bit 0 is not offered, so no guest reports a panic")
    return yes("observed", f"1 written {place}: GUEST_PANICKED, action {panic.action}")


def panic_stops_guest(conversations: Sequence[Conversation]) -> Fact:
    """Say if a panic takes the run state to ``guest-panicked``."""
    made = panics(conversations)
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
    """Say if ``cont`` continues a panicked guest."""
    made = panics(conversations)
    panic = next((p for p in made if p.cont), next(iter(made), None))
    if panic is None:
        return unknown(_NOT_MADE)
    if panic.status != "guest-panicked":
        return unknown("the guest never was in guest-panicked, so there was nothing to continue")
    if panic.cont is None:
        return unknown("cont was not asked in guest-panicked")
    if panic.cont.refusal:
        words = f"{panic.cont.refusal.error_class}: {panic.cont.refusal.desc}"
        if panic.cont.refusal.unknown_command or any(p in panic.cont.refusal.desc for p in _PASSING):
            return unknown(f"cont was refused for another reason: {words}")
        return no("observed", f"cont: {words}")
    if panic.after == "guest-panicked":
        return no("observed", "cont was accepted, but the guest is in guest-panicked still")
    if not panic.after and not panic.resumed:
        return unknown("cont was accepted; whether the guest runs was not asked")
    return yes("observed", f"cont: the guest is {panic.after or 'running'} again")


def panics(conversations: Sequence[Conversation]) -> list[Panic]:
    """Return the panics that prove something, those that an event answered first.

    Silence proves something only of a notifier that was there, or where there can be none.
    """
    made = [panic for conversation in conversations for panic in _panics(conversation)]
    hopeless = pvpanic_attachable(conversations).answer == "no"
    silent = [p for p in made if p.action is None and (p.equipped or hopeless)]
    return [p for p in made if p.action is not None] + silent


def bars(reply: Reply) -> list[int]:
    """Return where the registers of PCI pvpanics are placed, from an answer to ``query-pci``."""
    found = []
    for bus in reply.items:
        for device in bus.get("devices", []):
            identity = device.get("id")
            known = isinstance(identity, dict) and (identity.get("device"), identity.get("vendor")) == _PCI_ID
            if known or device.get("qdev_id") == OWN_ID:
                addresses = [region.get("address", -1) for region in device.get("regions", [])]
                found += [address for address in addresses if 0 < address < 2**63]
    return found


def _panics(conversation: Conversation) -> Iterable[Panic]:
    """Yield the panics of a conversation that were made in a running guest."""
    places = _registers(conversation)
    writes = [a for a in conversation.accesses if a.kind == "write"]
    for access in writes:
        if access.value == _PANICKED and (access.space, access.address) in places:
            panic = _outcome(conversation, access) if _running(conversation, access) else None
            if panic and panic.status not in _NOT_RUNNING:
                yield panic
    if not _tried(conversation):
        for index, _ in conversation.events("GUEST_PANICKED"):
            unseen = PortAccess("write", "io", -1, _PANICKED, index, index)
            panic = _outcome(conversation, unseen) if _running(conversation, unseen) else None
            if panic and panic.status not in _NOT_RUNNING:
                yield msgspec.structs.replace(panic, address=None)


def _tried(conversation: Conversation) -> bool:
    """Say if whoever asked wrote to registers himself: then an event unasked for is no panic of his."""
    lines = [str(r.arguments.get("command-line", "")) for r in conversation.replies]
    by_qtest = any(e.chan == "qtest" and e.dir == "send" for e in conversation.entries)
    return by_qtest or any(line.startswith("o /") for line in lines)


def _outcome(conversation: Conversation, write: PortAccess) -> Panic | None:
    later = [r for r in conversation.replies if r.received > write.received]
    fence = later[0].received if later else len(conversation.entries)
    events = conversation.events("GUEST_PANICKED", write.sent, fence)
    if not later and not events:
        return None  # it broke off right there: nothing can be said
    end = _disturbed(conversation, write, fence)
    after_write = [r for r in later if r.sent < end]
    first = next((r for r in after_write if r.command in ("query-status", "cont")), None)
    status = first if first and first.command == "query-status" else None
    if status and conversation.events("RESUME", write.received, status.received):
        status = None  # somebody has continued the guest in the meantime
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
    """Return the entry from which on it is no longer this panic that is seen: another one, or a reset."""
    others = [a.sent for a in conversation.accesses if a.kind == "write" and a.sent > write.sent]
    resets = [r.sent for r in conversation.replies if r.command == "system_reset" and r.sent > write.sent]
    resets += [index for index, _ in conversation.events("RESET", write.sent)]
    more = [index for index, _ in conversation.events("GUEST_PANICKED", fence)]
    return min([*others, *resets, *more, len(conversation.entries)])


def _registers(conversation: Conversation) -> set[tuple[str, int]]:
    """Return where the notifier's register is: its port, and where a PCI device's BAR was placed."""
    ports = {d.port for d in devices(conversation) or () if d.port is not None and not d.neutralised}
    found: set[tuple[str, int]] = {("io", port) for port in ports or {DEFAULT_PORT}}
    identity = {a.address for a in conversation.accesses if a.kind == "read" and a.value == PCI_IDENTITY}
    for access in conversation.accesses:
        if access.kind == "write" and access.address - PCI_BAR0 in identity and access.value:
            found.add(("memory", access.value))
    for reply in conversation.all_replies("query-pci"):
        found |= {("memory", address) for address in bars(reply)}
    return found


def _running(conversation: Conversation, write: PortAccess) -> bool:
    """Say if the guest was running when a register was written: between the request and its answer."""
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


def _neutralised(conversations: Sequence[Conversation]) -> bool:
    present = [device for conversation in conversations for device in devices(conversation) or ()]
    return bool(present) and all(device.neutralised for device in present)


def _same(one: PortAccess, other: PortAccess) -> bool:
    return (one.space, one.address) == (other.space, other.address)
