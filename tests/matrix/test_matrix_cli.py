"""``onpanic matrix build``, ``show`` and ``diff`` as a user runs them, also with invalid input."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from onpanic.matrix import Matrix, build, published, read_matrix
from onpanic.matrix.libvirts.libvirt_files import keep_libvirt_record
from onpanic.matrix.model.matrix import DECIDED
from onpanic.matrix.records.build_identity import build_name
from onpanic.matrix.records.record_files import write_record
from onpanic.probe import CapabilityRecord, RecordError
from onpanic.probe.facts import QUESTIONS
from onpanic.probe.xen.record_of_xen import unasked_xen

from .libvirt_samples import with_libvirts
from .samples import RECORDINGS, RELEASES, fact, machine, notifier, record, recorded
from .xen_samples import with_xen

pytestmark = pytest.mark.processes

Run = Callable[..., subprocess.CompletedProcess[str]]
OUTPUTS = {"matrix.json", "MATRIX.md", "index.html"}


def write(folder: Path, *records: CapabilityRecord) -> Path:
    """Write records, named after their builds, and return the folder."""
    for one in records:
        write_record(folder, build_name(one.emulator), one)
    return folder


@pytest.fixture
def records(tmp_path: Path) -> Path:
    """Return a folder with the records of the recordings of 2013."""
    return write(tmp_path / "records", *map(recorded, RELEASES))


def test_the_matrix_is_built(onpanic: Run, records: Path, tmp_path: Path) -> None:
    """The folder is created, and has three files."""
    done = onpanic("matrix", "build", str(records), "-o", str(tmp_path / "deep/out"))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "4 builds, 8 machine types: matrix.json, MATRIX.md, index.html\n"
    assert {path.name for path in (tmp_path / "deep/out").iterdir()} == OUTPUTS
    matrix = msgspec.json.decode((tmp_path / "deep/out/matrix.json").read_bytes(), type=Matrix)
    assert [build.version for build in matrix.builds] == ["0.12.1", "1.5.3", "1.6.0", "1.7.0"]
    text = (tmp_path / "deep/out/MATRIX.md").read_text()
    assert (
        "| cont-after-panic | no: never in 0.12 | no: at or before 1.5, until 1.6; yes: since 1.7 |" in text
    )


def test_the_same_records_give_the_same_bytes(onpanic: Run, records: Path, tmp_path: Path) -> None:
    """The files are in git."""
    for name in ("one", "other"):
        onpanic("matrix", "build", "-q", str(records), "-o", str(tmp_path / name))
    assert all((tmp_path / "one" / n).read_bytes() == (tmp_path / "other" / n).read_bytes() for n in OUTPUTS)


GOOD = record("7.2.22", machine("pc-7.2", ["pc"], default=True))


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("broken.json", b"{", "broken.json: not a capability record: "),
        ("empty.json", b"", "empty.json: not a capability record: "),
        ("binary.json", bytes(range(256)), "binary.json: not a capability record: "),
        ("truncated.json", GOOD.to_json()[:500], "truncated.json: not a capability record: "),
        ("foreign.json", b'{"schema_version": 9}', "foreign.json: the record has schema version 9, not 1"),
        ("nested.json", b"[" * 100_000, "nested.json: not a capability record: "),
        (
            "qemu-system-x86_64-7.2.22+again.json",
            record("7.2.22", machine("pc-7.2", ["pc"], default=True, cont_after_panic="no")).to_json(),
            "qemu-system-x86_64-7.2.22+again: cont-after-panic on pc-7.2 is yes and no",
        ),
        (
            "misnamed.json",
            GOOD.to_json(),
            "misnamed-record: misnamed: it is a record of qemu-system-x86_64-7.2.22",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and value.endswith(".json") else "-",
)
def test_an_invalid_record_is_named_and_the_rest_built(
    onpanic: Run, tmp_path: Path, name: str, content: bytes, complaint: str
) -> None:
    """The exit status is 1."""
    records = write(tmp_path / "records", GOOD)
    (records / name).write_bytes(content)
    done = onpanic("matrix", "build", str(records), "-o", str(tmp_path / "out"))
    assert done.returncode == 1
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr
    assert {path.name for path in (tmp_path / "out").iterdir()} == OUTPUTS
    assert any(build.version == "7.2.22" for build in read_matrix(tmp_path / "out/matrix.json").builds)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["build", "/no/such", "-o", "{tmp}/out"], "/no/such: No such file or directory"),
        (["build", "{tmp}", "-o", "{tmp}/out"], "{tmp}: holds no record"),
        (["build", "{bad}", "-o", "{tmp}/out"], "{bad}: none of its records can be read"),
        (["show", "/no/such"], "/no/such: No such file or directory"),
        (["show", "{bad}/broken.json"], "{bad}/broken.json: not a matrix: "),
        (["show", "{bad}/older.json"], "{bad}/older.json: the matrix has schema version 1, not 2"),
        (["show", "--arch", "pdp11"], "no build of the matrix matches"),
        (["diff", "/no/a", "/no/b"], "/no/a: No such file or directory"),
        (["diff", "x", "y", "--records", "{tmp}"], "{tmp}: holds no record"),
        (["show", "{bad}/nested.json"], "{bad}/nested.json: not a matrix: nested too deeply"),
        (["show", "{bad}/digits.json"], "{bad}/digits.json: not a matrix: "),
        (["show", "{bad}/binary.json"], "{bad}/binary.json: not a matrix: not UTF-8"),
        (["show", "{bad}"], "{bad}: none of its records can be read"),
        (["diff", "{bad}/nested.json", "{bad}/binary.json"], "{bad}/nested.json: not a capability record: "),
        (["bogus"], "matrix has no command 'bogus'"),
    ],
    ids=lambda value: "-" if isinstance(value, str) else " ".join(value),
)
def test_an_error_is_reported(onpanic: Run, tmp_path: Path, words: list[str], complaint: str) -> None:
    """The exit status is 2, and nothing is written."""
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad/broken.json").write_text('{"schema_version":2}')
    (tmp_path / "bad/older.json").write_text('{"schema_version":1}')
    (tmp_path / "bad/nested.json").write_bytes(b'{"schema_version":2,"more":' + b"[" * 100_000)
    (tmp_path / "bad/digits.json").write_bytes(b'{"schema_version":' + b"9" * 5000 + b"}")
    (tmp_path / "bad/binary.json").write_bytes(b'{"schema_version":2,"evidence":[["\xff"]]}')
    here = {"tmp": str(tmp_path), "bad": str(tmp_path / "bad")}
    done = onpanic("matrix", *(word.format(**here) for word in words))
    assert (done.returncode, done.stdout) == (2, "")
    assert complaint.format(**here) in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_an_output_that_cannot_be_written_is_an_error(onpanic: Run, records: Path, tmp_path: Path) -> None:
    """It names the folder."""
    (tmp_path / "file").touch()
    done = onpanic("matrix", "build", str(records), "-o", str(tmp_path / "file"))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"onpanic: {tmp_path}/file: cannot be written: ")


def shown_rows(output: str) -> dict[str, dict[str, str]]:
    """Return the cells of the rows of ``matrix show`` by version and by column; notes are left out."""
    lines = output.splitlines()
    heads = [line.split()[-1] for line in lines[: lines.index("x86_64")]]
    rows = [line.split() for line in lines if line.startswith("qemu-")]
    return {row[1]: dict(zip(heads, row[-len(heads) :], strict=True)) for row in rows}


def test_the_matrix_is_shown(onpanic: Run, records: Path) -> None:
    """Each build has a row, with a letter for each fact."""
    done = onpanic("matrix", "show", str(records))
    assert (done.returncode, done.stderr) == (0, "")
    rows = shown_rows(done.stdout)
    refused = dict.fromkeys(DECIDED, "n") | {"ignore": "y", "default": "y", "notifier": "isa"}
    assert rows["1.5.3"].items() >= {**refused, "builtin-pvpanic": "y", "cont-after-panic": "n"}.items()
    accepted = dict.fromkeys(DECIDED, "y+") | {"ignore": "y", "default": "y", "notifier": "isa"}
    assert rows["1.7.0"].items() >= {**accepted, "builtin-pvpanic": "n", "panic-action": "pause"}.items()
    assert list(rows["1.7.0"])[:8] == [*DECIDED, "ignore", "default", "notifier"]
    assert list(rows) == ["0.12.1", "1.5.3", "1.6.0", "1.7.0"]


def test_rows_that_do_not_differ_are_counted(onpanic: Run, tmp_path: Path) -> None:
    """``--all`` shows them."""
    same = [record(f"{major}.0.0", machine(f"pc-{major}.0", ["pc"], default=True)) for major in (5, 6, 7, 8)]
    changed = record("9.0.0", machine("pc-9.0", ["pc"], default=True, cont_after_panic="no"))
    folder = write(tmp_path / "records", *same, changed)
    shown = onpanic("matrix", "show", str(folder)).stdout
    rows = [line for line in shown.splitlines() if line.startswith("qemu-")]
    assert [row.split()[1] for row in rows] == ["5.0.0", "9.0.0"]
    assert "and 3 more with the same answers" in shown
    everything = onpanic("matrix", "show", "--all", str(folder)).stdout
    assert len([line for line in everything.splitlines() if line.startswith("qemu-")]) == 5


def test_a_machine_type_is_chosen(onpanic: Run, tmp_path: Path) -> None:
    """Notes name the others; a build without it has a dash."""
    both = record(
        "7.2.22", machine("pc-7.2", ["pc"], default=True), machine("q35-7.2", ["q35"], cont_after_panic="no")
    )
    folder = write(tmp_path / "records", both, record("8.0.0", machine("isapc")))
    shown = {
        name: onpanic("matrix", "show", "--machine", name, str(folder)).stdout
        for name in ("pc", "q35", "isapc")
    }
    assert "no on q35-7.2" in shown["pc"]
    assert "yes on pc-7.2" in shown["q35"]
    (row, *_) = shown_rows(shown["isapc"]).values()
    assert {row[one.name] for one in QUESTIONS if one.scope != "emulator"} == {"-"}
    assert {row[value] for value in DECIDED} == {"-"}


def test_a_notifier_is_chosen(onpanic: Run, tmp_path: Path) -> None:
    """Values and facts are about it, where it is not the machine type's own, too."""
    one = record("7.2.22", machine("pc-7.2", ["pc"], default=True, notifiers=[notifier("hyperv")]))
    folder = write(tmp_path / "records", one)
    rows = {}
    for model in ("isa", "hyperv", "pvpanic"):
        done = onpanic("matrix", "show", "--notifier", model, str(folder))
        rows[model] = next(line for line in done.stdout.splitlines() if line.startswith("qemu-")).split()[2:9]
        assert "notifier" not in done.stdout.split("x86_64")[0].split()
    assert rows == {
        "isa": ["y+"] * 5 + ["y"] * 2,
        "hyperv": ["y+"] * 5 + ["y"] * 2,
        "pvpanic": ["n"] * 5 + ["y"] * 2,
    }


def test_one_notifier_is_compared(onpanic: Run, tmp_path: Path) -> None:
    """What changed about others is left out."""
    before = record("9.0.0", machine("pc-8.2", cont_after_panic="no", notifiers=[notifier("pvpanic")]))
    after = record("9.1.0", machine("pc-8.2"))
    folder = write(tmp_path / "records", before, after)
    shown = {
        model: onpanic("matrix", "diff", "9.0.0", "9.1.0", "--notifier", model, "--records", str(folder))
        for model in ("isa", "pvpanic", "s390")
    }
    assert {model: done.returncode for model, done in shown.items()} == {"isa": 1, "pvpanic": 1, "s390": 0}
    assert "cont-after-panic was no, and now is yes" in shown["isa"].stdout
    assert "pvpanic-attachable was yes, and now is no" in shown["pvpanic"].stdout
    assert "cont-after-panic was no" not in shown["pvpanic"].stdout


def test_the_published_matrix_is_the_default(onpanic: Run) -> None:
    """It needs no argument."""
    done = onpanic("matrix", "show", "--format", "json")
    assert msgspec.json.decode(done.stdout, type=Matrix) == published()


def test_a_matrix_with_an_invalid_index_is_refused(tmp_path: Path, records: Path, onpanic: Run) -> None:
    """Otherwise another answer would be shown, or none."""
    onpanic("matrix", "build", "-q", str(records), "-o", str(tmp_path))
    matrix = json.loads((tmp_path / "matrix.json").read_text())
    matrix["builds"][0]["machines"][0]["profile"] = 1000
    (tmp_path / "matrix.json").write_text(json.dumps(matrix))
    with pytest.raises(RecordError, match="an index is out of range"):
        read_matrix(tmp_path / "matrix.json")


def test_what_a_guest_can_see_comes_first(onpanic: Run, tmp_path: Path) -> None:
    """QEMU 9.1 offered a new event bit on old machine types, which breaks migration."""
    before = record("9.0.0", machine("pc-8.2", mask=3, cont_after_panic="no"), machine("gone"))
    after = record("9.1.0", machine("pc-8.2", mask=7), machine("pc-9.1"))
    folder = write(tmp_path / "records", before, after)
    done = onpanic("matrix", "diff", "9.0.0", "9.1.0", "--records", str(folder))
    assert (done.returncode, done.stderr) == (1, "")
    lines = done.stdout.splitlines()
    assert lines[0].startswith("from QEMU 9.0.0")
    assert lines[1].startswith("to   QEMU 9.1.0")
    tags = [line.split()[1].rstrip(":") for line in lines[2:] if not line.startswith("      ")]
    assert tags[0] == "guest-visible-change"
    assert set(tags) == {
        "guest-visible-change",
        "machine-type-gone",
        "machine-type-new",
        "behaviour-gained",
    }
    found = [
        json.loads(line)
        for line in onpanic(
            "matrix",
            "diff",
            "--format",
            "json",
            str(folder / "qemu-system-x86_64-9.0.0.json"),
            str(folder / "qemu-system-x86_64-9.1.0.json"),
        ).stdout.splitlines()
    ]
    assert [one["tag"] for one in found] == tags


def test_builds_without_a_common_machine_type_are_compared_by_alias(onpanic: Run, records: Path) -> None:
    """The recordings have the fix of 1.7."""
    done = onpanic("matrix", "diff", "x86_64-1.6.0", "x86_64-1.7.0", "--records", str(records))
    assert done.returncode == 1
    assert "compared by alias: pc" in done.stderr
    assert "cont-after-panic was no, and now is yes" in done.stdout


def test_without_a_change_the_status_is_0(onpanic: Run, records: Path) -> None:
    """A line says that nothing changed; ``-q`` prints nothing in any case."""
    done = onpanic("matrix", "diff", "x86_64-1.7.0", "x86_64-1.7.0", "--records", str(records))
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == "  nothing changed in what was measured in both"
    quiet = onpanic("matrix", "diff", "-q", "x86_64-1.7.0", "x86_64-1.6.0", "--records", str(records))
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (1, "", "")


def test_an_ambiguous_name_is_refused(onpanic: Run, records: Path) -> None:
    """The error has examples."""
    done = onpanic("matrix", "diff", "qemu", "x86_64-1.6.0", "--records", str(records))
    assert done.returncode == 2
    assert "qemu: 4 records of" in done.stderr


def test_a_target_that_is_reported_differently_is_the_same(onpanic: Run, tmp_path: Path) -> None:
    """From 11.1 on qemu-system-mipsel reports mips."""
    records = [
        record(version, machine("malta"), emulator="qemu-system-mipsel", target=target)
        for version, target in (("10.0.13", "mipsel"), ("11.1.3", "mips"))
    ]
    folder = write(tmp_path / "records", *records)
    done = onpanic("matrix", "diff", "10.0.13", "11.1.3", "--records", str(folder))
    assert (done.returncode, done.stderr) == (0, "")
    shown = onpanic("matrix", "show", "--all", "--arch", "mipsel", str(folder)).stdout
    assert [line.split()[1] for line in shown.splitlines() if line.startswith("qemu-")] == [
        "10.0.13",
        "11.1.3",
    ]


def test_only_files_are_read(onpanic: Run, tmp_path: Path) -> None:
    """Reading a pipe would never end."""
    folder = write(tmp_path / "records", GOOD)
    os.mkfifo(folder / "pipe.json")
    (folder / "folder.json").mkdir()
    done = onpanic("matrix", "build", "-q", str(folder), "-o", str(tmp_path / "out"))
    assert (done.returncode, done.stderr) == (0, "")


def test_a_machine_type_that_no_build_has_is_refused(onpanic: Run, records: Path) -> None:
    """It is probably misspelt."""
    done = onpanic("matrix", "show", "--machine", "typo", str(records))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[0] == "onpanic: no build has a machine type typo"


@pytest.mark.parametrize("index", [-1, 1000])
def test_missing_evidence_is_left_out(onpanic: Run, tmp_path: Path, index: int) -> None:
    """The lines of another fact must not be shown."""
    facts = GOOD.facts | {"pvpanic-type": fact("yes", evidence=index)}
    forged = msgspec.structs.replace(GOOD, facts=facts, evidence=[["-> something else"]])
    folder = write(tmp_path / "records", forged)
    assert onpanic("matrix", "build", "-q", str(folder), "-o", str(tmp_path / "out")).returncode == 0
    matrix = read_matrix(tmp_path / "out/matrix.json")
    assert matrix.statements[matrix.builds[0].facts["pvpanic-type"]].evidence is None


def test_a_version_of_5000_digits_is_not_a_version(onpanic: Run, tmp_path: Path) -> None:
    """Python refuses to convert it."""
    (tmp_path / "records").mkdir()
    (tmp_path / "records/x.json").write_bytes(record("9" * 5000, machine("pc")).to_json())
    done = onpanic("matrix", "build", "-q", str(tmp_path / "records"), "-o", str(tmp_path / "out"))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


#: Runs the command as if some packages were not installed.
WITHOUT = (
    "import sys; sys.modules.update(dict.fromkeys({missing!r})); from onpanic.cli import console; console()"
)


@pytest.mark.parametrize(
    ("missing", "words", "package"),
    [
        (["packaging"], ["build", "{records}", "-o", "{out}"], "packaging"),
        (["jinja2"], ["build", "{records}", "-o", "{out}"], "jinja2"),
        (["packaging"], ["show", "{records}"], "packaging"),
        (["platformdirs"], ["collect", "-o", "{out}", "--debian", "sid"], "platformdirs"),
    ],
    ids=["build, packaging", "build, jinja2", "show, packaging", "collect, platformdirs"],
)
def test_a_missing_package_names_the_extra(
    tmp_path: Path, records: Path, missing: list[str], words: list[str], package: str
) -> None:
    """One line says what is missing, and one how to install it."""
    here = {"records": str(records), "out": str(tmp_path / "out")}
    done = without(missing, *(word.format(**here) for word in words))
    assert done.returncode == 2
    lines = done.stderr.splitlines()
    assert lines[0].endswith(f"{package} is not installed")
    assert lines[1:] == [f"onpanic: hint: install it with {sys.executable} -m pip install 'onpanic[matrix]'"]


@pytest.mark.parametrize(
    "words",
    [
        ["show", "--arch", "s390x"],
        ["show", "--format", "json"],
        ["diff", "x86_64-1.6.0", "x86_64-1.7.0", "--records", "{records}"],
        ["collect", "-o", "{out}", "--recordings", "{recording}"],
    ],
    ids=lambda words: words[0],
)
def test_what_needs_no_extra_works_without_it(tmp_path: Path, records: Path, words: list[str]) -> None:
    """The published matrix is shown, records are compared and collected."""
    recording = RECORDINGS / "qemu-1.7.0.jsonl"
    here = {"records": str(records), "out": str(tmp_path / "out"), "recording": str(recording)}
    missing = ["packaging", "jinja2", "markupsafe", "platformdirs", "lxml", "libvirt", "rich"]
    done = without(missing, *(word.format(**here) for word in words))
    assert done.returncode in (0, 1)
    assert done.stdout
    assert "not installed" not in done.stderr


def without(missing: list[str], *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WITHOUT.format(missing=missing), "matrix", *words],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def libvirts(tmp_path: Path) -> Path:
    """Return a folder with the records of two libvirts."""
    folder = tmp_path / "libvirts"
    for one in with_libvirts(build([])).libvirts.values():
        keep_libvirt_record(folder, one)
    return folder


def test_records_of_libvirts_become_part_of_the_matrix(
    onpanic: Run, records: Path, libvirts: Path, tmp_path: Path
) -> None:
    """They are in a folder of their own, or beside those of emulators."""
    done = onpanic("matrix", "build", str(records), str(libvirts), "-o", str(tmp_path / "one"))
    assert done.stdout == "4 builds, 8 machine types, 2 libvirts: matrix.json, MATRIX.md, index.html\n"
    assert done.returncode == 1  # the sample lacks guests: a violation of a rule
    assert (
        "unobserved-word: libvirt-12.8.0-qemu-7.2.22: no guest with <on_crash>rename-restart" in done.stderr
    )
    for path in libvirts.iterdir():
        path.rename(records / path.name)
    onpanic("matrix", "build", "-q", str(records), "-o", str(tmp_path / "other"))
    assert all((tmp_path / "one" / n).read_bytes() == (tmp_path / "other" / n).read_bytes() for n in OUTPUTS)
    text = (tmp_path / "one/MATRIX.md").read_text()
    assert "| preserve-running | not known | y |" in text
    assert "| destroy to preserve-running | - | running (crashed), QEMU is guest-panicked |" in text


def test_libvirts_are_shown_side_by_side(onpanic: Run, libvirts: Path, records: Path) -> None:
    """Also without a record of an emulator."""
    done = onpanic("matrix", "show", "--libvirts", str(libvirts))
    lines = done.stdout.splitlines()
    assert " ".join(lines[0].split()) == "libvirt 9.0.0, QEMU 7.2.22 libvirt 12.8.0, QEMU 7.2.22"
    assert lines[1] == "<on_crash> values accepted"
    shown = next(line for line in lines if line.startswith("  preserve-running "))
    assert shown.split() == ["preserve-running", "not", "known", "y"]
    done = onpanic("matrix", "show", "--libvirts", str(records))
    assert (done.returncode, done.stdout) == (2, "")
    assert "the matrix has no record of a libvirt" in done.stderr


def test_xen_has_tables_of_its_own(onpanic: Run, tmp_path: Path) -> None:
    """A table has the libvirts that answer it: of its heads, only those of words have both."""
    for one in with_xen(build([])).libvirts.values():
        keep_libvirt_record(tmp_path, one)
    lines = onpanic("matrix", "show", "--libvirts", str(tmp_path)).stdout.splitlines()
    qemu, xen = "libvirt 9.0.0, QEMU 7.2.22", "libvirt 9.0.0, Xen 4.17"
    heads = [" ".join(line.split()) for line in lines if line.lstrip().startswith("libvirt ")]
    assert heads == [f"{qemu} {xen}", qemu, xen]
    start = lines.index("what a panic ends in, PV guest of Xen")
    assert lines[start + 1].split(maxsplit=1) == ["destroy", "shut off (crashed)"]
    done = onpanic("matrix", "build", str(tmp_path), "-o", str(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    text = (tmp_path / "MATRIX.md").read_text()
    assert "| preserve | shut off (crashed), crashed domain kept |" in text


def test_the_record_of_a_xen_host_is_none_of_an_emulator(onpanic: Run, records: Path, tmp_path: Path) -> None:
    """No table has its facts, and two of them would seem to be the same."""
    (folder := tmp_path / "xen").mkdir()
    (folder / "xen1.json").write_bytes(unasked_xen().to_json())
    for words in (
        ["build", str(folder), "-o", str(tmp_path)],
        ["show", str(folder)],
        ["diff", *[str(folder / "xen1.json")] * 2],
    ):
        done = onpanic("matrix", *words)
        assert (done.returncode, done.stdout) == (2, "")
        assert "xen1.json: the record of a Xen, not of an emulator" in done.stderr
    (records / "xen1.json").write_bytes(unasked_xen().to_json())
    done = onpanic("matrix", "build", str(records), "-o", str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.count("xen1.json") == 1
    assert "Xen" not in (tmp_path / "MATRIX.md").read_text()


def test_two_libvirts_are_compared(onpanic: Run, libvirts: Path) -> None:
    """What only one of them was asked is left out."""
    names = sorted((path.stem for path in libvirts.iterdir()), reverse=True)
    done = onpanic("matrix", "diff", "--records", str(libvirts), *names)
    assert done.returncode == 1
    assert done.stdout.splitlines()[:4] == [
        "from libvirt 9.0.0, QEMU 7.2.22",
        "to   libvirt 12.8.0, QEMU 7.2.22",
        "  <on_crash> values accepted: rename-restart",
        "    n  ->  y",
    ]
    done = onpanic("matrix", "diff", "--records", str(libvirts), "--format", "json", *names)
    changes = [json.loads(line) for line in done.stdout.splitlines()]
    assert {change["key"] for change in changes} >= {"on_crash=preserve-running", "panic=pvpanic"}
    done = onpanic("matrix", "diff", *[str(libvirts / f"{names[0]}.json")] * 2)
    assert (done.returncode, done.stdout.splitlines()[2:]) == (
        0,
        ["  nothing changed in what was asked of both"],
    )


@pytest.mark.libvirt
@pytest.mark.parametrize(
    ("uri", "complaint"),
    [
        ("qemu+ssh://elsewhere/system", "on another host"),
        ("test:///default", "libvirt's driver is TEST, not QEMU"),
        ("qemu+unix:///session?socket=/no/such", "/no/such"),
    ],
)
def test_a_libvirt_that_cannot_be_collected_is_named(
    onpanic: Run, tmp_path: Path, uri: str, complaint: str
) -> None:
    """Nothing is started there, and the exit status is 2.  No machine type was to be asked."""
    done = onpanic("matrix", "collect", "-o", str(tmp_path / "out"), "--libvirt", uri)
    assert done.returncode == 2
    assert re.fullmatch(r"\S+/out: 1 failed in [\d.]+ s\n", done.stdout)
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr
    assert list((tmp_path / "out").iterdir()) == []
