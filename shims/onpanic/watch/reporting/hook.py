"""The hook: a command of the operator that runs for each event and action, one at a time.

Its environment describes the line: ``ONPANIC_EVENT``, ``ONPANIC_DOMAIN``, ``ONPANIC_UUID`` and so
on, one variable for each member that is set.  Nothing waits for the hook, and it is killed when
it takes too long.
"""

import asyncio
from collections.abc import Callable

from onpanic.core.operator_commands import run_command
from onpanic.watch.reporting.lines import Line, Sink, members, now
from onpanic.watch.rules.settings import Settings

__all__ = ("Hook",)

#: The events that the hook runs for: what has happened to a guest, and what was done about it.
_EVENTS = ("panicked", "crashloaded", "internal-error", "why", "action", "limit", "over")

_QUEUE_LIMIT = 10_000  # lines


class Hook:
    """Runs the hook that the settings name, for each line about a guest.  A `Sink`.

    :param settings: Returns the current settings.
    :param sink: Takes lines about hooks that failed.
    """

    def __init__(self, settings: Callable[[], Settings], sink: Sink) -> None:
        self._settings = settings
        self._sink = sink
        self._lines: asyncio.Queue[Line] = asyncio.Queue(_QUEUE_LIMIT)
        self._dropped = 0

    def __call__(self, line: Line) -> None:
        """Queue a line."""
        unknown = line.event == "why" and not line.reason
        if line.event not in _EVENTS or unknown or not self._settings().hook:
            return
        try:
            self._lines.put_nowait(line)
        except asyncio.QueueFull:
            self._dropped += 1

    async def run(self) -> None:
        """Run the hook for each queued line, until cancelled."""
        while True:
            line = await self._lines.get()
            try:
                await self._run_for(line)
            finally:
                self._lines.task_done()
            if self._dropped:
                self._warn(f"{self._dropped} calls were dropped: it is too slow")
                self._dropped = 0

    async def drained(self) -> None:
        """Wait until the hook has run for all queued lines."""
        await self._lines.join()

    async def _run_for(self, line: Line) -> None:
        settings = self._settings()
        variables = {f"ONPANIC_{name.upper()}": str(value) for name, value in members(line).items()}
        error = await run_command(settings.hook, variables, settings.hook_timeout)
        if error:
            self._warn(error)

    def _warn(self, text: str) -> None:
        self._sink(Line("problem", "warning", at=now(), detail=f"the hook: {text}"))
