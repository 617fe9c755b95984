"""What an emulator prints on stdout when it does not start is in the error message."""

from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.processes

MACHINES = """\
Supported machines are:
none                 empty machine
pc                   Standard PC (i440FX + PIIX, 1996) (alias of pc-i440fx-1.7)
pc-i440fx-1.7        Standard PC (i440FX + PIIX, 1996) (default)
"""


@pytest.fixture
def printing(tmp_path: Path) -> Callable[[str, int], str]:
    """Return a function from words and an exit status to an emulator that prints these and ends."""

    def emulator(words: str, status: int) -> str:
        path = tmp_path / "qemu-system-x86_64"
        path.write_text(f"#!/bin/sh\ncat <<'END'\n{words}END\nexit {status}\n")
        path.chmod(0o755)
        return str(path)

    return emulator


def test_an_old_qemu_lists_the_machine_types_that_it_has(
    printing: Callable[[str, int], str], complaint: Callable[..., str]
) -> None:
    """QEMU up to 1.7 says nothing else about a machine type that it does not have."""
    assert complaint(printing(MACHINES, 1), "--machine", "nosuch") == (
        "qemu-system-x86_64 ended before its QMP greeting (status 1): "
        "unsupported machine type; Supported machines are: none, pc, pc-i440fx-1.7"
    )


def test_a_list_that_was_asked_for_is_no_error_of_the_machine_type(
    printing: Callable[[str, int], str], complaint: Callable[..., str]
) -> None:
    """``-machine help`` in the user's command line."""
    words = complaint("--", printing(MACHINES, 0), "-machine", "help")
    assert words.endswith("(status 0): Supported machines are: none, pc, pc-i440fx-1.7")


def test_other_words_are_repeated(printing: Callable[[str, int], str], complaint: Callable[..., str]) -> None:
    """The list is not always all: QEMU's own version, a wrapper's complaint."""
    words = complaint(printing("wrapper: no QEMU is installed\nbye\n", 3))
    assert words.endswith("before its QMP greeting (status 3): wrapper: no QEMU is installed bye")


def test_what_an_emulator_prints_before_it_hangs_is_not_qmp(
    tmp_path: Path, complaint: Callable[..., str]
) -> None:
    path = tmp_path / "qemu-system-x86_64"
    path.write_text("#!/bin/sh\necho hello\nexec sleep 100\n")
    path.chmod(0o755)
    assert "not QMP where its QMP greeting was expected" in complaint("--timeout", "3", str(path))
