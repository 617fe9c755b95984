"""Every exception that onpanic raises on purpose.

::

    OnpanicError
     ├── UsageError          options or arguments that contradict each other, or name nothing
     ├── FileError           a file or folder cannot be read or written
     ├── MissingExtraError   an optional dependency is not installed
     ├── EmulatorError       an emulator could not be asked everything
     │    ├── StartError     it did not start, or what started does not speak QMP
     │    ├── EndedError     it exited, or closed its monitor, before it had answered
     │    ├── DeadlineError  it did not answer in time
     │    └── ProtocolFault  it answered with something that is not QMP, or with far too much
     ├── SourceError         a running guest's monitor, or libvirt, cannot be asked
     ├── RecordError         a capability record or a matrix cannot be read
     ├── RecordingError      a recording cannot be read or written
     ├── ExpectationError    an expectation file is invalid
     ├── DocumentError       domain XML cannot be read, or contradicts itself
     ├── RefusedError        a policy, a device or a way to continue a guest is refused
     ├── SettingsError       the watcher's settings are invalid
     ├── GuestError          a watched guest cannot be looked at or acted on now
     │    ├── LostError      the connection is gone, or nothing answers
     │    │    ├── UnansweredError  nothing answers although something is there
     │    │    └── AbsentError  nothing listens at the guest's address
     │    ├── GoneError      the guest no longer exists
     │    ├── BusyError      another operation is in progress; try again
     │    │    └── StaleError  the guest has changed since it was looked at; nothing was done
     │    └── FailedError    the operation was refused, or did not work
     └── FetchError          a Debian suite cannot be fetched, or its libvirt does not start

`onpanic.shims.PolicyError` is outside the tree: it is a ``libvirt.libvirtError``, so that programs that
use an extended libvirt connection need no other ``except``.

A command ends with exit status 2 on each of them but `RefusedError`, which ends it with 1.
A policy that `onpanic.probe.decide` refuses raises nothing: the refusal is a `Decision`.
"""

from typing import Protocol

from onpanic.core.untrusted import printable

__all__ = (
    "AbsentError",
    "BusyError",
    "DeadlineError",
    "DocumentError",
    "EmulatorError",
    "EndedError",
    "ExpectationError",
    "FailedError",
    "FetchError",
    "FileError",
    "GoneError",
    "GuestError",
    "LostError",
    "MissingExtraError",
    "OnpanicError",
    "ProtocolFault",
    "RecordError",
    "RecordingError",
    "RefusedError",
    "SettingsError",
    "SourceError",
    "StaleError",
    "StartError",
    "UnansweredError",
    "UsageError",
)

_MAX_LENGTH = 2000  # characters; QEMU's list of machine types fits


class OnpanicError(Exception):
    """What failed and, as a hint, what to do next.

    :param message: One line: what failed, with the other side's own words.
    :param hint: One line: what the user can do about it.
    :cvar exit_status: The exit status of a command that ends with this error.
    """

    exit_status = 2

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.message = printable(message, _MAX_LENGTH)
        self.hint = printable(hint, _MAX_LENGTH)

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class UsageError(OnpanicError, ValueError):
    """Options or arguments contradict each other, or name something that does not exist.

    For example::

        more than one source
        name emulators, or one of --recording, --qmp and --domain
    """


class FileError(OnpanicError):
    """A file or folder cannot be read or written.

    For example::

        guest.xml: No such file or directory
    """


class MissingExtraError(OnpanicError, ImportError):
    """An optional dependency is not installed.

    For example::

        lxml is not installed
        install it with /opt/onpanic/bin/python3 -m pip install 'onpanic[xml]'

    :param package: What cannot be imported.
    :param extra: The extra of onpanic that installs it; the command is that of `onpanic.core.extras`.
    :param detail: Why it cannot be imported; empty if it is simply not there.
    """

    def __init__(self, package: str, extra: str, detail: str = "") -> None:
        from onpanic.core.extras import install_command  # reads TOML, which takes as long to load as the rest

        reason = f": {detail}" if detail else ""
        super().__init__(f"{package} is not installed{reason}", f"install it with {install_command(extra)}")
        self.package, self.extra, self.detail = package, extra, detail


class EmulatorError(OnpanicError):
    """An emulator could not be asked everything."""


class StartError(EmulatorError):
    """The emulator did not start, or what started does not speak QMP.

    For example::

        qemu-system-x86_64 ended before its QMP greeting (status 1): unsupported machine type

    :param missing: True if there is no such emulator.
    """

    def __init__(self, message: str, hint: str = "", *, missing: bool = False) -> None:
        super().__init__(message, hint)
        self.missing = missing


class EndedError(EmulatorError):
    """The emulator exited, or closed its monitor, before it had answered.

    For example::

        qemu-system-x86_64 ended before answering qom-list-types (SIGABRT)
    """


class DeadlineError(EmulatorError):
    """The emulator did not answer in time."""


class ProtocolFault(EmulatorError):  # noqa: N818
    """The emulator answered with something that is not QMP, or with far too much."""


class SourceError(OnpanicError):
    """A running guest's monitor, or libvirt, cannot be asked.

    For example::

        vm.qmp: No such file or directory
    """


class RecordError(OnpanicError, ValueError):
    """A capability record or a matrix is unreadable, incomplete or of an unknown schema version."""


class RecordingError(OnpanicError, ValueError):
    """A recording is unreadable, or cannot be written."""


class ExpectationError(OnpanicError, ValueError):
    """An expectation file is invalid.

    For example::

        known.toml: no such tag: panic-devise-missing
    """


class DocumentError(OnpanicError, ValueError):
    """Domain XML cannot be read, or contradicts itself.

    For example::

        the document's element is <network>, not <domain>
    """


class _Explained(Protocol):
    """The part of a `Decision` that a `RefusedError` prints."""

    @property
    def code(self) -> str: ...
    @property
    def reason(self) -> str: ...
    @property
    def remedy(self) -> str: ...


class RefusedError(OnpanicError):
    """A policy, a device or a way to continue a guest is refused.

    :param decision: The refusal, with its code, reason and remedy.
    """

    exit_status = 1

    def __init__(self, decision: _Explained) -> None:
        super().__init__(f"refused: {decision.code}: {decision.reason}", decision.remedy)
        self.decision = decision


class SettingsError(OnpanicError, ValueError):
    """The watcher's settings are invalid.

    For example::

        watch.toml: dump-timeout must be more than 0 seconds
    """


class GuestError(OnpanicError):
    """A watched guest cannot be looked at or acted on now."""


class LostError(GuestError):
    """The connection to the guest is gone, or nothing answers."""


class UnansweredError(LostError):
    """Nothing answers although something is there; what was asked for may be done later."""


class AbsentError(LostError):
    """Nothing listens at the guest's address: the guest is not there now."""


class GoneError(GuestError):
    """The guest no longer exists."""


class BusyError(GuestError):
    """Another operation is in progress on the guest, or nothing answers yet; the request may still succeed.

    :param wait: Seconds after which to try again, unless an event comes first.
    """

    def __init__(self, message: str, *, wait: float = 1.0) -> None:
        super().__init__(message)
        self.wait = wait


class StaleError(BusyError):
    """The guest has changed since it was looked at, and nothing was done."""


class FailedError(GuestError):
    """The operation was refused, or did not work; the guest is as it was."""


class FetchError(OnpanicError):
    """A Debian suite cannot be fetched, or its libvirt does not start.

    For example::

        tar, bwrap not found
        apt-get install bubblewrap tar
    """
