"""A plug-in of pytest's, for projects that test with it: ``pytest --onpanic-emulator EMULATOR``.

Two fixtures, for the whole session: ``onpanic_record``, an `onpanic.probe.CapabilityRecord`,
and ``onpanic_findings``, a list of `onpanic.check.Finding`.  Without the option the tests
that use them are skipped.  pytest loads this module by itself, so it loads nothing dear.
"""

import shlex
import shutil
from typing import Any

import pytest

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
    group.addoption("--onpanic-all-machines", action="store_true", help="every machine type that it has")


@pytest.fixture(scope="session")
def onpanic_record(pytestconfig: pytest.Config) -> Any:
    """Return the capability record of the emulator that was named; fails as `probe` raises."""
    emulator = pytestconfig.getoption("onpanic_emulator")
    if emulator is None:
        pytest.skip("no --onpanic-emulator was named")
    from onpanic.probe import probe

    return probe(
        [emulator] if shutil.which(emulator) else shlex.split(emulator),
        machines=pytestconfig.getoption("onpanic_machine"),
        all_machines=pytestconfig.getoption("onpanic_all_machines"),
    )


@pytest.fixture(scope="session")
def onpanic_findings(onpanic_record: Any) -> Any:
    """Return what is found in the emulator's record, the worst first."""
    from onpanic.check import findings_of

    return findings_of(onpanic_record)
