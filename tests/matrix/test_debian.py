"""Fetching other suites' emulators: the pure parts, then (marked) the real thing."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from onpanic.matrix import debian
from onpanic.matrix.apt_sources import FetchError, Mirror, Source
from onpanic.matrix.debian import Root

ARCHIVE = Source("http://user:word@mirror.example/debian", ("bookworm",), ("main",), "/debian.gpg")
SECURITY = Source("http://safe.example/security", ("bookworm-security",), ("main",))


@pytest.fixture
def root(tmp_path: Path) -> Root:
    folder = tmp_path / "trixie/usr/bin"
    folder.mkdir(parents=True)
    (folder / "qemu-system-arm").touch()
    (folder / "qemu-img").touch()
    (folder / "qemu-system-armhf").symlink_to("qemu-system-arm")
    (folder / "qemu-system-armel").symlink_to("/usr/bin/qemu-system-arm")
    (folder / "qemu-system-host").symlink_to(sys.executable)
    (folder / "qemu-system-gone").symlink_to("nothing")
    (folder / "qemu-system-loop").symlink_to("qemu-system-loop")
    return Root(tmp_path / "trixie", "trixie")


def test_emulators_leave_out_links_to_files_missing_in_the_root(root: Root) -> None:
    assert root.emulators() == ["qemu-system-arm", "qemu-system-armel", "qemu-system-armhf"]


def test_a_program_counts_once(root: Root) -> None:
    """Links are other names of one."""
    assert root.programs() == ["qemu-system-arm"]


def test_command(root: Root) -> None:
    words = (
        "--dev /dev --proc /proc --tmpfs /tmp --dev-bind-try /dev/kvm /dev/kvm"
        " --unshare-net --die-with-parent /usr/bin/qemu-system-arm"
    )
    expected = ["bwrap", "--ro-bind", str(root.path), "/", *words.split()]
    assert root.command("qemu-system-arm") == expected


@pytest.mark.parametrize("name", ["qemu-system-gone", "qemu-img", "../../etc/passwd"])
def test_command_of_something_else(root: Root, name: str) -> None:
    with pytest.raises(FetchError, match="isn't among the emulators"):
        root.command(name)


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


Fill = Callable[[Path, Mirror, str, list[str]], None]


def fill_with(fault: BaseException | None = None, calls: list[list[str]] | None = None) -> Fill:
    """Stand in for the network: makes a root of one emulator, then fails with `fault`."""

    def fill(work: Path, _mirror: Mirror, suite: str, packages: list[str]) -> None:
        (work / "root/usr/bin").mkdir(parents=True)
        (work / "root/usr/bin/qemu-system-arm").touch()
        if calls is not None:
            calls.append(packages)
        if fault is not None:
            raise fault
        stamp = {"suite": suite, "packages": packages}
        (work / "root/.onpanic-root.json").write_text(json.dumps(stamp))

    return fill


@pytest.fixture
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(debian, "_need_tools", lambda: None)
    monkeypatch.setattr(debian, "read_mirror", lambda: Mirror(ARCHIVE, SECURITY))


@pytest.mark.usefixtures("_offline")
def test_fetch_returns_at_once_and_adds_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[list[str]] = []
    monkeypatch.setattr(debian, "_fill", fill_with(calls=calls))
    into = tmp_path / "new" / "folder"
    first = debian.fetch("sid", ["b"], into=into)
    assert first == Root(into / "sid", "sid")
    assert debian.fetch("sid", ["b"], into=into) == first
    assert debian.fetch("sid", ["a"], into=into) == first
    assert debian.fetch("sid", ["b"], into=into) == first
    assert calls == [["b"], ["a", "b"]]
    assert names(into) == ["sid"]


@pytest.mark.usefixtures("_offline")
@pytest.mark.parametrize("fault", [FetchError("x"), KeyboardInterrupt(), OSError("full")])
def test_a_failure_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: BaseException
) -> None:
    expected = FetchError if isinstance(fault, OSError) else type(fault)
    monkeypatch.setattr(debian, "_fill", fill_with(fault))
    with pytest.raises(expected):
        debian.fetch("sid", into=tmp_path)
    assert names(tmp_path) == []
    monkeypatch.setattr(debian, "_fill", fill_with())
    root = debian.fetch("sid", into=tmp_path)
    monkeypatch.setattr(debian, "_fill", fill_with(fault))
    with pytest.raises(expected):
        debian.fetch("sid", ["more"], into=tmp_path)
    assert names(tmp_path) == ["sid"]
    assert root.emulators() == ["qemu-system-arm"]


@pytest.mark.usefixtures("_offline")
@pytest.mark.parametrize("stamp", [None, "", "[]", '{"suite": "trixie", "packages": []}'])
def test_a_folder_of_another_kind_is_left_alone(tmp_path: Path, stamp: str | None) -> None:
    (tmp_path / "sid").mkdir()
    (tmp_path / "sid/precious").touch()
    if stamp is not None:
        (tmp_path / "sid/.onpanic-root.json").write_text(stamp)
    with pytest.raises(FetchError, match="isn't an unpacked sid"):
        debian.fetch("sid", into=tmp_path)
    assert (tmp_path / "sid/precious").exists()


@pytest.mark.usefixtures("_offline")
def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FetchError, match="next: "):
        debian.fetch("sid", into=tmp_path / "file")


def test_an_unknown_suite(tmp_path: Path) -> None:
    with pytest.raises(FetchError, match="choose from bullseye"):
        debian.fetch("../x", into=tmp_path)


def test_missing_tools_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FetchError, match=r"bwrap not found\nnext: apt-get install .*bubblewrap"):
        debian.fetch("sid", into=tmp_path)


@pytest.mark.usefixtures("_offline")
def test_a_failed_update_of_the_suite_itself_ends_it_and_others_are_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(command: list[str], *, seconds: float, hint: str) -> None:
        text = (tmp_path / "w/debian.sources").read_text()
        if command[-1] == "update" and refused in text:
            raise FetchError("no")

    monkeypatch.setattr(debian, "_run", run)
    mirror = Mirror(ARCHIVE, SECURITY)
    refused = "bullseye-updates"
    assert debian._download(tmp_path / "w", mirror, "bullseye", ["x"]) == ["bullseye", "bullseye-security"]
    assert refused not in (tmp_path / "w/debian.sources").read_text()
    refused = "bullseye"
    (tmp_path / "w").rename(tmp_path / "old")
    with pytest.raises(FetchError, match="no"):
        debian._download(tmp_path / "w", mirror, "bullseye", ["x"])


def test_main_prints_command_lines(
    root: Root, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[tuple[str, tuple[str, ...], Path]] = []

    def fetch(suite: str, packages: tuple[str, ...], *, into: Path) -> Root:
        asked.append((suite, tuple(packages), into))
        return root

    monkeypatch.setattr(debian, "fetch", fetch)
    assert debian.main(["trixie", "--into", "x"]) == 0
    assert debian.main(["sid", "--into", "x", "--package", "a", "--package", "b"]) == 0
    assert asked == [("trixie", debian.PACKAGES, Path("x")), ("sid", ("a", "b"), Path("x"))]
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6
    assert lines[0].startswith("bwrap --ro-bind ")


def test_main_is_an_emulator(
    root: Root, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """What the matrix names as the command that asks an emulator again: all the rest is for it."""
    ran: list[list[str]] = []

    def execute(program: str, words: list[str]) -> None:
        ran.append(words)
        raise KeyboardInterrupt(program)

    monkeypatch.setattr(os, "execvp", execute)
    words = ["trixie", "--into", str(tmp_path), "--run", "qemu-system-arm", "-S", "--run", "x", "--into", "y"]
    assert debian.main(words) == 130
    assert ran == [[*root.command("qemu-system-arm"), "-S", "--run", "x", "--into", "y"]]
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert debian.main(["sid", "--run", "qemu-system-arm"]) == 1
    assert capsys.readouterr().err.splitlines() == [
        f"sid is not in {tmp_path}/cache/onpanic/suites",
        "next: python3 -m onpanic.matrix.debian sid --package qemu-system fetches it",
    ]


def test_main_reports_failure(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(*_: object, **__: object) -> Root:
        raise FetchError("what\nnext: this")

    def interrupt(*_: object, **__: object) -> Root:
        raise KeyboardInterrupt

    monkeypatch.setattr(debian, "fetch", fail)
    assert debian.main(["sid", "--into", "x"]) == 1
    assert capsys.readouterr().err == "what\nnext: this\n"
    monkeypatch.setattr(debian, "fetch", interrupt)
    assert debian.main(["sid", "--into", "x"]) == 130


# The real thing: needs the network, unless the suites were fetched before.


@pytest.fixture(scope="module", params=debian.SUITES)
def fetched(request: pytest.FixtureRequest, debian_root: Callable[[str], Root]) -> Root:
    return debian_root(request.param)


QUIET = ["-machine", "none", "-nodefaults", "-display", "none"]
GOODBYE = b'{"execute": "qmp_capabilities"}\n{"execute": "quit"}\n'


@pytest.mark.emulators
@pytest.mark.parametrize("emulator", ["qemu-system-x86_64", "qemu-system-i386"])
def test_qmp_over_standard_streams(fetched: Root, emulator: str) -> None:
    command = [*fetched.command(emulator), *QUIET, "-qmp", "stdio"]
    done = subprocess.run(command, input=GOODBYE, capture_output=True, timeout=60, check=True)
    assert "QMP" in json.loads(done.stdout.splitlines()[0])


@pytest.mark.emulators
def test_qmp_over_a_descriptor_of_the_callers(fetched: Root) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(60)
        number = theirs.fileno()
        channel = ["-chardev", f"socket,id=qmp,fd={number}", "-mon", "chardev=qmp,mode=control"]
        command = [*fetched.command("qemu-system-x86_64"), *QUIET, *channel]
        with subprocess.Popen(command, pass_fds=[number], stdin=subprocess.DEVNULL) as child:
            theirs.close()
            assert "QMP" in json.loads(ours.makefile().readline())
            ours.sendall(GOODBYE)
            assert child.wait(60) == 0


@pytest.mark.emulators
def test_a_second_fetch_returns_at_once(fetched: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(debian, "_run", None)
    assert debian.fetch(fetched.suite, into=fetched.path.parent) == fetched
    assert not list(fetched.path.parent.glob(".fetching-*"))
    versions = json.loads((fetched.path / ".onpanic-root.json").read_text())["versions"]
    assert "qemu-system-x86" in versions


@pytest.mark.emulators
def test_a_package_that_does_not_exist(tmp_path: Path, unavailable: Callable[[str], NoReturn]) -> None:
    with pytest.raises(FetchError) as caught:
        debian.fetch("sid", ["qemu-system-nosuch"], into=tmp_path)
    said = str(caught.value)
    if "check that sid has" not in said:
        unavailable(said)
    assert "Unable to locate" in said
    assert said.endswith("next: check that sid has all of qemu-system-nosuch")
    assert names(tmp_path) == []
