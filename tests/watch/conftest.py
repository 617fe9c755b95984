"""What tests of the watcher share: the watcher as a process, with all that it says."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from onpanic.matrix.debian import FetchError

from ..conftest import _folder
from . import guests
from .guests import PATIENCE, Linux

Line = dict[str, Any]


class Watching:
    """A watcher that runs, with what it has said.

    :ivar lines: All lines, in order.
    """

    def __init__(self, *words: str, **environment: str) -> None:
        self.lines: list[Line] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "onpanic", "watch", "--log-format", "json", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.lines.append(json.loads(line))

    def said(self, event: str, **members: Any) -> list[Line]:
        """Return the lines of an event that have these members."""
        wanted = {"event": event, **members}
        return [line for line in list(self.lines) if wanted.items() <= line.items()]

    def until(self, event: str, *, times: int = 1, **members: Any) -> Line:
        """Wait for a line, and return it."""
        deadline = time.monotonic() + PATIENCE
        while len(found := self.said(event, **members)) < times:
            ended = self.process.poll() is not None and not self._reader.is_alive()
            assert not ended, (event, members, self.lines, self.errors())
            assert time.monotonic() < deadline, (event, members, self.lines)
            time.sleep(0.005)
        return found[times - 1]

    def actions(self, **members: Any) -> list[tuple[str, str]]:
        """Return what was done, with its outcome."""
        return [(line["action"], line["outcome"]) for line in self.said("action", **members)]

    def errors(self) -> str:
        """Return what it said on stderr; it has to have ended."""
        assert self.process.stderr
        return self.process.stderr.read()

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it cleanly, and return its exit status."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        """Wait for its end, and return its exit status; it has complained of nothing."""
        status = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        assert self.errors() == ""
        return status

    def kill(self) -> None:
        """Kill it."""
        self.process.kill()
        self.process.wait()
        self._reader.join(PATIENCE)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Return the folder where the watcher notes what it has done."""
    return tmp_path / "state"


@pytest.fixture
def watch(state: Path) -> Iterator[Callable[..., Watching]]:
    """Give a function that starts a watcher, with the options given."""
    started: list[Watching] = []

    def start(*words: str, **environment: str) -> Watching:
        started.append(Watching("--state-dir", str(state), *words, **environment))
        return started[-1]

    yield start
    for one in started:
        one.kill()
        for stream in (one.process.stdout, one.process.stderr):
            assert stream
            stream.close()


@pytest.fixture(scope="session")
def linux(unavailable: Callable[[str], NoReturn]) -> Linux:
    """Return a real Linux that panics when it is told to."""
    try:
        return guests.linux(_folder() / "guests")
    except FetchError as error:
        unavailable(f"no Linux: {' / '.join(str(error).splitlines())}")
