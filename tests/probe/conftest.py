"""What tests of bad emulators share: played ones with answers of their own."""

import json
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from onpanic.probe import CapabilityRecord

#: The facts about QEMU 7.2 itself, real or played.
EMULATOR = {
    "isa-pvpanic-type": "no",
    "pvpanic-type": "yes",
    "pvpanic-pci-type": "yes",
    "guest-panicked-event": "yes",
    "guest-crashloaded-event": "yes",
    "set-action-command": "yes",
}
#: The facts about what `onpanic.probe.testing.QEMU_7_2` plays.
TRUTH = {
    **EMULATOR,
    "builtin-pvpanic": "no",
    "vmcoreinfo-attachable": "yes",
    "pvpanic-attachable": "yes",
    "panic-reported": "yes",
    "panic-stops-guest": "yes",
    "cont-after-panic": "yes",
}


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty folder that is what processes take for temporary files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr("tempfile.tempdir", None)
    return folder


@pytest.fixture
def altered(tmp_path: Path) -> Callable[..., list[str]]:
    """Give a function from places and what happens there to a command, see `altered_emulator.py`."""

    def command(changes: dict[str, dict[str, Any] | str]) -> list[str]:
        file = tmp_path / f"{uuid.uuid4().hex}.json"
        file.write_text(json.dumps(changes))
        return [sys.executable, str(Path(__file__).with_name("altered_emulator.py")), str(file)]

    return command


@pytest.fixture(scope="session")
def answers() -> Callable[[CapabilityRecord], dict[str, str]]:
    """Give a function that returns all answers about a record's first machine type."""

    def read(record: CapabilityRecord) -> dict[str, str]:
        facts = record.facts | record.machines[0].facts
        return {name: facts[name].answer for name in TRUTH}

    return read


@pytest.fixture(scope="session")
def wrong(answers: Callable[[CapabilityRecord], dict[str, str]]) -> Callable[[CapabilityRecord], list[str]]:
    """Give a function that names the facts that are neither unknown nor true of QEMU 7.2."""

    def name(record: CapabilityRecord) -> list[str]:
        return [name for name, answer in answers(record).items() if answer not in (TRUTH[name], "unknown")]

    return name
