"""What tests of shell blocks share."""

from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from ..running.shell_blocks import Sandbox


@pytest.fixture
def sandbox(folder: Path, unavailable: Callable[[str], NoReturn]) -> Callable[..., Sandbox]:
    """Return a function that returns a sandbox with the folders that are its own."""
    missing = Sandbox.missing()
    if missing:
        unavailable(missing)

    def make(*private: str, **programs: str) -> Sandbox:
        made = Sandbox(folder, private)
        made.prepare(**programs)
        return made

    return make
