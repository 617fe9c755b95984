"""What was said to an emulator and what came back: the evidence that every fact is read from.

A `Conversation` is one start of one emulator: its command line, every message in
the order of the wire, its end.  A live probe, a recording and a running guest's
monitor all become conversations, and facts are read from conversations only, so
there is one path from evidence to fact whatever the source.

The alternatives were to let each question keep its own result, which leaves
nothing to send with a bug report, or to play recordings back through a fake QMP
server, which makes every reordering of the questions break every old recording.

Lines of a conversation, and of a recording file, are `Entry` objects:

========= ======== =====================================================================
chan      dir      msg
========= ======== =====================================================================
proc      argv     list of str, the command line; starts a conversation
proc      exit     an object: ``rc``, ``killed``, ``stderr``, and ``why``, ``hint``, ``fault``
qmp       send     a QMP command          (QEMU's ``docs/interop/qmp-spec``)
qmp       recv     greeting, reply or event
qtest     send     a line of the qtest protocol (QEMU's ``softmmu/qtest.c``), e.g. ``outb 0x505 0x1``
qtest     recv     its answer, e.g. ``OK``
guest     send     a port access that code in the guest made by itself, in qtest's words
note      info     str, a remark of whoever recorded it
========= ======== =====================================================================
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Literal, Self

import msgspec

from .arguments import device_type, machine_type, option_values
from .foreign import last_words, printable
from .launch import OWN_ID, name_of
from .shapes import fits

__all__ = ("Conversation", "Entry", "PortAccess", "Refusal", "Reply")


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of a conversation.

    :param chan: Who is talking: ``proc``, ``qmp``, ``qtest``, ``guest`` or ``note``.
    :param dir: ``argv``, ``send``, ``recv``, ``exit`` or ``info``.
    :param msg: The message, see the table above.
    :param t: Seconds since the emulator was started.
    """

    chan: Literal["proc", "qmp", "qtest", "guest", "note"]
    dir: Literal["argv", "send", "recv", "exit", "info"]
    msg: Any = None
    t: float = 0.0


class Refusal(msgspec.Struct, frozen=True):
    """A QMP error: its class (``CommandNotFound``, ``GenericError``, …) and description."""

    error_class: str
    desc: str

    @property
    def unknown_command(self) -> bool:
        """True if the emulator does not have the command at all."""
        return self.error_class == "CommandNotFound"


class Reply(msgspec.Struct, frozen=True):
    """A QMP command with its answer.  `Reply.of` makes one.

    :param command: For example ``qom-list``.
    :param arguments: The command's arguments.
    :param value: What ``return`` held; None where the command was refused, or where it is not
        what the command returns.
    :param refusal: The error, if the command was refused.
    :param sent: Index of the command among the conversation's entries.
    :param received: Index of the answer; -1 where none came.
    :param malformed: What ``return`` held where it is not what the command returns, as text.
    """

    command: str
    arguments: Mapping[str, Any]
    value: Any
    refusal: Refusal | None
    sent: int
    received: int
    malformed: str = ""

    @classmethod
    def of(
        cls, command: str, arguments: Mapping[str, Any], answer: Mapping[str, Any], sent: int, received: int
    ) -> Self:
        """Return a reply; an answer that is not what the command returns counts as none.

        :param answer: The message that held ``return`` or ``error``; empty where none came.
        """
        error, value = answer.get("error"), answer.get("return")
        if "error" in answer and ("return" in answer or not isinstance(error, dict)):
            return cls(command, arguments, None, None, sent, received, printable(repr(dict(answer)), 60))
        if isinstance(error, dict):
            refusal = Refusal(str(error.get("class", "")), str(error.get("desc", "")))
            return cls(command, arguments, None, refusal, sent, received)
        if received >= 0 and not fits(command, arguments, value):
            return cls(command, arguments, None, None, sent, received, printable(repr(value), 60))
        return cls(command, arguments, value, None, sent, received)

    @property
    def ok(self) -> bool:
        """True if the command was carried out and told what it tells."""
        return self.received >= 0 and self.refusal is None and not self.malformed

    @property
    def items(self) -> list[dict[str, Any]]:
        """The answer of a command that returns a list of objects; empty if there is none."""
        return self.value if isinstance(self.value, list) else []

    def member(self, name: str) -> str:
        """Return a member of the answer of a command that returns an object; empty if there is none."""
        return str(self.value.get(name, "")) if isinstance(self.value, dict) else ""


class PortAccess(msgspec.Struct, frozen=True):
    """One access to an I/O port or to a device register, however it was made.

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


class Conversation:
    """One start of one emulator, as far as it got.

    :param entries: What was said; they do not change any more.
    """

    def __init__(self, entries: Sequence[Entry] = ()) -> None:
        self.entries: tuple[Entry, ...] = tuple(entries)

    @classmethod
    def never(cls, argv: Sequence[str], why: str) -> Self:
        """Return the conversation of a start that was not made."""
        ending = {"rc": None, "why": why, "fault": "StartError"}
        return cls([Entry("proc", "argv", list(argv)), Entry("proc", "exit", ending)])

    def __repr__(self) -> str:
        return f"<Conversation machine={self.machine!r} entries={len(self.entries)}>"

    # What was started

    @property
    def argv(self) -> list[str]:
        """The command line, empty for a monitor that was already there."""
        first = self.entries[0] if self.entries else None
        if first and first.chan == "proc" and first.dir == "argv" and isinstance(first.msg, list):
            return [str(word) for word in first.msg]
        return []

    def options(self, *names: str) -> list[str]:
        """Return the values of options, e.g. ``options("machine", "M")``, in order."""
        return option_values(self.argv, *names)

    @property
    def machine(self) -> str | None:
        """The machine type that was asked for, None for the emulator's default."""
        return machine_type(self.argv)

    @property
    def devices(self) -> list[str]:
        """The types of the devices that the command line adds."""
        return [device_type(value) for value in self.options("device")]

    @property
    def own_device(self) -> str | None:
        """The type of the notifier that the probe added, None if it added none."""
        for value in self.options("device"):
            if f"id={OWN_ID}" in value.split(","):
                return value.split(",")[0]
        return None

    # What was said

    @cached_property
    def greeting(self) -> dict[str, Any] | None:
        """The QMP greeting's ``QMP`` member, None if none came (or it is not one)."""
        for entry in self.entries:
            if entry.chan == "qmp" and entry.dir == "recv" and isinstance(entry.msg, dict):
                found = entry.msg.get("QMP")
                return found if isinstance(found, dict) else None
        return None

    @cached_property
    def replies(self) -> list[Reply]:
        """Every QMP command with its answer, in the order of the commands.

        Answers belong to commands by ``id``; recordings without ids are read in order.
        """
        waiting: dict[Any, list[tuple[int, dict[str, Any]]]] = {}
        replies: list[Reply] = []
        for index, entry in enumerate(self.entries):
            if entry.chan != "qmp" or not isinstance(entry.msg, dict):
                continue
            same = waiting.setdefault(repr(entry.msg.get("id")), [])
            if entry.dir == "send":
                same.append((index, entry.msg))
            elif same and ("return" in entry.msg or "error" in entry.msg):
                replies.append(_reply(*same.pop(0), index, entry.msg))
        replies += [_reply(*pair, -1, {}) for same in waiting.values() for pair in same]
        return sorted(replies, key=lambda reply: reply.sent)

    @cached_property
    def _answered(self) -> dict[tuple[str, str], list[Reply]]:
        """Answers by command and arguments: an emulator may give thousands."""
        found: dict[tuple[str, str], list[Reply]] = {}
        for reply in self.replies:
            if reply.received >= 0:
                found.setdefault((reply.command, _key(reply.arguments)), []).append(reply)
        return found

    @property
    def malformed(self) -> Reply | None:
        """The first answer that is not what its command returns, None if all are."""
        return next((reply for reply in self.replies if reply.malformed), None)

    def reply(self, command: str, **arguments: Any) -> Reply | None:
        """Return the first answer to exactly this command, None if it was not asked or answered."""
        return next(iter(self.all_replies(command, **arguments)), None)

    def all_replies(self, command: str, **arguments: Any) -> list[Reply]:
        """Return every answer to exactly this command."""
        return self._answered.get((command, _key(arguments)), [])

    def hmp(self, line: str) -> Reply | None:
        """Return the first answer to a line of the human monitor."""
        return self.reply("human-monitor-command", **{"command-line": line})

    def events(self, name: str, start: int = 0, stop: int | None = None) -> list[tuple[int, dict[str, Any]]]:
        """Return the events of this name between two entries, each with its index and ``data``."""
        found = []
        for index, entry in enumerate(self.entries[start:stop], start):
            if entry.chan == "qmp" and entry.dir == "recv" and isinstance(entry.msg, dict):
                if entry.msg.get("event") != name:
                    continue
                data = entry.msg.get("data")
                found.append((index, data if isinstance(data, dict) else {}))
        return found

    @cached_property
    def accesses(self) -> list[PortAccess]:
        """Every access to a port or register: through the human monitor, qtest, or by the guest."""
        found: list[PortAccess] = []
        for reply in self.replies:
            if reply.command == "human-monitor-command":
                line = str(reply.arguments.get("command-line", ""))
                found += _hmp_access(line, reply)
        answers = iter(self._qtest_answers)
        for index, entry in enumerate(self.entries):
            if entry.chan in ("qtest", "guest") and entry.dir == "send":
                answer = next(answers, None) if entry.chan == "qtest" else None
                found += _qtest_access(str(entry.msg), index, answer)
        return sorted(found, key=lambda access: access.sent)

    @property
    def _qtest_answers(self) -> list[tuple[int, str]]:
        """The answers of the qtest server, one for each line that it was sent, in order."""
        return [
            (index, str(entry.msg))
            for index, entry in enumerate(self.entries)
            if entry.chan == "qtest" and entry.dir == "recv" and not str(entry.msg).startswith("IRQ ")
        ]

    # How it ended

    @property
    def exit(self) -> dict[str, Any]:
        """How the process ended: ``rc``, ``stderr``, ``why``; empty while it is not known."""
        last = self.entries[-1] if self.entries else None
        if last and last.chan == "proc" and last.dir == "exit" and isinstance(last.msg, dict):
            return last.msg
        return {}

    @property
    def failed(self) -> str:
        """Why the conversation broke off, in one line; empty if it came to its end."""
        why, code = self.exit.get("why"), self.exit.get("rc")
        if why is None and code:  # somebody else's recording
            words = last_words(str(self.exit.get("stderr", "")))
            return f"{name_of(self.argv or ['the emulator'])} ended (status {code}): {words}"
        return str(why or "")

    @property
    def missing(self) -> bool:
        """True if there is no such emulator at all."""
        return self.exit.get("missing") is True

    @property
    def fault(self) -> str:
        """The kind of failure, the name of an `EmulatorError`; empty if there was none."""
        return str(self.exit.get("fault", ""))

    @property
    def hint(self) -> str:
        """What the user can do about `failed`."""
        return str(self.exit.get("hint", ""))

    @property
    def answered(self) -> bool:
        """True if a question was answered: from QEMU 1.6 on, bad options are reported after the greeting."""
        return any(r.ok for r in self.replies if r.command not in ("qmp_capabilities", "query-status"))

    @property
    def refused_to_start(self) -> bool:
        """True if the emulator ended by itself, with an error, before it answered any question."""
        return not self.answered and self.exit.get("rc") not in (None, 0) and not self.exit.get("killed")


def _reply(sent: int, message: dict[str, Any], received: int, answer: dict[str, Any]) -> Reply:
    arguments = message.get("arguments")
    command = str(message.get("execute") or message.get("exec-oob") or "")
    return Reply.of(command, arguments if isinstance(arguments, dict) else {}, answer, sent, received)


def _key(arguments: Mapping[str, Any]) -> str:
    return repr(sorted(arguments.items()))


def _hmp_access(line: str, reply: Reply) -> list[PortAccess]:
    """Read ``i /b PORT`` and ``o /b PORT VALUE`` (QEMU's ``hmp-commands.hx``)."""
    words = line.split()
    port = _number(words[2]) if len(words) > 2 else None
    if port is None or words[0] not in ("i", "o") or not words[1].startswith("/") or not reply.ok:
        return []
    text = str(reply.value)
    if words[0] == "i":  # "portb[0x0505] = 0x03\r\n"
        value = _number(text.rpartition("=")[2])
        return [PortAccess("read", "io", port, value, reply.sent, reply.received)]
    if len(words) < 4 or text.strip():  # a monitor that has something to say did not write
        return []
    return [PortAccess("write", "io", port, _number(words[3]), reply.sent, reply.received)]


def _qtest_access(line: str, sent: int, answer: tuple[int, str] | None) -> list[PortAccess]:
    """Read ``inb``/``outb`` and ``readb``/``writeb`` with their wider kin."""
    words = line.split()
    verb = words[0][:-1] if words else ""
    address = _number(words[1]) if len(words) > 1 else None
    if address is None or verb not in ("in", "out", "read", "write"):
        return []
    received, text = answer or (sent, "")
    reads = verb in ("in", "read")
    value = _number(text.removeprefix("OK")) if reads else _number(words[2] if len(words) > 2 else "")
    space: Literal["io", "memory"] = "io" if verb in ("in", "out") else "memory"
    return [PortAccess("read" if reads else "write", space, address, value, sent, received)]


def _number(text: str) -> int | None:
    """Read a number as C writes it; None if it is none, or more than a register holds."""
    try:
        number = int(text.strip(), 0)
    except ValueError:
        return None
    return number if 0 <= number < 2**64 else None
