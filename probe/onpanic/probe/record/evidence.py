"""The lines of a conversation that a fact was read from, for people to check.

A fact is read again from each conversation alone, and from the shortest beginning of it that gives
the same answer; of that, the lines are shown that the question's `Excerpt` selects.  Two
alternatives were rejected: to have each question say which lines it read (every question would
do two things), and to keep whole recordings (a type list is half a megabyte).

Lines start with ``$`` (a start of the emulator, ``{machine}`` stands for the machine type),
``->`` (what it was sent), ``<-`` (what came back) or ``=`` (how it ended).  Ids and times are
left out, and so are long lists except for the items in question, so that the same thing seen
twice is the same text.
"""

import json
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

from onpanic.core.untrusted import printable
from onpanic.probe.conversation import Conversation, Entry
from onpanic.probe.emulator.notifier_models import NotifierModel
from onpanic.probe.facts import EMULATOR_QUESTIONS, MACHINE_QUESTIONS, NOTIFIER_QUESTIONS, Fact, Question
from onpanic.probe.facts.question import Excerpt
from onpanic.probe.observations.acpi_tables import table_summaries
from onpanic.probe.observations.notifiers import about
from onpanic.probe.record.capability_record import CapabilityRecord, MachineRecord
from onpanic.probe.record.from_conversations import by_machine

__all__ = ("excerpt", "with_evidence")

_MAX_LINES = 40  # a firmware's tables are hundreds
_MAX_WIDTH = 400  # characters of a line


def with_evidence(record: CapabilityRecord, conversations: Sequence[Conversation]) -> CapabilityRecord:
    """Return a record whose facts refer to the lines that they were read from.

    :param conversations: Those that the record was read from.
    """
    excerpts: dict[tuple[str, ...], int] = {}

    def pointing(
        facts: Mapping[str, Fact],
        questions: Mapping[str, Question],
        held: Sequence[Conversation],
        model: NotifierModel | None = None,
    ) -> dict[str, Fact]:
        """Return facts that refer to their excerpts."""
        found = dict(facts)
        for name in (name for name in questions if name in facts):
            lines = tuple(excerpt(questions[name], held, model))
            if lines:
                number = excerpts.setdefault(lines, len(excerpts))
                found[name] = msgspec.structs.replace(facts[name], evidence=number)
        return found

    groups = by_machine(conversations)
    alike: dict[str, MachineRecord] = {}  # most machine types of a family answer alike
    machines = []
    for machine in record.machines:
        held = groups.get(machine.name, [])
        said = "".join(map(_distinctive, held))
        if said not in alike:
            notifiers = [
                msgspec.structs.replace(
                    one,
                    facts=pointing(
                        one.facts, NOTIFIER_QUESTIONS, about(held, one.model, one.type), one.model
                    ),
                )
                for one in machine.notifiers
            ]
            facts = pointing(machine.facts, MACHINE_QUESTIONS, held)
            alike[said] = msgspec.structs.replace(machine, facts=facts, notifiers=notifiers)
        machines.append(_like(machine, alike[said]))
    facts = pointing(record.facts, EMULATOR_QUESTIONS, conversations)
    return msgspec.structs.replace(
        record, facts=facts, machines=machines, evidence=[list(lines) for lines in excerpts]
    )


def _like(machine: MachineRecord, shown: MachineRecord) -> MachineRecord:
    """Return a machine type's record with the evidence of one that said the same."""
    notifiers = [
        msgspec.structs.replace(one, facts=_with_indices(one.facts, same.facts))
        for one, same in zip(machine.notifiers, shown.notifiers, strict=True)
    ]
    pairs = zip(machine.notifiers, notifiers, strict=True)
    own = next((found for one, found in pairs if one.facts.items() <= machine.facts.items()), None)
    facts = _with_indices(machine.facts, shown.facts | (own.facts if own else {}))
    return msgspec.structs.replace(machine, facts=facts, notifiers=notifiers)


def _with_indices(facts: Mapping[str, Fact], shown: Mapping[str, Fact]) -> dict[str, Fact]:
    return {
        name: msgspec.structs.replace(fact, evidence=shown[name].evidence) if name in shown else fact
        for name, fact in facts.items()
    }


def _distinctive(conversation: Conversation) -> str:
    """Return what was said, without what differs between machine types that say the same."""
    parts = []
    for entry in conversation.entries:
        message = entry.msg
        if isinstance(message, dict):
            message = {name: value for name, value in message.items() if name not in ("id", "timestamp")}
        parts.append(repr((entry.chan, entry.dir, message)))
    said = "\n".join(parts)
    return said.replace(conversation.machine, "{machine}") if conversation.machine else said


def excerpt(
    question: Question, conversations: Sequence[Conversation], model: NotifierModel | None = None
) -> list[str]:
    """Return the lines that a fact was read from; empty if it is unknown, or was not read from lines.

    :param model: The notifier that the question is about; None if it is not about one.
    """

    def read(held: Sequence[Conversation]) -> Fact:
        return question.answered_by(held, model)

    fact = read(conversations)
    if fact.answer == "unknown" or fact.how == "documented":
        return []
    same = (c for c in conversations if len(conversations) == 1 or read([c]) == fact)
    witness = next(same, None)
    chosen = [_decisive(witness, read, fact)] if witness else conversations
    lines = [line for c in chosen for line in _lines(c, question.shows)]
    cut = len(lines) - _MAX_LINES
    return (
        lines
        if cut <= 0
        else [*lines[: _MAX_LINES // 2], f"= {cut} lines left out", *lines[-_MAX_LINES // 2 :]]
    )


def _decisive(
    conversation: Conversation, read: Callable[[Sequence[Conversation]], Fact], fact: Fact
) -> Conversation:
    """Return the shortest beginning that gives the answer; what comes later rarely changes it."""
    low, high = 0, len(conversation.entries)
    while low < high:
        middle = (low + high) // 2
        if read([_beginning(conversation, middle)]) == fact:
            high = middle
        else:
            low = middle + 1
    return _beginning(conversation, high)


@lru_cache(maxsize=64)  # every question about a machine type cuts the same conversation
def _beginning(conversation: Conversation, length: int) -> Conversation:
    return conversation.beginning(length)


def _lines(conversation: Conversation, shown: Excerpt) -> Iterator[str]:
    """Yield the lines that bear on a fact, in the order of the wire."""
    if shown.tables and not table_summaries(conversation) and not conversation.refused_to_start:
        return
    wanted: dict[int, str] = {}
    for reply in conversation.replies:
        line = str(reply.arguments.get("command-line", ""))
        by_monitor = reply.command == "human-monitor-command" and line.startswith(shown.monitor or ("\0",))
        if reply.command not in shown.commands and not by_monitor:
            continue
        if reply.command == "qom-get" and reply.arguments.get("property") not in shown.properties:
            continue
        if reply.command == "device-list-properties" and reply.arguments.get("typename") not in shown.names:
            continue
        if reply.received < 0 and not conversation.exit:  # the answer comes after this beginning
            continue
        message: dict[str, Any] = {"execute": reply.command}
        if reply.arguments:
            message["arguments"] = dict(reply.arguments)
        wanted[reply.sent] = "-> " + _text(message)
        if reply.received >= 0:
            answer = conversation.entries[reply.received].msg
            wanted[reply.received] = "<- " + _answer(answer, shown.names)
    for index, entry in enumerate(conversation.entries):
        wanted.update(_other(index, entry, shown))
    command = conversation.argv
    if shown.starts and command:
        yield "$ " + _short(_start(conversation))
    yield from (_for_any(wanted[index], conversation) for index in sorted(wanted))
    if shown.tables:
        yield from (f"= read from the guest's memory: {summary}" for summary in table_summaries(conversation))
    if shown.starts and conversation.refused_to_start:
        yield "= " + _short(_for_any(printable(conversation.failed), conversation))


def _for_any(line: str, conversation: Conversation) -> str:
    """Return a line with the machine type's own name replaced, so that it fits any machine type."""
    machine = conversation.machine
    return re.sub(rf"(?<![\w.-]){re.escape(machine)}(?![\w.-])", "{machine}", line) if machine else line


def _start(conversation: Conversation) -> str:
    """Return the command line without the emulator's folder, for any machine type."""
    argv, machine = conversation.argv, conversation.machine
    emulator = max((i for i, word in enumerate(argv) if Path(word).name.startswith("qemu-")), default=0)
    words = [Path(argv[emulator]).name, *argv[emulator + 1 :]]
    for index, word in enumerate(words):
        if machine and word.partition(",")[0] == machine and words[index - 1] in ("-machine", "-M"):
            words[index] = "{machine}" + word.removeprefix(machine)
    return " ".join(word if word.startswith("{machine}") else shlex.quote(word) for word in words)


def _other(index: int, entry: Entry, shown: Excerpt) -> Iterator[tuple[int, str]]:
    """Yield an event, or an access to a register, if it bears on the fact."""
    if entry.chan in ("qtest", "guest") and shown.registers:
        arrow = "->" if entry.dir == "send" else "<-"
        yield index, f"{arrow} {entry.chan}: {_short(printable(str(entry.msg)))}"
    elif entry.chan == "qmp" and isinstance(entry.msg, dict) and entry.msg.get("event") in shown.events:
        event = {name: value for name, value in entry.msg.items() if name != "timestamp"}
        yield index, "<- " + _text(event)


def _answer(message: object, names: Sequence[str]) -> str:
    """Return an answer; of a list in it, the items in question, and how many there were."""
    if not isinstance(message, dict):
        return _text(message)
    kept = {name: value for name, value in message.items() if name != "id"}
    items = kept.get("return")
    if isinstance(items, str) and items.count("\n") > 1:
        about = [line.strip() for line in items.splitlines() if any(name in line for name in names)]
        return f"{_text({**kept, 'return': about})}  ({len(about)} of {items.count(chr(10))} lines shown)"
    if not isinstance(items, list) or not names:
        return _text(kept)
    found = [item for item in items if _is_about(item, names)]
    shown = found[:_MAX_LINES]
    return f"{_text({**kept, 'return': shown})}  ({len(shown)} of {len(items)} shown)"


def _is_about(item: object, names: Sequence[str]) -> bool:
    if not isinstance(item, dict):
        return False
    kind = str(item.get("type", ""))
    return item.get("name") in names or kind.removeprefix("child<").removesuffix(">") in names


def _text(message: object) -> str:
    return _short(json.dumps(message, ensure_ascii=True))


def _short(text: str) -> str:
    return text if len(text) <= _MAX_WIDTH else f"{text[:_MAX_WIDTH]}…"
