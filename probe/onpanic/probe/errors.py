"""Every exception that onpanic raises on purpose.

::

    OnpanicError
     ├── EmulatorError        an emulator could not be asked to the end
     │    ├── StartError      it did not start, or what started does not speak QMP
     │    ├── EndedError      it ended, or hung up, in the middle
     │    ├── DeadlineError   it did not answer in time
     │    └── ProtocolFault   it answered with something that is not QMP, or with far too much
     ├── RecordError          a capability record cannot be read
     ├── RecordingError       a recording cannot be read or written
     └── SourceError          a live monitor or a libvirt domain cannot be asked

All of them end the command with exit status 2.  A policy that is refused is no
error: it is a `Decision`.  The shims add their own (`onpanic.shims.errors`).
"""

from .foreign import printable

__all__ = (
    "DeadlineError",
    "EmulatorError",
    "EndedError",
    "OnpanicError",
    "ProtocolFault",
    "RecordError",
    "RecordingError",
    "SourceError",
    "StartError",
)


_LONGEST = 2000  # characters; QEMU's list of machine types fits


class OnpanicError(Exception):
    """What failed and, as a hint, what to do next.

    :param message: One line: what failed, with the other side's own words.
    :param hint: One line: what the user can do about it.
    :cvar exit_status: What the command ends with.
    """

    exit_status = 2

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.message = printable(message, _LONGEST)
        self.hint = printable(hint, _LONGEST)

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class EmulatorError(OnpanicError):
    """An emulator could not be asked to the end."""


class StartError(EmulatorError):
    """The emulator did not start, or what started does not speak QMP.

    For example::

        qemu-system-x86_64 ended before its QMP greeting (status 1): unsupported machine type

    :param missing: True if there is no such emulator at all.
    """

    def __init__(self, message: str, hint: str = "", *, missing: bool = False) -> None:
        super().__init__(message, hint)
        self.missing = missing


class EndedError(EmulatorError):
    """The emulator ended, or hung up, in the middle of the conversation."""


class DeadlineError(EmulatorError):
    """The emulator did not answer in time."""


class ProtocolFault(EmulatorError):  # noqa: N818
    """The emulator answered with something that is not QMP, or with far too much."""


class RecordError(OnpanicError, ValueError):
    """A capability record is unreadable, incomplete or of another schema version."""


class RecordingError(OnpanicError, ValueError):
    """A recording is unreadable, or cannot be written."""


class SourceError(OnpanicError):
    """A live monitor or a libvirt domain cannot be asked."""
