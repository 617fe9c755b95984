"""The command onpanic check, as a maintainer's CI runs it."""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from onpanic.check import Asked, changes, findings_of
from onpanic.matrix.records.record_files import read_record
from onpanic.probe import probe
from onpanic.probe.testing import QEMU_1_5, QEMU_1_6, QEMU_1_7, QEMU_7_2, Fault, PlayedEmulator

pytestmark = pytest.mark.processes

ROOT = Path(__file__).parent.parent.parent
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def played(tmp_path: Path) -> Callable[[str, PlayedEmulator], str]:
    """Return a function that makes an emulator with a given name."""

    def make(name: str, emulator: PlayedEmulator) -> str:
        script = tmp_path / name
        script.write_text(f'#!/bin/sh\nexec {shlex.join(emulator.command())} "$@"\n')
        script.chmod(0o755)
        return str(script)

    return make


Played = Callable[[str, PlayedEmulator], str]


def tags(done: subprocess.CompletedProcess[str]) -> list[list[str]]:
    """Return the tags that were found, a list for each emulator."""
    return [[f["tag"] for f in json.loads(line)["findings"]] for line in done.stdout.splitlines()]


@pytest.mark.emulators
def test_the_hosts_own(onpanic: Run) -> None:
    """It is fit.  All its machine types are checked where the documentation's examples are run."""
    done = onpanic("check", "-q")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.emulators
@pytest.mark.parametrize(
    ("target", "status", "said"),
    [
        ("s390x", 0, "nothing found on 1 machine type"),
        ("ppc64", 0, "nothing found on 1 machine type"),
        ("aarch64", 0, "nothing found on 1 machine type"),
        ("loongarch64", 0, "nothing found on 1 machine type"),
        ("riscv64", 1, "error    panic-device-missing: spike"),
    ],
)
def test_the_default_machine_types_of_other_architectures(
    target: str, status: int, said: str, debian_emulator: Callable[..., list[str]], onpanic: Run
) -> None:
    done = onpanic("check", "--", *debian_emulator("trixie", f"qemu-system-{target}"))
    assert (done.returncode, done.stderr) == (status, "")
    assert said in done.stdout


@pytest.mark.emulators
def test_a_difference_that_breaks_migration(debian_emulator: Callable[..., list[str]], onpanic: Run) -> None:
    """Since 9.1 old machine types offer an event that 7.2, whose record is published, did not offer."""
    (old,) = (ROOT / "compat-matrix/records").glob("qemu-system-x86_64-7.2*")
    words = ("--machine", "pc-i440fx-7.2", "--baseline", str(old), "--format", "json")
    done = onpanic("check", *words, "--", *debian_emulator("trixie"))
    assert done.returncode == 1
    found = {(f["tag"], f["notifier"]): f for f in json.loads(done.stdout)["findings"]}
    further = found["guest-visible-change", "pvpanic"]
    assert further["evidence"] == "the pvpanic notifier offered the bits 0x03, and now 0x07"
    changed = found["guest-visible-change", "isa"]
    assert changed["evidence"] == "the device offered the bits 0x03, and now 0x07"
    assert changed["machines"] == ["pc-i440fx-7.2"]
    assert found["event-mask-differs-for-machine-type", "isa"]["machines"] == ["pc-i440fx-7.2"]


def test_which_machine_types_a_difference_breaks() -> None:
    """Between the published records of 7.2 and 10.0: those of both, and what is gone."""
    old, new = (
        read_record(path)
        for version in ("7.2", "10.0")
        for path in (ROOT / "compat-matrix/records").glob(f"qemu-system-x86_64-{version}*")
    )
    found = {(one.tag, one.notifier): one for one in changes(old, new, Asked(all_machines=True))}
    changed = found["guest-visible-change", "isa"]
    assert "pc-i440fx-7.2" in changed.machines
    assert "pc-i440fx-5.1" not in changed.machines
    assert "pc-i440fx-1.5" in found["machine-type-gone", ""].machines
    differs = {one.notifier: one for one in findings_of(new) if one.tag.startswith("event-mask-differs")}
    assert len(differs["isa"].machines) >= 19


@pytest.mark.emulators
def test_a_baseline_that_version_0_1_0_wrote(onpanic: Run) -> None:
    """Nothing has changed but what a record looks like."""
    (old,) = (ROOT / "tests/records/version-1").glob("qemu-system-x86_64-7.2*")
    done = onpanic("check", "--machine", "pc", "--machine", "q35", "--baseline", str(old))
    assert (done.returncode, done.stderr) == (0, "")
    assert "nothing found on 2 machine types" in done.stdout


@pytest.mark.emulators
@pytest.mark.parametrize(
    ("emulator", "options", "tag"),
    [
        ("qemu-system-x86_64", "-action panic=exit-failure", "panic-ends-emulator"),
        ("qemu-system-x86_64", "-action panic=none", "panic-does-not-stop-guest"),
        ("qemu-system-s390x", "-action panic=none", "panic-does-not-stop-guest"),
        ("qemu-system-s390x", "-action panic=exit-failure", "panic-ends-emulator"),
        ("qemu-system-ppc64", "-action panic=none", "panic-does-not-stop-guest"),
    ],
)
def test_what_the_command_line_makes_of_a_panic(
    emulator: str, options: str, tag: str, debian_emulator: Callable[..., list[str]], onpanic: Run
) -> None:
    """It is found once, with the option, and a policy is refused for the same reason."""
    command = [*debian_emulator("trixie", emulator), *options.split()]
    done = onpanic("check", "--format", "json", "--", *command)
    assert (done.returncode, done.stderr) == (1, "")
    (found,) = json.loads(done.stdout)["findings"]
    assert (found["tag"], found["severity"]) == (tag, "error")
    assert found["evidence"].endswith(f"(the command line has {options})")
    done = onpanic("accept", "restart", "--", *command)
    assert done.returncode == 1
    assert done.stdout.startswith(f"refused: {tag}: ")


@pytest.mark.emulators
def test_the_notifier_that_was_named(debian_emulator: Callable[..., list[str]], onpanic: Run) -> None:
    """TCG ignores hv-crash, which is an error only for those who want that notifier."""
    command = debian_emulator("trixie")
    done = onpanic("check", "--notifier", "pvpanic", "--", *command)
    assert (done.returncode, done.stderr) == (0, "")
    done = onpanic("check", "--notifier", "hyperv", "--format", "json", "--", *command, "-accel", "tcg")
    (found,) = json.loads(done.stdout)["findings"]
    assert (found["tag"], found["notifier"]) == ("panic-not-reported", "hyperv")


@pytest.mark.parametrize(
    ("emulator", "found", "status"),
    [
        (QEMU_1_5, ["builtin-panic-device", "cont-refused-after-panic", "panic-action-not-settable"], 1),
        (QEMU_1_6, ["cont-refused-after-panic", "panic-action-not-settable"], 1),
        (QEMU_1_7, ["panic-action-not-settable"], 0),
        (QEMU_7_2, [], 0),
    ],
    ids=["1.5", "1.6", "1.7", "7.2"],
)
def test_old_emulators(
    emulator: PlayedEmulator, found: list[str], status: int, played: Played, onpanic: Run
) -> None:
    done = onpanic("check", "--format", "json", played("qemu", emulator))
    assert (done.returncode, done.stderr) == (status, "")
    assert tags(done) == [found]


@pytest.mark.parametrize("format_", ["text", "json", "junit", "tap", "tmt"])
def test_one_of_several_hangs(format_: str, played: Played, onpanic: Run) -> None:
    """The others are reported, what is printed is whole, and the exit status tells."""
    emulators = [
        played("good", QEMU_7_2),
        played("hangs", QEMU_7_2.failing(Fault("hang"))),
        played("bad", QEMU_1_6),
        "/nowhere/qemu",
    ]
    done = onpanic("check", "--timeout", "4", "--format", format_, *emulators)
    assert done.returncode == 2
    assert "did not" in done.stderr
    assert "/nowhere/qemu: no such file" in done.stderr
    if format_ == "json":
        assert [json.loads(line)["ok"] for line in done.stdout.splitlines()] == [True, False, False, False]
    elif format_ == "junit":
        suites = etree.fromstring(done.stdout.encode())
        assert [suite.get("errors") for suite in suites] == ["0", "1", "0", "1"]
        assert [suite.get("failures") for suite in suites] == ["0", "0", "1", "0"]
    elif format_ == "tmt":
        results = {r["name"]: r["result"] for r in json.loads(done.stdout)}
        assert results["/hangs/probe"] == "error"
        assert results["/bad/cont-refused-after-panic"] == "fail"
        assert results["/good/cont-refused-after-panic"] == "pass"
    else:
        assert "cont-refused-after-panic" in done.stdout


def test_expectations(played: Played, onpanic: Run, tmp_path: Path) -> None:
    known = tmp_path / "known.toml"
    known.write_text(
        "[[expect]]\ntag = 'cont-refused-after-panic'\nreason = 'not before the next release'\n"
        "[[expect]]\ntag = 'panic-not-reported'\nreason = 'of old'\n"
    )
    emulator = played("qemu", QEMU_1_6)
    done = onpanic("check", "--expect", str(known), emulator)
    assert done.returncode == 0
    assert "expected cont-refused-after-panic: pc-i440fx-1.6 (not before the next release)" in done.stdout
    assert "warning  stale-expectation\n" in done.stdout
    assert onpanic("check", "--expect", str(known), "--fail-on", "warning", emulator).returncode == 1


def test_a_baseline(played: Played, onpanic: Run, tmp_path: Path) -> None:
    """All machine types are compared unless some are named."""
    base = tmp_path / "base.json"
    base.write_bytes(probe(QEMU_7_2.command(), all_machines=True).to_json())
    done = onpanic("check", "--baseline", str(base), played("same", QEMU_7_2))
    assert (done.returncode, done.stderr) == (0, "")
    worse = played("worse", QEMU_7_2.but(resumable=False, machines=("pc-i440fx-7.2=pc", "none")))
    done = onpanic("check", "--format", "json", "--baseline", str(base), worse)
    assert done.returncode == 1
    assert tags(done) == [["behaviour-lost", "cont-refused-after-panic", "machine-type-gone"]]
    alone = played("alone", QEMU_7_2.but(machines=("pc-i440fx-7.2=pc",)))
    done = onpanic("check", "--format", "json", "--baseline", str(base), alone)
    assert tags(done) == [["probe-inconclusive"]]  # listing the type proves nothing
    done = onpanic("check", "--format", "json", "--baseline", str(base), "--machine", "pc", worse)
    assert tags(done) == [["behaviour-lost", "cont-refused-after-panic"]]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--expect", "/nowhere"], "/nowhere: No such file"),
        (["--expect", "{bad}"], "no such tag: panic-devise-missing"),
        (["--expect", "{typo}"], "no such notifier: pvpanik"),
        (["--expect", "{binary}"], "not UTF-8"),
        (["--baseline", "/nowhere"], "/nowhere: No such file"),
        (["--baseline", "{truncated}"], "not a capability record"),
        (["--baseline", "{future}"], "schema version 3"),
        (["--baseline", "{foreign}"], "the baseline is of s390x, the emulator of x86_64"),
        (["--machine", "nonsense"], "unsupported machine type"),
        (
            ["--baseline", "{other}", "--machine", "q35"],
            "the baseline has no machine type of these: pc-q35-7.2",
        ),
        (["--fail-on", "nonsense"], "invalid choice"),
        (["--notifier", "nonsense"], "invalid choice"),
        (["--format", "nonsense"], "invalid choice"),
    ],
)
def test_bad_input(words: list[str], said: str, played: Played, onpanic: Run, tmp_path: Path) -> None:
    good = probe(QEMU_7_2.command()).to_json().decode()
    files: dict[str, str | bytes] = {
        "bad": "[[expect]]\ntag = 'panic-devise-missing'\nreason = 'x'\n",
        "typo": "[[expect]]\ntag = 'panic-not-reported'\nnotifier = 'pvpanik'\nreason = 'x'\n",
        "binary": b"\xff\xfe",
        "truncated": good[: len(good) // 2],
        "future": good.replace('"schema_version":2', '"schema_version":3'),
        "other": good,
        "foreign": good.replace('"target":"x86_64"', '"target":"s390x"'),
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    paths = {name: str(tmp_path / name) for name in files}
    done = onpanic("check", *(word.format(**paths) for word in words), played("qemu", QEMU_7_2))
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_one_of_several_machine_types_that_there_is_not(onpanic: Run, played: Played) -> None:
    """The other is reported, the exit status tells."""
    done = onpanic("check", "--machine", "pc", "--machine", "nonsense", played("qemu", QEMU_7_2))
    assert done.returncode == 1
    assert "error    machine-type-does-not-start: nonsense" in done.stdout


def test_no_machine_type_starts(onpanic: Run, played: Played, tmp_path: Path) -> None:
    script = tmp_path / "qemu"
    emulator = played("real", QEMU_7_2)
    starts = f'case "$*" in *"-machine none"*) exec {emulator} "$@";; esac'
    script.write_text(f"#!/bin/sh\n{starts}\necho no firmware >&2; exit 1\n")
    script.chmod(0o755)
    done = onpanic("check", "--all-machines", str(script))
    assert done.returncode == 2
    assert "no machine type starts: " in done.stderr
    assert "no firmware" in done.stderr


@pytest.mark.parametrize("format_", ["json", "junit", "tmt"])
def test_what_programs_read_is_utf8(format_: str, onpanic: Run, played: Played, tmp_path: Path) -> None:
    (tmp_path / "known").write_text("[[expect]]\ntag = 'cont-refused-after-panic'\nreason = 'läuft €'\n")
    words = ("check", "--format", format_, "--expect", str(tmp_path / "known"), played("qemu", QEMU_1_6))
    assert "läuft €" in onpanic(*words, PYTHONIOENCODING="ascii").stdout


def test_emulators_of_one_name(onpanic: Run, played: Played) -> None:
    """Also behind a wrapper whose last argument is not an emulator."""
    emulator = played("qemu", QEMU_7_2)
    done = onpanic("check", "--format", "json", emulator, emulator, "--", emulator, "-L", "/usr/share/")
    assert [json.loads(line)["name"] for line in done.stdout.splitlines()] == ["qemu-1", "qemu-2", "qemu-3"]


def test_nothing_to_check(onpanic: Run, played: Played) -> None:
    """It is skipped only where that is asked for, and only if there is nothing else."""
    assert onpanic("check", "/nowhere/qemu").returncode == 2
    done = onpanic("check", "--skip-missing", "/nowhere/qemu")
    assert done.returncode == 77
    assert "skipped" in done.stdout
    done = onpanic("check", "--skip-missing", "/nowhere/qemu", played("qemu", QEMU_7_2))
    assert (done.returncode, done.stderr) == (0, "")  # as autopkgtest wants it


def test_every_tag_can_be_explained(onpanic: Run) -> None:
    done = onpanic("explain", "event-mask-differs-for-machine-type")
    assert done.stdout.startswith("event-mask-differs-for-machine-type (finding, warning)\n")
    assert "(refusal; finding, error)" in onpanic("explain", "cont-refused-after-panic").stdout


# Where packages are built

CORE = """
import sys
for name in ("lxml", "rich", "libvirt", "jinja2", "packaging", "platformdirs", "prometheus_client", "pytest"):
    sys.modules[name] = None
from onpanic.cli import console
sys.argv = ["onpanic", "check", "--machine", "pc", "--machine", "q35", *sys.argv[1:]]
console()
"""


@pytest.mark.emulators
def test_where_packages_are_built(unavailable: Callable[[str], Any]) -> None:
    """No network, no KVM, no home, a read-only file system with a /tmp, and the core's two libraries."""
    packages = os.pathsep.join(path for path in sys.path if path)
    sandbox = ["bwrap", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp"]
    sandbox += ["--ro-bind", str(ROOT), str(ROOT)]  # which may be below it
    sandbox += ["--unshare-all", "--die-with-parent", "--uid", "65534", "--gid", "65534", "--clearenv"]
    sandbox += ["--setenv", "PATH", "/usr/bin:/bin", "--setenv", "PYTHONPATH", packages, "--chdir", "/"]
    done = subprocess.run(
        [*sandbox, sys.executable, "-c", CORE, "qemu-system-x86_64"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode == 1 and done.stderr.startswith("bwrap: "):
        unavailable(done.stderr)
    assert (done.returncode, done.stderr) == (0, "")
    assert "nothing found on 2 machine types" in done.stdout


@pytest.mark.emulators
def test_a_cross_built_emulator_runs_through_its_wrapper(onpanic: Run, tmp_path: Path) -> None:
    runner = tmp_path / "runner"
    runner.write_text('#!/bin/sh\nshift\nexec "$@"\n')
    runner.chmod(0o755)
    done = onpanic("check", "--", str(runner), "--for=another", "qemu-system-x86_64")
    assert (done.returncode, done.stderr) == (0, "")
    assert "nothing found on 1 machine type" in done.stdout
