"""One start of one emulator, as far as it got: built once, entry by entry.

Each answer is matched to its command and validated when it is appended, and never again.

Two alternatives were rejected.  If each question kept its own result, there would be nothing to
send with a bug report.  If recordings were played back through a fake QMP server, every change
to the order of the questions would break every old recording.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Self, TypeVar

from onpanic.core.untrusted import last_lines
from onpanic.probe.conversation.accesses import PortAccess, hmp_access, qtest_accesses
from onpanic.probe.conversation.entry import Entry
from onpanic.probe.conversation.reply import Reply
from onpanic.probe.emulator.command_line import OWN_ID, program_name
from onpanic.probe.emulator.command_line_parser import device_type, machine_type, option_values
from onpanic.probe.emulator.option_value import properties

__all__ = ("EMULATOR_ONLY", "Conversation")

#: The note in a conversation that answers questions about the emulator, and not about its machine type.
EMULATOR_ONLY = "about the emulator only"

Result = TypeVar("Result")


class Conversation:
    """One start of one emulator, as far as it got.

    :param entries: What has been said so far; `append` adds to it.
    """

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self._entries: list[Entry] = []
        self._replies: list[Reply] = []  # in the order of the commands
        # Positions in _replies: without an answer, by message id; answered, by command and arguments
        self._waiting: dict[str, deque[int]] = {}
        self._answered: dict[tuple[str, str], list[int]] = {}
        self._events: dict[str, list[int]] = {}  # indices of entries, by event
        self._derived: dict[Callable[[Any], Any], tuple[int, Any]] = {}
        self._argv: list[str] | None = None  # both are read often, and never change
        self._options: dict[tuple[str, ...], list[str]] = {}
        for entry in entries:
            self.append(entry)

    @classmethod
    def never(cls, argv: Sequence[str], why: str) -> Self:
        """Return the conversation of a start that was not attempted."""
        ending = {"rc": None, "why": why, "fault": "StartError"}
        return cls([Entry("proc", "argv", list(argv)), Entry("proc", "exit", ending)])

    def __repr__(self) -> str:
        return f"<Conversation machine={self.machine!r} entries={len(self._entries)}>"

    # Building it

    def append(self, entry: Entry) -> int:
        """Add an entry, match it if it is an answer, and return its index."""
        index = len(self._entries)
        self._entries.append(entry)
        if entry.chan == "qmp" and isinstance(entry.msg, dict):
            if entry.dir == "send":
                self._sent(index, entry.msg)
            elif entry.dir == "recv":
                self._received(index, entry.msg)
        return index

    def beginning(self, length: int) -> "Conversation":
        """Return the first entries as a conversation; answers are not validated again.

        :param length: How many entries.
        """
        start = Conversation()
        start._entries = self._entries[:length]
        for reply in self._replies:
            if reply.sent >= length:
                break
            seen = reply.received < length
            kept = reply if seen else Reply.unanswered(reply.command, reply.arguments, reply.sent)
            if kept.received >= 0:
                start._answered.setdefault(_key(kept), []).append(len(start._replies))
            start._replies.append(kept)
        start._events = {
            name: [index for index in indices if index < length] for name, indices in self._events.items()
        }
        return start

    def derived(self, function: Callable[["Conversation"], Result]) -> Result:
        """Return what a pure function of this conversation returns, computed once for its present length."""
        length, result = self._derived.get(function, (-1, None))
        if length != len(self._entries):
            result = function(self)
            self._derived[function] = (len(self._entries), result)
        return result  # type: ignore[no-any-return]

    def _sent(self, index: int, message: Mapping[str, Any]) -> None:
        arguments = message.get("arguments")
        command = str(message.get("execute") or message.get("exec-oob") or "")
        self._waiting.setdefault(repr(message.get("id")), deque()).append(len(self._replies))
        self._replies.append(
            Reply.unanswered(command, arguments if isinstance(arguments, dict) else {}, index)
        )

    def _received(self, index: int, message: Mapping[str, Any]) -> None:
        """Match an answer to its command, by ``id``; recordings without ids are matched in order."""
        event = self._entries[index].event
        if event:
            self._events.setdefault(event, []).append(index)
        waiting = self._waiting.get(repr(message.get("id")))
        if not waiting or not ("return" in message or "error" in message):
            return
        position = waiting.popleft()
        asked = self._replies[position]
        reply = Reply.of(asked.command, asked.arguments, message, asked.sent, index)
        self._replies[position] = reply
        self._answered.setdefault(_key(reply), []).append(position)

    # What was started

    @property
    def entries(self) -> Sequence[Entry]:
        """What has been said so far."""
        return self._entries

    @property
    def argv(self) -> list[str]:
        """The command line, empty for a monitor that was already running."""
        if self._argv is None and self._entries:
            first = self._entries[0]
            started = first.chan == "proc" and first.dir == "argv" and isinstance(first.msg, list)
            self._argv = [str(word) for word in first.msg] if started else []
        return self._argv or []

    def options(self, *names: str) -> list[str]:
        """Return the values of options, e.g. ``options("machine", "M")``, in order."""
        if names not in self._options and self._entries:
            self._options[names] = option_values(self.argv, *names)
        return self._options.get(names, [])

    @property
    def machine(self) -> str | None:
        """The machine type that was asked for, None for the emulator's default."""
        return self.derived(_machine)

    @property
    def emulator_only(self) -> bool:
        """True if it was held for what is true of the emulator, and says nothing about a machine type."""
        return self.derived(_emulator_only)

    @property
    def devices(self) -> list[str]:
        """The types of the devices that the command line adds."""
        return self.derived(_devices)

    @property
    def own_device(self) -> str | None:
        """The type of the notifier that the probe added, None if it added none."""
        return self.derived(_own_device)

    # What was said

    @property
    def greeting(self) -> dict[str, Any] | None:
        """The QMP greeting's ``QMP`` member, None if no valid one came."""
        for entry in self._entries:
            if entry.chan == "qmp" and entry.dir == "recv" and isinstance(entry.msg, dict):
                found = entry.msg.get("QMP")
                return found if isinstance(found, dict) else None
        return None

    @property
    def replies(self) -> Sequence[Reply]:
        """Every QMP command with its answer, in the order of the commands."""
        return self._replies

    def reply_at(self, sent: int) -> Reply:
        """Return the reply to the command at an index.

        :raise LookupError: When there is no command at that index.
        """
        return next(reply for reply in reversed(self._replies) if reply.sent == sent)

    @property
    def malformed(self) -> Reply | None:
        """The first answer that is not what its command returns, None if all are."""
        return next((reply for reply in self._replies if reply.malformed), None)

    def reply(self, command: str, **arguments: Any) -> Reply | None:
        """Return the first answer to exactly this command, None if it was not asked or answered."""
        return next(iter(self.all_replies(command, **arguments)), None)

    def all_replies(self, command: str, **arguments: Any) -> list[Reply]:
        """Return every answer to exactly this command."""
        positions = self._answered.get((command, repr(sorted(arguments.items()))), [])
        return [self._replies[position] for position in sorted(positions)]

    def hmp(self, line: str) -> Reply | None:
        """Return the first answer to a line of the human monitor."""
        return self.reply("human-monitor-command", **{"command-line": line})

    def events(self, name: str, start: int = 0, stop: int | None = None) -> list[tuple[int, dict[str, Any]]]:
        """Return the events of a name between two entries, each with its index and ``data``."""
        end = len(self._entries) if stop is None else stop
        found = []
        for index in self._events.get(name, []):
            if start <= index < end:
                data = self._entries[index].msg.get("data")
                found.append((index, data if isinstance(data, dict) else {}))
        return found

    @property
    def accesses(self) -> list[PortAccess]:
        """Every access to a port or register: through the human monitor, qtest, or by the guest."""
        return self.derived(_accesses)

    # How it ended

    @property
    def exit(self) -> dict[str, Any]:
        """How the process ended: ``rc``, ``stderr``, ``why``; empty while that is unknown."""
        last = self._entries[-1] if self._entries else None
        if last and last.chan == "proc" and last.dir == "exit" and isinstance(last.msg, dict):
            return last.msg
        return {}

    @property
    def failed(self) -> str:
        """Why the conversation broke off, in one line; empty if it was completed."""
        why, code = self.exit.get("why"), self.exit.get("rc")
        if why is None and code:  # a recording that onpanic did not make
            words = last_lines(str(self.exit.get("stderr", "")))
            return f"{program_name(self.argv or ['the emulator'])} ended (status {code}): {words}"
        return str(why or "")

    @property
    def missing(self) -> bool:
        """True if there is no such emulator."""
        return self.exit.get("missing") is True

    @property
    def fault(self) -> str:
        """The kind of failure, the name of an `EmulatorError`; empty if there was none."""
        return str(self.exit.get("fault", ""))

    @property
    def own_words(self) -> str:
        """What the emulator itself said about `failed`; all of `failed` where it said nothing."""
        return self.failed.partition(": ")[2] or self.failed

    @property
    def hint(self) -> str:
        """What the user can do about `failed`."""
        return str(self.exit.get("hint", ""))

    @property
    def answered(self) -> bool:
        """True if a question was answered: from QEMU 1.6 on, bad options are reported after the greeting."""
        return self.derived(_answered)

    @property
    def refused_to_start(self) -> bool:
        """True if the emulator ended by itself, with an error, before it had answered any question."""
        return not self.answered and self.exit.get("rc") not in (None, 0) and not self.exit.get("killed")


def _key(reply: Reply) -> tuple[str, str]:
    return reply.command, repr(sorted(reply.arguments.items()))


# What is read often, see `Conversation.derived`


def _machine(conversation: Conversation) -> str | None:
    return machine_type(conversation.argv)


def _emulator_only(conversation: Conversation) -> bool:
    return any(entry.chan == "note" and entry.msg == EMULATOR_ONLY for entry in conversation.entries)


def _devices(conversation: Conversation) -> list[str]:
    return [device_type(value) for value in conversation.options("device")]


def _own_device(conversation: Conversation) -> str | None:
    own = (v for v in conversation.options("device") if ("id", OWN_ID) in properties(v, "driver"))
    return next(map(device_type, own), None)


def _answered(conversation: Conversation) -> bool:
    asked = (
        reply for reply in conversation.replies if reply.command not in ("qmp_capabilities", "query-status")
    )
    return any(reply.ok for reply in asked)


def _accesses(conversation: Conversation) -> list[PortAccess]:
    commands = (reply for reply in conversation.replies if reply.command == "human-monitor-command")
    found = [access for reply in commands if (access := hmp_access(reply))]
    return sorted([*found, *qtest_accesses(list(conversation.entries))], key=lambda access: access.sent)
