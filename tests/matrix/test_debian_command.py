"""``python -m onpanic.matrix.debian``, on a suite that looks fetched, with programs that play Debian's."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from onpanic.matrix.debian import PACKAGES, main

Survivors = Callable[[str], dict[int, str]]

#: Runs the command as from a terminal: whoever started the tests may ignore SIGINT.
COMMAND = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    "from onpanic.matrix.debian import main; sys.exit(main(sys.argv[1:]))"
)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder of programs that is first on the PATH; ``bwrap`` prints its arguments."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("apt-get", "dpkg-deb", "tar", "bwrap"):
        (folder / name).write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


def suite(into: Path, name: str, packages: Sequence[str], emulator: str = "qemu-system-arm") -> Path:
    """Create a suite that looks fetched, and return its folder."""
    (into / name / "usr/bin").mkdir(parents=True)
    (into / name / "usr/bin" / emulator).touch()
    stamp = {"suite": name, "packages": list(packages)}
    (into / name / ".onpanic-root.json").write_text(json.dumps(stamp))
    return into / name


@pytest.mark.usefixtures("programs")
def test_a_command_line_is_printed_for_each_emulator(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Suites that are there need no network."""
    suite(tmp_path, "trixie", PACKAGES)
    suite(tmp_path, "sid", ["a", "b"])
    assert main(["trixie", "--into", str(tmp_path)]) == 0
    assert main(["sid", "--into", str(tmp_path), "--package", "a", "--package", "b"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:3] for line in lines] == [
        ["bwrap", "--ro-bind", f"{tmp_path}/{name}"] for name in ("trixie", "sid")
    ]


@pytest.mark.usefixtures("programs")
def test_a_failure_is_two_lines_and_status_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What failed, and what to do next."""
    (tmp_path / "sid/else").mkdir(parents=True)
    assert main(["sid", "--into", str(tmp_path)]) == 1
    assert capsys.readouterr().err == (
        f"{tmp_path}/sid exists, but is not an unpacked sid\nnext: move it away or choose another folder\n"
    )


def test_a_suite_that_is_not_there_is_not_fetched_to_run_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Fetching would take longer than a caller waits for an emulator."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert main(["sid", "--run", "qemu-system-arm"]) == 1
    assert capsys.readouterr().err.splitlines() == [
        f"sid is not in {tmp_path}/cache/onpanic/suites",
        "next: python3 -m onpanic.matrix.debian sid --package qemu-system fetches it",
    ]


def test_without_platformdirs_the_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only the default folder needs it."""
    monkeypatch.setitem(sys.modules, "platformdirs", None)
    assert main(["sid"]) == 1
    assert capsys.readouterr().err.splitlines()[0] == "platformdirs is not installed"


@pytest.mark.processes
@pytest.mark.usefixtures("programs")
def test_the_rest_of_the_command_line_is_the_emulators(tmp_path: Path) -> None:
    """The published matrix names this command to ask an emulator again."""
    path = suite(tmp_path, "trixie", PACKAGES)
    words = ["trixie", "--into", str(tmp_path), "--run", "qemu-system-arm", "-S", "--run", "x", "--into", "y"]
    done = subprocess.run(
        [sys.executable, "-m", "onpanic.matrix.debian", *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    lines = done.stdout.splitlines()
    assert lines[:3] == ["--ro-bind", str(path), "/"]
    assert lines[-6:] == ["/usr/bin/qemu-system-arm", "-S", "--run", "x", "--into", "y"]


@pytest.mark.processes
@pytest.mark.usefixtures("programs")
def test_names_that_are_not_text_are_printed_as_they_are(tmp_path: Path) -> None:
    """A shell can run what is printed."""
    into = Path(os.fsdecode(bytes(tmp_path) + b"/\xff"))
    suite(into, "trixie", PACKAGES)
    done = subprocess.run(
        [sys.executable, "-m", "onpanic.matrix.debian", "trixie", "--into", str(into)],
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert b"/\xff/trixie" in done.stdout


@pytest.mark.processes
def test_an_interrupt_ends_it_with_130(
    programs: Path, tmp_path: Path, mark: str, survivors: Survivors
) -> None:
    """No program and no folder is left."""
    (programs / "apt-get").write_text(f"#!/bin/sh\ntouch {tmp_path}/started\nsleep 60\n")
    etc = ["sid", "--into", str(tmp_path / "suites")]
    with subprocess.Popen([sys.executable, "-c", COMMAND, *etc], stderr=subprocess.PIPE) as process:
        deadline = time.monotonic() + 60
        while not (tmp_path / "started").exists() and time.monotonic() < deadline:
            assert process.poll() is None, process.communicate(timeout=10)
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (130, b"")
    assert list((tmp_path / "suites").iterdir()) == []
    assert survivors(mark) == {}
