"""The panics of a conversation, and the outcome of each.

A panic is made by a write of bit 0 to a device's register (QEMU's ``docs/specs/pvpanic``), or by what
guests of an architecture do: an RTAS call, a disabled wait, a write to Hyper-V's MSR, a checkstop.  The
evidence is what followed the first one that was made *while the guest was running*: a paused
guest changes no state, so any other proves nothing.  QEMU sends its events before it answers
the next QMP command, but other builds may send them later: all that comes before the guest is
continued, stopped, reset or made to panic again was caused by the panic.  Code in the guest takes
time: there, a missing event proves something only if the guest shows that it executed the
instruction, see `guest_code`.
"""

from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

from onpanic.probe.conversation import Conversation, PortAccess, Reply
from onpanic.probe.emulator.boot_image import PASSED
from onpanic.probe.emulator.notifier_models import ISA_TYPES, PCI_TYPE, NotifierModel
from onpanic.probe.observations.devices import ABSENT, DEFAULT_PORT, devices, isa_devices
from onpanic.probe.observations.guest_code import in_disabled_wait, marker
from onpanic.probe.observations.pci import BAR0, FLAT_VIEW, IDENTITY, bars, mapped_registers, stayed_mapped

__all__ = ("GUEST_TRIGGERS", "PANICKED", "Panic", "Source", "panics", "was_made")

#: Bit 0 of the register: the guest has panicked (QEMU's ``docs/specs/pvpanic``).
PANICKED = 1

#: What made QEMU report: a notifier, or a checkstop of a Power CPU.
Source = NotifierModel | Literal["checkstop"]

#: What code in the guest does to panic, as conversations note it before the ``cont`` that starts it.
#: An RTAS call may also be made by qtest.
GUEST_TRIGGERS: dict[str, Source] = {
    "wrmsr 0x40000105 0x8000000000000000": "hyperv",
    "disabled-wait": "s390",
    "rtas ibm,os-term": "pseries",
    "checkstop": "checkstop",
}
_DESCRIPTIONS: dict[Source, str] = {
    "hyperv": "bit 63 written to MSR 0x40000105",
    "s390": "a disabled wait",
    "pseries": "RTAS call ibm,os-term",
    "checkstop": "a checkstop",
}

_SIGNAL = 128  # from which on a wrapper's exit status says that a signal ended the emulator
# Run states in which the guest was not running, whatever an event says
_NEVER_RAN = ("prelaunch", "inmigrate", "preconfig", "suspended")


class Panic(msgspec.Struct, frozen=True):
    """A panic that was made to happen, and its outcome.

    :param source: The notifier that was used.
    :param made_by: What was done, in words.
    :param address: The port or register that was written; None if there was none, or it was not seen.
    :param equipped: False if the notifier was not in the machine.
    :param mask: What the register showed when it was read before; None if it was not read.
    :param action: The event's action (``pause``, ``run``, …); None if no event came.
    :param info: The event's ``info``; empty if it has none.
    :param status: The run state afterwards; empty if it was not asked.
    :param cont: The answer to ``cont`` in that state; None if it was not asked.
    :param after: The run state after ``cont``; empty if it was not asked.
    :param resumed: True if a RESUME event came with ``cont``.
    :param executed: False if code in the guest may not have come to it yet, or a write may have been lost.
    :param went_on: True if the guest's code shows that it went on after it.
    :param exit_status: With which status the emulator ended right after it; None if it did not.
    """

    source: Source
    made_by: str
    address: int | None
    equipped: bool
    mask: int | None
    action: str | None
    info: dict[str, object]
    status: str
    cont: Reply | None
    after: str
    resumed: bool
    executed: bool
    went_on: bool
    exit_status: int | None

    @property
    def there(self) -> bool:
        """True if a notifier was there: it was listed, or an event came."""
        return self.equipped or self.action is not None


class _Trigger(msgspec.Struct, frozen=True):
    """What made a panic, between two entries of the conversation."""

    source: Source
    made_by: str
    sent: int
    received: int
    access: PortAccess | None = None


def panics(
    conversations: Sequence[Conversation], source: Source, *, without_notifier: bool = False
) -> list[Panic]:
    """Return the panics that prove something about a notifier.

    Those that raised an event come first, then those that stopped the guest or ended the emulator: a write
    that firmware intercepts has no effect.  A missing event proves something only where the notifier is
    there, or where none can be.

    :param without_notifier: True if the notifier cannot be added to the machine type.
    """
    made = [p for conversation in conversations for p in conversation.derived(_panics) if p.source == source]
    silent = [p for p in made if p.action is None and p.executed and (p.equipped or without_notifier)]
    had_effect = [p for p in silent if p.exit_status is not None or p.status not in ("", "running")]
    return [p for p in made if p.action is not None] + had_effect + [p for p in silent if p not in had_effect]


def _panics(conversation: Conversation) -> list[Panic]:
    """Return the panics of a conversation that happened in a running guest."""
    triggers = list(_triggers(conversation))
    if not triggers and not _tried(conversation):
        triggers = list(_unseen(conversation))
    found = (_outcome(conversation, t) for t in triggers if _running(conversation, t))
    return [panic for panic in found if panic and panic.status not in _NEVER_RAN]


def was_made(conversation: Conversation) -> bool:
    """Return whether something was done to make a panic, whatever came of it."""
    return bool(conversation.events("GUEST_PANICKED")) or any(True for _ in _triggers(conversation))


def _triggers(conversation: Conversation) -> Iterable[_Trigger]:
    """Yield what was done to make a panic, in that order."""
    registers = _registers(conversation)
    for access in conversation.accesses:
        place = (access.space, access.address)
        if access.kind == "write" and access.value == PANICKED and place in registers:
            source: Source = "isa" if access.space == "io" else "pvpanic"
            asked = conversation.entries[access.sent].chan != "guest"
            unanswered = asked and access.received == access.sent
            received = len(conversation.entries) if unanswered else access.received
            yield _Trigger(source, f"1 written to {access.address:#x}", access.sent, received, access)
    for index, entry in enumerate(conversation.entries):
        if entry.chan not in ("guest", "qtest") or entry.dir != "send":
            continue
        said = str(entry.msg)
        found = next((source for text, source in GUEST_TRIGGERS.items() if said.startswith(text)), None)
        if found is None:
            continue
        if entry.chan == "qtest" and found == "pseries":
            yield _Trigger(found, _DESCRIPTIONS[found], index, index)
        elif entry.chan == "guest":
            conts = [r.received for r in conversation.replies if r.command == "cont" and r.sent > index]
            received = next(iter(conts), index)
            end = received if received >= 0 else len(conversation.entries)
            yield _Trigger(found, _DESCRIPTIONS[found], index, end)


def _unseen(conversation: Conversation) -> Iterable[_Trigger]:
    """Yield events that a running guest caused by itself."""
    source: Source = "isa"
    if PCI_TYPE in {d.type for d in devices(conversation) or ()} | set(conversation.devices):
        source = "pvpanic"
    for index, data in conversation.events("GUEST_PANICKED"):
        info = data.get("info")
        kind = info.get("type") if isinstance(info, dict) else None
        known: dict[object, Source] = {"hyper-v": "hyperv", "s390": "s390"}
        yield _Trigger(known.get(kind, source), "the guest's own panic", index, index)


def _tried(conversation: Conversation) -> bool:
    """Return whether registers were written: then an event without a write is another panic."""
    lines = [str(r.arguments.get("command-line", "")) for r in conversation.replies]
    by_qtest = any(e.chan == "qtest" and e.dir == "send" for e in conversation.entries)
    return by_qtest or any(line.startswith("o /") for line in lines)


def _outcome(conversation: Conversation, trigger: _Trigger) -> Panic | None:
    later = [r for r in conversation.replies if r.received > trigger.received]
    left_alone = _left_alone(conversation, trigger)
    events = conversation.events("GUEST_PANICKED", trigger.sent, left_alone)
    status = _status_after(conversation, trigger, left_alone)
    state = status.member("status") if status else ""
    ended = _ended(conversation, trigger)
    action = events[0][1].get("action") if events else None
    if action == "pause" and (state not in ("", "running") or conversation.fault != "EndedError"):
        ended = None  # the emulator ended for another reason, or a recording lacks what was said
    if not later and not events and ended is None:
        return None  # it broke off there, so nothing is known
    # A build may send the event twice; once the guest was continued, it is another panic's
    same = [n for n, _ in events if not conversation.events("RESUME", events[0][0], n)]
    end = _disturbed(conversation, trigger, same[-1] + 1 if same else left_alone)
    after_write = [r for r in later if r.sent < end]
    cont = after = None
    resumed = False
    if status and state == "guest-panicked":
        conts = [r for r in after_write if r.command == "cont" and r.sent > status.sent]
        cont = conts[0] if conts and (conts[0].ok or conts[0].refusal) else None
        if cont:
            end = conts[1].sent if len(conts) > 1 else end
            statuses = [r for r in after_write if r.command == "query-status" and cont.sent < r.sent < end]
            after = statuses[0] if statuses else None
            resumed = bool(conversation.events("RESUME", cont.sent, end))
    data = events[0][1] if events else {}
    return Panic(
        source=trigger.source,
        made_by=trigger.made_by,
        address=trigger.access.address if trigger.access else None,
        equipped=_equipped(conversation, trigger),
        mask=_mask(conversation, trigger),
        action=str(data.get("action", "")) if events else None,
        info=data["info"] if isinstance(data.get("info"), dict) else {},
        status=state,
        cont=cont,
        after=after.member("status") if after else "",
        resumed=resumed,
        executed=bool(events) or ended is not None or _executed(conversation, trigger, state),
        went_on=trigger.access is None and marker(conversation) == PASSED,
        exit_status=ended,
    )


def _status_after(conversation: Conversation, trigger: _Trigger, left_alone: int) -> Reply | None:
    """Return the answer to ``query-status`` that shows what a panic led to; None without one."""
    later = [r for r in conversation.replies if r.received > trigger.received]
    statuses = [r for r in later if r.command == "query-status" and r.sent < left_alone]
    stopped = [r for r in statuses if r.member("status") != "running"]
    status = next(iter([*stopped, *statuses[-1:]]), None)
    if status and conversation.events("RESUME", trigger.received + 1, status.received):
        return None  # something has continued the guest in the meantime
    events = conversation.events("GUEST_PANICKED", trigger.sent, left_alone)
    if status and events and events[0][0] > status.received and status.member("status") == "running":
        return None  # it was asked too early
    reset = bool(status and events and conversation.events("RESET", events[0][0], status.received))
    return None if reset and stopped else status  # the reset has ended the panic's state


def _executed(conversation: Conversation, trigger: _Trigger, state: str) -> bool:
    """Return whether a panic without an event was made: a write arrived, code came to the instruction."""
    write, source = trigger.access, trigger.source
    if write:
        running = state == "running" and write.space == "memory"
        return not running or stayed_mapped(conversation, write.address, write.sent)
    by_qtest = any(e.chan == "qtest" and str(e.msg).startswith("rtas") for e in conversation.entries)
    by_pin = "checkstop" in str(conversation.exit.get("stderr", ""))  # QEMU says so when it is entered
    reached = marker(conversation)
    if source == "checkstop" and reached == PASSED:
        return False  # the CPU did not stop
    shown = reached or in_disabled_wait(conversation)
    return bool(shown) or (source == "pseries" and by_qtest) or (source == "checkstop" and by_pin)


def _ended(conversation: Conversation, trigger: _Trigger) -> int | None:
    """Return with which status the emulator ended by itself after a panic, before anything else happened.

    :return: None if it did not, or crashed.
    """
    status = conversation.exit.get("rc")
    by_itself = isinstance(status, int) and 0 <= status < _SIGNAL and not conversation.exit.get("killed")
    others = ("cont", "stop", "system_reset", "quit")
    later = [r for r in conversation.replies if r.sent > trigger.sent and r.received > trigger.received]
    answered = [r for r in later if r.command in others]
    another = any(a.kind == "write" and a.sent > trigger.sent for a in conversation.accesses)
    return status if by_itself and not answered and not another else None


def _left_alone(conversation: Conversation, trigger: _Trigger) -> int:
    """Return the index of the entry up to which nothing but the panic can have changed anything."""
    others = ("cont", "stop", "system_reset")
    sent = [r.sent for r in conversation.replies if r.command in others and r.sent > trigger.received]
    writes = [a.sent for a in conversation.accesses if a.kind == "write" and a.sent > trigger.received]
    return min([*sent, *writes, len(conversation.entries)])


def _disturbed(conversation: Conversation, trigger: _Trigger, since: int) -> int:
    """Return the index of the entry from which on another panic, or a reset, is seen.

    :param since: The index from which on another event is another panic's.
    """
    others = [a.sent for a in conversation.accesses if a.kind == "write" and a.sent > trigger.sent]
    resets = [r.sent for r in conversation.replies if r.command == "system_reset" and r.sent > trigger.sent]
    panicked = [index for index, _ in conversation.events("GUEST_PANICKED", trigger.sent, since)]
    resets += [index for index, _ in conversation.events("RESET", *panicked[:1] or [trigger.sent])]
    more = [index for index, _ in conversation.events("GUEST_PANICKED", since)]
    return min([*others, *resets, *more, len(conversation.entries)])


def _registers(conversation: Conversation) -> set[tuple[str, int]]:
    """Return where the notifier's register is: its port, and the addresses of PCI devices' registers."""
    isa = isa_devices(conversation)
    ports = {DEFAULT_PORT if d.port is None else d.port for d in isa if not d.neutralised}
    found: set[tuple[str, int]] = {("io", port) for port in ports or {DEFAULT_PORT}}
    identity = {a.address for a in conversation.accesses if a.kind == "read" and a.value == IDENTITY}
    for access in conversation.accesses:
        if access.kind == "write" and access.address - BAR0 in identity and access.value:
            found.add(("memory", access.value))
    for reply in conversation.all_replies("query-pci"):
        found |= {("memory", address) for address in bars(reply)}
    for reply in conversation.all_replies("human-monitor-command", **{"command-line": FLAT_VIEW}):
        found |= {("memory", address) for address in mapped_registers(str(reply.value))}
    return found


def _running(conversation: Conversation, trigger: _Trigger) -> bool:
    """Return whether the guest was running when it panicked: between request and answer."""
    running = not {"-S", "--S"} & set(conversation.argv)
    for entry in conversation.entries[: trigger.sent]:
        if entry.chan == "qmp" and entry.dir == "recv" and isinstance(entry.msg, dict):
            value = entry.msg.get("return")
            if isinstance(value, dict) and isinstance(value.get("running"), bool):
                running = value["running"]
            elif entry.msg.get("event") in ("RESUME", "STOP"):
                running = entry.msg["event"] == "RESUME"
    return running or bool(conversation.events("RESUME", trigger.sent, trigger.received))


def _equipped(conversation: Conversation, trigger: _Trigger) -> bool:
    """Return whether a notifier is in the machine, where it was written; what architectures bring is."""
    types = ISA_TYPES if trigger.source == "isa" else (PCI_TYPE,)
    if trigger.source not in ("isa", "pvpanic"):
        return True
    present = devices(conversation)
    named = (
        {device.type or ISA_TYPES[0] for device in present}
        if present is not None
        else set(conversation.devices)
    )
    if trigger.source == "pvpanic" or trigger.access is None:
        return bool(named & set(types))
    isa = isa_devices(conversation)
    ports = {device.port for device in isa}
    if isa and all(device.neutralised for device in isa):
        return True  # ioport=0 has moved it away, and so the usual port was written
    answers = _mask(conversation, trigger) not in (None, ABSENT)  # the port may have been guessed
    return bool(named & set(types)) and (answers or trigger.access.address in ports)


def _mask(conversation: Conversation, trigger: _Trigger) -> int | None:
    """Return what the register showed when it was last read before the panic; None if it was not."""
    write = trigger.access
    reads = [a for a in conversation.accesses if a.kind == "read" and a.sent < trigger.sent]
    same = [a.value for a in reads if write and (a.space, a.address) == (write.space, write.address)]
    return same[-1] if same else None
