"""``onpanic fleet verdict``: its answers, its exit statuses, and what it does with bad input."""

import io
import os
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from onpanic.cli import main
from onpanic.fleet import FailedHost, FleetVerdict, HostRecord
from onpanic.fleet.hosts.host_record import HostName, HostSystem

from . import fleets
from .fleets import emulator

Capture = pytest.CaptureFixture[str]


def host(name: str = "kvm1", *, at: str = "2020-01-01T00:00:00Z", **other: Any) -> HostRecord:
    """Return the record of a host, which is not from the future whenever the tests run."""
    return fleets.host(name, at=at, **other)


def write(folder: Path, **data: bytes) -> None:
    for name, document in data.items():
        (folder / f"{name}.json").write_bytes(document)


def answer(capsys: Capture, *words: str | Path) -> tuple[int, str, str]:
    """Run the command; return its exit status, and what it printed on stdout and stderr."""
    status = main(["fleet", "verdict", *map(str, words)])
    found = capsys.readouterr()
    return status, found.out, found.err


@pytest.fixture
def thousand(tmp_path: Path) -> Path:
    """Return a folder with a thousand documents, some of them bad, in a few files."""
    kvm, old = host("x").to_json(), host("x", qemu="1.5.0").to_json()
    lines = [kvm.replace(b'"x","id":"', f'"kvm{n}","id":"{n}-'.encode()) for n in range(900)]
    lines += [old.replace(b'"x","id":"', f'"old{n}","id":"old{n}-'.encode()) for n in range(93)]
    lines[400] = lines[400][:5000]  # truncated
    (tmp_path / "fleet.jsonl").write_bytes(b"\n".join(lines))
    failed = FailedHost(host=HostName("gone"), failure="no route to host", at="2020-01-01T00:00:00Z")
    write(
        tmp_path,
        pod=b'{"kind": "Pod"}',
        newer=host("newer").to_json().replace(b'"schema_version":1', b'"schema_version":7', 1),
        kvm5=host("kvm5", at="2019-01-01T00:00:00Z", id=None).to_json(),
        ahead=host("ahead", at="2099-01-01T00:00:00Z").to_json(),
        behind=host("behind", at="1989-01-01T00:00:00Z").to_json(),
        gone=msgspec.json.encode(failed),
        again=host("again").to_json(),
    )
    (tmp_path / "again.json.bak").write_bytes(host("again", at="2019-10-01T00:00:00Z").to_json())
    return tmp_path


def test_the_answer_about_a_thousand_hosts_is_one_screen(thousand: Path, capsys: Capture) -> None:
    status, out, err = answer(capsys, thousand, "--max-age", "1000w")
    assert (status, err) == (0, "")
    assert len(out.splitlines()) < 24
    assert out.startswith("995 hosts, 2 distinct; 4 more not counted\n")
    assert "old0, old1, old2, old3 and 89 more" in out
    for named in (
        "fleet.jsonl:401 (not JSON, or truncated",
        "pod.json (not a record of a host",
        "newer (schema version 7, not 1)",
        "gone (no route to host)",
        "2 superseded: again (",
        "ahead",
        "behind",
    ):
        assert named in out


def test_nothing_is_left_out_of_the_json(thousand: Path, capsys: Capture) -> None:
    status, out, _ = answer(capsys, thousand, "--format", "json")
    found = msgspec.json.decode(out, type=FleetVerdict)
    documents = 993 + 8
    assert (status, found.hosts + len(found.uncounted)) == (0, documents)
    assert len(found.failures[0].parts[0].hosts) == 93


def test_all_names_every_host(thousand: Path, capsys: Capture) -> None:
    _, out, _ = answer(capsys, thousand, "--all")
    assert "old92" in out
    assert "more" not in out.partition("not kept")[2]


def test_one_policy_that_is_kept_everywhere(tmp_path: Path, capsys: Capture) -> None:
    write(tmp_path, a=host("a").to_json(), b=host("b", qemu="5.2.0", libvirt="7.0.0").to_json())
    status, out, _ = answer(capsys, tmp_path, "--policy", "restart", "--coredump", "--machine", "q35")
    assert (status, out) == (0, "restart with a coredump: yes\n  x86_64  q35  all 2 hosts\n")
    assert answer(capsys, tmp_path, "-q", "--policy", "restart") == (0, "", "")


def test_one_policy_that_a_host_does_not_keep(tmp_path: Path, capsys: Capture) -> None:
    write(tmp_path, a=host("a").to_json(), old=host("old", qemu="1.5.0").to_json())
    status, out, _ = answer(capsys, tmp_path, "--policy", "restart", "--machine", "q35")
    assert status == 1
    assert out.startswith("restart: no, not everywhere\n  x86_64  q35  1 of 2 hosts\n")
    assert "    remedy: use a machine type without it" in out
    assert "    q35: old\n" in out


def test_a_machine_type_that_a_host_lacks(tmp_path: Path, capsys: Capture) -> None:
    """The remedy is to use one that all have, so those are named."""
    write(tmp_path, a=host("a").to_json(), new=host("new", qemu="11.1").to_json())
    status, out, _ = answer(capsys, tmp_path, "--machine", "pc-q35-11.1", "--policy", "restart")
    assert status == 1
    assert "  on all hosts: pc, q35, " in out
    assert "more\n" in out.partition("on all hosts")[2]


def test_one_policy_of_which_something_is_not_known(tmp_path: Path, capsys: Capture) -> None:
    """A host without a document, whose name is expected; the hosts that answered can be judged alone."""
    write(tmp_path, a=host("a").to_json())
    (tmp_path / ".expected").write_text("a\nb  # since May\n\n")
    words = (tmp_path, "--expected", tmp_path / ".expected", "--policy", "restart")
    status, out, _ = answer(capsys, *words)
    assert status == 1
    assert out.startswith("restart: unknown; 1 more not counted (--answered-only ignores them)\n")
    assert "  1 did not answer: b (there is no record of it)\n" in out
    status, out, _ = answer(capsys, *words, "--answered-only")
    assert status == 0
    assert out.startswith("restart: yes, on the hosts that are counted; 1 more not counted\n")


def test_an_expected_host_whose_document_cannot_be_read_is_counted_once(
    tmp_path: Path, capsys: Capture
) -> None:
    write(tmp_path, a=host("a").to_json(), b=host("b").to_json()[:-9])
    (tmp_path / ".expected").write_text("a\nb\n")
    _, out, _ = answer(capsys, tmp_path, "--expected", tmp_path / ".expected")
    assert out.startswith("1 host; 1 more not counted\n")


def test_the_watcher_is_named_where_it_is_needed(tmp_path: Path, capsys: Capture) -> None:
    write(tmp_path, a=host("a").to_json(), b=host("b", libvirt=None).to_json())
    status, out, _ = answer(capsys, tmp_path, "--policy", "restart", "--grace", "5", "--machine", "pc")
    assert status == 0
    assert out.startswith("restart after 5 s of grace: yes\n")
    assert "  x86_64  pc  all 2 hosts; 1 with onpanic watch; 1 without libvirt\n" in out
    assert "on 1 host: libvirt cannot wait" in out
    assert "1 host: no libvirt: the emulator alone decides: b\n" in out


def test_what_a_host_could_not_find_out_is_a_note(tmp_path: Path, capsys: Capture) -> None:
    bad = msgspec.structs.replace(host("a"), problems=["libvirt: \033[31mrefused"])
    write(tmp_path, a=bad.to_json())
    _, out, _ = answer(capsys, tmp_path)
    assert "\033" not in out
    assert "[31mrefused: a\n" in out


def test_standard_input_is_read(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    lines = b"\n".join([host("a").to_json(), host("b").to_json()])
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines)))
    status, out, _ = answer(capsys, "-")
    assert status == 0
    assert out.startswith("2 hosts, 1 distinct\n")


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["nothing"], "nothing: No such file or directory"),
        (["empty"], "empty: a folder without a file"),
        (["bad.json"], "bad.json: no host's record: 1 foreign; bad.json: not a record of a host"),
        (["a.json", "--coredump"], "--coredump without --policy"),
        (["a.json", "--grace", "0"], "--grace without --policy"),
        (["a.json", "--arch", "s390x"], "no host runs guests of the architecture s390x"),
        (["a.json", "--machine", "virt"], "no host has a machine type virt"),
        (["a.json", "--expected", "nothing"], "nothing: No such file or directory"),
        (["a.json", "--max-age", "soon"], "argument --max-age: a number and s, m, h, d or w"),
        (["-", "-"], "standard input is named twice"),
        (["-", "--expected", "-"], "standard input is named twice"),
        ([""], "'': No such file or directory"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_answered(
    words: list[str], error: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    write(tmp_path, a=host("a").to_json(), bad=b"{}")
    status, out, err = answer(capsys, *words)
    assert (status, out) == (2, "")
    assert error in err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_source_that_may_not_be_read_is_an_error(tmp_path: Path, capsys: Capture) -> None:
    write(tmp_path, a=host("a").to_json(), b=host("b").to_json())
    (tmp_path / "b.json").chmod(0)
    status, out, err = answer(capsys, tmp_path / "a.json", tmp_path / "b.json")
    assert (status, out) == (2, "")
    assert "b.json: Permission denied" in err


def unlike(number: int) -> HostRecord:
    """Return a host with an architecture and a default machine type of its own, and a problem of its own."""
    known = emulator("7.2.22", machines=("pc",))
    assert known.record is not None
    [pc] = known.record.machines
    other = msgspec.structs.replace(pc, name=f"pc-{number}", aliases=[], default=True)
    record = msgspec.structs.replace(known.record, machines=[other])
    found = msgspec.structs.replace(
        known, record=record, machine_types=[other.name], aliases={}, path=f"/usr/bin/{'x' * 5000}-{number}"
    )
    silent = emulator("7.2.22", "i386", ["pc"])
    silent = msgspec.structs.replace(silent, record=None, problem=f"died of {number}")
    return msgspec.structs.replace(
        host(f"h{number}", emulators=[found, silent]),
        system=HostSystem(os="", kernel="", architecture=("x86_64", f"a{number}")[number % 2]),
        problems=[f"problem {number}"],
    )


@pytest.mark.parametrize("words", [[], ["--policy", "restart"]], ids=" ".join)
def test_hosts_that_are_all_unlike_fit_on_a_screen(words: list[str], tmp_path: Path, capsys: Capture) -> None:
    """--all shows what does not."""
    (tmp_path / "fleet.jsonl").write_bytes(b"\n".join(unlike(number).to_json() for number in range(60)))
    _, out, _ = answer(capsys, tmp_path, *words)
    assert len(out.splitlines()) < 70
    assert max(map(len, out.splitlines())) < 250
    assert "; --all shows them" in out
    assert "more machine types" in out
    _, every, _ = answer(capsys, tmp_path, *words, "--all")
    assert len(every.splitlines()) > 150


def test_other_answers_about_such_hosts_fit_on_a_screen(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "fleet.jsonl").write_bytes(b"\n".join(unlike(number).to_json() for number in range(60)))
    (tmp_path / "guest.xml").write_text(
        "<domain type='kvm'><os><type arch='i686' machine='pc'>hvm</type></os>"
        "<on_panic>restart</on_panic></domain>"
    )
    fleet = str(tmp_path / "fleet.jsonl")
    assert main(["to-libvirt", str(tmp_path / "guest.xml"), "--fleet", fleet]) == 1
    refused = capsys.readouterr().err
    assert "and 54 more reasons: 54 hosts" in refused
    assert len(refused.splitlines()) < 30
    main(["fleet", "migrate", fleet, "--machine", "pc-2", "--policy", "restart", "--arch", "x86_64"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) < 40
    assert max(map(len, lines)) < 300
