"""The README shows what is so: its commands are run, and print what it says."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```console\n(.*?)```", README, re.DOTALL)
PYTHON = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
# `make` starts this very test
COMMANDS = [block for block in BLOCKS if not block.startswith("$ make")]


def shape(text: str) -> str:
    """Return a text without what differs from day to day: numbers and widths."""
    return re.sub(r"\s+", " ", re.sub(r"[0-9a-f.+~-]*\d[\w.+~-]*", "#", text)).strip()


@pytest.mark.emulators
@pytest.mark.parametrize("block", COMMANDS, ids=lambda block: block.splitlines()[0])
def test_commands_print_what_the_readme_shows(block: str, tmp_path: Path) -> None:
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    shown = re.split(r"^\$ (.*)\n", block, flags=re.MULTILINE)[1:]
    try:
        compare(shown, tmp_path)
    finally:
        if (tmp_path / "pid").exists():  # QEMU takes its file away when it ends
            os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


def compare(shown: list[str], folder: Path) -> None:
    for command, output in zip(shown[::2], shown[1::2], strict=True):
        done = subprocess.run(
            ["/bin/sh", "-c", f'onpanic() {{ "{sys.executable}" -m onpanic "$@"; }}\n{command}'],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert shape(done.stdout + done.stderr) == shape(output)


@pytest.mark.emulators
@pytest.mark.parametrize("code", PYTHON)
def test_python_runs(code: str, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)


def test_there_is_something_to_run() -> None:
    assert len(COMMANDS) >= 2
    assert PYTHON
