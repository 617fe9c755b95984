"""What tests of runs share: the command in a process of its own."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .played_qemu import PlayedQemu, install

#: Seconds after which a run has failed.
DEADLINE = 60


class Run:
    """A run whose output is kept, as a process."""

    def __init__(self, *words: str, **environment: str) -> None:
        command = [sys.executable, "-m", "onpanic", "run", *words]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env={**os.environ, **environment}
        )

    def wait_for(self, text: str) -> None:
        """Read its output until a line has a text."""
        assert self.process.stdout
        for line in self.process.stdout:
            if text in line:
                return
        pytest.fail(f"{text!r} is not in its output")

    def end(self) -> tuple[int, str, str]:
        """Wait for its end, and return its exit status, and what is left of its output."""
        out, err = self.process.communicate(timeout=DEADLINE)
        return self.process.returncode, out, err

    def kill(self) -> None:
        """Kill it."""
        self.process.kill()
        self.process.communicate(timeout=DEADLINE)


@pytest.fixture
def begin() -> Iterator[Callable[..., Run]]:
    """Return a function that begins a run."""
    begun: list[Run] = []

    def run(*words: str, **environment: str) -> Run:
        begun.append(Run(*words, **environment))
        return begun[-1]

    yield run
    for one in begun:
        one.kill()


@pytest.fixture
def played_run(begin: Callable[..., Run], tmp_path: Path) -> Callable[..., Run]:
    """Return a function that begins a run of a played QEMU: its description, our options, its options."""

    def run(played: PlayedQemu, *options: str, command: tuple[str, ...] = ()) -> Run:
        path = install(tmp_path)
        return begin(*options, "--", *(command or (path,)), **played.environment(tmp_path))

    return run
