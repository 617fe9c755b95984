"""The lines that a fact was read from: enough to read the same answer again, and nothing of the host."""

from pathlib import Path

import msgspec
import pytest

from onpanic.probe.api import record_from
from onpanic.probe.conversation import Conversation, Entry
from onpanic.probe.conversation.recording import load
from onpanic.probe.facts import EMULATOR_QUESTIONS, MACHINE_QUESTIONS, NOTIFIER_QUESTIONS
from onpanic.probe.record.capability_record import CapabilityRecord
from onpanic.probe.record.evidence import excerpt, with_evidence

RECORDINGS = sorted((Path(__file__).parent.parent / "recordings").glob("*.jsonl"))
QUESTIONS = {**EMULATOR_QUESTIONS, **MACHINE_QUESTIONS, **NOTIFIER_QUESTIONS}


def evident(path: Path) -> CapabilityRecord:
    found = load(path)
    return with_evidence(record_from(found.conversations, found.command, 0.0), found.conversations)


def lines(record: CapabilityRecord, fact: str) -> list[str]:
    known = record.facts.get(fact) or record.machine().facts[fact]
    assert isinstance(record.evidence, list)
    assert isinstance(known.evidence, int)
    return record.evidence[known.evidence]


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
def test_what_is_known_from_a_conversation_has_lines(path: Path) -> None:
    record = evident(path)
    assert isinstance(record.evidence, list)
    for fact in (*record.facts.values(), *(f for m in record.machines for f in m.facts.values())):
        assert (fact.answer != "unknown" and fact.how != "documented") == isinstance(fact.evidence, int) or (
            fact.detail.startswith("-device")  # a start that was accepted, with nothing asked
        )
        if isinstance(fact.evidence, int):
            assert record.evidence[fact.evidence]


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
def test_evidence_changes_no_answer(path: Path) -> None:
    found = load(path)
    plain = record_from(found.conversations, found.command, 0.0)
    record = evident(path)
    for bare, with_lines in zip(plain.machines, record.machines, strict=True):
        assert {n: (f.answer, f.how, f.detail) for n, f in bare.facts.items()} == {
            n: (f.answer, f.how, f.detail) for n, f in with_lines.facts.items()
        }
    assert CapabilityRecord.from_json(record.to_json()) == record
    assert msgspec.UNSET is plain.evidence


def test_the_refused_cont_is_shown_behind_the_panic() -> None:
    """The case that it all began with: QEMU 1.5."""
    shown = lines(evident(next(p for p in RECORDINGS if "1.5.3" in p.name)), "cont-after-panic")
    assert shown[0].startswith("$ qemu-system-x86_64 ")
    panicked = shown.index('<- {"event": "GUEST_PANICKED", "data": {"action": "pause"}}')
    refusal = '{"error": {"class": "GenericError", "desc": "Resetting the Virtual Machine is required"}}'
    assert shown[panicked:][-2:] == ['-> {"execute": "cont"}', f"<- {refusal}"]


def test_of_a_list_what_is_looked_for_is_shown() -> None:
    record = evident(next(p for p in RECORDINGS if "1.7.0" in p.name))
    assert lines(record, "pvpanic-type")[1:3] == [
        '-> {"execute": "qom-list-types"}',
        '<- {"return": [{"name": "pvpanic"}]}  (1 of 179 shown)',
    ]
    (_, answer) = lines(record, "set-action-command")
    assert answer.startswith('<- {"return": []}  (0 of ')


def conversation(machine: str, *, hosts_folder: str = "/srv/qemu/bin") -> Conversation:
    """Return a start in which the device is listed, with what differs from host to host and run to run."""
    listed = [{"name": "type", "type": "string"}, {"name": "device[3]", "type": "child<pvpanic>"}]
    return Conversation(
        [
            Entry("proc", "argv", ["bwrap", f"{hosts_folder}/qemu-system-x86_64", "-S", "-machine", machine]),
            Entry("qmp", "recv", {"QMP": {"version": {"qemu": {"major": 1, "minor": 5, "micro": 3}}}}),
            Entry(
                "qmp",
                "send",
                {"execute": "qom-list", "arguments": {"path": "/machine/unattached"}, "id": hosts_folder},
            ),
            Entry("qmp", "recv", {"return": listed, "id": hosts_folder}),
        ]
    )


def test_the_same_thing_seen_twice_is_the_same_text() -> None:
    """Neither the host, nor ids, nor the machine type make a difference, so that it is kept once."""
    one = excerpt(MACHINE_QUESTIONS["builtin-pvpanic"], [conversation("pc-i440fx-1.5,accel=tcg")])
    other = excerpt(
        MACHINE_QUESTIONS["builtin-pvpanic"],
        [conversation("pc-q35-1.5,accel=tcg", hosts_folder="/opt/other")],
    )
    assert one == other
    assert one[0] == "$ qemu-system-x86_64 -S -machine {machine},accel=tcg"
    assert one[-1] == '<- {"return": [{"name": "device[3]", "type": "child<pvpanic>"}]}  (1 of 2 shown)'


def test_nothing_after_the_answer_is_shown() -> None:
    start = conversation("pc")
    longer = Conversation([*start.entries, *start.entries[2:]])
    question = MACHINE_QUESTIONS["builtin-pvpanic"]
    assert excerpt(question, [longer]) == excerpt(question, [start])


def test_an_excerpt_is_bounded() -> None:
    """An emulator that says too much does not fill a record."""
    entries = list(conversation("pc").entries)
    noise = "x" * 10_000
    many = [{"name": noise, "type": "child<pvpanic>"}] * 500
    entries[3] = Entry("qmp", "recv", {**entries[3].msg, "return": many})
    shown = excerpt(MACHINE_QUESTIONS["builtin-pvpanic"], [Conversation(entries)])
    assert 0 < sum(map(len, shown)) < 20_000


def test_what_is_unknown_has_no_lines() -> None:
    assert all(excerpt(question, [Conversation()], "isa") == [] for question in QUESTIONS.values())


def test_a_machine_type_that_names_itself_is_shown_under_its_own_name() -> None:
    """What is kept once for many must fit each of them."""
    refusals = []
    for machine in ("pc-i440fx-1.4", "pc-i440fx-1.3"):
        why = f'qemu: unsupported machine type: "{machine}"'
        argv = [
            "qemu-system-x86_64",
            "-S",
            "-machine",
            f"{machine},accel=tcg",
            "-device",
            "pvpanic,id=onpanic",
        ]
        without = conversation(f"{machine},accel=tcg")
        failed = [
            Entry("proc", "argv", argv),
            Entry("proc", "exit", {"rc": 1, "stderr": f"{why}, and pvpanic\n"}),
        ]
        refusals.append([Conversation(failed), without])
    shown = [excerpt(NOTIFIER_QUESTIONS["pvpanic-attachable"], one, "isa") for one in refusals]
    assert shown[0] == shown[1]
    assert next(line for line in shown[0] if "unsupported" in line).count("{machine}") == 1


def test_a_recording_of_nonsense_has_a_record() -> None:
    """A recording that another program wrote may lack what a question needs."""
    entries = [
        *conversation("pc").entries,
        Entry("qmp", "send", {"execute": "device-list-properties", "id": 1}),
        Entry("qmp", "recv", {"return": [], "id": 1}),
        Entry("qmp", "send", {"execute": "qom-list-types", "id": 2}),
        Entry("qmp", "recv", {"return": [{"name": "pvpanic"}], "id": 2}),
    ]
    shown = excerpt(EMULATOR_QUESTIONS["pvpanic-type"], [Conversation(entries)])
    assert shown[-1] == '<- {"return": [{"name": "pvpanic"}]}  (1 of 1 shown)'
