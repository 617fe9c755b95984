"""What a panic did: the heart of it.

A panic is a write of bit 0 to the notifier's register (QEMU's ``docs/specs/pvpanic``).
The evidence is what came after the first such write that was made *while the guest
was running*: nobody's state changes while it is paused, so anything else proves
nothing.  QEMU raises its events before it answers the next QMP command, so once that
answer is there an event that has not come will not come; no waiting time is involved.
"""

from collections.abc import Sequence

import msgspec

from ..conversation import Conversation, PortAccess, Reply
from .device import DEFAULT_PORT, NOTIFIERS, devices
from .fact import Fact, no, unknown, yes

__all__ = ("Panic", "cont_after_panic", "event_mask", "find_panic", "panic_reported", "panic_stops_guest")

_PANICKED = 1  # bit 0 of the register
_NOT_MADE = "no panic was made on this machine type"
# `cont` refused for a while only, whatever the run state
_PASSING = ("in process", "in progress", "not finalized")


class Panic(msgspec.Struct, frozen=True):
    """A panic that was made, and what came of it.

    :param address: The port or register that was written.
    :param mask: What the register showed when it was read before; None if it was not read.
    :param action: The event's action (``pause``, ``run``, …); None if no event came.
    :param status: The run state afterwards; empty if it was not asked.
    :param cont: The answer to ``cont`` in that state; None if it was not asked.
    :param after: The run state after ``cont``; empty if it was not asked.
    :param resumed: True if a RESUME event came with ``cont``.
    :param exited: True if the emulator ended by itself, right after the panic.
    """

    address: int
    mask: int | None
    action: str | None
    status: str
    cont: Reply | None
    after: str
    resumed: bool
    exited: bool


def panic_reported(conversations: Sequence[Conversation]) -> Fact:
    """Say if a panic raises GUEST_PANICKED."""
    panic = find_panic(conversations)
    if panic is None:
        return unknown(_NOT_MADE)
    place = f"{panic.address:#x}"
    if panic.action is None:
        seen = "" if panic.mask is None else f" (it reads {panic.mask:#x})"
        moved = "; ioport=0 has moved the device away" if _neutralised(conversations) else ""
        return no("observed", f"1 written to {place}{seen}: no event{moved}")
    if panic.mask is not None and not panic.mask & _PANICKED:
        # a guest's driver reads the mask first, and stays silent
        return no(
            "observed", f"{place} reads {panic.mask:#x}: bit 0 is not offered, so no guest reports a panic"
        )
    return yes("observed", f"1 written to {place}: GUEST_PANICKED, action {panic.action}")


def panic_stops_guest(conversations: Sequence[Conversation]) -> Fact:
    """Say if a panic takes the run state to ``guest-panicked``."""
    panic = find_panic(conversations)
    if panic is None:
        return unknown(_NOT_MADE)
    if not panic.status and panic.exited:
        return no("observed", f"the emulator exited, action {panic.action}")
    if not panic.status:
        return unknown("the run state after the panic was not asked")
    if panic.status == "guest-panicked":
        return yes("observed", "query-status: guest-panicked")
    why = f", action {panic.action}" if panic.action else ""
    return no("observed", f"query-status: {panic.status}{why}")


def cont_after_panic(conversations: Sequence[Conversation]) -> Fact:
    """Say if ``cont`` continues a panicked guest."""
    panic = find_panic(conversations)
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
    if panic.after == "guest-panicked" or not (panic.after or panic.resumed):
        return no("observed", "cont was accepted, but the guest is in guest-panicked still")
    return yes("observed", f"cont: the guest is {panic.after or 'running'} again")


def event_mask(conversations: Sequence[Conversation]) -> int | None:
    """Return the bits that the notifier offers to the guest, None if they were not read."""
    panic = find_panic(conversations)
    return None if panic is None else panic.mask


def find_panic(conversations: Sequence[Conversation]) -> Panic | None:
    """Return the first panic that was made in a running guest, preferring one that an event answered.

    Where any start had a notifier, silence in a start without one proves nothing.
    """
    panics = [(c, p) for c, p in zip(conversations, map(_panic, conversations), strict=True) if p is not None]
    answered = [p for _, p in panics if p.action is not None]
    equipped = [c for c in conversations if _equipped(c)]
    silent = [p for c, p in panics if c in equipped or not equipped]
    return next(iter(answered + silent), None)


def _equipped(conversation: Conversation) -> bool:
    present = devices(conversation)
    return bool(NOTIFIERS & set(conversation.devices)) if present is None else bool(present)


def _panic(conversation: Conversation) -> Panic | None:
    places = _registers(conversation)
    for access in conversation.accesses:
        if (
            access.kind != "write"
            or access.value != _PANICKED
            or (access.space, access.address) not in places
        ):
            continue
        if _running(conversation, access.sent):
            return _outcome(conversation, access)
    return None


def _outcome(conversation: Conversation, write: PortAccess) -> Panic | None:
    later = [r for r in conversation.replies if r.sent > write.received and r.received >= 0]
    fence = later[0].received if later else len(conversation.entries)
    events = conversation.events("GUEST_PANICKED", write.sent, fence)
    if not later and not events:
        return None  # it broke off right there: nothing can be said
    end = _disturbed(conversation, write, fence)
    after_write = [r for r in later if r.sent < end]
    first = next((r for r in after_write if r.command in ("query-status", "cont")), None)
    status = first if first and first.command == "query-status" else None
    state = _status(status)
    cont = after = None
    resumed = False
    if status and state == "guest-panicked":
        conts = [r for r in after_write if r.command == "cont" and r.sent > status.sent]
        cont = conts[0] if conts else None
        if cont:
            end = conts[1].sent if len(conts) > 1 else end
            asked = [r for r in after_write if r.command == "query-status" and cont.sent < r.sent < end]
            after = asked[0] if asked else None
            resumed = bool(conversation.events("RESUME", cont.sent, end))
    mask = [
        a.value for a in conversation.accesses if _same(a, write) and a.kind == "read" and a.sent < write.sent
    ]
    return Panic(
        address=write.address,
        mask=mask[-1] if mask else None,
        action=str(events[0][1].get("action", "")) if events else None,
        status=state,
        cont=cont,
        after=_status(after),
        resumed=resumed,
        exited=not later and conversation.exit.get("rc") is not None and not conversation.exit.get("killed"),
    )


def _disturbed(conversation: Conversation, write: PortAccess, fence: int) -> int:
    """Return the entry from which on it is no longer this panic that is seen: another one, or a reset."""
    others = [a.sent for a in conversation.accesses if a.kind == "write" and a.sent > write.sent]
    resets = [r.sent for r in conversation.replies if r.command == "system_reset" and r.sent > write.sent]
    resets += [index for index, _ in conversation.events("RESET", write.sent)]
    panics = [index for index, _ in conversation.events("GUEST_PANICKED", fence)]
    return min([*others, *resets, *panics, len(conversation.entries)])


def _registers(conversation: Conversation) -> set[tuple[str, int]]:
    """Return where the notifier's register is: its port, and where a PCI device's BAR was placed."""
    ports = {d.port for d in devices(conversation) or [] if d.port is not None and not d.neutralised}
    found: set[tuple[str, int]] = {("io", port) for port in ports or {DEFAULT_PORT}}
    for access in conversation.accesses:
        if access.kind == "write" and access.value is not None and access.value > 0xFFF:
            found.add(("memory", access.value))
    for reply in conversation.all_replies("query-pci"):
        found |= {("memory", address) for address in bars(reply)}
    return found


def bars(reply: Reply, device_id: str = "") -> list[int]:
    """Return the addresses of the mapped memory BARs in an answer to ``query-pci``."""
    found = []
    for bus in reply.items("devices") or []:
        for device in bus["devices"]:
            if device_id and device.get("qdev_id") != device_id:
                continue
            for region in device.get("regions", []):
                address = region.get("address", -1)
                if region.get("type") == "memory" and isinstance(address, int) and 0 < address < 2**63:
                    found.append(address)
    return found


def _running(conversation: Conversation, index: int) -> bool:
    """Say if the guest was running when an entry was written down."""
    running = "-S" not in conversation.argv
    for entry in conversation.entries[:index]:
        if entry.chan == "qmp" and entry.dir == "recv" and isinstance(entry.msg, dict):
            value = entry.msg.get("return")
            if isinstance(value, dict) and isinstance(value.get("running"), bool):
                running = value["running"]
            elif entry.msg.get("event") in ("RESUME", "STOP"):
                running = entry.msg["event"] == "RESUME"
    return running


def _neutralised(conversations: Sequence[Conversation]) -> bool:
    present = [device for conversation in conversations for device in devices(conversation) or []]
    return bool(present) and all(device.neutralised for device in present)


def _status(reply: Reply | None) -> str:
    if reply is None or not reply.ok or not isinstance(reply.value, dict):
        return ""
    return str(reply.value.get("status", ""))


def _same(one: PortAccess, other: PortAccess) -> bool:
    return (one.space, one.address) == (other.space, other.address)
