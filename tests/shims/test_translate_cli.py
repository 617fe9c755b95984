"""The commands to-libvirt and from-libvirt, with valid and invalid input."""

import json
import os
import re
import shlex
import socket
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from onpanic.cli import main
from onpanic.probe import CapabilityRecord
from onpanic.probe.testing import QEMU_7_2, Fault

pytestmark = pytest.mark.processes

Run = Callable[..., subprocess.CompletedProcess[str]]
Domain = Callable[..., str]

STATED = "<on_panic coredump='yes'>restart</on_panic>"


@pytest.fixture
def given(tmp_path: Path, record: CapabilityRecord, domain: Domain, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with a domain and a record, in which the commands run."""
    (tmp_path / "domain.xml").write_text(domain(STATED), "utf-8")
    (tmp_path / "record.json").write_bytes(record.to_json())
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def to_libvirt(given: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs ``onpanic to-libvirt`` with the record, for libvirt 9.0.

    It runs in this process, because starting one takes longer than the test.
    """

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        status = main(["to-libvirt", "--record", "record.json", "--libvirt-version", "9.0.0", *words])
        return subprocess.CompletedProcess(words, status, *capsys.readouterr())

    return run


def complaint(done: subprocess.CompletedProcess[str], status: int = 2) -> str:
    """Return the error message of a command that failed: one line, perhaps followed by a hint."""
    assert (done.returncode, done.stdout) == (status, ""), done.stderr
    first, *hints = done.stderr.splitlines()
    assert first.startswith("onpanic: ")
    assert len(first) < 500
    assert [hint[:15] for hint in hints] in ([], ["onpanic: hint: "])
    return first.removeprefix("onpanic: ")


def test_there_and_back(onpanic: Run, given: Path) -> None:
    """The document is printed on stdout and the notes on stderr; the source is not changed."""
    before = (given / "domain.xml").read_bytes()
    done = onpanic("to-libvirt", "domain.xml", "--record", "record.json", "--libvirt-version", "9.0.0")
    assert done.returncode == 0
    assert "<on_crash>coredump-restart</on_crash>" in done.stdout
    assert done.stderr.startswith("onpanic: note: failed-dump-preserves: ")
    assert all(line.startswith("onpanic: note: ") for line in done.stderr.splitlines())
    (given / "translated.xml").write_text(done.stdout, "utf-8")
    back = onpanic("from-libvirt", "translated.xml")
    assert (back.returncode, back.stdout, back.stderr) == (0, before.decode(), "")
    assert (given / "domain.xml").read_bytes() == before


def test_quiet_says_nothing_on_success_only(to_libvirt: Run, given: Path, domain: Domain) -> None:
    done = to_libvirt("-q", "domain.xml")
    assert (done.returncode, done.stderr) == (0, "")
    (given / "domain.xml").write_text(domain("<on_panic>crash</on_panic>"), "utf-8")
    assert "crash-needs-xen" in complaint(to_libvirt("-q", "domain.xml"), 1)


def test_a_domain_without_a_policy_is_printed_as_it_is(to_libvirt: Run, given: Path, domain: Domain) -> None:
    (given / "domain.xml").write_text(domain(), "utf-8")
    done = to_libvirt("domain.xml")
    assert (done.returncode, done.stdout) == (0, domain())
    assert "states no policy" in done.stderr


def test_stdin_and_bytes_that_are_not_utf8(given: Path, domain: Domain) -> None:
    source = f"<?xml version='1.0' encoding='ISO-8859-1'?>\r\n{domain('<title>é</title>', STATED)}".encode(
        "latin-1"
    )
    words = ["--record", "record.json", "--libvirt-version", "9.0.0", "-q"]
    for command, options in (("to-libvirt", words), ("from-libvirt", [])):
        done = subprocess.run(
            [sys.executable, "-m", "onpanic", command, *options, "-"],
            input=source,
            capture_output=True,
            timeout=60,
            check=True,
        )
        assert b"<title>\xe9</title>" in done.stdout
        source = done.stdout


def test_one_of_several_domains(onpanic: Run, to_libvirt: Run, given: Path, domain: Domain) -> None:
    """virt-install --print-xml prints two domains for an installation."""
    (given / "two.xml").write_text(domain() + domain(STATED), "utf-8")
    words = complaint(onpanic("from-libvirt", "two.xml"))
    assert words == "two.xml: there are 2 domains in it: 1 is guest, 2 is guest"
    assert "no document 3: there are 2 domains" in complaint(
        onpanic("from-libvirt", "two.xml", "--document", "3")
    )
    assert onpanic("from-libvirt", "two.xml", "--document", "2").stdout == domain(STATED)
    assert "there are 2 domains in it" in complaint(to_libvirt("two.xml"))
    assert "<on_crash>coredump-restart" in to_libvirt("two.xml", "--document", "2").stdout
    for number in ("0", "-1", "x", "1" * 5000):
        done = onpanic("from-libvirt", "two.xml", f"--document={number}")
        assert (done.returncode, "the first document is 1" in done.stderr) == (2, True)


def test_the_domain_in_a_status_file(onpanic: Run, given: Path, domain: Domain) -> None:
    status = f"<domstatus state='running' pid='1'>\n{domain(STATED)}</domstatus>\n"
    (given / "status.xml").write_text(status, "utf-8")
    done = onpanic("from-libvirt", "status.xml")
    assert (done.returncode, done.stdout, done.stderr) == (0, domain(STATED), "")


def test_the_output_is_written_whole_or_not_at_all(
    to_libvirt: Run, onpanic: Run, given: Path, domain: Domain
) -> None:
    """The output may be the input itself; a refusal does not change it."""
    before = (given / "domain.xml").read_text("utf-8")
    assert to_libvirt("domain.xml", "-o", "domain.xml").stdout == ""
    assert "<on_panic" not in (given / "domain.xml").read_text("utf-8")
    (given / "link.xml").symlink_to("domain.xml")
    assert onpanic("from-libvirt", "domain.xml", "-o", "link.xml").returncode == 0
    assert (given / "link.xml").is_symlink()
    assert (given / "domain.xml").read_text("utf-8") == before
    (given / "domain.xml").write_text(domain("<on_panic>crash</on_panic>"), "utf-8")
    (given / "old.xml").write_text("old", "utf-8")
    complaint(to_libvirt("domain.xml", "-o", "old.xml"), 1)
    assert (given / "old.xml").read_text("utf-8") == "old"
    assert sorted(path.name for path in given.iterdir()) == [
        "domain.xml",
        "link.xml",
        "old.xml",
        "record.json",
    ]


@pytest.mark.parametrize(
    "output", ["missing/out.xml", ".", "", "/dev/full", f"{'x' * 300}.xml", "domain.xml/x"]
)
def test_an_output_that_cannot_be_written(output: str, to_libvirt: Run, given: Path) -> None:
    assert "cannot be written" in complaint(to_libvirt("-q", "domain.xml", "-o", output))
    assert sorted(path.name for path in given.iterdir()) == ["domain.xml", "record.json"]


def test_an_output_whose_folder_is_missing(to_libvirt: Run, given: Path) -> None:
    """The hint makes it."""
    done = to_libvirt("-q", "domain.xml", "-o", "a folder/missing/out.xml")
    said, hint = done.stderr.splitlines()
    assert said == "onpanic: a folder/missing/out.xml: cannot be written: its folder does not exist"
    assert hint == f"onpanic: hint: mkdir -p '{given}/a folder/missing'"


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["missing.xml"], 2, "missing.xml: No such file"),
        (["."], 2, "Is a directory"),
        (["/proc/self/mem"], 2, "/proc/self/mem: "),
        (["domain.xml", "--record", "missing.json"], 2, "missing.json: No such file"),
        (["domain.xml", "--record", ""], 2, ": No such file"),
        (["domain.xml", "--emulator", "qemu"], 2, "more than one source"),
        (["domain.xml", "--libvirt-version", "nine"], 2, "'nine' is not a version of libvirt"),
        (["domain.xml", "--libvirt-version", ""], 2, "is not a version of libvirt"),
        (["domain.xml", "--libvirt-version", "1.2.0"], 1, "refused: libvirt-too-old: "),
        (["domain.xml", "--notifier", "pvpanic"], 1, "refused: probe-inconclusive: "),
        (["domain.xml", "--notifier", "s390"], 1, "refused: no-such-panic-model: "),
    ],
)
def test_options_that_do_not_fit(words: list[str], status: int, said: str, to_libvirt: Run) -> None:
    done = to_libvirt(*words)
    assert said in complaint(done, status) + done.stderr


@pytest.mark.libvirt
@pytest.mark.usefixtures("libvirt")
def test_an_error_of_one_of_several_libvirts_names_it(to_libvirt: Run, folder: Path) -> None:
    """The message of libvirt's own error does not."""
    silent, one = f"qemu+unix:///session?socket={folder}/silent", "test:///default"
    assert to_libvirt("-q", "domain.xml", "--connect", one, "--connect", one).returncode == 0
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{folder}/silent")
        listener.listen()
        words = ("domain.xml", "--timeout", "1", "--connect", silent)
        assert complaint(to_libvirt(*words)) == "libvirt did not answer in time"
        assert complaint(to_libvirt(*words, "--connect", one)) == f"{silent}: libvirt did not answer in time"


BOMB = "".join(f"<!ENTITY e{n} '{f'&e{n - 1};' * 10}'>" for n in range(1, 12))


@pytest.mark.parametrize(
    ("xml", "status", "said"),
    [
        (b"", 2, "not well-formed"),
        (b"no XML", 2, "not well-formed"),
        (b"<network/>", 2, "<network>, not <domain>"),
        (b"<domain>\0</domain>", 2, "NUL"),
        ("<domain/>".encode("utf-16"), 2, "UTF-16"),
        (b"<domain>\xff\xfe</domain>", 2, "not well-formed"),
        (b"<?xml version='1.0' encoding='klingon'?><domain/>", 2, "ncoding"),
        (b"<domain>" + b"<a>" * 100_000, 2, "depth"),
        (f"<!DOCTYPE d [<!ENTITY e0 'ha'>{BOMB}]><domain>&e11;</domain>".encode(), 2, ""),
        (f"<!DOCTYPE d [<!ENTITY e0 'ha'>{BOMB}]><domain a='&e11;'/>".encode(), 2, ""),
        (b"<!DOCTYPE d [<!ENTITY e SYSTEM '/etc/passwd'>]><domain>&e;</domain>", 2, "DOCTYPE"),
        (b"<!DOCTYPE d SYSTEM '/dev/zero'><domain/>", 2, "DOCTYPE"),
        (b"<domain><on_panic/><on_panic/></domain>", 2, "more than one <on_panic>"),
        (b"<domain><on_panic coredump='x'/></domain>", 2, "coredump"),
        (b"<domain><on_panic>a\x1b<b/></on_panic></domain>", 2, "not well-formed"),
        (b"<domain type='kvm'><on_panic>halt</on_panic></domain>", 1, "refused: unknown-value: "),
        (
            b"<domain type='kvm'><on_panic>" + b"x" * 10**6 + b"</on_panic></domain>",
            1,
            "refused: unknown-value: ",
        ),
        (b"<domain type='kvm'><on_panic a" + b"x" * 10_000 + b"='1'/></domain>", 2, "no attribute"),
        (
            b"<domain type='kvm'><on_panic>pause&#xa;&#x9b;31m</on_panic></domain>",
            1,
            "refused: unknown-value: ",
        ),
        (
            b"<domain type='kvm'><os><type arch='arm'/></os><on_panic/></domain>",
            1,
            "refused: record-of-another-target: ",
        ),
        (
            b"<domain type='kvm'><os><type machine='q35'/></os><on_panic/></domain>",
            2,
            "no machine type 'q35'",
        ),
        (
            b"<domain type='" + b"x" * 10**6 + b"'><on_panic>pause</on_panic></domain>",
            1,
            "hypervisor-reports-no-panic",
        ),
    ],
    ids=lambda value: repr(value[:40]) if isinstance(value, bytes) else "",
)
def test_a_domain_that_is_none(xml: bytes, status: int, said: str, to_libvirt: Run, given: Path) -> None:
    """There is one clear error, and no output file."""
    (given / "bad.xml").write_bytes(xml)
    words = complaint(to_libvirt("bad.xml", "-o", "out.xml"), status)
    assert said in words
    assert status == 1 or words.startswith(("bad.xml: ", "the record"))
    assert sorted(path.name for path in given.iterdir()) == ["bad.xml", "domain.xml", "record.json"]


def test_a_gigabyte_is_not_read(onpanic: Run, given: Path) -> None:
    with (given / "huge.xml").open("wb") as file:
        file.truncate(2**30)
    for word in ("huge.xml", "/dev/zero"):
        assert "longer than 16 MiB" in complaint(onpanic("from-libvirt", word))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda _: "", "not a capability record"),
        (lambda text: text[: len(text) // 2], "not a capability record"),
        (lambda text: text + "\n" + text, "more than one record"),
        (lambda text: json.dumps(json.loads(text) | {"schema_version": 3}), "schema version 3"),
        (lambda _: '{"schema_version":1,"x":' + "[" * 100_000, "not a capability record"),
        (lambda text: text.replace('"name":"pc"', '"name":"q35"'), "no machine type 'pc'; it has q35"),
    ],
)
def test_a_record_that_is_none(change: Callable[[str], str], said: str, to_libvirt: Run, given: Path) -> None:
    file = given / "record.json"
    file.write_text(change(file.read_text("utf-8")), "utf-8")
    assert said in complaint(to_libvirt("domain.xml"))


# Without a record the domain's own emulator is asked


@pytest.fixture
def starts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file with the options of each start of a played emulator."""
    return tmp_path_factory.mktemp("log") / "starts"


@pytest.fixture
def played(given: Path, domain: Domain, starts: Path) -> Callable[..., Path]:
    """Return a function that gives the domain a played emulator."""

    def play(fault: Fault | None = None, **like: Any) -> Path:
        script = given / "qemu"
        command = shlex.join(QEMU_7_2.but(fault=fault, **like).command())
        script.write_text(f'#!/bin/sh\necho "$*" >> {starts}\nexec {command} "$@"\n', "utf-8")
        script.chmod(0o755)
        (given / "domain.xml").write_text(domain(STATED, devices=f"<emulator>{script}</emulator>"), "utf-8")
        return script

    return play


@pytest.mark.parametrize("source", [["--emulator"], ["--"], []])
def test_the_emulator_is_asked(
    source: list[str], played: Callable[..., Path], onpanic: Run, given: Path
) -> None:
    emulator = played(None)
    if source:
        path = given / "domain.xml"
        path.write_text(path.read_text("utf-8").replace(str(emulator), "/nowhere/qemu"), "utf-8")
        source = [*source, str(emulator)]
    done = onpanic("to-libvirt", "domain.xml", "-q", "--libvirt-version", "9.0.0", *source)
    assert (done.returncode, done.stderr) == (0, "")
    assert "<panic model='isa'/>" in done.stdout


@pytest.mark.parametrize(
    ("kvm", "words", "result"),
    [
        ("hyperv", ["--notifier", "hyperv"], "<panic model='hyperv'/>"),
        ("hyperv", [], "<panic model='isa'/>"),
        ("plain", ["--notifier", "hyperv"], "panic-not-reported"),
        ("absent", ["--notifier", "isa"], "<panic model='isa'/>"),
    ],
)
def test_the_notifier_that_is_asked_for(
    kvm: str, words: list[str], result: str, played: Callable[..., Path], onpanic: Run
) -> None:
    """It is added if it works, on this emulator and with this host's KVM."""
    played(kvm=kvm)
    done = onpanic("to-libvirt", "domain.xml", "-q", "--libvirt-version", "9.0.0", *words)
    if result.startswith("<"):
        assert (done.returncode, done.stderr) == (0, "")
        assert re.findall("<panic.*", done.stdout) == [result]
    else:
        assert f"refused: {result}: " in complaint(done, 1)


@pytest.mark.parametrize(
    ("panic", "words", "tried"),
    [
        ("", [], ["pvpanic", "pvpanic-pci"]),
        ("", ["--notifier", "pvpanic"], ["pvpanic-pci"]),
        ("<panic model='isa'/>", [], ["pvpanic"]),
        ("<panic model='pvpanic'/>", ["--notifier", "isa"], ["pvpanic-pci"]),
        ("<panic model='isa'/><panic model='pvpanic'/>", [], ["pvpanic", "pvpanic-pci"]),
    ],
)
def test_only_the_notifiers_that_matter_are_probed(
    panic: str, words: list[str], tried: list[str], played: Callable[..., Path], onpanic: Run, starts: Path
) -> None:
    """A start for each notifier takes time, and a domain is judged by those that it has."""
    path = played(pci="by-hand").with_name("domain.xml")
    path.write_text(path.read_text("utf-8").replace("</devices>", f"{panic}</devices>"), "utf-8")
    done = onpanic("to-libvirt", "domain.xml", "-q", "--libvirt-version", "9.1.0", *words)
    assert (done.returncode, done.stderr) == (0, "")
    devices = re.findall(r"-device (pvpanic[a-z-]*),id", starts.read_text("utf-8"))
    assert sorted(set(devices)) == tried


def test_an_isa_device_that_libvirt_does_not_look_for(played: Callable[..., Path], onpanic: Run) -> None:
    """libvirt looks for the type pvpanic, and would refuse the model isa without it."""
    played(types=("isa-pvpanic",))
    done = onpanic("to-libvirt", "domain.xml", "--libvirt-version", "9.1.0")
    assert done.returncode == 0
    assert "<qemu:arg value='-device'/>\n    <qemu:arg value='isa-pvpanic'/>" in done.stdout
    assert "<panic" not in done.stdout
    assert "onpanic: note: device-by-command-line: " in done.stderr


def test_an_emulator_that_is_gone(onpanic: Run, given: Path) -> None:
    done = onpanic("to-libvirt", "domain.xml")
    assert "/nowhere/qemu: no such file" in complaint(done)
    assert "--emulator" in done.stderr
    assert "--record" in done.stderr


def test_an_architecture_without_an_emulator(onpanic: Run, given: Path, domain: Domain) -> None:
    """The domain names none, and this host has none."""
    xml = domain(STATED, arch="vax", devices="<x/>")
    (given / "domain.xml").write_text(xml, "utf-8")
    done = onpanic("to-libvirt", "domain.xml")
    assert complaint(done) == "the domain names no emulator: no qemu-system-vax on this host"
    assert "name one with --emulator, or a record of it with --record" in done.stderr


@pytest.mark.parametrize(
    ("fault", "seconds", "said"),
    [(Fault("hang"), "0.5", "did not answer in time"), (Fault("exit", words="no luck"), "30", "no luck")],
    ids=["hang", "exit"],
)
def test_an_emulator_that_fails(
    fault: Fault, seconds: str, said: str, played: Callable[..., Path], onpanic: Run, given: Path
) -> None:
    """No file and no process is left."""
    played(fault)
    before = sorted(given.iterdir())
    mark = f"mark-{uuid.uuid4().hex}"
    temporary = given.parent / mark
    temporary.mkdir()
    done = onpanic("to-libvirt", "domain.xml", "--timeout", seconds, "-o", "out.xml", TMPDIR=str(temporary))
    assert said in complaint(done)
    assert sorted(given.iterdir()) == before
    assert list(temporary.iterdir()) == []
    assert survivors(mark) == []


def survivors(mark: str) -> list[str]:
    """Return the command lines of the processes with a word in their environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_text("utf-8", "replace"))
        except OSError:
            continue  # it has ended, or belongs to another user
    return found


@pytest.mark.parametrize("stream", ["<&-", ">&-"])
def test_a_stream_that_is_closed_is_an_error(stream: str, given: Path, domain: Domain) -> None:
    (given / "domain.xml").write_text(domain(), "utf-8")
    word = "-" if stream == "<&-" else "domain.xml"
    script = f"{shlex.join([sys.executable, '-m', 'onpanic', 'from-libvirt', word])} {stream}"
    done = subprocess.run(
        ["sh", "-c", script], capture_output=True, text=True, timeout=60, check=False, env=dict(os.environ)
    )
    assert complaint(done)
