"""An event loop whose clock jumps to the next timer: what waits for seconds takes none.

It is for code that does no input and output: nothing but timers and other tasks ends a wait.
"""

import asyncio
import selectors

__all__ = ("VirtualTimeLoop",)


class _Clock(selectors.SelectSelector):
    """A selector in which no descriptor ever becomes ready, and which moves a clock where it would wait."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("every task waits for something that nothing will do")
        self.now += max(timeout, 0.0)
        return []


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop in virtual time."""

    def __init__(self) -> None:
        self._virtual_clock = _Clock()
        super().__init__(self._virtual_clock)

    def time(self) -> float:
        """Return the virtual time, in seconds."""
        return self._virtual_clock.now
