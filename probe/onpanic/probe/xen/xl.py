"""Runs ``xl``, the command of a dom0 that talks to Xen, or whatever program has that name."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from select import select
from typing import IO

from onpanic.core.errors import DeadlineError, StartError

__all__ = ("end_xl", "run_xl")

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_KEPT = 1 << 20  # bytes of each stream
_CHUNK = 65536
_KILLED = 1.0  # seconds for a killed process to be gone

_running: set[int] = set()  # process groups
_lock = threading.Lock()


def run_xl(command: Sequence[str], timeout: float) -> "subprocess.CompletedProcess[str]":
    """Run xl and return its exit status and output, of which the first MiB of each stream is kept.

    Its process group is killed, so that nothing is left of it.

    :param command: The name or path of xl, and its arguments.
    :param timeout: Seconds that it may take.
    :raise StartError: When it cannot be run.
    :raise DeadlineError: When it does not end in time.
    """
    # A signal whose handler raises must not come between the start and what ends it; xl may ignore it
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        with _lock:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
            _running.add(process.pid)
    except OSError as error:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        hint = "install Xen's tools (xen-utils), or ask libvirt with --connect xen:///system"
        raise StartError(f"{command[0]}: {error.strerror}", hint, missing=True) from error
    assert process.stdout
    assert process.stderr
    try:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        stdout, stderr = _read_until_ended(process.pid, (process.stdout, process.stderr), timeout)
    except TimeoutError as error:
        hint = "is xenstored running?"
        raise DeadlineError(f"{command[0]} did not answer in {timeout:g} s", hint) from error
    finally:
        # Until the leader is reaped, its number names this group and no other
        with _lock:
            _running.discard(process.pid)
            _kill(process.pid)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_KILLED)
        process.stdout.close()
        process.stderr.close()
    return subprocess.CompletedProcess(command, process.returncode, stdout, stderr)


def end_xl() -> None:
    """Kill each xl that another thread runs: a process that exits leaves it behind otherwise."""
    with _lock:
        for group in _running:
            _kill(group)


def _kill(group: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def _read_until_ended(pid: int, streams: Sequence[IO[bytes]], timeout: float) -> list[str]:
    """Return what a child process writes to each stream.

    :raise TimeoutError: When it does not end in time.
    """
    deadline = time.monotonic() + timeout
    said = {stream.fileno(): b"" for stream in streams}
    for pipe in said:
        os.set_blocking(pipe, False)
    ended = os.pidfd_open(pid)
    waited = [ended, *said]
    try:
        while True:
            ready = select(waited, [], [], max(deadline - time.monotonic(), 0))[0]
            if not ready or time.monotonic() > deadline:
                raise TimeoutError
            new = {pipe: _available(pipe) for pipe in said}
            said = {pipe: (text + new[pipe])[:_KEPT] for pipe, text in said.items()}
            if ended in ready and not any(new.values()):
                return [text.decode("utf-8", "replace") for text in said.values()]
            # A pipe that is ready and has nothing is closed
            waited = [one for one in waited if one not in ready or one == ended or new[one]]
    finally:
        os.close(ended)


def _available(pipe: int) -> bytes:
    try:
        return os.read(pipe, _CHUNK)
    except BlockingIOError:
        return b""
