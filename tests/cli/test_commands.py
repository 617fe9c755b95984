"""What each subcommand does, with files and played monitors: no emulator is started."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from onpanic.cli.codes import CODES
from onpanic.probe import CapabilityRecord

from .conftest import Done, Monitor

RECORDINGS = Path(__file__).parent.parent / "recordings"
VERSION_1 = Path(__file__).parent.parent / "records/version-1/qemu-system-x86_64-1.7.0.json"
Command = Callable[..., Done]
Record = Callable[[str], Path]
DOMAIN = """<domain type='qemu'>
  <name>guest</name>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <on_panic coredump='yes'>restart</on_panic>
  <on_crash>destroy</on_crash>
  <devices/>
</domain>
"""


# probe


@pytest.mark.parametrize("recording", sorted(RECORDINGS.glob("qemu-*.jsonl")), ids=lambda path: path.stem)
def test_probe_reads_a_recording(recording: Path, command: Command) -> None:
    done = command("probe", "--recording", recording, "--format", "json")
    assert (done.status, done.err) == (0, "")
    record = CapabilityRecord.from_json(done.out)
    assert record.machines
    shown = command("probe", "--recording", recording)
    assert (shown.status, shown.err) == (0, "")
    assert record.machines[0].name in shown.out


def test_probe_narrows_a_recording(command: Command) -> None:
    recording = RECORDINGS / "qemu-1.5.3.jsonl"
    assert command("probe", "-q", "--recording", recording, "--machine", "pc") == (0, "", "")
    done = command("probe", "--recording", recording, "--machine", "nonsense")
    assert done.status == 2
    assert "the recording has no machine type 'nonsense'" in done.err
    done = command("probe", "--recording", recording, "--acpi")
    assert done.status == 2
    assert "--acpi has no meaning here" in done.err


def test_probe_asks_a_monitor(command: Command, monitor: Callable[..., Monitor], tmp_path: Path) -> None:
    """It changes nothing, so what only a panic shows is unknown."""
    guest = monitor("running")
    saved = tmp_path / "guest.jsonl"
    done = command("probe", "--qmp", guest.path, "--format", "json", "--save-recording", saved)
    assert done.status == 0
    assert json.loads(done.out)["emulator"]["version"] == "7.2.22"
    assert guest.state == "running"
    assert saved.exists()


@pytest.mark.parametrize("name", ["probe", "check"])
def test_no_emulator_on_the_host(
    name: str, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.access("/usr/libexec/qemu-kvm", os.X_OK):
        pytest.skip("this host has QEMU outside the PATH")
    monkeypatch.setenv("PATH", str(tmp_path))
    done = command(name)
    assert done.status == 2
    assert "install QEMU" in done.err
    assert command(name, "--skip-missing").status == 77


# accept


@pytest.mark.parametrize(
    ("version", "words", "status", "said"),
    [
        ("7.2", ["restart", "--coredump"], 0, "accepted (by the isa notifier)\n"),
        ("7.2", ["restart", "--notifier", "isa"], 0, "accepted (by the isa notifier)\n"),
        ("7.2", ["ignore"], 0, "accepted\n"),
        ("7.2", ["restart", "--machine", "nonsense"], 2, ""),
        ("7.2", ["crash"], 1, "refused: crash-needs-xen: "),
        ("7.2", ["nonsense"], 1, "refused: unknown-value: "),
        ("7.2", ["pause", "--on-crash", "nonsense"], 1, "refused: unknown-on-crash: "),
        ("7.2", ["pause", "--coredump", "-q"], 0, ""),
        ("1.6.0", ["restart"], 1, "refused: cont-refused-after-panic: "),
    ],
)
def test_accept(
    version: str, words: list[str], status: int, said: str, command: Command, record: Record
) -> None:
    done = command("accept", *words, "--record", record(version))
    assert done.status == status
    assert done.out.startswith(said)
    assert bool(done.err) == (status == 2)


def test_accept_names_the_notifier(command: Command, record: Record) -> None:
    """In a refusal, too, and for programs; a policy that needs no notifier is judged by none."""
    done = command("accept", "restart", "--record", record("1.6.0"))
    assert done.out.splitlines()[-1] == "  judged by the isa notifier"
    for value, version, judged in (
        ("restart", "7.2", "isa"),
        ("restart", "1.6.0", "isa"),
        ("ignore", "7.2", None),
        ("crash", "7.2", None),
    ):
        done = command("accept", value, "--record", record(version), "--format", "json")
        assert json.loads(done.out)["notifier"] == judged


def test_accept_by_a_notifier_that_the_record_does_not_have(command: Command) -> None:
    done = command("accept", "pause", "--record", VERSION_1, "--notifier", "hyperv")
    assert (done.status, done.out) == (2, "")
    assert "says nothing about the notifier hyperv of pc-i440fx-1.7" in done.err


def test_accept_on_xen_has_no_notifier(command: Command) -> None:
    done = command("accept", "pause", "--hypervisor", "xen", "--notifier", "isa")
    assert (done.status, done.out) == (2, "")
    assert "--notifier has no meaning on Xen" in done.err


def test_accept_on_xen_needs_no_emulator(command: Command) -> None:
    done = command("accept", "pause", "--hypervisor", "xen", "--format", "json")
    assert (done.status, done.err) == (1, "")
    assert json.loads(done.out)["code"] == "xen-only-crash"


BAD_RECORDS = {
    "empty": b"",
    "cut": b'{"schema_version":1,',
    "another": b"[]",
    "not text": b"\xff\xfe\0",
    "bare": b'{"schema_version":2}',
    "later": b'{"schema_version":3}',
    "long number": b'{"schema_version":' + b"9" * 5000 + b"}",
    "deep": b'{"schema_version":1,"facts":' + b"[" * 100_000,
    "two": b'{"schema_version":1}\n{"schema_version":1}',
}


@pytest.mark.parametrize("kind", BAD_RECORDS)
def test_a_file_that_is_not_a_record(kind: str, command: Command, tmp_path: Path) -> None:
    file = tmp_path / "record.json"
    file.write_bytes(BAD_RECORDS[kind])
    for words in (
        ["accept", "pause", "--record"],
        ["check", "/nowhere/qemu", "--baseline"],
        ["probe", "--recording"],
    ):
        done = command(*words, file)
        assert (done.status, done.out) == (2, ""), words
        assert len(done.err.splitlines()) == 2


BAD_EXPECTATIONS = {
    "long number": b"x = " + b"9" * 5000,
    "deep": b"x = " + b"[" * 100_000,
    "not text": b"\xff",
    "long": b"#" * (2**20 + 1),
    "unknown tag": b"[[expect]]\ntag = 'nonsense'\nreason = 'x'",
}


@pytest.mark.parametrize("kind", BAD_EXPECTATIONS)
def test_a_file_that_does_not_hold_expectations(kind: str, command: Command, tmp_path: Path) -> None:
    file = tmp_path / "known.toml"
    file.write_bytes(BAD_EXPECTATIONS[kind])
    done = command("check", "/nowhere/qemu", "--expect", file)
    assert (done.status, done.out) == (2, "")
    assert str(file) in done.err


# explain


def test_explain(command: Command) -> None:
    done = command("explain")
    assert (done.status, done.err) == (0, "")
    assert [code for code in CODES if f"\n  {code} " not in done.out] == []
    assert command("explain", "cont-refused-after-panic").out.startswith(
        "cont-refused-after-panic (refusal; finding, error)\n"
    )
    assert "(finding, warning)" in command("explain", "event-mask-differs-for-machine-type").out
    assert "Known from:" in command("explain", "cont-after-panic", "--format", "text").out
    done = command("explain", "panic-ends-emulator")
    assert done.out.startswith("panic-ends-emulator (refusal; finding, error)\n")
    done = command("explain", "panic-action")
    assert done.out.startswith("panic-action (fact)\n  What does a panic end in")
    entries = [json.loads(line) for line in command("explain", "--format", "json").out.splitlines()]
    assert [entry["code"] for entry in entries] == list(CODES)
    assert [tuple(entry[name] for name in ("kind", "reason", "remedy")) for entry in entries] == [
        entry[:3] for entry in CODES.values()
    ]


# Domains


def test_a_policy_goes_to_libvirt_and_back(command: Command, record: Record, tmp_path: Path) -> None:
    given, there, back = (tmp_path / name for name in ("given.xml", "there.xml", "back.xml"))
    given.write_text(DOMAIN)
    done = command(
        *("to-libvirt", "--record", record("7.2"), "--libvirt-version", "9.0.0", given, "-o", there)
    )
    assert (done.status, done.out) == (0, "")
    assert "<on_crash>coredump-restart</on_crash>" in there.read_text()
    done = command("from-libvirt", there, "-o", back)
    assert (done.status, done.out) == (0, "")
    assert "<on_panic coredump='yes'>restart</on_panic>" in back.read_text().replace('"', "'")


def test_a_policy_that_is_refused(command: Command, record: Record, tmp_path: Path) -> None:
    (tmp_path / "guest.xml").write_text(DOMAIN)
    done = command("to-libvirt", "--record", record("1.6.0"), tmp_path / "guest.xml")
    assert (done.status, done.out) == (1, "")
    assert "refused: cont-refused-after-panic" in done.err


@pytest.mark.parametrize("name", ["to-libvirt", "from-libvirt"])
@pytest.mark.parametrize("content", [b"", b"<domain>" + b"<a>" * 100_000, b"\xff\xfe", b"<network/>"])
def test_a_file_that_is_not_a_domain(name: str, content: bytes, command: Command, tmp_path: Path) -> None:
    (tmp_path / "guest.xml").write_bytes(content)
    done = command(name, tmp_path / "guest.xml")
    assert (done.status, done.out) == (2, "")
    assert "guest.xml: " in done.err


# Guests


def test_the_status_of_a_guest(command: Command, monitor: Callable[..., Monitor]) -> None:
    guest = monitor("guest-panicked")
    done = command("status", "--qmp", guest.path)
    assert (done.status, done.err) == (0, "")
    assert "panic" in done.out
    assert "you can" in done.out
    assert "state" in json.loads(command("status", "--qmp", guest.path, "--format", "json").out)


def test_a_guest_is_continued(command: Command, monitor: Callable[..., Monitor]) -> None:
    guest = monitor("guest-panicked")
    done = command("resume", "--qmp", guest.path)
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith("continued: was guest-panicked, is running")
    assert guest.state == "running"
    assert command("resume", "-q", "--qmp", guest.path) == (0, "", "")


def test_a_guest_is_reset_only_if_that_is_allowed(command: Command, monitor: Callable[..., Monitor]) -> None:
    guest = monitor("guest-panicked", stubborn=True)
    done = command("resume", "--qmp", guest.path)
    assert (done.status, done.out) == (1, "")
    assert "refused: cont-refused-after-panic" in done.err
    assert guest.state == "guest-panicked"
    done = command("resume", "--allow-reset", "--qmp", guest.path, "--format", "json")
    assert (done.status, json.loads(done.out)["how"]) == (0, "reset")
    assert guest.state == "running"


@pytest.mark.parametrize("name", ["status", "resume"])
def test_nothing_listens_at_the_address(name: str, command: Command, folder: Path) -> None:
    done = command(name, "--qmp", folder / "guest.qmp")
    assert (done.status, done.out) == (2, "")
    assert "No such file or directory" in done.err


# The matrix


def test_two_builds_differ(command: Command, record: Record) -> None:
    done = command("matrix", "diff", record("1.6.0"), record("11.1"))
    assert done.status == 1
    assert "compared by alias: pc" in done.err
    assert "from QEMU 1.6.0" in done.out
    assert command("matrix", "diff", record("7.2"), record("7.2")).status == 0


def test_a_matrix_is_built_and_shown(command: Command, record: Record, tmp_path: Path) -> None:
    records, out = tmp_path / "records", tmp_path / "out"
    records.mkdir()
    for version in ("1.5.3", "1.7.0", "7.2"):
        shutil.copy(record(version), records)
    done = command("matrix", "build", records, "-o", out)
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith("3 builds, ")
    assert {path.name for path in out.iterdir()} == {"matrix.json", "MATRIX.md", "index.html"}
    shown = command("matrix", "show", out / "matrix.json", "--arch", "x86_64")
    assert (shown.status, shown.err) == (0, "")
    assert "qemu-system-x86_64 1.5.3" in shown.out
    assert command("matrix", "show", records, "--arch", "x86_64").out == shown.out
    whole = json.loads(command("matrix", "show", out / "matrix.json", "--format", "json").out)
    assert whole == json.loads((out / "matrix.json").read_bytes())
    assert command("matrix", "show", out / "matrix.json", "--build", "nonsense").status == 2
    assert command("matrix", "show", out / "matrix.json", "--machine", "nonsense").status == 2


def test_a_record_that_cannot_be_read_is_left_out(command: Command, record: Record, tmp_path: Path) -> None:
    """The matrix is built from the others, and the exit status tells."""
    records, out = tmp_path / "records", tmp_path / "out"
    records.mkdir()
    (records / "bad.json").write_bytes(b"\xff")
    done = command("matrix", "build", records, "-o", out)
    assert (done.status, done.out) == (2, "")
    shutil.copy(record("1.7.0"), records)
    done = command("matrix", "build", "-q", records, "-o", out)
    assert (done.status, done.out) == (1, "")
    assert "bad.json: not a capability record" in done.err
    assert (out / "matrix.json").exists()


# Extras that are missing


@pytest.mark.parametrize(
    ("library", "words", "extra"),
    [
        ("lxml", ["to-libvirt", "guest.xml"], "xml"),
        ("lxml", ["from-libvirt", "guest.xml"], "xml"),
        ("libvirt", ["domcaps"], "libvirt"),
        ("libvirt", ["probe", "--domain", "guest"], "libvirt"),
        ("libvirt", ["resume", "--domain", "guest"], "libvirt"),
        ("packaging", ["matrix", "build", "records", "-o", "out"], "matrix"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_an_extra_that_is_missing(
    library: str, words: list[str], extra: str, command: Command, missing: Callable[..., None]
) -> None:
    missing(library)
    done = command(*words)
    assert (done.status, done.out) == (2, "")
    what, hint = done.err.splitlines()
    assert "is not installed" in what
    assert f"onpanic[{extra}]" in hint
