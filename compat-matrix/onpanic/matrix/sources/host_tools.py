"""The host's programs that download and unpack packages, run with a deadline and ended as a group."""

import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Protocol

from onpanic.core.errors import FetchError

__all__ = ("HostTools", "Tools", "deferred_signals")

# Programs, and the Debian packages that have them
_PACKAGES = {"apt-get": "apt", "dpkg-deb": "dpkg", "tar": "tar", "bwrap": "bubblewrap"}

_KILL_TIMEOUT = 10.0  # seconds for a killed process to be gone


class Tools(Protocol):
    """What `onpanic.matrix.sources.debian_suites.fetch` needs from the host."""

    def require(self) -> None:
        """Check that all programs are installed.

        :raise FetchError: When one of them is missing.
        """

    def run(self, *pipeline: Sequence[str], seconds: float, hint: str) -> None:
        """Run a pipeline of commands.

        :param seconds: How long it may take.
        :param hint: What the user can do if it fails.
        :raise FetchError: When a command fails, or the pipeline takes longer.
        """


class HostTools:
    """The programs that are found on the PATH."""

    def require(self) -> None:
        """Check that all programs are installed.

        :raise FetchError: When one of them is missing.
        """
        missing = [program for program in _PACKAGES if shutil.which(program) is None]
        if missing:
            packages = " ".join(_PACKAGES[program] for program in missing)
            raise FetchError(f"{', '.join(missing)} not found", f"apt-get install {packages}")

    def run(self, *pipeline: Sequence[str], seconds: float, hint: str) -> None:
        """Run a pipeline of commands; the output of each is the input of the next.

        :param seconds: How long it may take.
        :param hint: What the user can do if it fails.
        :raise FetchError: When a command fails, with the last lines that were printed, or the pipeline
            takes longer.
        """
        deadline = time.monotonic() + seconds
        with tempfile.TemporaryFile() as output, _process_group() as children:
            for command in pipeline:
                last = command is pipeline[-1]
                with deferred_signals():  # an exception within Popen would lose the child
                    children.append(
                        subprocess.Popen(
                            command,
                            stdin=children[-1].stdout if children else subprocess.DEVNULL,
                            stdout=output if last else subprocess.PIPE,
                            stderr=output,
                            env={**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"},
                            process_group=children[0].pid if children else 0,
                        )
                    )
                if len(children) > 1 and (pipe := children[-2].stdout):
                    pipe.close()  # so that a writer notices when its reader ends
            try:
                codes = [child.wait(max(0.0, deadline - time.monotonic())) for child in children]
            except subprocess.TimeoutExpired:
                raise FetchError(f"{pipeline[0][0]} took longer than {seconds:g} s", hint) from None
            if any(codes):
                output.seek(0)
                lines = output.read().decode(errors="replace").strip().splitlines()
                tail = [line for line in lines if line.startswith("E:")] or lines
                raise FetchError(f"{pipeline[0][0]} failed: {' / '.join(tail[-2:]) or codes}", hint)


@contextmanager
def deferred_signals() -> Iterator[None]:
    """Run Python's handlers of the signals that end a command only when the block has ended."""
    if threading.current_thread() is not threading.main_thread():  # no handler runs in another thread
        yield
        return
    received: list[int] = []
    handlers: dict[signal.Signals, Any] = {}
    try:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            handler = signal.getsignal(number)
            if callable(handler):
                handlers[number] = handler
                signal.signal(number, lambda number, _frame: received.append(number))
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for caught in received:
            signal.raise_signal(caught)


@contextmanager
def _process_group() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Yield a list for child processes of one process group, and kill the group at exit."""
    children: list[subprocess.Popen[bytes]] = []
    try:
        yield children
    finally:
        if any(child.poll() is None for child in children):
            os.killpg(children[0].pid, signal.SIGKILL)
        for child in children:
            if child.stdout is not None:
                child.stdout.close()
            with suppress(subprocess.TimeoutExpired):
                child.wait(_KILL_TIMEOUT)
