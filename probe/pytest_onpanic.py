"""The pytest plug-in: ``pytest --onpanic-emulator EMULATOR``.

It has two fixtures of session scope: ``onpanic_record``, an `onpanic.probe.CapabilityRecord`, and
``onpanic_findings``, a list of `onpanic.check.Finding`.  Without the option, tests that use them are
skipped.

pytest imports the plug-in in every project of an environment, so it imports nothing of onpanic until a
fixture is used.  It is a top-level module because pytest cannot rewrite a module of a namespace package
that has a ``__main__``.
"""

import shlex
import shutil
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from onpanic.check import Finding
    from onpanic.probe import CapabilityRecord

__all__ = ("onpanic_findings", "onpanic_record", "pytest_addoption")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("onpanic", "what QEMU does when its guest panics")
    group.addoption("--onpanic-emulator", metavar="EMULATOR", help="path, name, or a whole command")
    group.addoption(
        "--onpanic-machine",
        action="append",
        default=[],
        metavar="M",
        help="machine type or alias; repeatable",
    )
    group.addoption(
        "--onpanic-all-machines", action="store_true", help="every machine type that the emulator has"
    )


@pytest.fixture(scope="session")
def onpanic_record(pytestconfig: pytest.Config) -> "CapabilityRecord":
    """Return the capability record of the emulator.  Fails if `onpanic.probe.probe` raises."""
    emulator = pytestconfig.getoption("onpanic_emulator")
    if emulator is None:
        pytest.skip("--onpanic-emulator was not given")
    from onpanic.probe import probe

    try:
        command = [emulator] if shutil.which(emulator) else shlex.split(emulator)
    except ValueError as error:
        raise pytest.UsageError(f"--onpanic-emulator: {error}") from error
    return probe(
        command,
        machines=pytestconfig.getoption("onpanic_machine"),
        all_machines=pytestconfig.getoption("onpanic_all_machines"),
    )


@pytest.fixture(scope="session")
def onpanic_findings(onpanic_record: "CapabilityRecord") -> "list[Finding]":
    """Return what is found in the emulator's record, the most severe first."""
    from onpanic.check import findings_of

    return findings_of(onpanic_record)
