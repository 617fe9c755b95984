"""What a start of an emulator is made of: a process, a QMP client and a qtest channel.

`onpanic.probe.asking.converse.converse` takes them from an `EmulatorBackend`, by default `PROCESSES`.
Tests pass one that plays emulators in this process, without descriptors and in virtual time, so
that thousands of them take seconds.

Alternatives considered: a socket pair with a played monitor at its other end, in a thread or a
task, tests the QMP library each time and takes ten times as long, in real time.  A function in place
of `converse` would need to repeat its deadline, its ``quit`` and how it words a failure, which are what
such tests are about.  A `Monitor` of their own would leave out `Session`, and with it the opening
commands, the waiting for events and the recording.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, Self

from onpanic.probe.emulator.opening_commands import OPENING_ID
from onpanic.probe.emulator.process import EmulatorProcess
from onpanic.probe.emulator.qtest import Qtest, QtestChannel
from onpanic.probe.emulator.reaper import Reaper
from onpanic.qmp.client import MessageRecorder, QmpClient

__all__ = ("PROCESSES", "EmulatorBackend", "QmpConnection", "RunningEmulator")


class RunningEmulator(Protocol):
    """An emulator that was started, as an asynchronous context manager: see `EmulatorProcess`."""

    argv: list[str]
    opening: bytes
    killed: bool

    @property
    def channel(self) -> Any:
        """What the client is connected to."""

    @property
    def pid(self) -> int:
        """Its process ID."""

    @property
    def returncode(self) -> int | None:
        """The exit status; None while it runs."""

    @property
    def stderr(self) -> str:
        """What it wrote to stderr."""

    @property
    def end(self) -> str:
        """How it ended, for a message."""

    def abandon(self) -> None:
        """Let it be killed at once on the way out."""

    async def wait(self, seconds: float) -> bool:
        """Wait for it to end, and return whether it has."""

    async def first_output(self) -> bytes:
        """Wait for its first output, and return what can be read, which stays there."""

    def peek(self) -> bytes:
        """Return what can be read, and leave it there."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None: ...

    def close(self) -> None:
        """End it and release everything."""


class QmpConnection(Protocol):
    """A QMP client, see `QmpClient`."""

    async def connect(self, channel: Any, *, negotiate: bool = True) -> None:
        """Wait for the greeting and negotiate capabilities."""

    async def execute(self, command: str, arguments: Mapping[str, Any] | None = None) -> Any:
        """Send a command and return what it returns."""

    def send_descriptor(self, descriptor: int) -> None:
        """Send a file descriptor; raises `OSError` where that cannot be done."""

    @property
    def connected(self) -> bool:
        """True while commands can be sent."""

    async def close(self) -> None:
        """End the connection."""


class EmulatorBackend(Protocol):
    """Makes the parts of a start."""

    def start(
        self, argv: Sequence[str], reaper: Reaper, pass_fds: Sequence[int], opening: bytes
    ) -> RunningEmulator:
        """Start an emulator.

        :param argv: The command line.
        :param reaper: Ends the emulator if this process goes away.
        :param pass_fds: File descriptors that it inherits.
        :param opening: What it is sent first.
        :raise StartError: When it cannot be started.
        """

    @property
    def client(self) -> Callable[[str, MessageRecorder], QmpConnection]:
        """Makes a client from the other side's name and a recorder."""

    def qtest(self) -> Qtest:
        """Return a qtest channel.  Raises `OSError` when no descriptor is left."""


def qmp_client(name: str, recorder: MessageRecorder) -> QmpConnection:
    """Return a client for a socket.

    :param name: The other side's name in error messages.
    :param recorder: Sees every message.
    """
    return QmpClient(name, recorder, sent_before=OPENING_ID)


class EmulatorProcesses:
    """The backend that starts processes."""

    client = staticmethod(qmp_client)
    start = EmulatorProcess
    qtest = QtestChannel


#: The backend that starts processes.
PROCESSES: EmulatorBackend = EmulatorProcesses()
