"""Collecting: each emulator once, whatever becomes of others, and nothing lost."""

import contextlib
import json
import os
import pty
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from onpanic.matrix import subjects
from onpanic.matrix.collect import collect
from onpanic.matrix.debian import Root
from onpanic.matrix.records import layout, read_record
from onpanic.probe import CapabilityRecord, Fact
from onpanic.probe.survey import Plan
from onpanic.probe.testing import QEMU_1_5, QEMU_7_2, Fault, PlayedEmulator

from .samples import RECORDINGS

pytestmark = pytest.mark.processes

Run = Callable[..., subprocess.CompletedProcess[str]]


def emulator(path: Path, played: PlayedEmulator) -> str:
    """Write a program that plays an emulator."""
    path.write_text(f'#!/bin/sh\nexec {shlex.join(played.command())} "$@"\n')
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def old(tmp_path: Path) -> str:
    return emulator(tmp_path / "qemu-system-x86_64", QEMU_1_5)


@pytest.fixture
def new(tmp_path: Path) -> str:
    (tmp_path / "new").mkdir()
    return emulator(tmp_path / "new/qemu-system-x86_64", QEMU_7_2)


@pytest.fixture
def records(tmp_path: Path) -> Path:
    return tmp_path / "records"


def states(done: subprocess.CompletedProcess[str]) -> list[str]:
    return [json.loads(line)["state"] for line in done.stdout.splitlines()]


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {".collected"}


def test_each_build_gets_a_record(onpanic: Run, old: str, new: str, records: Path) -> None:
    done = onpanic("matrix", "collect", "-o", str(records), old, new)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{records}: 2 collected; ")
    found = [read_record(path) for path in sorted(records.glob("*.json"))]
    assert [one.emulator.version for one in found] == ["1.5.3", "7.2.22"]
    assert [len(one.machines) for one in found] == [len(QEMU_1_5.machines), len(QEMU_7_2.machines)]
    assert all(isinstance(one.evidence, list) and one.evidence for one in found)


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    return Path(shutil.copy(RECORDINGS / "qemu-1.7.0.jsonl", tmp_path / "told.jsonl"))


def test_what_has_not_changed_is_not_asked_again(onpanic: Run, recording: Path, records: Path) -> None:
    words = ("matrix", "collect", "--format", "json", "-o", str(records), "--recordings", str(recording))
    assert states(onpanic(*words)) == ["collected"]
    before = {path: path.stat().st_mtime_ns for path in records.glob("*.json")}
    assert states(onpanic(*words)) == ["unchanged"]
    assert {path: path.stat().st_mtime_ns for path in records.glob("*.json")} == before


@pytest.mark.parametrize("change", ["the file", "its record", "--again"])
def test_what_has_changed_is_asked_again(onpanic: Run, recording: Path, records: Path, change: str) -> None:
    words = ["matrix", "collect", "--format", "json", "-o", str(records), "--recordings", str(recording)]
    onpanic(*words)
    if change == "the file":
        recording.write_bytes(recording.read_bytes())
    elif change == "its record":
        next(records.glob("qemu*")).unlink()
    assert states(onpanic(*words, *(["--again"] if change == "--again" else []))) == ["collected"]


def test_of_a_script_nothing_tells_if_it_changed(onpanic: Run, new: str, records: Path) -> None:
    """What it starts may be another emulator now."""
    words = ("matrix", "collect", "--format", "json", "-o", str(records), new)
    assert [states(onpanic(*words)) for _ in range(2)] == [["collected"], ["collected"]]


@pytest.mark.emulators
def test_a_real_emulator_changes_with_its_modules(tmp_path: Path) -> None:
    """libvirt was caught out by that: a module is half of what an emulator can do."""
    program, modules = tmp_path / "bin/qemu-system-x86_64", tmp_path / "lib/x86_64-linux-gnu/qemu"
    for folder in (program.parent, modules):
        folder.mkdir(parents=True)
    shutil.copy(shutil.which("qemu-system-x86_64") or "", program)
    (modules / "ui.so").write_text("one")
    seen = [subjects.stamp(subjects.emulator([str(program)])) for _ in range(2)]
    (modules / "ui.so").write_text("another")
    seen.append(subjects.stamp(subjects.emulator([str(program)])))
    (modules / "block.so").touch()
    seen.append(subjects.stamp(subjects.emulator([str(program)])))
    program.touch()
    seen.append(subjects.stamp(subjects.emulator([str(program)])))
    assert seen[0] == seen[1] != []
    assert len({tuple(one) for one in seen}) == 4


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault("exit", "start"), "ended before its QMP greeting"),
        (Fault("hang", "start"), "did not answer in time"),
        (Fault("junk", "start"), ""),
    ],
    ids=lambda value: getattr(value, "kind", None),
)
def test_one_that_fails_stops_no_other(
    onpanic: Run, tmp_path: Path, new: str, records: Path, fault: Fault, words: str
) -> None:
    bad = emulator(tmp_path / "qemu-system-x86_64", QEMU_1_5.failing(fault))
    done = onpanic("matrix", "collect", "--timeout", "2", "-o", str(records), bad, new)
    assert done.returncode == 2
    assert words in done.stderr
    assert 1 <= len(done.stderr.splitlines()) <= 2
    assert "Traceback" not in done.stderr
    assert any("7.2" in name for name in names(records))


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["/no/such/qemu"], "/no/such/qemu: no such file or command"),
        (["--debian", "potato"], "potato: no suite named potato"),
        (["--recordings", "/no/such/file"], "/no/such/file: No such file or directory"),
        (["--recordings", "{empty}"], "{empty}: holds nothing that can be collected"),
        (["--recordings", "{truncated}"], "{truncated}:"),
        (["--libvirt-replies", "{empty}"], "{empty}"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else None,
)
def test_what_cannot_be_had_is_named_and_the_rest_collected(
    onpanic: Run, tmp_path: Path, records: Path, arguments: list[str], complaint: str
) -> None:
    (tmp_path / "empty").mkdir()
    whole = (RECORDINGS / "qemu-1.7.0.jsonl").read_bytes()
    (tmp_path / "truncated.jsonl").write_bytes(whole[: len(whole) // 2])
    names_here = {"empty": str(tmp_path / "empty"), "truncated": str(tmp_path / "truncated.jsonl")}
    words = [word.format(**names_here) for word in arguments]
    if words[0] == "--recordings":
        words.append(str(RECORDINGS / "qemu-1.5.3.jsonl"))
    else:
        words += ["--recordings", str(RECORDINGS / "qemu-1.5.3.jsonl")]
    done = onpanic("matrix", "collect", "-q", "-o", str(records), *words)
    assert done.returncode == 2
    assert complaint.format(**names_here) in done.stderr
    assert len(done.stderr.splitlines()) in (1, 2)
    assert names(records) == {"qemu-system-x86_64-1.5.3.json"}


def test_recordings_become_what_they_say(onpanic: Run, records: Path) -> None:
    done = onpanic(
        "matrix", "collect", "-q", "-o", str(records), "--recordings", str(RECORDINGS / "qemu-1.5.3.jsonl")
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    (path,) = records.glob("*.json")
    record = read_record(path)
    assert record.probed.source == "recording qemu-1.5.3.jsonl"
    assert {fact.how for fact in record.machine("pc").facts.values()} == {"recorded", None}


def test_a_record_is_not_replaced_by_one_that_knows_less(onpanic: Run, tmp_path: Path, records: Path) -> None:
    """An emulator that breaks later on does not take away what was known."""
    program = tmp_path / "qemu-system-x86_64"
    words = ("matrix", "collect", "-o", str(records), emulator(program, QEMU_7_2))
    onpanic(*words)
    (path,) = records.glob("*.json")
    before = path.read_bytes()
    emulator(program, QEMU_7_2.failing(Fault("exit", "cont")))
    done = onpanic(*words)
    assert done.returncode == 2
    assert "the record that is there knows more: " in done.stderr
    assert f"remove {path.name} if the new answers are right" in done.stderr
    assert path.read_bytes() == before


def test_an_emulator_that_answers_the_opposite_has_changed(
    onpanic: Run, tmp_path: Path, records: Path
) -> None:
    """A rebuild without the device has the same version: its new record counts, though it knows less."""
    program = tmp_path / "qemu-system-x86_64"
    words = ("matrix", "collect", "-q", "-o", str(records), emulator(program, QEMU_7_2))
    assert onpanic(*words).returncode == 0
    emulator(program, QEMU_7_2.but(types=(), mask=None))
    done = onpanic(*words)
    assert (done.returncode, done.stderr) == (0, "")
    (path,) = records.glob("qemu*.json")
    facts = read_record(path).machines[0].facts
    assert (facts["pvpanic-attachable"].answer, facts["cont-after-panic"].answer) == ("no", "unknown")


def test_two_emulators_of_one_name_do_not_replace_each_other(
    onpanic: Run, old: str, tmp_path: Path, records: Path
) -> None:
    """They say the same of themselves, and do the opposite: a matter for people."""
    (tmp_path / "other").mkdir()
    other = emulator(tmp_path / "other/qemu-system-x86_64", QEMU_1_5.but(resumable=True))
    assert onpanic("matrix", "collect", "-q", "-o", str(records), old).returncode == 0
    for _ in range(2):
        done = onpanic("matrix", "collect", "-q", "-o", str(records), other)
        assert done.returncode == 2
        assert (
            "contradicts qemu-system-x86_64-1.5.3.json, of another emulator: cont-after-panic on "
            in done.stderr
        )
    (path,) = records.glob("qemu*.json")
    assert read_record(path).machine("pc").facts["cont-after-panic"].answer == "no"
    assert onpanic("matrix", "collect", "-q", "-o", str(records), old).returncode == 0


def test_what_is_no_record_is_not_overwritten(onpanic: Run, recording: Path, records: Path) -> None:
    """A newer onpanic's, or somebody's notes."""
    words = ("matrix", "collect", "-q", "-o", str(records), "--recordings", str(recording))
    onpanic(*words)
    (path,) = records.glob("qemu*.json")
    path.write_text('{"schema_version": 2}')
    done = onpanic(*words, "--again")
    assert done.returncode == 2
    assert "not replaced: " in done.stderr
    assert done.stderr.splitlines()[-1] == "onpanic: hint: move it away"
    assert path.read_text() == '{"schema_version": 2}'


def test_acpi_is_not_missed_where_it_was_not_asked_for(onpanic: Run, recording: Path, records: Path) -> None:
    """Nor is what was known of it thrown away."""
    onpanic("matrix", "collect", "-q", "-o", str(records), "--recordings", str(recording))
    (path,) = records.glob("qemu*.json")
    record = read_record(path)
    facts = record.machines[0].facts | {"acpi-exposes-pvpanic": Fact("yes", "observed")}
    first = msgspec.structs.replace(record.machines[0], facts=facts)
    path.write_bytes(layout(msgspec.structs.replace(record, machines=[first, *record.machines[1:]])))
    kept = path.read_bytes()
    words = ("matrix", "collect", "--again", "-o", str(records), "--recordings", str(recording))
    done = onpanic(*words)
    assert (done.returncode, done.stderr) == (0, "")
    assert path.read_bytes() == kept
    assert "knows more: acpi-exposes-pvpanic on " in onpanic(*words, "--acpi").stderr


def test_names_need_not_be_text(onpanic: Run, tmp_path: Path, records: Path) -> None:
    """Nor has the current folder anything to say in it."""
    name = os.fsdecode(bytes(tmp_path) + b"/qemu-\xff")
    emulator(Path(name), QEMU_7_2)
    (tmp_path / "queue.py").write_text("raise SystemExit('imported')")
    words = [sys.executable, "-P", "-m", "onpanic", "matrix", "collect", "-q", "-o", str(records), name]
    assert subprocess.run(words, cwd=tmp_path, check=False).returncode == 0
    out = tmp_path / "out"
    assert onpanic("matrix", "build", "-q", str(records), "-o", str(out)).returncode in (0, 1)
    assert (out / "index.html").exists()


def test_stderr_may_be_closed(new: str, records: Path) -> None:
    line = f'exec "{sys.executable}" -m onpanic matrix collect -o "{records}" "{new}" 2>&-'
    assert subprocess.run(["sh", "-c", line], stdout=subprocess.DEVNULL, check=False).returncode == 0


def test_another_source_may_show_less(records: Path, tmp_path: Path) -> None:
    """A type list beside a whole recording: the recording stays, and nothing is wrong."""
    recorded = subjects.recording(RECORDINGS / "qemu-1.5.3.jsonl")
    version = {"qemu": {"major": 1, "minor": 5, "micro": 3}, "package": ""}
    said = [
        {"execute": "query-version"},
        {"return": version},
        {"execute": "query-target"},
        {"return": {"arch": "x86_64"}},
    ]
    (tmp_path / "caps_1.5.3.replies").write_text("\n\n".join(map(json.dumps, said)))
    collect([recorded], Plan(), records)
    (outcome,) = collect([subjects.replies(tmp_path / "caps_1.5.3.replies")], Plan(), records)
    assert (outcome.state, outcome.why) == ("kept", "")
    (path,) = records.glob("qemu*.json")
    assert read_record(path).probed.source == "recording qemu-1.5.3.jsonl"


def test_no_half_of_a_record_is_written(records: Path, new: str) -> None:
    """There is no space for it: the limit on the size of files stands for a full disk."""
    line = f'ulimit -f 2; exec "{sys.executable}" -m onpanic matrix collect -o "{records}" "{new}"'
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(f"onpanic: qemu-system-x86_64: {records}: File too large\n")
    assert list(records.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_one_line(onpanic: Run, tmp_path: Path, new: str) -> None:
    (tmp_path / "file").touch()
    done = onpanic("matrix", "collect", "-o", str(tmp_path / "file/records"), new)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        f"onpanic: {tmp_path}/file/records: cannot be written: Not a directory",
        "onpanic: hint: name another folder",
    ]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda n: n.name)
def test_what_was_collected_stays_and_the_next_run_goes_on(
    number: signal.Signals,
    mark: str,
    onpanic: Run,
    tmp_path: Path,
    recording: Path,
    records: Path,
    survivors: Callable[[str], dict[int, str]],
) -> None:
    hanging = emulator(
        tmp_path / "qemu-system-x86_64", QEMU_1_5.but(stubborn=True).failing(Fault("hang", "start"))
    )
    words = [sys.executable, "-m", "onpanic", "matrix", "collect", "--timeout", "300", "-o", str(records)]
    told = ["--recordings", str(recording)]
    process = subprocess.Popen([*words, hanging, *told], stderr=subprocess.PIPE, text=True)
    while not list(records.glob("*.json")) or not (records / ".collected").exists():
        assert process.poll() is None
    time.sleep(0.5)  # it has written what was done, and has yet to count it
    process.send_signal(number)
    _, said = process.communicate(timeout=20)
    assert survivors(mark) == {}
    assert "Traceback" not in said
    if number != signal.SIGKILL:
        assert said.splitlines()[-1] == "onpanic: 1 of 2 done; run it again to go on from there"
    emulator(Path(hanging), QEMU_1_5)
    done = onpanic("matrix", "collect", "--format", "json", "-o", str(records), hanging, *told)
    assert states(done) == ["collected", "unchanged"]


def test_progress_has_a_rate_and_the_time_left(old: str, new: str, records: Path) -> None:
    """On a terminal, and gone when it is done."""
    ours, theirs = pty.openpty()
    words = [sys.executable, "-m", "onpanic", "matrix", "collect", "-o", str(records), old, new]
    process = subprocess.Popen(
        words, stdout=subprocess.DEVNULL, stderr=theirs, env={**os.environ, "TERM": "xterm"}
    )
    os.close(theirs)
    said = b""
    with contextlib.suppress(OSError):  # the terminal has gone
        while more := os.read(ours, 4096):
            said += more
    os.close(ours)
    assert process.wait() == 0
    assert b"machine types/s" in said
    assert b"2/2" in said
    assert said.endswith((b"\x1b[2K", b"\x1b[?25h", b"\x1b[1A\x1b[2K"))


def test_there_must_be_something_to_collect(onpanic: Run, records: Path) -> None:
    done = onpanic("matrix", "collect", "-o", str(records))
    assert done.returncode == 2
    assert done.stderr.splitlines()[0] == "onpanic: nothing to collect"
    assert not records.exists()


def test_named_twice_is_asked_once(onpanic: Run, new: str, records: Path) -> None:
    done = onpanic("matrix", "collect", "--format", "json", "-o", str(records), new, new)
    assert len(done.stdout.splitlines()) == 1


def test_a_state_that_is_broken_is_made_anew(onpanic: Run, new: str, records: Path) -> None:
    words = ("matrix", "collect", "-q", "-o", str(records), new)
    onpanic(*words)
    (records / ".collected").write_text('{"x":')
    assert onpanic(*words).returncode == 0
    assert json.loads((records / ".collected").read_text())


@pytest.mark.emulators
def test_a_suites_emulators_are_collected_without_a_trace_of_this_host(
    debian_root: Callable[[str], Root], tmp_path: Path
) -> None:
    """A record can be published: it names the suite, and no folder of whoever made it."""
    root = debian_root("bullseye")
    wanted = [s for s in subjects.in_suite(root) if s.known_as == ["qemu-system-x86_64"]]
    (outcome,) = collect(wanted, Plan(all_machines=True), tmp_path)
    assert outcome == msgspec.structs.replace(
        outcome, subject="qemu-system-x86_64 of bullseye", state="collected", why=""
    )
    text = (tmp_path / f"{outcome.record}.json").read_text()
    record = CapabilityRecord.from_json(text)
    assert str(root.path) not in text
    assert "bwrap" not in text
    assert (record.emulator.command, record.probed.source) == (["qemu-system-x86_64"], "Debian bullseye")
    assert record.machine("pc").facts["cont-after-panic"].answer == "yes"
