"""The completion of bash, zsh and fish, by the shells themselves."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from onpanic.cli.codes import CODES
from onpanic.cli.commands import COMMANDS
from onpanic.probe.decision.policy import ON_PANIC
from onpanic.probe.emulator.notifier_models import NOTIFIER_MODELS

from .completing_shells import SHELLS, Offer

pytestmark = pytest.mark.consumers

FIRST_WORDS = {name.split()[0] for name in COMMANDS}
CASES: dict[str, set[str]] = {
    "onpanic fl": {"fleet"},
    "onpanic matrix ": {"collect", "build", "show", "diff"},
    "onpanic fleet d": {"diff"},
    "onpanic probe --introspect": {"--introspect-only"},
    "onpanic probe --acpi --introspect": {"--introspect-only"},
    "onpanic probe --notifier ": set(NOTIFIER_MODELS),
    "onpanic probe --acpi --notifier hy": {"hyperv"},
    "onpanic probe --notifier=hy": {"hyperv"},
    "onpanic check --format t": {"text", "tap", "tmt"},
    "onpanic matrix diff --rec": {"--records"},
    "onpanic accept rest": {"restart"},
    "onpanic watch --qmp monitor --on-panic pr": {"preserve"},
    "onpanic explain no-way": {code for code in CODES if code.startswith("no-way")},
    "onpanic why gu": {"guest.elf"},
    "onpanic why --lines gu": set(),
    "onpanic probe --recording gu": {"guest.elf"},
    "onpanic to-libvirt --policy gu": {"guest.elf"},
    "onpanic fleet migrate --policy rest": {"restart"},
    "onpanic host --format n": {"nfd"},
    "onpanic run -- ls gu": {"guest.elf"},
    "onpanic nonsense --f": set(),
}


@pytest.fixture(params=SHELLS)
def offer(request: pytest.FixtureRequest, unavailable: Callable[[str], NoReturn]) -> Offer:
    """Return a function that asks a shell."""
    shutil.which(request.param) or unavailable(f"no {request.param} here")
    return SHELLS[request.param]


@pytest.mark.parametrize("line", CASES)
def test_words(line: str, offer: Offer, tmp_path: Path) -> None:
    """Commands, options, the values of options, and files where a file is named."""
    (tmp_path / "guest.elf").touch()
    assert offer(line.split(" "), tmp_path) == CASES[line]


def test_commands(offer: Offer, tmp_path: Path) -> None:
    """Every command is offered, with its first word if it has two; no file is."""
    (tmp_path / "guest.elf").touch()
    assert {word for word in offer(["onpanic", ""], tmp_path) if word[0] != "-"} == FIRST_WORDS


def test_folders(offer: Offer, tmp_path: Path) -> None:
    """No file is offered where a folder is named."""
    (tmp_path / "records").mkdir()
    (tmp_path / "record.json").touch()
    found = offer(["onpanic", "matrix", "collect", "-o", "rec"], tmp_path)
    assert {word.rstrip("/") for word in found} == {"records"}


def test_emulators(offer: Offer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs with the name of an emulator are offered, and no other program."""
    for name in ("qemu-system-nonsense", "qemu-nonsense"):
        (tmp_path / name).write_text("#!/bin/sh\n", encoding="ascii")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    folder = tmp_path / "empty"
    folder.mkdir()
    assert "qemu-system-nonsense" in offer(["onpanic", "probe", ""], folder)
    assert offer(["onpanic", "probe", "qemu-system-nons"], _empty(folder)) == {"qemu-system-nonsense"}


def test_a_policy_or_an_emulator(offer: Offer, tmp_path: Path) -> None:
    """The first argument of ``accept`` is a policy."""
    assert set(ON_PANIC) <= offer(["onpanic", "accept", ""], tmp_path)


def _empty(folder: Path) -> Path:
    made = folder / "another"
    made.mkdir()
    return made
