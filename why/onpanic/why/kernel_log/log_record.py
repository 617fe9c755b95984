"""A record of the kernel's log."""

from typing import NamedTuple

__all__ = ("LOG_KERN", "LogRecord")

#: The facility of what the kernel itself logs; what comes through /dev/kmsg has another one, see syslog(3).
LOG_KERN = 0


class LogRecord(NamedTuple):
    """A record of the kernel's log.

    :param nanoseconds: When it was logged, by the clock that the kernel's log shows.
    :param facility: Who logged it, see `LOG_KERN`.
    :param level: Its severity, from 0 (emergency) to 7 (debug).
    :param text: The text as it is in memory, with line feeds between its lines.
    """

    nanoseconds: int
    facility: int
    level: int
    text: bytes
