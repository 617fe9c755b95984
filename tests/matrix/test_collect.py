"""Collecting: each emulator is asked once, failures stop no other, and nothing is lost."""

import contextlib
import json
import os
import pty
import select
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from onpanic.matrix.collecting.collection import collect
from onpanic.matrix.collecting.workers import Job
from onpanic.matrix.records.record_files import layout, read_record
from onpanic.matrix.sources import subjects
from onpanic.matrix.sources.debian_suites import Root
from onpanic.probe import CapabilityRecord, Fact
from onpanic.probe.asking.plan import ProbePlan
from onpanic.probe.testing import QEMU_1_5, QEMU_7_2, Fault, PlayedEmulator

from .samples import RECORDINGS

pytestmark = pytest.mark.processes

Run = Callable[..., subprocess.CompletedProcess[str]]

#: Runs the command with default signal dispositions: whoever started the tests may ignore SIGINT.
WITH_SIGNALS = (
    "import signal; signal.signal(signal.SIGINT, signal.SIG_DFL)\nfrom onpanic.cli import console; console()"
)


@contextlib.contextmanager
def on_terminal(words: list[str]) -> Iterator[tuple[subprocess.Popen[bytes], Callable[..., bytes]]]:
    """Run a command with a terminal as stderr; yields a function that reads up to a text, or the end."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        words, stdout=subprocess.DEVNULL, stderr=theirs, env={**os.environ, "TERM": "xterm"}
    )
    os.close(theirs)

    def read(text: bytes = b"") -> bytes:
        shown = b""
        with contextlib.suppress(OSError):  # the terminal is closed when the command ends
            while not text or text not in shown:
                ready, _, _ = select.select([ours], [], [], 120)
                assert ready, shown
                more = os.read(ours, 4096)
                if not more:
                    break
                shown += more
        assert text in shown
        return shown

    try:
        yield process, read
    finally:
        process.kill()
        process.wait(60)
        os.close(ours)


def emulator(path: Path, played: PlayedEmulator) -> str:
    """Write a program that plays an emulator, and return its path."""
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
    """With all its machine types, and evidence."""
    done = onpanic("matrix", "collect", "-o", str(records), old, new)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{records}: 2 collected; ")
    found = [read_record(path) for path in sorted(records.glob("*.json"))]
    assert [one.emulator.version for one in found] == ["1.5.3", "7.2.22"]
    assert [len(one.machines) for one in found] == [len(QEMU_1_5.machines), len(QEMU_7_2.machines)]
    assert all(isinstance(one.evidence, list) and one.evidence for one in found)


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    return Path(shutil.copy(RECORDINGS / "qemu-1.7.0.jsonl", tmp_path / "copy.jsonl"))


def test_what_has_not_changed_is_not_asked_again(onpanic: Run, recording: Path, records: Path) -> None:
    """Its record is not even written again."""
    words = ("matrix", "collect", "--format", "json", "-o", str(records), "--recordings", str(recording))
    assert states(onpanic(*words)) == ["collected"]
    before = {path: path.stat().st_mtime_ns for path in records.glob("*.json")}
    assert states(onpanic(*words)) == ["unchanged"]
    assert {path: path.stat().st_mtime_ns for path in records.glob("*.json")} == before


@pytest.mark.parametrize("change", ["the file", "its record", "--again"])
def test_what_has_changed_is_asked_again(onpanic: Run, recording: Path, records: Path, change: str) -> None:
    """So is what has no record, and everything if the user says so."""
    words = ["matrix", "collect", "--format", "json", "-o", str(records), "--recordings", str(recording)]
    onpanic(*words)
    if change == "the file":
        recording.write_bytes(recording.read_bytes())
    elif change == "its record":
        next(records.glob("qemu*")).unlink()
    assert states(onpanic(*words, *(["--again"] if change == "--again" else []))) == ["collected"]


def test_a_script_is_always_asked_again(onpanic: Run, new: str, records: Path) -> None:
    """It may start another emulator now."""
    words = ("matrix", "collect", "--format", "json", "-o", str(records), new)
    assert [states(onpanic(*words)) for _ in range(2)] == [["collected"], ["collected"]]


@pytest.mark.emulators
def test_a_real_emulator_changes_with_its_modules(tmp_path: Path) -> None:
    """libvirt has had a bug of that kind: devices are in modules."""
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
    """The failure is a line with a hint, and the exit status is 2."""
    bad = emulator(tmp_path / "qemu-system-x86_64", QEMU_1_5.failing(fault))
    done = onpanic("matrix", "collect", "--timeout", "6", "-o", str(records), bad, new)
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
        (["--records", "{empty}"], "{empty}: holds no record"),
        (["--records", "{truncated}"], "{truncated}: not a capability record"),
        (["--libvirt-replies", "{empty}"], "{empty}"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else None,
)
def test_what_is_unavailable_is_named_and_the_rest_collected(
    onpanic: Run, tmp_path: Path, records: Path, arguments: list[str], complaint: str
) -> None:
    """Emulators, suites, recordings and replies alike."""
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


def test_recordings_become_records(onpanic: Run, records: Path) -> None:
    """The record names its source, and its facts are recorded ones."""
    done = onpanic(
        "matrix", "collect", "-q", "-o", str(records), "--recordings", str(RECORDINGS / "qemu-1.5.3.jsonl")
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    (path,) = records.glob("*.json")
    record = read_record(path)
    assert record.probed.source == "recording qemu-1.5.3.jsonl"
    assert {fact.how for fact in record.machine("pc").facts.values()} == {"recorded", None}


def test_a_record_names_no_folder_of_the_host_of_a_recording(onpanic: Run, tmp_path: Path) -> None:
    """The recording of another host has its paths."""
    whole = (RECORDINGS / "qemu-1.7.0.jsonl").read_text()
    path = tmp_path / "away.jsonl"
    path.write_text(whole.replace('"qemu-system-x86_64"', '"/elsewhere/bin/qemu-system-x86_64"'))
    onpanic("matrix", "collect", "-q", "-o", str(tmp_path / "records"), "--recordings", str(path))
    (written,) = (tmp_path / "records").glob("*.json")
    assert read_record(written).emulator.command == ["qemu-system-x86_64"]
    assert "/elsewhere" not in written.read_text()


def test_a_record_that_was_made_elsewhere_is_collected(onpanic: Run, new: str, tmp_path: Path) -> None:
    """Such as one of another host; its emulator's folder is left out."""
    (tmp_path / "away.json").write_text(onpanic("probe", "--format", "json", new).stdout)
    words = ("matrix", "collect", "-q", "-o", str(tmp_path / "records"), "--records")
    done = onpanic(*words, str(tmp_path / "away.json"))
    assert (done.returncode, done.stderr) == (0, "")
    (path,) = (tmp_path / "records").glob("qemu*.json")
    assert read_record(path).emulator.command == ["qemu-system-x86_64"]


def test_the_answers_of_another_record_are_added(onpanic: Run, tmp_path: Path, records: Path) -> None:
    """A record of the same build with ACPI answers is added after the record of the whole build."""
    source = ["--recordings", str(RECORDINGS / "qemu-1.7.0.jsonl")]
    onpanic("matrix", "collect", "-q", "-o", str(tmp_path / "more"), *source)
    (path,) = (tmp_path / "more").glob("qemu*.json")
    record = read_record(path)
    told = Fact("yes", "recorded", "the tables name it")
    first = msgspec.structs.replace(
        record.machines[0], facts=record.machines[0].facts | {"acpi-exposes-pvpanic": told}
    )
    path.write_bytes(layout(msgspec.structs.replace(record, machines=[first])))
    words = ("matrix", "collect", "-o", str(records), "--records", str(tmp_path / "more"), *source)
    done = onpanic(*words)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{records}: 2 collected; ")
    (joined,) = records.glob("qemu*.json")
    assert len(read_record(joined).machines) == len(record.machines)
    assert read_record(joined).machines[0].facts["acpi-exposes-pvpanic"].answer == "yes"
    assert "2 unchanged" in onpanic(*words).stdout


def test_a_record_that_contradicts_is_not_added(onpanic: Run, tmp_path: Path, records: Path) -> None:
    """A person must find out which of the two is right."""
    source = ["--recordings", str(RECORDINGS / "qemu-1.7.0.jsonl")]
    onpanic("matrix", "collect", "-q", "-o", str(records), *source)
    (path,) = records.glob("qemu*.json")
    before = path.read_bytes()
    record = read_record(path)
    facts = record.facts | {"guest-panicked-event": Fact("no", "introspected")}
    elsewhere = msgspec.structs.replace(
        record, facts=facts, probed=msgspec.structs.replace(record.probed, source="")
    )
    (tmp_path / "more.json").write_bytes(layout(elsewhere))
    done = onpanic("matrix", "collect", "-o", str(records), "--records", str(tmp_path / "more.json"))
    assert done.returncode == 2
    assert "contradicts qemu-system-x86_64-1.7.0.json" in done.stderr
    assert path.read_bytes() == before


def test_a_record_is_not_replaced_by_one_that_knows_less(onpanic: Run, tmp_path: Path, records: Path) -> None:
    """An emulator that breaks later does not take away what was known."""
    program = tmp_path / "qemu-system-x86_64"
    words = ("matrix", "collect", "-o", str(records), emulator(program, QEMU_7_2))
    onpanic(*words)
    (path,) = records.glob("*.json")
    before = path.read_bytes()
    emulator(program, QEMU_7_2.failing(Fault("exit", "cont")))
    done = onpanic(*words)
    assert done.returncode == 2
    assert "the existing record knows more: " in done.stderr
    assert f"remove {path.name} if the new answers are right" in done.stderr
    assert path.read_bytes() == before


def test_an_emulator_with_the_opposite_answer_has_changed(
    onpanic: Run, tmp_path: Path, records: Path
) -> None:
    """A rebuild without the device has the same version; its new record counts, although it knows less."""
    program = tmp_path / "qemu-system-x86_64"
    words = ("matrix", "collect", "-q", "-o", str(records), emulator(program, QEMU_7_2))
    assert onpanic(*words).returncode == 0
    emulator(program, QEMU_7_2.but(types=(), mask=None))
    done = onpanic(*words)
    assert (done.returncode, done.stderr) == (0, "")
    (path,) = records.glob("qemu*.json")
    isa = read_record(path).machines[0].notifier_named("isa")
    assert isa is not None
    answers = [isa.facts[name].answer for name in ("pvpanic-attachable", "cont-after-panic")]
    assert answers == ["no", "unknown"]


def test_two_emulators_of_one_name_do_not_replace_each_other(
    onpanic: Run, old: str, tmp_path: Path, records: Path
) -> None:
    """They report the same version and do the opposite, which a person must resolve."""
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


def test_what_is_not_a_record_is_not_overwritten(onpanic: Run, recording: Path, records: Path) -> None:
    """It may be a newer onpanic's record, or another file."""
    words = ("matrix", "collect", "-q", "-o", str(records), "--recordings", str(recording))
    onpanic(*words)
    (path,) = records.glob("qemu*.json")
    path.write_text('{"schema_version": 3}')
    done = onpanic(*words, "--again")
    assert done.returncode == 2
    assert "not replaced: " in done.stderr
    assert done.stderr.splitlines()[-1] == "onpanic: hint: move it away"
    assert path.read_text() == '{"schema_version": 3}'


def test_a_run_without_acpi_keeps_what_is_known_of_it(onpanic: Run, recording: Path, records: Path) -> None:
    """It is not an error either: the run was not meant to know."""
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
    """Nor does a module in the current folder replace one of Python's."""
    name = os.fsdecode(bytes(tmp_path) + b"/qemu-\xff")
    emulator(Path(name), QEMU_7_2)
    (tmp_path / "queue.py").write_text("raise SystemExit('imported')")
    words = [sys.executable, "-P", "-m", "onpanic", "matrix", "collect", "-q", "-o", str(records), name]
    assert subprocess.run(words, cwd=tmp_path, check=False, timeout=120).returncode == 0
    out = tmp_path / "out"
    assert onpanic("matrix", "build", "-q", str(records), "-o", str(out)).returncode in (0, 1)
    assert (out / "index.html").exists()


def test_stderr_may_be_closed(new: str, records: Path) -> None:
    """Some service managers close it."""
    line = f'exec "{sys.executable}" -m onpanic matrix collect -o "{records}" "{new}" 2>&-'
    done = subprocess.run(["sh", "-c", line], stdout=subprocess.DEVNULL, check=False, timeout=120)
    assert done.returncode == 0


def test_a_caller_may_give_up(
    old: str, tmp_path: Path, records: Path, mark: str, survivors: Callable[[str], dict[int, str]]
) -> None:
    """What is being asked ends, and what has not been asked is not asked."""
    hanging = QEMU_7_2.failing(Fault("hang"))
    many = [emulator(tmp_path / f"qemu-system-{number}", hanging) for number in range(20)]

    class EnoughError(Exception):
        pass

    def progress(_outcome: object) -> None:
        raise EnoughError

    plan = ProbePlan(timeout=3600, jobs=3)
    with pytest.raises(EnoughError):
        collect([subjects.emulator([name]) for name in (old, *many)], plan, records, progress=progress)
    assert survivors(mark) == {}


@pytest.mark.parametrize("option", ["--recordings", "--records", "--libvirt-replies"])
def test_a_pipe_is_not_waited_for(onpanic: Run, option: str, tmp_path: Path, records: Path) -> None:
    """Nothing may ever be written to it."""
    os.mkfifo(tmp_path / "pipe.jsonl")
    done = onpanic("matrix", "collect", "-o", str(records), option, str(tmp_path / "pipe.jsonl"))
    assert done.returncode == 2
    assert "pipe.jsonl: not a file" in done.stderr


def test_a_worker_ends_quietly_after_the_command(tmp_path: Path, records: Path) -> None:
    """Somebody has killed the command, whose terminal must not show a traceback."""
    subject = subjects.recording(RECORDINGS / "qemu-1.7.0.jsonl")
    job = Job(subject, ProbePlan(), str(records), "")
    ours, theirs = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-m", "onpanic.matrix.collecting.record_maker"],
        stdin=subprocess.PIPE,
        stdout=theirs,
        stderr=subprocess.PIPE,
    ) as worker:
        os.close(theirs)
        os.close(ours)
        assert worker.stdin
        assert worker.stderr
        worker.stdin.write(json.dumps(msgspec.to_builtins(job)).encode() + b"\n")
        worker.stdin.flush()
        assert worker.wait(120) == 0
        assert worker.stderr.read() == b""


def test_another_source_may_show_less(records: Path, tmp_path: Path) -> None:
    """A recording stays where a list of types follows, and that is not an error."""
    recorded = subjects.recording(RECORDINGS / "qemu-1.5.3.jsonl")
    version = {"qemu": {"major": 1, "minor": 5, "micro": 3}, "package": ""}
    objects = [
        {"execute": "query-version"},
        {"return": version},
        {"execute": "query-target"},
        {"return": {"arch": "x86_64"}},
    ]
    (tmp_path / "caps_1.5.3.replies").write_text("\n\n".join(map(json.dumps, objects)))
    collect([recorded], ProbePlan(), records)
    (outcome,) = collect([subjects.replies(tmp_path / "caps_1.5.3.replies")], ProbePlan(), records)
    assert (outcome.state, outcome.why) == ("kept", "")
    (path,) = records.glob("qemu*.json")
    assert read_record(path).probed.source == "recording qemu-1.5.3.jsonl"


def test_no_half_of_a_record_is_written(records: Path, new: str) -> None:
    """A limit on the size of files stands for a full disk."""
    line = f'ulimit -f 2; exec "{sys.executable}" -m onpanic matrix collect -o "{records}" "{new}"'
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(f"onpanic: qemu-system-x86_64: {records}: File too large\n")
    assert list(records.iterdir()) == []


def test_a_folder_that_cannot_be_created_is_an_error(onpanic: Run, tmp_path: Path, new: str) -> None:
    """One line says why, and one what to do."""
    (tmp_path / "file").touch()
    done = onpanic("matrix", "collect", "-o", str(tmp_path / "file/records"), new)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        f"onpanic: {tmp_path}/file/records: cannot be written: Not a directory",
        "onpanic: hint: name another folder",
    ]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda n: n.name)
def test_what_was_collected_stays_and_the_next_run_continues(
    number: signal.Signals,
    mark: str,
    onpanic: Run,
    tmp_path: Path,
    recording: Path,
    records: Path,
    survivors: Callable[[str], dict[int, str]],
) -> None:
    """The last line says how many are done."""
    hanging = emulator(
        tmp_path / "qemu-system-x86_64", QEMU_1_5.but(stubborn=True).failing(Fault("hang", "start"))
    )
    source = ["--recordings", str(recording)]
    words = ["matrix", "collect", "--timeout", "300", "-o", str(records), hanging, *source]
    with on_terminal([sys.executable, "-c", WITH_SIGNALS, *words]) as (process, read):
        shown = read(b"1/2")  # it has counted the recording
        process.send_signal(number)
        shown += read()
        process.wait(60)
    assert survivors(mark) == {}
    assert b"Traceback" not in shown
    if number != signal.SIGKILL:
        assert shown.splitlines()[-1] == b"onpanic: 1 of 2 done; run it again to continue"
    emulator(Path(hanging), QEMU_1_5)
    done = onpanic("matrix", "collect", "--format", "json", "-o", str(records), hanging, *source)
    assert states(done) == ["collected", "unchanged"]


def test_progress_has_a_rate_and_the_time_left(old: str, new: str, records: Path) -> None:
    """They are shown on a terminal, and removed at the end."""
    words = [sys.executable, "-m", "onpanic", "matrix", "collect", "-o", str(records), old, new]
    with on_terminal(words) as (process, read):
        shown = read()
        assert process.wait(60) == 0
    assert b"machine types/s" in shown
    assert b"2/2" in shown
    assert shown.endswith((b"\x1b[2K", b"\x1b[?25h", b"\x1b[1A\x1b[2K"))


def test_there_must_be_something_to_collect(onpanic: Run, records: Path) -> None:
    """The folder is not created."""
    done = onpanic("matrix", "collect", "-o", str(records))
    assert done.returncode == 2
    assert done.stderr.splitlines()[0] == "onpanic: nothing to collect"
    assert not records.exists()


def test_an_emulator_that_is_named_twice_is_asked_once(onpanic: Run, new: str, records: Path) -> None:
    """It has one outcome."""
    done = onpanic("matrix", "collect", "--format", "json", "-o", str(records), new, new)
    assert len(done.stdout.splitlines()) == 1


#: Contents of the state file that it must survive.
DAMAGE = {
    "empty": b"",
    "truncated": b'{"x":',
    "binary": bytes(range(256)),
    "not UTF-8": b'{"x": {"stamp": [], "asked": "\xff", "record": ""}}',
    "nested": b'{"x":' * 100_000,
    "nested in a member": b'{"x": {"stamp": [], "asked": "", "record": "", "more": ' + b"[" * 100_000,
    "many digits": b'{"x": {"stamp": [' + b"9" * 5000 + b'], "asked": "", "record": ""}}',
    "a list": b"[]",
    "a lone surrogate": b'{"x": {"stamp": [], "asked": "\\ud800", "record": ""}}',
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_state_file_is_written_again(recording: Path, records: Path, damage: bytes) -> None:
    """It only saves time; whatever it holds, everything is asked again."""
    records.mkdir()
    (records / ".collected").write_bytes(damage)
    (outcome,) = collect([subjects.recording(recording)], ProbePlan(), records)
    assert outcome.state == "collected"
    (outcome,) = collect([subjects.recording(recording)], ProbePlan(), records)
    assert outcome.state == "unchanged"


def test_a_state_file_that_is_not_a_file_is_ignored(recording: Path, records: Path) -> None:
    """A pipe would be read for ever."""
    records.mkdir()
    os.mkfifo(records / ".collected")
    (outcome,) = collect([subjects.recording(recording)], ProbePlan(), records)
    assert outcome.state == "collected"


@pytest.mark.emulators
def test_records_of_a_suite_contain_no_path_of_this_host(
    debian_root: Callable[[str], Root], tmp_path: Path
) -> None:
    """They can be published: they name the suite, and no folder of this host."""
    root = debian_root("bullseye")
    wanted = [s for s in subjects.in_suite(root) if s.known_as == ["qemu-system-x86_64"]]
    (outcome,) = collect(wanted, ProbePlan(all_machines=True), tmp_path)
    assert outcome == msgspec.structs.replace(
        outcome, subject="qemu-system-x86_64 of bullseye", state="collected", why=""
    )
    text = (tmp_path / f"{outcome.record}.json").read_text()
    record = CapabilityRecord.from_json(text)
    assert str(root.path) not in text
    assert "bwrap" not in text
    assert (record.emulator.command, record.probed.source) == (["qemu-system-x86_64"], "Debian bullseye")
    assert record.machine("pc").facts["cont-after-panic"].answer == "yes"
