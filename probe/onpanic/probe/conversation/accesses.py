"""Accesses to I/O ports and device registers, however they were made."""

from typing import Literal

import msgspec

from onpanic.probe.conversation.entry import Entry
from onpanic.probe.conversation.reply import Reply

__all__ = ("PortAccess", "hmp_access", "qtest_accesses")


class PortAccess(msgspec.Struct, frozen=True):
    """One access to an I/O port or a device register.

    :param kind: ``read`` or ``write``.
    :param space: ``io`` or ``memory``.
    :param address: The port or the guest-physical address.
    :param value: What was read or written; None if a read was not answered.
    :param sent: Index of the access among the conversation's entries.
    :param received: Index of its answer; `sent` where none came.
    """

    kind: Literal["read", "write"]
    space: Literal["io", "memory"]
    address: int
    value: int | None
    sent: int
    received: int


def hmp_access(reply: Reply) -> PortAccess | None:
    """Return the access of a human monitor's ``i /b PORT`` or ``o /b PORT VALUE``, None for other commands.

    The syntax is that of QEMU's ``hmp-commands.hx``.
    """
    words = str(reply.arguments.get("command-line", "")).split()
    port = _number(words[2]) if len(words) > 2 else None
    if port is None or words[0] not in ("i", "o") or not words[1].startswith("/"):
        return None
    if reply.received < 0 and words[0] == "o" and len(words) > 3:  # it may have been made all the same
        return PortAccess("write", "io", port, _number(words[3]), reply.sent, reply.sent)
    if not reply.ok:
        return None
    text = str(reply.value)
    if words[0] == "i":  # "portb[0x0505] = 0x03\r\n"
        value = _number(text.rpartition("=")[2])
        return PortAccess("read", "io", port, value, reply.sent, reply.received)
    if len(words) < 4 or text.strip():  # a monitor that answers did not write
        return None
    return PortAccess("write", "io", port, _number(words[3]), reply.sent, reply.received)


def qtest_accesses(entries: list[Entry]) -> list[PortAccess]:
    """Return the accesses that were made through qtest, or by code in the guest."""
    found = []
    answers = iter(
        (index, str(entry.msg))
        for index, entry in enumerate(entries)
        if entry.chan == "qtest" and entry.dir == "recv" and not str(entry.msg).startswith("IRQ ")
    )
    for index, entry in enumerate(entries):
        if entry.chan in ("qtest", "guest") and entry.dir == "send":
            answer = next(answers, None) if entry.chan == "qtest" else None
            access = _qtest_access(str(entry.msg), index, answer)
            if access:
                found.append(access)
    return found


def _qtest_access(line: str, sent: int, answer: tuple[int, str] | None) -> PortAccess | None:
    """Return the access of ``inb``, ``outb``, ``readb``, ``writeb`` and their wider variants."""
    words = line.split()
    verb = words[0][:-1] if words else ""
    address = _number(words[1]) if len(words) > 1 else None
    if address is None or verb not in ("in", "out", "read", "write"):
        return None
    received, text = answer or (sent, "")
    reads = verb in ("in", "read")
    value = _number(text.removeprefix("OK")) if reads else _number(words[2] if len(words) > 2 else "")
    space: Literal["io", "memory"] = "io" if verb in ("in", "out") else "memory"
    return PortAccess("read" if reads else "write", space, address, value, sent, received)


def _number(text: str) -> int | None:
    """Return a number in C's notation; None if it is not one, or does not fit into a register."""
    try:
        number = int(text.strip(), 0)
    except ValueError:
        return None
    return number if 0 <= number < 2**64 else None
