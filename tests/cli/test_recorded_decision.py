"""``onpanic accept --record`` without what reads records otherwise: the answers are the same."""

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from onpanic.cli.commands import PLAIN
from onpanic.cli.recorded_decision import run_plain
from onpanic.probe import CapabilityRecord, Decision
from onpanic.probe.decision.policy import ON_PANIC
from onpanic.probe.facts import QUESTIONS, Question

from .conftest import RECORDS, Done

Command = Callable[..., Done]
Record = Callable[[str], Path]
VERSION_1 = Path(__file__).parent.parent / "records/version-1"
ACCEPTED = "accepted (by the isa notifier)\n"
ACTIONS = ("restart", "destroy", "preserve", "rename-restart", "pause")


def printed(decision: Decision, notifier: str | None) -> tuple[int, str]:
    """Return the exit status and the output for a decision."""
    if decision:
        return 0, f"accepted (by the {notifier} notifier)\n" if notifier else "accepted\n"
    judged = f"  judged by the {notifier} notifier\n" if notifier else ""
    return 1, f"refused: {decision.code}: {decision.reason}\n  {decision.remedy}\n{judged}"


@pytest.mark.parametrize("path", sorted(RECORDS.glob("*.json")), ids=lambda path: path.stem)
def test_it_decides_as_the_record_does(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """For every published record, on every machine type and by every notifier that it knows."""
    whole = CapabilityRecord.from_json(path.read_bytes())
    codes = {tuple(repr(one.on_panic) for one in m.notifiers): m for m in whole.machines}
    for machine in (None, *(name for m in codes.values() for name in (m.name, *m.aliases))):
        found = whole.machine(machine)
        record = msgspec.structs.replace(whole, machines=[found], evidence=msgspec.UNSET)
        (tmp_path / "record").write_bytes(record.to_json())
        for notifier in (None, *(entry.model for entry in found.notifiers)):
            words = ["pause", "--record", str(tmp_path / "record")]
            words += ["--machine", machine] if machine else []
            words += ["--notifier", notifier] if notifier else []
            status = run_plain(words)
            out = capsys.readouterr().out
            if status is None:
                assert record.problems, words
            else:
                decision = record.accepts("pause", machine=machine, notifier=notifier)
                assert (status, out) == printed(decision, notifier or found.notifier), words


ANSWERS = {"panic-action": ["pause", "poweroff", "run", "exit", "unknown"]}


def facts_of(question: Question) -> list[dict[str, str]]:
    """Return facts with each answer to a question, and the answer that is required as often as the others."""
    answers = ANSWERS.get(question.name, ["yes", "no", "unknown"])
    facts = [{"answer": answer, "detail": text} for answer in answers for text in ("", "seen", "größer")]
    assert question.requires
    return facts + [{"answer": question.requires.answer, "detail": ""}] * len(facts)


#: Facts of those that are required; some are left out.
KNOWN = st.fixed_dictionaries(
    {}, optional={one.name: st.sampled_from(facts_of(one)) for one in QUESTIONS if one.requires}
)


@settings(
    max_examples=3 * settings().max_examples, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    emulator=KNOWN,
    machine=KNOWN,
    other=KNOWN,
    own=st.sampled_from(["isa", "pvpanic", None]),
    asked=st.sampled_from([None, "isa", "hyperv", "s390", "nonsense"]),
    value=st.sampled_from([*ON_PANIC, "nonsense"]),
    coredump=st.booleans(),
)
def test_whatever_the_facts(
    emulator: dict[str, Any],
    machine: dict[str, Any],
    other: dict[str, Any],
    own: str | None,
    asked: str | None,
    value: str,
    coredump: bool,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Other values, and notifiers that the record does not have, are left to the command."""
    on_panic: dict[str, Any] = {"on_panic": {"accepted": {}, "refused": {}}}
    entry = {"type": None, "event_mask": None, "facts": other, **on_panic}
    found = {"name": "pc", "aliases": [], "default": False, "facts": machine, "notifier": own, **on_panic}
    document = {
        "schema_version": 2,
        "emulator": {"command": [], "target": "x86_64", "version": "1", "package": ""},
        "facts": emulator,
        "machines": [found | {"notifiers": [entry | {"model": model} for model in ("isa", "hyperv")]}],
        "probed": {"at": "", "by": "", "seconds": 1.0},
    }
    (tmp_path / "record").write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")
    words = [value, "--record", str(tmp_path / "record"), *(["--coredump"] if coredump else [])]
    status = run_plain([*words, *(["--notifier", asked] if asked else [])])
    out = capsys.readouterr().out
    if value in ACTIONS and asked in (None, "isa", "hyperv"):
        record = CapabilityRecord.from_json(json.dumps(document))
        decision = record.accepts(value, coredump=coredump, notifier=asked)
        assert (status, out) == printed(decision, asked or own)
    else:
        assert (status, out) == (None, "")


@pytest.mark.parametrize(
    "words",
    [
        ["--format", "json"],
        ["--on-crash", "destroy"],
        ["--grace", "30"],
        ["--machine", "nonsense"],
        ["--machine"],
        ["--mach", "pc"],
        ["--notifier", "nonsense"],
        ["--notifier"],
        ["--help"],
        ["--", "qemu"],
        ["qemu"],
        ["--hypervisor", "xen"],
        ["--record", "other"],
    ],
    ids=" ".join,
)
def test_other_arguments_are_left_to_the_command(
    words: list[str], current: Record, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_plain(["pause", "--record", str(current("7.2")), *words]) is None
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"schema_version":2', '"schema_version":1'),
        ('"schema_version":2', '"schema_version":3'),
        ('"schema_version":2', '"schema_version":' + "9" * 5000),
        ('"schema_version":2', '"schema_version":NaN'),
        ('"schema_version":2', '"schema_version":2,"x":' + "[" * 100_000),
        ('"answer":"yes"', '"answer":"perhaps"'),
        ('"answer":"yes"', '"answer":[]'),
        ('"detail":"', '"detail":1,"x":"'),
        ('"machines":[', '"machines":[1,'),
        ('"notifier":"isa"', '"notifier":"nonsense"'),
        ('"notifier":"isa"', '"notifier":["isa"]'),
        ("listed", "\\ud800"),
        ("}", "}}"),
        ("{", "{{"),
    ],
)
def test_another_record_is_left_to_the_command(
    old: str, new: str, current: Record, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = json.dumps(json.loads(current("7.2").read_bytes()), separators=(",", ":"))
    assert old in text
    (tmp_path / "record").write_text(text.replace(old, new), encoding="utf-8")
    assert run_plain(["pause", "--record", str(tmp_path / "record")]) is None
    assert capsys.readouterr() == ("", "")


def test_a_notifier_that_is_in_the_record_twice_is_left_to_the_command(
    current: Record, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = json.loads(current("7.2").read_bytes())
    for machine in document["machines"]:
        machine["notifier"] = None
        machine["notifiers"] *= 2
    (tmp_path / "record").write_text(json.dumps(document), encoding="utf-8")
    assert run_plain(["pause", "--record", str(tmp_path / "record"), "--notifier", "isa"]) is None
    assert capsys.readouterr() == ("", "")


def test_a_record_of_version_1_is_left_to_the_command(
    capsys: pytest.CaptureFixture[str], command: Command
) -> None:
    """The command reads it."""
    old = VERSION_1 / "qemu-system-x86_64-1.7.0.json"
    assert run_plain(["pause", "--record", str(old)]) is None
    assert capsys.readouterr() == ("", "")
    assert command("accept", "pause", "--record", old).out == "accepted (by the isa notifier)\n"


def test_a_record_from_a_pipe(current: Record, tmp_path: Path, command: Command) -> None:
    """It can be read only once."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    data = current("7.2").read_bytes()
    writer = threading.Thread(target=lambda: pipe.write_bytes(data), daemon=True)
    writer.start()
    assert command("accept", "pause", "--record", pipe) == (0, ACCEPTED, "")
    writer.join(10)


def test_the_command_uses_it(current: Record, command: Command) -> None:
    assert PLAIN["accept"] == run_plain.__module__
    assert command("accept", "pause", "--record", current("7.2"), "-q") == (0, "", "")
    done = command("accept", "pause", "--record", current("7.2"), "--machine", "nonsense")
    assert done.status == 2
    assert "no machine type 'nonsense'" in done.err
