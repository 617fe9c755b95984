"""Fixtures of the watcher's tests: the watcher as a process, with its log."""

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

from onpanic.core.errors import FetchError

from ..running.linux_kernels import Linux, kernel
from .panicking_guests import DEADLINE

LogLine = dict[str, Any]


class WatchProcess:
    """A running watcher.

    :ivar lines: Its log, a JSON object for each line.
    """

    def __init__(self, *words: str, **environment: str) -> None:
        self.lines: list[LogLine] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "onpanic", "watch", "--log-format", "json", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONFAULTHANDLER": "1", **environment},
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.lines.append(json.loads(line))

    def logged(self, event: str, **members: Any) -> list[LogLine]:
        """Return the lines of an event that have these members."""
        wanted = {"event": event, **members}
        return [line for line in list(self.lines) if wanted.items() <= line.items()]

    def until(self, event: str, *, times: int = 1, **members: Any) -> LogLine:
        """Wait for a line, and return it."""
        deadline = time.monotonic() + DEADLINE
        while len(found := self.logged(event, **members)) < times:
            ended = self.process.poll() is not None and not self._reader.is_alive()
            assert not ended, (event, members, self.lines, self.errors())
            assert time.monotonic() < deadline, (event, members, self.lines, self._abort())
            time.sleep(0.005)
        return found[times - 1]

    def _abort(self) -> str:
        """Abort it, and return what each of its threads was doing."""
        self.process.send_signal(signal.SIGABRT)
        self.process.wait(DEADLINE)
        return self.errors()

    def actions(self, **members: Any) -> list[tuple[str, str]]:
        """Return the actions with these members, each with its outcome."""
        return [(line["action"], line["outcome"]) for line in self.logged("action", **members)]

    def errors(self) -> str:
        """Return its stderr.  It must have ended."""
        assert self.process.stderr
        return self.process.stderr.read()

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Stop it by a signal, and return its exit status."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        """Wait until it has exited, and return its exit status.  Nothing may be on stderr."""
        status = self.process.wait(DEADLINE)
        self._reader.join(DEADLINE)
        assert self.errors() == ""
        return status

    def kill(self) -> None:
        """Kill it."""
        self.process.kill()
        self.process.wait(DEADLINE)
        self._reader.join(DEADLINE)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Return the directory of the journal."""
    return tmp_path / "state"


@pytest.fixture
def watch(state: Path) -> Iterator[Callable[..., WatchProcess]]:
    """Return a function that starts a watcher, with more options and environment variables."""
    started: list[WatchProcess] = []

    def start(*words: str, **environment: str) -> WatchProcess:
        started.append(WatchProcess("--state-dir", str(state), *words, **environment))
        return started[-1]

    yield start
    for one in started:
        one.kill()
        for stream in (one.process.stdout, one.process.stderr):
            assert stream
            stream.close()


@pytest.fixture(scope="session")
def linux(unavailable: Callable[[str], NoReturn]) -> Linux:
    """Return a real Linux that panics on command."""
    try:
        return kernel("bookworm")
    except FetchError as error:
        unavailable(f"no Linux: {' / '.join(str(error).splitlines())}")
