"""A watcher that runs in the test's own event loop, through the package's public functions."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Self

from onpanic.core.errors import SettingsError
from onpanic.watch import Line, Settings, WatchResult

DEADLINE = 60  # seconds


class RunningWatcher:
    """A watcher, from entering the context to leaving it.

    :param function: `watch_domains` or `watch_monitors`, with the arguments before the settings.
    :param state: The directory of the journal.
    :param settings: The settings.
    :param options: Other options of the function.
    :ivar lines: The log lines.
    :ivar result: What the function has returned; None before.
    :ivar notifications: What systemd is notified of.
    :ivar new_settings: What a reload reads; None if it cannot be read.
    """

    def __init__(
        self,
        function: Callable[..., Coroutine[Any, Any, WatchResult]],
        state: Path,
        settings: Settings | None = None,
        **options: Any,
    ) -> None:
        self.lines: list[Line] = []
        self.result: WatchResult | None = None
        self.notifications: list[tuple[str, ...]] = []
        self.new_settings: Settings | None = settings or Settings()
        self.stop, self.reload = asyncio.Event(), asyncio.Event()
        self._coroutine: Coroutine[Any, Any, WatchResult] = function(
            self.new_settings,
            self.lines.append,
            state=state,
            stop=self.stop,
            reload=self.reload,
            read_settings=self._read_settings,
            notify=lambda *assignments: self.notifications.append(assignments),
            **options,
        )
        self._task: asyncio.Task[WatchResult | None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._coroutine)
        return self

    async def __aexit__(self, kind: object, *_error: object) -> None:
        assert self._task
        self.stop.set()
        if kind:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        else:
            await self.end()

    async def end(self) -> None:
        """Wait until it returns, and raise what it raises."""
        assert self._task
        self.result = await asyncio.wait_for(self._task, DEADLINE)

    async def cancel(self) -> None:
        """Cancel it."""
        assert self._task
        self._task.cancel()
        async with asyncio.timeout(DEADLINE):
            await asyncio.gather(self._task, return_exceptions=True)
        assert self._task.cancelled()
        self._task = asyncio.create_task(asyncio.sleep(0))

    async def until(self, event: str, *, times: int = 1, **members: Any) -> Line:
        """Wait for a line with these members, and return it."""
        await self.until_true(lambda: len(self.logged(event, **members)) >= times or self._ended())
        found = self.logged(event, **members)
        assert len(found) >= times, self.lines
        return found[times - 1]

    async def until_true(self, reached: Callable[[], object]) -> None:
        """Wait until a condition holds."""
        try:
            async with asyncio.timeout(DEADLINE):
                while not reached():
                    await asyncio.sleep(0.001)
        except TimeoutError as error:
            raise AssertionError(self.lines) from error

    def logged(self, event: str, **members: Any) -> list[Line]:
        """Return the lines of an event that have these members."""
        return [
            line
            for line in self.lines
            if line.event == event and all(getattr(line, name) == value for name, value in members.items())
        ]

    @property
    def actions(self) -> list[tuple[str, str]]:
        """The actions, each with its outcome."""
        return [(line.action, line.outcome) for line in self.lines if line.event == "action"]

    def _ended(self) -> bool:
        assert self._task
        return self._task.done()

    def _read_settings(self) -> Settings:
        if self.new_settings is None:
            raise SettingsError("watch.toml: nonsense")
        return self.new_settings
