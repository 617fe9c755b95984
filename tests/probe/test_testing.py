"""The emulators that are played are checked against the recordings of the real ones."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from onpanic.probe import CapabilityRecord, probe
from onpanic.probe.api import record_from
from onpanic.probe.asking.plan import ProbePlan
from onpanic.probe.asking.starts import ask_emulator
from onpanic.probe.conversation import Conversation, PortAccess
from onpanic.probe.conversation.recording import Recording, load
from onpanic.probe.emulator.reaper import Reaper
from onpanic.probe.testing import QEMU_1_5, QEMU_1_6, QEMU_1_7, RHEL_6, PlayedEmulator

pytestmark = pytest.mark.processes

FOLDER = Path(__file__).parent.parent / "recordings"
PLAYED = {
    "qemu-1.5.3": QEMU_1_5,
    "qemu-1.6.0": QEMU_1_6,
    "qemu-1.7.0": QEMU_1_7,
    "rhel-6.8-0.12.1.2": RHEL_6,
}
WITH_QOM = [name for name, emulator in PLAYED.items() if emulator.qom]
PANICKED = 1


def recorded(name: str) -> Recording:
    return load(FOLDER / f"{name}.jsonl")


def held(emulator: PlayedEmulator, *machines: str) -> list[Conversation]:
    """Return what the probe and a played emulator say to each other."""
    with Reaper() as reaper:
        return asyncio.run(ask_emulator(emulator.command(), ProbePlan(machines, timeout=30), reaper))


def answers(record: CapabilityRecord, machine: str | None) -> dict[str, str]:
    facts = record.facts | record.machine(machine).facts
    return {name: fact.answer for name, fact in facts.items()}


def answering(conversation: Conversation, write: PortAccess) -> list[Any]:
    """Return all that QMP said after a write: events, and the answers to what was asked next.

    Which of the channels was faster is left out: the answer to the write itself, and the
    order of an event and the answer to the command that raised it.
    """
    replies = sorted((r for r in conversation.replies if r.received >= 0), key=lambda r: r.received)
    before = [r.received for r in replies if r.received < write.received]
    start = max([write.sent, *before])
    said: list[Any] = []
    asked = [r for r in replies if r.received > write.received and r.command in ("query-status", "cont")]
    for reply in asked[:3]:  # the state, cont, the state
        events = [
            (entry.msg["event"], entry.msg.get("data"))
            for entry in conversation.entries[start : reply.received]
            if entry.chan == "qmp" and entry.dir == "recv" and "event" in entry.msg
        ]
        said += [*events, (reply.command, reply.value, reply.refusal)]
        start = reply.received
    return said


def panic(conversations: list[Conversation]) -> list[Any]:
    """Return what came of the first panic of a guest that was running, with a device that was added."""
    for conversation in conversations:
        for write in conversation.accesses:
            if "pvpanic" in conversation.devices and write.kind == "write" and write.value == PANICKED:
                return answering(conversation, write)
    pytest.fail("no panic was made")


@pytest.mark.parametrize("name", PLAYED)
def test_a_played_emulator_probes_as_its_recording_reads(name: str) -> None:
    original = recorded(name)
    real = record_from(original.conversations, original.command, 0, recorded=True)
    played = probe(PLAYED[name].command())
    assert answers(played, None) == answers(real, None)
    assert played.emulator.version == real.emulator.version
    assert played.emulator.package == real.emulator.package
    assert played.machine().name == real.machine().name
    assert played.machine().aliases == real.machine().aliases
    assert played.machine().notifier
    assert played.accepts("pause").code == real.accepts("pause").code


@pytest.mark.parametrize("name", WITH_QOM)
def test_a_played_machine_type_none_is_refused_the_device_in_the_same_words(name: str) -> None:
    original = recorded(name)
    real = record_from(original.conversations, original.command, 0, recorded=True)
    played = probe(PLAYED[name].command(), machines=["none"])
    asked_since = {"vmcoreinfo-attachable": "no"}  # about the type, of each machine type
    assert answers(played, "none") == answers(real, "none") | asked_since
    words = "No 'ISA' bus found for device 'pvpanic'"
    for record in (played, real):
        assert words in record.machine("none").facts["pvpanic-attachable"].detail


@pytest.mark.parametrize("name", PLAYED)
def test_a_played_panic_says_what_the_recorded_one_said(name: str) -> None:
    """The same events in the same order, the same states, and ``cont`` answered in the same words."""
    played = panic(held(PLAYED[name]))
    assert played == panic(recorded(name).conversations)
    assert [word for word, *_ in played[:3]] == ["GUEST_PANICKED", "STOP", "query-status"]


@pytest.mark.parametrize(
    ("name", "error_class"), [("qemu-1.6.0", "GenericError"), ("rhel-6.8-0.12.1.2", "ResetRequired")]
)
def test_cont_is_refused_by_the_class_of_its_time(name: str, error_class: str) -> None:
    for conversations in (held(PLAYED[name]), recorded(name).conversations):
        refusals = {r.refusal for c in conversations for r in c.all_replies("cont") if r.refusal}
        assert {(r.error_class, r.desc) for r in refusals} == {
            (error_class, "Resetting the Virtual Machine is required")
        }


@pytest.mark.parametrize("name", PLAYED)
def test_a_played_emulator_knows_the_commands_that_the_real_one_lists(name: str) -> None:
    """Of what a probe asks, it answers what the recording lists, and refuses the rest as unknown."""
    known = {
        item["name"]
        for conversation in recorded(name).conversations
        for reply in conversation.all_replies("query-commands")
        for item in reply.items
    }
    asked = [reply for conversation in held(PLAYED[name]) for reply in conversation.replies]
    unknown = {r.command: r.refusal.desc for r in asked if r.refusal and r.refusal.unknown_command}
    assert unknown == {
        command: f"The command {command} has not been found"
        for command in {reply.command for reply in asked} - known
    }
