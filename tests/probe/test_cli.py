"""The command, as a user runs it, against played emulators."""

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest

from onpanic.probe import CapabilityRecord
from onpanic.probe.decision.catalogue import CATALOGUE
from onpanic.probe.testing import QEMU_1_5, QEMU_1_6, QEMU_7_2, Fault, PlayedEmulator

pytestmark = pytest.mark.processes


def onpanic(*words: str, **options: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "NO_COLOR": "", **options}
    return subprocess.run(
        [sys.executable, "-m", "onpanic", *words],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment,
        check=False,
    )


def probed(emulator: PlayedEmulator, *words: str) -> subprocess.CompletedProcess[str]:
    return onpanic("probe", *words, "--", *emulator.command())


def script(folder: Path, emulator: PlayedEmulator, name: str = "qemu-system-x86_64") -> str:
    """Return the path of an executable that plays an emulator."""
    import shlex

    path = folder / name
    path.write_text(f'#!/bin/sh\nexec {shlex.join(emulator.command())} "$@"\n')
    path.chmod(0o755)
    return str(path)


def test_one_screen_answers_the_question() -> None:
    """What is there, what was seen, what is accepted, what is refused and why: on 24 lines, in plain text."""
    done = probed(QEMU_7_2)
    assert done.returncode == 0
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) <= 24
    assert "\033" not in done.stdout
    for words in (
        "pc-i440fx-7.2 (pc, default)",
        "cont-after-panic",
        "rename-restart",
        "crash-needs-xen",
        "QEMU 7.2.22",
    ):
        assert words in done.stdout


def test_the_screen_of_a_broken_design_says_what_is_broken() -> None:
    done = probed(QEMU_1_5)
    assert done.returncode == 0
    assert "broken: a builtin pvpanic" in done.stdout
    assert "Resetting the Virtual Machine is required" in done.stdout
    assert "-global pvpanic.ioport=0" in done.stdout


def test_json_fits_the_schema_that_ships() -> None:
    done = probed(QEMU_1_6, "--format", "json", "--all-machines")
    record = json.loads(done.stdout)
    jsonschema.validate(record, CapabilityRecord.json_schema())
    assert record["schema_version"] == 2
    assert [m["name"] for m in record["machines"] if m["facts"]["builtin-pvpanic"]["answer"] == "yes"] == [
        "pc-i440fx-1.5",
        "pc-q35-1.5",
    ]


def test_several_emulators_print_an_object_a_line_each(tmp_path: Path) -> None:
    good, bad = (
        script(tmp_path, QEMU_7_2, "qemu-good"),
        script(tmp_path, QEMU_7_2.failing(Fault("exit")), "qemu-bad"),
    )
    done = onpanic("probe", "--format", "json", good, bad, good)
    assert [json.loads(line)["emulator"]["command"] for line in done.stdout.splitlines()] == [[good], [good]]
    assert done.returncode == 2
    assert "qemu-bad ended before its QMP greeting (status 1)" in done.stderr


def test_quiet_is_silent_on_success_only() -> None:
    assert probed(QEMU_7_2, "-q").stdout == ""
    assert probed(QEMU_7_2.failing(Fault("exit", words="no such thing")), "-q").stderr.count("\n") == 2


def test_an_emulator_that_has_kvm_alone_and_may_not_use_it() -> None:
    """Debian's qemu-system-x86_64-microvm is one; the hint says who may."""
    words = "failed to initialize kvm: Permission denied"
    said, hint = probed(QEMU_7_2.failing(Fault("exit", words=words))).stderr.splitlines()
    assert said.endswith(words)
    assert hint.startswith("onpanic: hint: this emulator runs with KVM alone: ")


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["probe", "--machine", "pc-i440fx-9.9"], 2, "unsupported machine type"),
        (["probe", "--timeout", "0"], 2, "more than 0 seconds"),
        (["probe", "--timeout", "soon"], 2, "more than 0 seconds"),
        (["probe", "--recording", "x", "--connect", "xen:///system"], 2, "more than one source"),
        (["probe", "--hypervisor", "xen", "--connect", "xen:///system"], 2, "more than one source"),
        (["probe", "--recording", "/nowhere/x.jsonl"], 2, "No such file"),
        (["probe", "/nowhere/qemu-system-x86_64"], 2, "no such file or command"),
        (["probe", "--skip-missing", "/nowhere/qemu-system-x86_64"], 77, "skipped"),
        (["nonsense"], 2, "there is no command 'nonsense'"),
        (["explain", "nonsense"], 2, "no such code"),
        (["accept", "pause", "--record", "/nowhere/record.json"], 2, "No such file"),
        (["accept", "pause", "--hypervisor", "xen"], 1, ""),
    ],
)
def test_errors_are_short_and_say_what_to_do(
    tmp_path: Path, words: list[str], status: int, said: str
) -> None:
    if words == ["probe", "--machine", "pc-i440fx-9.9"]:
        words = [*words, script(tmp_path, QEMU_7_2)]
    done = onpanic(*words)
    assert done.returncode == status
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert words[0] != "probe" or "usage" in done.stderr or len(done.stderr.splitlines()) <= 2


def test_more_than_one_source_is_refused() -> None:
    done = onpanic("probe", "--recording", "x", "--qmp", "y")
    assert done.returncode == 2
    assert "more than one source" in done.stderr


def test_no_emulator_on_the_host(tmp_path: Path) -> None:
    done = onpanic("probe", PATH=str(tmp_path))
    assert done.returncode == 2
    assert "install QEMU" in done.stderr
    assert onpanic("probe", "--skip-missing", PATH=str(tmp_path)).returncode == 77


def test_the_hosts_own_emulator_is_the_default(tmp_path: Path) -> None:
    name = script(tmp_path, QEMU_7_2, f"qemu-system-{os.uname().machine}")
    done = onpanic("probe", "--format", "json", PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert json.loads(done.stdout)["emulator"]["command"] == [name]


@pytest.mark.parametrize(
    ("words", "emulator", "status", "said"),
    [
        (["restart", "--coredump"], QEMU_7_2, 0, "accepted"),
        (["restart"], QEMU_1_5, 1, "builtin-panic-device"),
        (["restart"], QEMU_1_6, 1, "cont-refused-after-panic"),
        (["restart", "--machine", "none"], QEMU_7_2, 1, "panic-device-missing"),
        (["ignore"], QEMU_1_5, 0, "ignore-needs-global"),
        (["pause", "--on-crash", "nonsense"], QEMU_7_2, 1, "unknown-on-crash"),
        (["pause", "--grace", "30"], QEMU_7_2, 1, "grace-needs-action"),
        (["nonsense"], QEMU_7_2, 1, "unknown-value"),
    ],
)
def test_accept(tmp_path: Path, words: list[str], emulator: PlayedEmulator, status: int, said: str) -> None:
    done = onpanic("accept", *words, script(tmp_path, emulator))
    assert (done.returncode, said in done.stdout) == (status, True)


def test_accept_answers_from_a_record(tmp_path: Path) -> None:
    record = tmp_path / "record.json"
    record.write_text(probed(QEMU_1_6, "--format", "json", "--all-machines").stdout)
    done = onpanic(
        "accept", "pause", "--record", str(record), "--machine", "pc-i440fx-1.5", "--format", "json"
    )
    assert done.returncode == 1
    assert json.loads(done.stdout)["code"] == "builtin-panic-device"
    assert onpanic("accept", "default", "--record", str(record)).stdout == "accepted\n"
    assert "no machine type" in onpanic("accept", "pause", "--record", str(record), "--machine", "x").stderr


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "not a capability record"),
        ("{", "not a capability record"),
        ("[]", "not a capability record"),
        ('{"schema_version": 3}', "schema version 3"),
        ('{"schema_version": 2}', "not a capability record"),
        ('{"schema_version": 1}', "not a capability record"),
        ("\x00\xff", "not a capability record"),
    ],
)
def test_a_record_that_is_none(tmp_path: Path, content: str, said: str) -> None:
    record = tmp_path / "record.json"
    record.write_bytes(content.encode("latin-1"))
    done = onpanic("accept", "pause", "--record", str(record))
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 2


def test_a_record_that_is_cut_anywhere_is_an_error(tmp_path: Path) -> None:
    whole = probed(QEMU_7_2, "--format", "json").stdout.strip()
    record = tmp_path / "record.json"
    for length in range(0, len(whole), 401):
        record.write_text(whole[:length])
        with pytest.raises(ValueError, match="not a capability record"):
            CapabilityRecord.from_json(record.read_bytes())


@pytest.mark.parametrize("code", sorted(CATALOGUE))
def test_every_code_is_explained(code: str) -> None:
    entry = CATALOGUE[code]
    assert entry.reason
    assert entry.remedy
    assert "\n" not in entry.reason + entry.remedy


def test_explain_lists_and_explains() -> None:
    assert set(CATALOGUE) <= set(onpanic("explain").stdout.split())
    assert "use a QEMU with the fix" in onpanic("explain", "cont-refused-after-panic").stdout
    assert len(onpanic("explain", "--format", "json").stdout.splitlines()) == len(CATALOGUE)


def on_a_terminal(*words: str, no_color: str = "") -> str:
    """Run the command with stdout and stderr on a terminal and return what it shows."""
    import select

    ours, theirs = pty.openpty()
    environment = {**os.environ, "NO_COLOR": no_color, "TERM": "xterm", "COLUMNS": "120"}
    process = subprocess.Popen(
        [sys.executable, "-m", "onpanic", *words], stdin=theirs, stdout=theirs, stderr=theirs, env=environment
    )
    os.close(theirs)
    shown = b""
    while select.select([ours], [], [], 60)[0]:
        try:
            data = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        shown += data
    os.close(ours)
    process.wait(60)
    return shown.decode()


def test_colours_only_on_a_terminal_and_only_if_wanted() -> None:
    command = ["probe", "--", *QEMU_7_2.command()]
    assert "\033[32myes" in on_a_terminal(*command)
    assert "\033[" not in on_a_terminal(*command, no_color="1")


def test_several_emulators_show_progress_on_a_terminal(tmp_path: Path) -> None:
    names = [script(tmp_path, QEMU_7_2, f"qemu-{n}") for n in ("one", "two")]
    shown = on_a_terminal("probe", "--all-machines", *names)
    assert "3/3" in shown
    assert "qemu-two" in shown


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    command = [sys.executable, "-m", "onpanic", "explain"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    process.wait(60)


def test_a_full_disk_is_an_error() -> None:
    with open("/dev/full", "w") as full:  # noqa: PTH123
        done = subprocess.run(
            [sys.executable, "-m", "onpanic", "explain"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 2
    assert done.stderr == "onpanic: standard output: No space left on device\n"


def test_a_recording_is_whole_or_not_there(tmp_path: Path) -> None:
    file = tmp_path / "recording.jsonl"
    assert probed(QEMU_1_5, "--save-recording", str(file)).returncode == 0
    assert [p.name for p in tmp_path.iterdir()] == ["recording.jsonl"]
    done = onpanic("probe", "--recording", str(file), "--format", "json")
    assert json.loads(done.stdout)["machines"][0]["facts"]["cont-after-panic"]["how"] == "recorded"
    done = probed(QEMU_1_5, "--save-recording", str(tmp_path / "missing" / "file"))
    assert done.returncode == 2
    assert "cannot be written" in done.stderr


def test_a_recording_is_made_of_a_failure_too(tmp_path: Path) -> None:
    """That is what it is for."""
    file = tmp_path / "recording.jsonl"
    assert (
        probed(
            QEMU_1_5.failing(Fault("exit", "cont", "my last words")), "--save-recording", str(file)
        ).returncode
        == 2
    )
    done = onpanic("probe", "--recording", str(file))
    assert done.returncode == 2
    assert "my last words" in done.stderr


def test_an_empty_command_is_not_the_hosts_own_emulator(complaint: Callable[..., str]) -> None:
    """A shell's $(...) that failed leaves nothing behind the dashes."""
    assert complaint("--machine", "pc", "--") == "nothing follows --"
