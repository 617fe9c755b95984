"""A command of the operator's that is called for each thing seen and done, one after the other.

Its environment has the facts: ``ONPANIC_EVENT``, ``ONPANIC_DOMAIN``, ``ONPANIC_UUID`` and so
on, a variable for each member that the line has.  Nothing waits for it, and it is ended
after a while.
"""

import asyncio
from collections.abc import Callable

from .processes import call
from .report import Line, members, now
from .settings import Settings

__all__ = ("Hook",)

#: What the command is called for; the rest is about the watcher, not about guests.
EVENTS = ("panicked", "crashloaded", "internal-error", "action", "limit", "over")

_MOST = 10_000  # lines that may wait for the command


class Hook:
    """Calls the command that the settings name; a `Sink` that runs beside everything else.

    :param settings: Returns the settings of now.
    :param say: Told what went wrong.
    """

    def __init__(self, settings: Callable[[], Settings], say: Callable[[Line], None]) -> None:
        self._settings = settings
        self._say = say
        self._lines: asyncio.Queue[Line] = asyncio.Queue(_MOST)
        self._dropped = 0

    def __call__(self, line: Line) -> None:
        """Call the command for a line, as soon as those before are done."""
        if line.event not in EVENTS or not self._settings().hook:
            return
        try:
            self._lines.put_nowait(line)
        except asyncio.QueueFull:
            self._dropped += 1

    async def run(self) -> None:
        """Call the command until cancelled."""
        while True:
            line = await self._lines.get()
            try:
                await self._call(line)
            finally:
                self._lines.task_done()
            if self._dropped:
                self._complain(f"{self._dropped} calls were left out: it is too slow")
                self._dropped = 0

    async def drained(self) -> None:
        """Return when the command was called for all lines."""
        await self._lines.join()

    async def _call(self, line: Line) -> None:
        settings = self._settings()
        facts = {f"ONPANIC_{name.upper()}": str(value) for name, value in members(line).items()}
        wrong = await call(settings.hook, facts, settings.hook_timeout)
        if wrong:
            self._complain(wrong)

    def _complain(self, words: str) -> None:
        self._say(Line("problem", "warning", at=now(), detail=f"the hook: {words}"))
