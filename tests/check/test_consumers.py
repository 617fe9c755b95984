"""Real readers of what a check prints, on the samples that are there to be copied."""

import json
import os
import shlex
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest
from lxml import etree

from onpanic.check.formats import FORMATS
from onpanic.check.report import Report, report_of
from onpanic.probe import CapabilityRecord
from onpanic.probe.record.capability_record import MachineRecord
from onpanic.probe.testing import QEMU_1_6, QEMU_7_2, PlayedEmulator

pytestmark = pytest.mark.consumers

Unavailable = Callable[[str], NoReturn]
SAMPLES = Path(__file__).parent.parent.parent / "docs" / "samples"
BIN = Path(sys.executable).parent
FIT, UNFIT = QEMU_7_2, QEMU_1_6


def run(*words: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words,
        cwd=folder,
        env={**os.environ, "PATH": f"{folder / 'bin'}:{BIN}:{os.environ['PATH']}", **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture
def place(tmp_path: Path) -> Callable[[str, PlayedEmulator | None], Path]:
    """Return a function that copies a sample, with the qemu-system-x86_64 that is to be checked."""

    def copy(sample: str, emulator: PlayedEmulator | None) -> Path:
        shutil.copytree(SAMPLES / sample, tmp_path, dirs_exist_ok=True)
        (tmp_path / "bin").mkdir()
        if emulator:
            script = tmp_path / "bin" / "qemu-system-x86_64"
            script.write_text(f'#!/bin/sh\nexec {shlex.join(emulator.command())} "$@"\n')
            script.chmod(0o755)
        return tmp_path

    return copy


@pytest.fixture
def reports(
    machine: Callable[..., MachineRecord], record: Callable[..., CapabilityRecord]
) -> dict[str, list[Report]]:
    """Return reports of every kind, with text that could break a format."""
    nasty = "a <b> & \"c\" 'd' # e \\ f\n\x1b[31mg \ud800 ]]>"
    broken = record(
        machine("pc-i440fx-8.2", cont_after_panic="no", mask=7),
        machine(f"x {nasty}", pvpanic_attachable="no"),
        set_action_command="no",
    )
    return {
        "fit": [report_of(record(), "/usr/bin/qemu-system-x86_64", "qemu-system-x86_64")],
        "unfit": [
            report_of(broken, f"qemu {nasty}"),
            Report("/nowhere/qemu", problem=nasty, hint="name another"),
            Report("/elsewhere/qemu", skipped=nasty),
            report_of(record(), "/usr/bin/qemu-system-x86_64", "qemu-system-x86_64"),
        ],
    }


# Debian


@pytest.mark.emulators
def test_autopkgtest(place: Callable[..., Path], unavailable: Unavailable) -> None:
    """On the real emulator: it passes, with nothing on stderr."""
    shutil.which("autopkgtest") or unavailable("no autopkgtest here")
    folder = place("autopkgtest", None)
    words = (
        "-B",
        str(folder),
        f"--output-dir={folder}/out",
        f"--env=PATH={BIN}:{os.environ['PATH']}",
        "--",
        "null",
    )
    done = run("autopkgtest", *words, folder=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "guest-panic          PASS" in (folder / "out/summary").read_text()
    # autopkgtest 6 has a folder for each test
    (artifact,) = (folder / "out/artifacts").rglob("guest-panic.tap")
    assert "not ok" not in artifact.read_text()


@pytest.mark.parametrize(
    ("emulator", "status"), [(FIT, 0), (UNFIT, 1), (None, 77)], ids=["fit", "unfit", "none"]
)
def test_the_script_of_autopkgtest(
    emulator: PlayedEmulator | None, status: int, place: Callable[..., Path]
) -> None:
    folder = place("autopkgtest", emulator)
    known = folder / "debian/tests/known.toml"
    known.write_text("")
    path = f"{folder / 'bin'}:{folder / 'tools'}"
    (folder / "tools").mkdir()
    for name in ("dirname", "cat", "sh"):
        (folder / "tools" / name).symlink_to(str(shutil.which(name)))
    (folder / "tools" / "onpanic").symlink_to(BIN / "onpanic")
    done = run(
        "/bin/sh", "debian/tests/guest-panic", folder=folder, AUTOPKGTEST_ARTIFACTS=str(folder), PATH=path
    )
    assert done.returncode == status, done.stderr
    assert done.stderr == ""
    assert (folder / "guest-panic.tap").read_text() == done.stdout


# Fedora


@pytest.mark.parametrize(
    ("emulator", "status", "result"),
    [(FIT, 0, "pass"), (UNFIT, 1, "fail")],
    ids=["fit", "unfit"],
)
def test_tmt(emulator: PlayedEmulator, status: int, result: str, place: Callable[..., Path]) -> None:
    folder = place("tmt", emulator)
    path = f"{folder / 'bin'}:{BIN}:{os.environ['PATH']}"
    work = folder.with_name(f"{folder.name}-run")  # tmt wants it elsewhere
    words = ("--feeling-safe", "run", "--all", "--id", str(work), "-e", f"PATH={path}")
    done = run("tmt", *words, "provision", "--how", "local", folder=folder)
    assert done.returncode == status, done.stdout + done.stderr
    results = (work / "plan/execute/results.yaml").read_text()
    found = results.split("/guest-panic/qemu-system-x86_64/cont-refused-after-panic")[1]
    assert found.split("result: ")[1].split()[0] == result


# pytest


def test_pytest(place: Callable[..., Path]) -> None:
    """The fixtures of the plug-in, on an emulator that is fit, on one that is not, and on none."""
    folder = place("pytest", None)
    base = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_guest_panic.py")
    for words, outcome in (
        (("--onpanic-emulator", shlex.join(FIT.command())), "2 passed"),
        (("--onpanic-emulator", shlex.join(FIT.command()), "--onpanic-all-machines"), "2 passed"),
        (("--onpanic-emulator", shlex.join(UNFIT.command()), "--onpanic-machine", "pc"), "2 failed"),
        ((), "2 skipped"),
        (("--onpanic-emulator", "/nowhere"), "2 errors"),
    ):
        assert outcome in run(*base, *words, folder=folder).stdout


# JUnit, TAP


@pytest.fixture(scope="session")
def junit_schema(tmp_path_factory: pytest.TempPathFactory, unavailable: Unavailable) -> etree.XMLSchema:
    """Return the schema that Jenkins' xUnit plug-in has for JUnit; pytest's source carries it."""
    folder = tmp_path_factory.mktemp("pytest")
    words = (sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", "pytest", "pytest")
    done = run(*words, folder=folder)
    if done.returncode:
        unavailable(f"pytest's source cannot be had: {done.stderr.splitlines()[-1:]}")
    (archive,) = folder.glob("pytest-*.tar.gz")
    with tarfile.open(archive) as source:
        (name,) = [name for name in source.getnames() if name.endswith("/junit-10.xsd")]
        file = source.extractfile(name)
        assert file
        return etree.XMLSchema(etree.parse(file))


@pytest.mark.parametrize("kind", ["fit", "unfit"])
def test_junit(kind: str, reports: dict[str, list[Report]], junit_schema: etree.XMLSchema) -> None:
    text = FORMATS["junit"](reports[kind], "error")
    root = etree.fromstring(text.encode())
    junit_schema.assertValid(root)
    failed = [case.get("name") for case in root.iter("testcase") if case.find("failure") is not None]
    assert failed == ([] if kind == "fit" else ["cont-refused-after-panic"])
    assert len(list(root.iter("error"))) == len(list(root.iter("skipped"))) == (kind == "unfit")


@pytest.mark.parametrize(("kind", "failed"), [("fit", 0), ("unfit", 2)])
def test_tap(
    kind: str, failed: int, reports: dict[str, list[Report]], tmp_path: Path, unavailable: Unavailable
) -> None:
    """As Perl's prove reads it."""
    shutil.which("prove") or unavailable("no prove here")
    (tmp_path / "check.tap").write_text(FORMATS["tap"](reports[kind], "error"))
    done = run("prove", "--exec", "cat", "check.tap", folder=tmp_path)
    assert (done.returncode == 0) == (not failed), done.stdout
    assert "Parse errors" not in done.stdout
    assert f"Failed {failed}/" in done.stdout or not failed


@pytest.mark.parametrize("kind", ["fit", "unfit"])
def test_json(kind: str, reports: dict[str, list[Report]]) -> None:
    """One object for each emulator, one per line."""
    lines = FORMATS["json"](reports[kind], "error").splitlines()
    objects: list[Any] = [json.loads(line) for line in lines]
    assert [o["ok"] for o in objects] == ([True] if kind == "fit" else [False, False, True, True])


@pytest.mark.parametrize("kind", ["fit", "unfit"])
def test_text(kind: str, reports: dict[str, list[Report]]) -> None:
    """Nothing in it that a terminal would obey."""
    for line in FORMATS["text"](reports[kind], "error").splitlines():
        assert line.isprintable()
