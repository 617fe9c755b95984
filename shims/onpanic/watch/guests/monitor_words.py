"""Why a guest without libvirt panicked, read through its monitor."""

import asyncio
from collections.abc import Mapping
from typing import Any

from onpanic.core.errors import BusyError, FailedError
from onpanic.qmp.client import CommandError
from onpanic.watch.guests.qmp_monitor import QmpMonitor
from onpanic.why.readers.from_monitor import words_through_monitor
from onpanic.why.words.last_words import LastWords

__all__ = ("monitored_words",)


async def monitored_words(monitor: QmpMonitor, timeout: float) -> LastWords:  # noqa: ASYNC109
    """Read a stopped guest's last words.

    :param timeout: Seconds.
    :raise BusyError: When that takes longer.
    :raise FailedError: When QEMU does not have what it needs.
    :raise LostError: When the connection is lost.
    """
    reading = asyncio.create_task(words_through_monitor(_WatchedMonitor(monitor)))
    try:
        if not (await asyncio.wait({reading}, timeout=timeout))[0]:
            reading.add_done_callback(lambda task: task.cancelled() or task.exception())
            raise BusyError(f"QEMU did not answer within {timeout:g} s")
        return reading.result()
    except CommandError as error:
        raise FailedError(error.desc) from error
    finally:
        reading.cancel()  # it then takes back what QEMU was given, which nobody waits for


class _WatchedMonitor:
    """A monitor, see `onpanic.why.memory.monitor_memory.MonitorCommands`."""

    def __init__(self, monitor: QmpMonitor) -> None:
        self.send_descriptor = monitor.send_descriptor
        self._monitor = monitor

    async def execute(self, command: str, arguments: Mapping[str, Any] | None = None) -> Any:
        """Send a command and return what it returns.

        :raise CommandError: When it is refused.
        :raise LostError: When there is no answer.
        """
        try:
            return await self._monitor.execute(command, **arguments or {})
        except FailedError as error:
            raise CommandError("GenericError", error.message) from error
