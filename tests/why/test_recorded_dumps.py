"""Dumps of real guests whose serial console was logged at the same time."""

from collections.abc import Callable
from pathlib import Path

import pytest

from onpanic.why import words_in_dump

from .conftest import DUMPS

NAMES = sorted(path.name.removesuffix(".elf.xz") for path in DUMPS.glob("*.elf.xz"))


@pytest.mark.parametrize("name", NAMES)
def test_every_line_is_that_of_the_console(name: str, dump: Callable[[str], Path]) -> None:
    console = (DUMPS / f"{name}.console").read_text()
    assert list(words_in_dump(dump(name)).lines) == [line.expandtabs() for line in console.splitlines()]


def test_what_the_kernel_panicked_with(dump: Callable[[str], Path]) -> None:
    words = words_in_dump(dump("linux-6.1-sysrq"))
    assert (words.guest, words.architecture, words.source) == ("linux", "x86_64", "elf")
    assert words.release.startswith("6.1.0-")
    assert (words.panicked, words.kind, words.reason) == (True, "sysrq", "sysrq triggered crash")
    trace = [entry.partition("+")[0] for entry in words.trace if not entry.startswith("?")]
    assert trace[:3] == ["dump_stack_lvl", "panic", "sysrq_handle_crash"]
    assert (words.torn, words.notes) == (False, ())


@pytest.mark.parametrize("name", NAMES)
def test_each_architecture_has_its_reason_and_trace(name: str, dump: Callable[[str], Path]) -> None:
    """Each prints its trace in another form."""
    words = words_in_dump(dump(name))
    assert any(line.endswith(f"Kernel panic - not syncing: {words.reason}") for line in words.lines)
    assert (words.panicked, words.notes) == (True, ())
    assert words.release.startswith(name.split("-")[1])
    assert words.trace
    if words.kind == "sysrq":
        assert any(" panic+" in f" {entry}" for entry in words.trace)
