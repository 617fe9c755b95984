"""``onpanic accept --record`` without what reads records otherwise: the answers are the same."""

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from onpanic.cli.commands import PLAIN
from onpanic.cli.recorded_decision import run_plain
from onpanic.probe import CapabilityRecord, Decision
from onpanic.probe.decision.policy import ON_PANIC

from .conftest import RECORDS, Done

Command = Callable[..., Done]
Record = Callable[[str], Path]
ACTIONS = ("restart", "destroy", "preserve", "rename-restart", "pause")


def printed(decision: Decision) -> tuple[int, str]:
    """Return the exit status and the output for a decision."""
    if decision:
        return 0, "accepted\n"
    return 1, f"refused: {decision.code}: {decision.reason}\n  {decision.remedy}\n"


@pytest.mark.parametrize("path", sorted(RECORDS.glob("*.json")), ids=lambda path: path.stem)
def test_it_decides_as_the_record_does(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """For every published record, on every machine type."""
    record = CapabilityRecord.from_json(path.read_bytes())
    for machine in (None, *(name for m in record.machines for name in (m.name, *m.aliases))):
        words = ["pause", "--record", str(path), *(["--machine", machine] if machine else [])]
        status = run_plain(words)
        out = capsys.readouterr().out
        if status is None:
            assert record.problems, machine
        else:
            assert (status, out) == printed(record.accepts("pause", machine=machine)), machine


FACTS = st.fixed_dictionaries(
    {"answer": st.sampled_from(["yes", "no", "unknown"]), "detail": st.sampled_from(["", "seen", "größer"])}
)
NAMES = st.sampled_from(
    [
        *("builtin-pvpanic", "pvpanic-attachable", "panic-reported", "panic-stops-guest"),
        *("cont-after-panic", "guest-panicked-event", "set-action-command"),
    ]
)
WHERE = st.sampled_from(
    [("x86_64", "pc"), ("s390x", "s390-ccw-virtio"), ("s390x", "none"), ("ppc64", "pseries-9")]
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    emulator=st.dictionaries(NAMES, FACTS),
    machine=st.dictionaries(NAMES, FACTS),
    where=WHERE,
    value=st.sampled_from([*ON_PANIC, "nonsense"]),
    coredump=st.booleans(),
)
def test_whatever_the_facts(
    emulator: dict[str, Any],
    machine: dict[str, Any],
    where: tuple[str, str],
    value: str,
    coredump: bool,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A value that it does not decide is left to the command."""
    target, name = where
    found = {"name": name, "aliases": [], "default": False, "facts": machine}
    document = {
        "schema_version": 1,
        "emulator": {"command": [], "target": target, "version": "1", "package": ""},
        "facts": emulator,
        "machines": [found | {"on_panic": {"accepted": {}, "refused": {}}}],
        "probed": {"at": "", "by": "", "seconds": 1.0},
    }
    (tmp_path / "record").write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")
    words = [value, "--record", str(tmp_path / "record"), *(["--coredump"] if coredump else [])]
    status = run_plain(words)
    out = capsys.readouterr().out
    if value in ACTIONS:
        decision = CapabilityRecord.from_json(json.dumps(document)).accepts(value, coredump=coredump)
        assert (status, out) == printed(decision)
    else:
        assert (status, out) == (None, "")


@pytest.mark.parametrize(
    "words",
    [
        ["--format", "json"],
        ["--on-crash", "destroy"],
        ["--machine", "nonsense"],
        ["--machine"],
        ["--mach", "pc"],
        ["--help"],
        ["--", "qemu"],
        ["qemu"],
        ["--hypervisor", "xen"],
        ["--record", "other"],
    ],
    ids=" ".join,
)
def test_other_arguments_are_left_to_the_command(
    words: list[str], record: Record, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_plain(["pause", "--record", str(record("7.2")), *words]) is None
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"schema_version":1', '"schema_version":2'),
        ('"schema_version":1', '"schema_version":' + "9" * 5000),
        ('"schema_version":1', '"schema_version":NaN'),
        ('"schema_version":1', '"schema_version":1,"x":' + "[" * 100_000),
        ('"answer":"yes"', '"answer":"perhaps"'),
        ('"answer":"yes"', '"answer":[]'),
        ('"detail":"', '"detail":1,"x":"'),
        ('"target":"x86_64"', '"target":1'),
        ('"machines":[', '"machines":[1,'),
        ("listed", "\\ud800"),
        ("}", "}}"),
        ("{", "{{"),
    ],
)
def test_another_record_is_left_to_the_command(
    old: str, new: str, record: Record, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = json.dumps(json.loads(record("7.2").read_bytes()), separators=(",", ":"))
    assert old in text
    (tmp_path / "record").write_text(text.replace(old, new), encoding="utf-8")
    assert run_plain(["pause", "--record", str(tmp_path / "record")]) is None
    assert capsys.readouterr() == ("", "")


def test_a_record_from_a_pipe(record: Record, tmp_path: Path, command: Command) -> None:
    """It can be read only once."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    data = record("7.2").read_bytes()
    writer = threading.Thread(target=lambda: pipe.write_bytes(data), daemon=True)
    writer.start()
    assert command("accept", "pause", "--record", pipe) == (0, "accepted\n", "")
    writer.join(10)


def test_the_command_uses_it(record: Record, command: Command) -> None:
    assert PLAIN["accept"] == run_plain.__module__
    assert command("accept", "pause", "--record", record("7.2"), "-q") == (0, "", "")
    done = command("accept", "pause", "--record", record("7.2"), "--machine", "nonsense")
    assert done.status == 2
    assert "no machine type 'nonsense'" in done.err
