"""What tests of shell blocks share."""

from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from ..running.shell_blocks import Room


@pytest.fixture
def room(folder: Path, unavailable: Callable[[str], NoReturn]) -> Callable[..., Room]:
    """Return a function that returns a room with the folders that are its own."""
    missing = Room.missing()
    if missing:
        unavailable(missing)

    def make(*private: str, **programs: str) -> Room:
        made = Room(folder, private)
        made.prepare(**programs)
        return made

    return make
