"""The lab with a real Xen."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from onpanic.core.errors import FetchError

from ..running.dom0_onpanic import Dom0Onpanic, install_onpanic
from ..running.xen_lab import XenLab, xen_lab


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs the lab."""
    for item in items:
        if "xen" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xen)


@pytest.fixture(scope="module")
def xen(unavailable: Callable[[str], NoReturn]) -> Iterator[XenLab]:
    """Yield a lab with Xen; each module has its own."""
    try:
        with xen_lab() as lab:
            yield lab
    except FetchError as error:
        unavailable(f"no lab: {' / '.join(str(error).splitlines())}")


@pytest.fixture(scope="module")
def dom0_onpanic(xen: XenLab, wheel: Path, unavailable: Callable[[str], NoReturn]) -> Dom0Onpanic:
    """Return a function that runs the command in dom0, where the built wheel is installed."""
    try:
        return install_onpanic(xen, wheel)
    except FetchError as error:
        unavailable(f"no onpanic in dom0: {' / '.join(str(error).splitlines())}")
