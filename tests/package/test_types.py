"""Type checkers see the types of the installed packages, and names that do not exist."""

import importlib.util
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

pytestmark = pytest.mark.package

Run = Callable[..., subprocess.CompletedProcess[str]]
Environment = Callable[..., Path]
Check = Callable[..., subprocess.CompletedProcess[str]]

USER = """
import asyncio
from typing import assert_type

from onpanic.check import Finding, findings_of
from onpanic.matrix import Matrix, Range, build, published
from onpanic.probe import CapabilityRecord, Decision, OnpanicError, Policy, StartError, aprobe, probe
from onpanic.probe.testing import QEMU_7_2
from onpanic.shims import DomainMachine, Prober, RefusedError, Translation, extend, to_libvirt
from onpanic.watch import Line, Settings, watch_domains, watch_monitors


def accepted(emulator: str) -> bool:
    try:
        record = probe(emulator, machines=["q35"])
    except StartError as error:
        print(error.message, error.hint, error.missing)
        return False
    assert_type(record, CapabilityRecord)
    decision = record.accepts("restart", coredump=True)
    assert_type(decision, Decision)
    return bool(decision)


def worst(record: CapabilityRecord) -> Finding | None:
    return next(iter(findings_of(record)), None)


def translated(xml: str, record: CapabilityRecord) -> Translation[str] | None:
    try:
        return to_libvirt(xml, record)
    except RefusedError as error:
        print(error)
    except OnpanicError as error:
        raise SystemExit(error.exit_status) from error
    return None


def prober(machine: DomainMachine) -> CapabilityRecord:
    return probe(machine.emulator or "qemu-system-x86_64")


def since(fact: str) -> list[str]:
    assert_type(published(), Matrix)
    found: list[Range] = [one for one in build("records").ranges if one.fact == fact]
    return [one.text for one in found]


def show(line: Line) -> None:
    print(line.event, line.domain, line.detail)


async def watch() -> None:
    await watch_domains("qemu:///system", Settings(start_limit=3), show, dry_run=True)
    await watch_monitors(["vm.qmp"], Policy("pause"), Settings(), show, once=True)


known: Prober = prober
assert_type(asyncio.run(aprobe(QEMU_7_2.command())), CapabilityRecord)
print(Policy("restart"), extend)
"""
WRONG = {
    "misspelt": "from onpanic.probe import prob\n",
    "misspelt_of_shims": "from onpanic.shims import extent\n",
    "misspelt_of_watch": "from onpanic.watch import watch_domain\n",
    "misspelt_of_matrix": "import onpanic.matrix\nprint(onpanic.matrix.publish())\n",
    "of_another_package": "from onpanic.shims import probe\n",
    "wrong_argument": "from onpanic.probe import probe\nprobe('qemu', machine='q35')\n",
    "wrong_attribute": "from onpanic.probe import probe\nprint(probe('qemu').machine_types)\n",
}
REVEAL = "from onpanic.shims import extend\nimport libvirt\nreveal_type(extend(libvirt.open()))\n"


@pytest.fixture(params=["mypy", "pyright"])
def check(
    request: pytest.FixtureRequest,
    environment: Environment,
    run: Run,
    tmp_path: Path,
    unavailable: Callable[[str], NoReturn],
) -> Check:
    """Return a function that type-checks programs, by name, that use the installed onpanic."""
    tool: str = request.param
    if importlib.util.find_spec(tool) is None:
        unavailable(f"{tool} is not installed")
    python = environment("all") / "python"
    if tool == "mypy":
        words = ["mypy", "--strict", "--no-incremental", "--python-executable", str(python)]
    else:
        words = ["pyright", "--pythonpath", str(python)]
        version = run(sys.executable, "-m", "pyright", "--version", cwd=tmp_path)
        if version.returncode:  # it needs Node.js, which it fetches
            unavailable(f"pyright does not run: {version.stderr.strip().splitlines()[-1:]}")
    (tmp_path / "pyrightconfig.json").write_text(
        '{"typeCheckingMode": "strict", "reportUnknownMemberType": false}'
    )

    def check(**programs: str) -> subprocess.CompletedProcess[str]:
        for name, program in programs.items():
            (tmp_path / f"{name}.py").write_text(program)
        return run(sys.executable, "-m", *words, *(f"{name}.py" for name in programs), cwd=tmp_path)

    return check


def test_a_program_that_is_right(check: Check) -> None:
    done = check(user=USER)
    assert done.returncode == 0, done.stdout + done.stderr


def test_programs_that_are_wrong(check: Check) -> None:
    """An error is found in each."""
    done = check(**WRONG)
    assert done.returncode == 1, done.stdout + done.stderr
    errors = {name for name in WRONG if re.search(rf"\b{name}\.py:\d.*\berror\b", done.stdout)}
    assert errors == WRONG.keys()


def test_a_connection_that_was_extended_has_a_type(check: Check) -> None:
    lines = check(user=REVEAL).stdout.splitlines()
    (revealed,) = [line for line in lines if "Revealed type" in line or "Type of" in line]
    assert "PolicyConnection" in revealed
