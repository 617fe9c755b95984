"""The libvirt of an unpacked Debian suite, run in a root of its own by bubblewrap; nothing is installed.

The daemon runs in libvirt's session mode, as an unprivileged user, and starts the suite's own
emulators::

    root = fetch("trixie", [*PACKAGES, *LIBVIRT_PACKAGES], into=Path("suites"))
    with libvirt_of(root) as daemon:
        connection = libvirt.open(daemon.uri)
"""

import contextlib
import os
import re
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from onpanic.core.errors import FetchError, SourceError
from onpanic.core.untrusted import last_lines
from onpanic.matrix.sources.daemon_sandbox import LIBVIRT_PACKAGES, NOBODY, DaemonSandbox
from onpanic.matrix.sources.debian_suites import Root
from onpanic.matrix.sources.host_tools import deferred_signals

__all__ = ("LIBVIRT_PACKAGES", "NOBODY", "DaemonEndedError", "SuiteLibvirt", "libvirt_of")

# Seconds that the daemon may take to accept connections, and to be gone when it is killed
_START, _END = 60.0, 30.0

# Seconds until the end of a daemon is noticed whose connections have broken
_NOTICED = 2.0


class DaemonEndedError(SourceError):
    """A suite's libvirtd has ended before its user was done."""


@dataclass(frozen=True)
class SuiteLibvirt:
    """A running libvirt of a Debian suite.

    :ivar uri: Its connection URI.
    :ivar folder: The daemon's private folder.  It has the same path for the daemon and its guests, which see
        no other folder of the host, so disks of guests belong here.
    """

    uri: str
    folder: Path


@contextlib.contextmanager
def libvirt_of(root: Root, *, seconds: float = _START) -> Iterator[SuiteLibvirt]:
    """Run a suite's libvirt until the context is left.

    The daemon and its guests have their own root, PID namespace and network.  They are killed at exit,
    and also when the thread that entered the context ends, even by SIGKILL (``PR_SET_PDEATHSIG``,
    prctl(2)).  Their folder is removed at exit.

    :param root: A suite that was fetched with `LIBVIRT_PACKAGES`.
    :param seconds: How long the daemon may take to accept connections.
    :raise FetchError: When the suite lacks a package, or the daemon does not start; the message contains the
        last lines that it printed.
    :raise DaemonEndedError: Instead of a `SourceError` raised in the context, if the daemon has ended.
    """
    # A socket's path has room for 107 bytes, and libvirt's are up to 60 bytes longer than the folder's
    place = tempfile.gettempdir() if len(tempfile.gettempdir()) <= 30 else "/tmp"  # noqa: S108
    with tempfile.TemporaryDirectory(prefix="onpanic-", dir=place, ignore_cleanup_errors=True) as name:
        folder = Path(name).resolve()
        sandbox = DaemonSandbox(root, folder, folder / "usr")
        sandbox.prepare()
        log = folder / "log"
        with log.open("wb") as output, _started(sandbox, output.fileno()) as daemon:
            deadline = time.monotonic() + seconds
            while not sandbox.accepts_connections():
                ended = daemon.poll() is not None
                if ended or time.monotonic() > deadline:
                    what = "ended" if ended else f"does not accept connections after {seconds:g} s"
                    raise FetchError(
                        f"libvirtd of {root.suite} {what}: {_printed(log)}",
                        "check that bwrap can create namespaces here, or remove the suite to fetch it again",
                    )
                time.sleep(0.01)
            try:
                yield SuiteLibvirt(sandbox.uri, folder)
            except SourceError as error:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    status = daemon.wait(_NOTICED)
                    raise DaemonEndedError(
                        f"libvirtd of {root.suite} ended with the exit status {status}: {_printed(log)}",
                        "run it again",
                    ) from error
                raise


def _printed(log: Path) -> str:
    """Return what a daemon printed last."""
    return last_lines(log.read_text("utf-8", errors="replace")) or "it printed nothing"


@contextlib.contextmanager
def _started(sandbox: DaemonSandbox, log: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run a daemon in its own PID namespace, and kill everything in it at exit.

    :raise FetchError: When bwrap cannot be started.
    """
    reading, writing = os.pipe()
    with contextlib.ExitStack() as at_exit:
        at_exit.callback(os.close, reading)
        with deferred_signals():  # an exception within Popen would lose the process
            try:
                bwrap = subprocess.Popen(
                    sandbox.command(options=("--info-fd", str(writing))),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd="/",
                    env=sandbox.environment,
                    pass_fds=[writing],
                    process_group=0,  # Ctrl-C must not end the daemon before its user
                )
            except OSError as error:
                raise FetchError(f"bwrap: {error.strerror}", "apt-get install bubblewrap") from error
            finally:
                os.close(writing)
            at_exit.callback(_end, bwrap, reading)
        yield bwrap


def _end(bwrap: subprocess.Popen[bytes], info: int) -> None:
    """Kill bwrap, with everything in its PID namespace.

    :param info: Where bwrap writes the PID of the first process (``--info-fd``).
    """
    try:
        _kill_first_process(bwrap, info)
    finally:
        bwrap.kill()
        bwrap.wait(_END)


def _kill_first_process(bwrap: subprocess.Popen[bytes], info: int) -> None:
    """Kill the first process of bwrap's PID namespace, and wait until bwrap has reaped it.

    The kernel kills all others before (pid_namespaces(7)).  If bwrap itself were killed, nothing would show
    when they are gone.
    """
    text = b""
    while select.select([info], [], [], _END)[0] and (data := os.read(info, 4096)):
        text += data  # it comes in parts
    found = re.search(rb'"child-pid": *(\d+)', text)
    if found is None:
        return  # bwrap ended before it had created the namespace
    with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
        os.kill(int(found[1]), signal.SIGKILL)
        bwrap.wait(_END)
