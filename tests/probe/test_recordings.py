"""What four real emulators of 2013 said, in `tests/recordings`, and what is read from it."""

import itertools
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onpanic.probe import CapabilityRecord, RecordingError
from onpanic.probe.api import record_from
from onpanic.probe.conversation import Conversation, Entry
from onpanic.probe.conversation.recording import Recording, load, save
from onpanic.probe.emulator.notifier_models import NOTIFIER_MODELS
from onpanic.probe.observations.panics import panics

FOLDER = Path(__file__).parent.parent / "recordings"
QEMU_1_5, QEMU_1_6, QEMU_1_7, RHEL_6 = RELEASES = (
    "qemu-1.5.3",
    "qemu-1.6.0",
    "qemu-1.7.0",
    "rhel-6.8-0.12.1.2",
)
PAUSED = "qemu-1.6.0-paused"
ALL = (*RELEASES, PAUSED)

UPSTREAM = {
    "isa-pvpanic-type": "no",
    "pvpanic-type": "yes",
    "pvpanic-pci-type": "no",
    "guest-panicked-event": "yes",
    "guest-crashloaded-event": "no",
    "set-action-command": "no",
}
# It has no QOM that would say which types there are not
WITHOUT_QOM = UPSTREAM | {"isa-pvpanic-type": "unknown", "pvpanic-pci-type": "unknown"}
QUESTIONS = (
    "builtin-pvpanic",
    "pvpanic-attachable",
    "panic-reported",
    "panic-action",
    "panic-stops-guest",
    "cont-after-panic",
    "acpi-exposes-pvpanic",
    "vmcoreinfo-attachable",
)

# A conversation's number, and what it is to lose
Loss = tuple[int, tuple[int, ...]]


@cache
def recorded(name: str) -> Recording:
    """Return a recording, which tests share: what is to be changed is copied."""
    return load(FOLDER / f"{name}.jsonl")


def record_of(conversations: list[Conversation]) -> CapabilityRecord:
    return record_from(conversations, ["qemu-system-x86_64"], 0, recorded=True)


def answers(conversations: list[Conversation]) -> dict[str, str]:
    """Return all answers about the emulator and about its default machine type."""
    record = record_of(conversations)
    facts = record.facts | record.machine().facts
    return {name: fact.answer for name, fact in facts.items()}


def exchanges(conversation: Conversation) -> Iterator[tuple[int, ...]]:
    """Yield the indices of each command and its answer, on whichever channel."""
    yield from ((reply.sent, reply.received) for reply in conversation.replies if reply.received >= 0)
    lines: dict[str, list[int]] = {"send": [], "recv": []}
    for index, entry in enumerate(conversation.entries):
        if entry.chan == "qtest":
            lines[entry.dir].append(index)
    yield from zip(lines["send"], lines["recv"], strict=True)


@cache
def losses(name: str) -> list[Loss]:
    return [(n, pair) for n, c in enumerate(recorded(name).conversations) for pair in exchanges(c)]


def without(name: str, *lost: Loss) -> list[Conversation]:
    left = list(recorded(name).conversations)
    for number in {number for number, _ in lost}:
        gone = {index for of, indices in lost if of == number for index in indices}
        left[number] = Conversation([e for i, e in enumerate(left[number].entries) if i not in gone])
    return left


@cache
def complete_answers(name: str) -> dict[str, str]:
    return answers(recorded(name).conversations)


def turned(name: str, *lost: Loss) -> dict[str, tuple[str, str]]:
    """Return the answers that are others once something is lost, though not unknown."""
    before, after = complete_answers(name), answers(without(name, *lost))
    return {f: (before[f], now) for f, now in after.items() if now not in (before[f], "unknown")}


@pytest.mark.parametrize(
    ("name", "version", "package", "facts"),
    [
        (QEMU_1_5, "1.5.3", "", UPSTREAM),
        (QEMU_1_6, "1.6.0", "", UPSTREAM),
        (QEMU_1_7, "1.7.0", "", UPSTREAM),
        (PAUSED, "1.6.0", "", UPSTREAM),
        (RHEL_6, "0.12.1", "qemu-kvm-0.12.1.2", WITHOUT_QOM),
    ],
)
def test_facts_of_the_emulator(name: str, version: str, package: str, facts: dict[str, str]) -> None:
    record = record_of(recorded(name).conversations)
    assert (record.emulator.version, record.emulator.package) == (version, package)
    assert {fact: found.answer for fact, found in record.facts.items()} == facts


@pytest.mark.parametrize(
    ("name", "machine", "expected", "code"),
    [
        (QEMU_1_5, "pc-i440fx-1.5", "yes yes yes pause yes no unknown no", "builtin-panic-device"),
        (QEMU_1_5, "none", "no no no run no unknown no unknown", "panic-device-missing"),
        (QEMU_1_6, "pc-i440fx-1.6", "no yes yes pause yes no unknown no", "cont-refused-after-panic"),
        (QEMU_1_6, "none", "no no no run no unknown no unknown", "panic-device-missing"),
        (QEMU_1_7, "pc-i440fx-1.7", "no yes yes pause yes yes unknown no", ""),
        (QEMU_1_7, "none", "no no no run no unknown no unknown", "panic-device-missing"),
        (RHEL_6, "default", "no yes yes pause yes no unknown unknown", "cont-refused-after-panic"),
        (RHEL_6, "none", f"unknown{7 * ' unknown'}", "probe-inconclusive"),
        (PAUSED, "pc-i440fx-1.6", "no yes unknown unknown unknown unknown unknown no", "probe-inconclusive"),
    ],
)
def test_facts_and_decision_of_a_machine_type(name: str, machine: str, expected: str, code: str) -> None:
    record = record_of(recorded(name).conversations)
    facts = record.machine(machine).facts
    assert {f: facts[f].answer for f in QUESTIONS} == dict(zip(QUESTIONS, expected.split(), strict=True))
    assert record.accepts("pause", machine=machine).code == code


@pytest.mark.parametrize("name", ALL)
def test_a_recording_is_the_source_of_all_that_is_read_from_it(name: str) -> None:
    record = record_of(recorded(name).conversations)
    for fact in (f for facts in (record.facts, *(m.facts for m in record.machines)) for f in facts.values()):
        assert fact.how == (None if fact.answer == "unknown" else "recorded")


def test_the_default_machine_type_is_found_by_its_alias_and_by_none() -> None:
    record = record_of(recorded(QEMU_1_5).conversations)
    assert record.machine("pc") is record.machine() is record.machine("pc-i440fx-1.5")
    assert record_of(recorded(RHEL_6).conversations).machine().name == "default"


@pytest.mark.parametrize(("name", "mask"), [(QEMU_1_5, 1), (QEMU_1_6, 1), (QEMU_1_7, 1), (RHEL_6, None)])
def test_the_notifier_is_the_isa_device_with_the_bits_that_it_showed(name: str, mask: int | None) -> None:
    machine = record_of(recorded(name).conversations).machine()
    notifier = machine.notifier_named()
    assert machine.notifier == "isa"
    assert notifier
    assert (notifier.type, notifier.event_mask) == ("pvpanic", mask)


@pytest.mark.parametrize("name", ALL)
def test_every_model_has_an_entry(name: str) -> None:
    """The machine's own facts are those of the entry that it names."""
    for machine in record_of(recorded(name).conversations).machines:
        assert [notifier.model for notifier in machine.notifiers] == [*NOTIFIER_MODELS]
        own = machine.notifier_named()
        if own:
            assert own.facts.items() <= machine.facts.items()
            assert own.on_panic.accepted == machine.on_panic.accepted
            codes = {value: refused.code for value, refused in machine.on_panic.refused.items()}
            assert {value: refused.code for value, refused in own.on_panic.refused.items()} == codes


def test_a_machine_type_that_does_not_exist_did_not_start() -> None:
    none = record_of(recorded(RHEL_6).conversations).machine("none")
    assert not none.started
    assert "Unsupported machine type" in none.problem


def test_a_panic_of_a_paused_guest_shows_the_event_and_proves_nothing_else() -> None:
    """QEMU reported it, and so has the event; it does not show what a running guest's panic does."""
    found = answers(recorded(PAUSED).conversations)
    assert found["guest-panicked-event"] == "yes"
    assert {found[f] for f in ("panic-reported", "panic-stops-guest", "cont-after-panic")} == {"unknown"}


@pytest.mark.parametrize("name", [QEMU_1_5, QEMU_1_6, RHEL_6])
def test_cont_after_a_reset_does_not_say_that_a_panicked_guest_can_be_continued(name: str) -> None:
    """Without the refused ``cont``, what is left is the one that was accepted after ``system_reset``."""
    refused = [
        (number, (reply.sent, reply.received))
        for number, conversation in enumerate(recorded(name).conversations)
        for reply in conversation.all_replies("cont")
        if reply.refusal
    ]
    assert answers(without(name, *refused))["cont-after-panic"] == "unknown"


def test_the_state_after_a_reset_is_not_the_state_after_a_panic() -> None:
    """Between the panic and the reset nothing is left but the event: not even ``system_reset`` is seen."""
    first_panic = [(3, (index, index + 1)) for index in (13, 15, 17, 19)]
    assert not turned(RHEL_6, *first_panic)


@pytest.mark.parametrize("name", ALL)
def test_one_question_less_takes_knowledge_away_and_never_turns_it_round(name: str) -> None:
    found = {loss: turned(name, loss) for loss in losses(name)}
    assert not {loss: facts for loss, facts in found.items() if facts}


@given(data=st.data())
def test_many_questions_less_take_knowledge_away_and_never_turn_it_round(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(ALL))
    lost = data.draw(st.lists(st.sampled_from(losses(name)), max_size=12, unique=True))
    assert not turned(name, *lost)


@pytest.mark.parametrize("name", ALL)
def test_every_line_may_be_missing(name: str) -> None:
    for number, conversation in enumerate(recorded(name).conversations):
        for index in range(len(conversation.entries)):
            answers(without(name, (number, (index,))))


@pytest.mark.parametrize(
    "said",
    [
        None,
        7,
        "outb port value",
        [],
        {},
        {"QMP": {"version": {"qemu": 7}, "package": []}},
        {"execute": "human-monitor-command", "arguments": {"command-line": "i /b port"}},
        {"event": []},
        {"error": 7},
        {"return": 7},
        {"return": [[]]},
        {"return": [{"name": [], "type": {}, "devices": 7, "alias": []}]},
    ],
    ids=str,
)
def test_every_line_may_say_something_else(said: Any) -> None:
    """Recordings come by mail: whatever they say, they are read."""
    for name in (QEMU_1_5, RHEL_6):
        held = recorded(name).conversations
        # One line of each kind will do
        lines = {e.chan + str(e.msg)[:100]: (c, i) for c in held for i, e in enumerate(c.entries) if i}
        for conversation, index in lines.values():
            changed = list(conversation.entries)
            changed[index] = msgspec.structs.replace(changed[index], msg=said)
            answers([Conversation(changed) if c is conversation else c for c in held])


@pytest.mark.parametrize("name", ALL)
def test_what_is_saved_is_read_as_what_it_was(name: str, tmp_path: Path) -> None:
    first = recorded(name)
    save(tmp_path / "again.jsonl", first.command, first.conversations, "a test")
    again = load(tmp_path / "again.jsonl")
    assert again.command == first.command == ["qemu-system-x86_64"]
    assert [c.entries for c in again.conversations] == [c.entries for c in first.conversations]
    before, after = record_of(first.conversations), record_of(again.conversations)
    assert msgspec.structs.replace(after, probed=before.probed) == before


@pytest.mark.parametrize("name", ALL)
def test_a_recording_of_others_needs_no_first_note(name: str, tmp_path: Path) -> None:
    path = tmp_path / "theirs.jsonl"
    entries = itertools.chain.from_iterable(c.entries for c in recorded(name).conversations)
    path.write_bytes(b"\r\n\r\n".join(msgspec.json.encode(entry) for entry in entries))
    assert load(path).command == ["qemu-system-x86_64"]
    assert answers(load(path).conversations) == answers(recorded(name).conversations)


GOOD_LINE = msgspec.json.encode(Entry("proc", "argv", ["qemu-system-x86_64"])) + b"\n"


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"", None),
        (b"\n\n", None),
        (GOOD_LINE.replace(b"argv", b"info").replace(b"proc", b"note"), None),
        (GOOD_LINE[:20], 1),
        (GOOD_LINE * 3 + GOOD_LINE[:-4], 4),
        (b"this is not JSON\n", 1),
        (GOOD_LINE + b"\n" + b"neither is this\n", 3),
        (GOOD_LINE + b'["proc", "argv", []]\n', 2),
        (GOOD_LINE + b'{"chan": "proc"}\n', 2),
        (GOOD_LINE + b'{"chan": "phone", "dir": "send"}\n', 2),
        (GOOD_LINE + b"[" * 100_000 + b"\n", 2),
        (b"\x7fELF\x02\x01\x01\x00\xff\xfe\x80", 1),
        (GOOD_LINE + b'{"chan": "note", "dir": "info", "msg": "\xff\xfe"}\n', 2),
    ],
)
def test_a_file_that_is_no_recording_is_named_with_the_line(
    content: bytes, line: int | None, tmp_path: Path
) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_bytes(content)
    with pytest.raises(RecordingError) as caught:
        load(path)
    assert caught.value.message.startswith(f"{path}:{line}: " if line else f"{path}: ")
    assert "\n" not in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("name", ["missing.jsonl", "."])
def test_a_missing_file_and_a_folder_are_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(RecordingError) as caught:
        load(tmp_path / name)
    assert caught.value.message.startswith(f"{tmp_path / name}: ")


def test_a_recording_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(RecordingError, match="cannot be written"):
        save(tmp_path / "folder", ["qemu"], recorded(PAUSED).conversations, "a test")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_two_emulators_in_a_file_are_not_taken_for_one(tmp_path: Path) -> None:
    names = (QEMU_1_6, QEMU_1_7)
    both = tmp_path / "both.jsonl"
    both.write_bytes(b"".join((FOLDER / f"{name}.jsonl").read_bytes() for name in names))
    with pytest.raises(RecordingError, match="different emulators"):
        load(both)


@pytest.mark.parametrize(
    ("name", "cont"), [(QEMU_1_5, "no"), (QEMU_1_6, "no"), (QEMU_1_7, "yes"), (RHEL_6, "no")]
)
def test_a_guest_that_panics_by_itself_is_evidence_too(name: str, cont: str) -> None:
    """Whoever recorded it may not have seen what the guest wrote."""
    unseen = [
        Conversation([entry for entry in conversation.entries if entry.chan != "guest"])
        for conversation in load(FOLDER / f"{name}.jsonl").conversations
        if any(entry.chan == "guest" for entry in conversation.entries)
    ]
    facts = record_from(unseen, ["qemu"], 0.0, recorded=True).machines[0].facts
    assert facts["panic-reported"].answer == "yes"
    assert facts["cont-after-panic"].answer == cont


def test_a_greeting_does_not_mean_that_the_device_was_accepted() -> None:
    """From QEMU 1.6 on a bad device is reported after the greeting, and perhaps after the negotiation."""
    refused = [
        Entry("proc", "argv", ["qemu-system-x86_64", "-device", "pvpanic"]),
        Entry("qmp", "recv", {"QMP": {"version": {}, "capabilities": []}}),
        Entry("qmp", "send", {"execute": "qmp_capabilities"}),
        Entry("qmp", "recv", {"return": {}}),
        Entry(
            "proc", "exit", {"rc": 1, "stderr": "-device pvpanic: 'pvpanic' is not a valid device model name"}
        ),
    ]
    plain = [
        Entry("proc", "argv", ["qemu-system-x86_64"]),
        Entry("qmp", "recv", {"QMP": {"version": {}, "capabilities": []}}),
        Entry("qmp", "send", {"execute": "query-commands"}),
        Entry("qmp", "recv", {"return": []}),
    ]
    record = record_from([Conversation(refused), Conversation(plain)], ["qemu"], 0, recorded=True)
    assert record.facts["pvpanic-type"].answer == "unknown"
    isa = record.machines[0].notifier_named("isa")
    assert isa
    assert isa.facts["pvpanic-attachable"].answer == "no"


def test_a_reset_before_the_event_was_before_the_panic() -> None:
    """Firmware may reset the guest between the request and the write; the panic came after it."""
    write = {"command-line": "o /b 0x505 1"}
    running = {"status": "running", "running": True}
    panicked = {"status": "guest-panicked", "running": False}
    said: list[tuple[str, dict[str, Any], list[str], Any]] = [
        ("cont", {}, ["RESUME"], {}),
        ("human-monitor-command", write, ["RESET", "GUEST_PANICKED", "STOP"], ""),
        ("query-status", {}, [], panicked),
        ("cont", {}, ["RESUME"], {}),
        ("query-status", {}, [], running),
    ]
    entries = [Entry("proc", "argv", ["qemu-system-x86_64", "-S", "-device", "pvpanic,id=onpanic"])]
    for number, (command, arguments, events, answer) in enumerate(said):
        entries.append(Entry("qmp", "send", {"execute": command, "arguments": arguments, "id": number}))
        data = {"action": "pause"}
        entries += [Entry("qmp", "recv", {"event": event, "data": data}) for event in events]
        entries.append(Entry("qmp", "recv", {"return": answer, "id": number}))
    (panic,) = panics([Conversation(entries)], "isa")
    assert (panic.action, panic.status, panic.after) == ("pause", "guest-panicked", "running")
