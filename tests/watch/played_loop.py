"""An event loop whose time passes at once: it is the time of the next timer when nothing is left to do."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any


class _Selector(selectors.SelectSelector):
    """Waits for nothing, and advances the loop's time instead."""

    loop: "PlayedLoop"

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "nothing will ever happen"
        self.loop.now += max(timeout, 0.0)
        return super().select(0)


class PlayedLoop(asyncio.SelectorEventLoop):
    """An event loop whose time passes at once.

    :ivar now: Its time, in seconds.
    :ivar problems: What went wrong in callbacks and in tasks that nobody waits for.
    """

    def __init__(self, *ignored: type[BaseException]) -> None:
        self.now = 1_000_000.0
        self.problems: list[dict[str, Any]] = []
        self._ignored = ignored
        selector = _Selector()
        selector.loop = self
        super().__init__(selector)
        self.set_exception_handler(self._note)

    def time(self) -> float:
        """Return its time, in seconds."""
        return self.now

    def run(self, work: Coroutine[Any, Any, Any]) -> None:
        """Run a coroutine, and then what is due at the time at which it ends."""
        self.run_until_complete(work)

    def _note(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if not isinstance(context.get("exception"), self._ignored):
            self.problems.append(context)
