"""The steps from an emulator to a decision, each with a value that its own code makes of a recorded QEMU."""

import inspect
import io
import tempfile
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from onpanic.cli import recorded_decision
from onpanic.probe import CapabilityRecord, Policy
from onpanic.probe.api import record_from
from onpanic.probe.conversation import Conversation, recording
from onpanic.probe.decision import rules
from onpanic.probe.emulator import process
from onpanic.probe.facts import panic as panic_facts
from onpanic.probe.observations import panics
from onpanic.probe.record import from_conversations
from onpanic.shims.translation import mapping
from onpanic.shims.translation.libvirt_features import Libvirt
from onpanic.watch.rules import policy_steps
from pictures.panic_outcomes import outcome

__all__ = ("Flow", "FlowStep", "recorded_flow", "spoken")

ROOT = Path(__file__).parent.parent.parent
_RECORDING = ROOT / "tests/recordings/qemu-1.7.0.jsonl"
_MACHINE = "pc"
_POLICY = "rename-restart"  # libvirt and the watcher both act
_LIBVIRT = "9.0.0"


class FlowStep(NamedTuple):
    """A step: its name, where its code is, and the lines of a value."""

    name: str
    place: str
    lines: tuple[str, ...]


class Flow(NamedTuple):
    """The way from an emulator to a decision, and what follows.

    :param build: The emulator whose recording the values are from.
    :param steps: The steps, in order.
    :param results: What is printed, written and done.
    """

    build: str
    steps: list[FlowStep]
    results: list[FlowStep]


def recorded_flow() -> Flow:
    """Return the way that a recorded QEMU went."""
    found = recording.load(_RECORDING)
    record = record_from(found.conversations, found.command, found.seconds, recorded=True)
    return Flow(f"QEMU {record.emulator.version}", _steps(found.conversations, record), _results(record))


def _steps(conversations: Sequence[Conversation], record: CapabilityRecord) -> list[FlowStep]:
    machine = record.machine(_MACHINE)
    conversation, made = next(
        (conversation, panic)
        for conversation in conversations
        for panic in panics.panics([conversation], "isa")
        if panic.action
    )
    name = "cont-after-panic"
    fact = machine.facts[name]
    decision = record.accepts(_POLICY, machine=_MACHINE)
    return [
        FlowStep("emulator", _place(process), (_command(conversation),)),
        FlowStep("conversation", _place(recording), _said(conversation)),
        FlowStep(
            "observations",
            _place(panics),
            (f"action={made.action} status={made.status}", f"after={made.after}"),
        ),
        FlowStep("facts", _place(panic_facts), (f"{name}: {fact.answer}", fact.detail)),
        FlowStep("decision", _place(rules), (f"{_POLICY}: {'accepted' if decision else decision.code}",)),
        FlowStep("record", _place(from_conversations), (machine.name, f"notifier: {machine.notifier}")),
    ]


def _results(record: CapabilityRecord) -> list[FlowStep]:
    with tempfile.NamedTemporaryFile(suffix=".json") as file, redirect_stdout(io.StringIO()) as printed:
        Path(file.name).write_bytes(record.to_json())
        recorded_decision.run_plain([_POLICY, "--record", file.name, "--machine", _MACHINE])
    notifier = mapping.AddedNotifier("isa")
    libvirt = Libvirt.of(_LIBVIRT)
    context = mapping.TranslationContext("qemu", (), notifier, builtin="", acpi=True, libvirt=libvirt)
    changes = mapping.changes_for(Policy(_POLICY), context)
    written = (f"<panic model='{changes.panic}'/>", f"<on_crash>{changes.on_crash}</on_crash>")
    done = outcome(Policy(_POLICY), _LIBVIRT, has_notifier=False).steps
    return [
        FlowStep(
            "printed: onpanic accept", _place(recorded_decision), tuple(printed.getvalue().splitlines())
        ),
        FlowStep("written: onpanic to-libvirt", _place(mapping), written),
        FlowStep("done: onpanic watch", _place(policy_steps), (", ".join(done),)),
    ]


def _place(module: ModuleType) -> str:
    return f"{Path(inspect.getfile(module)).parent.relative_to(ROOT)}/"


def _command(conversation: Conversation) -> str:
    """Return the emulator's command, with the panic notifier alone of its options."""
    argv = conversation.argv
    at = argv.index("pvpanic")
    return f"{argv[0]} … {' '.join(argv[at - 1 : at + 1])} …"


def _said(conversation: Conversation) -> tuple[str, ...]:
    """Return the messages about the panic: the write, the event, and ``cont`` with its answer."""
    entries = list(conversation.entries)
    at = next(index for index, entry in enumerate(entries) if entry.event == "GUEST_PANICKED")
    write = next(
        entry.msg for entry in reversed(entries[:at]) if entry.chan == "qtest" and entry.dir == "send"
    )
    event = entries[at].msg
    cont = next(i for i in range(at, len(entries)) if entries[i].msg == {"execute": "cont"})
    resumed = next(entry.event for entry in entries[cont:] if entry.event)
    return (f"→ {write}", f"← {event['event']}, {_members(event['data'])}", "→ cont", f"← {resumed}")


def _members(data: dict[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in data.items())


def spoken(steps: Sequence[FlowStep]) -> str:
    """Return steps in words."""
    return " ".join(f"{step.name} ({step.place}): {'; '.join(step.lines)}." for step in steps)
