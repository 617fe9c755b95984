"""Dumps of real guests, of which only the pages with the kernel's log are kept: see tools/trim_dump.py."""

import lzma
from collections.abc import Callable
from pathlib import Path

import pytest

DUMPS = Path(__file__).parent / "dumps"


@pytest.fixture
def dump(tmp_path: Path) -> Callable[[str], Path]:
    """Return a function that unpacks a dump by its name."""

    def unpack(name: str) -> Path:
        path = tmp_path / f"{name}.elf"
        path.write_bytes(lzma.decompress((DUMPS / f"{name}.elf.xz").read_bytes()))
        return path

    return unpack
