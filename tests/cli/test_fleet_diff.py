"""``onpanic fleet diff`` as a user runs it."""

import io
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from onpanic.fleet import FailedHost, HostRecord
from onpanic.fleet.hosts.host_record import HostName

from ..fleet.fleets import host
from .conftest import Done

Run = Callable[..., Done]


def written(folder: Path, *hosts: HostRecord | FailedHost) -> Path:
    """Write a file for each host, and return the folder."""
    folder.mkdir()
    for one in hosts:
        data = one.to_json() if isinstance(one, HostRecord) else msgspec.json.encode(one)
        folder.joinpath(f"{one.host.name}.json").write_bytes(data)
    return folder


@pytest.fixture
def week(tmp_path: Path) -> tuple[Path, Path]:
    """Return two collections: hosts were upgraded, renamed, added and removed, and did not answer."""
    machines = ("pc", "q35", "pc-q35-6.2")
    old = [host(name, machines=machines) for name in ("kvm1", "kvm2", "kvm3", "kvm4", "kvm5")]
    new = [host(name, machines=machines, qemu="10.0.13", libvirt="12.6.0") for name in ("kvm1", "kvm2")]
    new += [host("kvm3b", machines=machines, id=old[2].host.id), host("kvm6")]
    silent = FailedHost(host=HostName("kvm4"), failure="no route\nto host", at="2026-11-27T11:59:00Z")
    return written(tmp_path / "old", *old), written(tmp_path / "new", *new, silent)


def test_what_guests_see_comes_first(command: Run, week: tuple[Path, Path]) -> None:
    done = command("fleet", "diff", *week)
    assert (done.status, done.err) == (1, "")
    lines = [line for line in done.out.splitlines() if not line.startswith("     ") or "0x07" in line]
    assert lines[:5] == [
        "old: 5 hosts",
        "new: 4 hosts, 1 not counted",
        "2 hosts: kvm1, kvm2",
        "  guest-visible-change: x86_64; the isa notifier; pc-q35-6.2",
        "      the device offered the bits 0x03, and now 0x07",
    ]
    for line in (
        "1 host gone: kvm5",
        "1 host no longer counted: kvm4 (no-answer: no route to host)",
        "1 host new: kvm6",
        "1 host renamed: kvm3 is kvm3b",
        "1 host unchanged",
    ):
        assert line in lines


def test_nothing_has_changed(command: Run, week: tuple[Path, Path]) -> None:
    done = command("fleet", "diff", week[0], week[0])
    assert (done.status, done.out.splitlines()[-1]) == (0, "no change on 5 hosts")
    assert command("fleet", "diff", "-q", week[0], week[0]) == (0, "", "")


def test_the_result_is_one_json_document(command: Run, week: tuple[Path, Path]) -> None:
    done = command("fleet", "diff", "--format", "json", *week)
    found = msgspec.json.decode(done.out)
    assert (done.status, found["gone"], found["same"]) == (1, ["kvm5"], 1)
    assert [group["hosts"] for group in found["changed"]] == [["kvm1", "kvm2"]]


def test_one_collection_may_be_standard_input(
    command: Run, week: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = b"\n".join(path.read_bytes() for path in sorted(week[0].iterdir()))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines)))
    assert command("fleet", "diff", "-q", "-", week[0]).status == 0


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("-", "-", "standard input is named twice"),
        ("nothing", "old", "nothing: No such file or directory"),
        ("old", "empty", "no host's record"),
    ],
)
def test_what_cannot_be_compared_is_an_error(
    command: Run, week: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, old: str, new: str, words: str
) -> None:
    """A collection without a host is not one that has lost all of them."""
    monkeypatch.chdir(week[0].parent)
    Path("empty").mkdir()
    done = command("fleet", "diff", old, new)
    assert (done.status, done.out) == (2, "")
    assert words in done.err
    assert "hint: " in done.err


def test_names_from_outside_cannot_change_the_terminal(command: Run, tmp_path: Path) -> None:
    old = written(tmp_path / "old", host("kvm1"))
    odd = msgspec.structs.replace(host("kvm1"), problems=["\x1b[2Jlibvirt: gone\nfor good"])
    new = tmp_path / "new\x1b[31m"
    new.mkdir()
    (new / "x\ny.json").write_bytes(odd.to_json())
    (new / "\x1b[2J.json").write_bytes(host("\x1b]0;title\x07\nkvm2").to_json())
    done = command("fleet", "diff", "--all", old, new)
    assert "\x1b" not in done.out
    assert "[2Jlibvirt: gone for good" in done.out
    assert "1 host new: ]0;title kvm2" in done.out
