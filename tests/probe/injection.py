"""Faults injected at awaits: an exception, or a cancellation, at the n-th time that a coroutine waits.

`run` counts every suspension of the coroutines of onpanic, those of all their tasks together.  At the one
that is chosen, the awaited thing raises, or the task is cancelled.  A task group that waits for its tasks is
only cancelled: nothing else can happen there.
"""

import asyncio
import types
from collections.abc import Callable, Coroutine, Generator
from pathlib import Path
from typing import Any, Literal

import onpanic

__all__ = ("InjectedError", "run")

#: Whose coroutines are counted: onpanic's, wherever it is installed, and the tests'.
_OURS = (*onpanic.__path__, str(Path(__file__).parent))


class InjectedError(Exception):
    """What an await raises."""


class _Counter:
    def __init__(self, at: int, kind: Literal["raise", "cancel"]) -> None:
        self.left = at
        self.kind = kind

    def due(self, coroutine: Any) -> bool:
        """Return whether the fault is due, when a coroutine waits."""
        if self.kind == "raise" and _innermost(coroutine).endswith("asyncio/taskgroups.py"):
            return False
        self.left -= 1
        return self.left == 0


def _innermost(coroutine: Any) -> str:
    """Return the file of the code that waits."""
    name = ""
    while coroutine is not None:
        code = getattr(coroutine, "cr_code", None) or getattr(coroutine, "gi_code", None)
        name = code.co_filename if code else name
        coroutine = getattr(coroutine, "cr_await", None) or getattr(coroutine, "gi_yieldfrom", None)
    return name


def run(
    main: Callable[[], Coroutine[Any, Any, object]], at: int, kind: Literal["raise", "cancel"]
) -> tuple[bool, list[asyncio.Task[Any]]]:
    """Run a coroutine with a fault at its n-th suspension.

    :param main: Makes the coroutine.
    :param at: Which suspension, from 1.
    :param kind: What happens there.
    :return: Whether it was reached, and the tasks that were left when the coroutine had ended.
    """
    counter = _Counter(at, kind)

    def factory(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
        ours = str(getattr(coroutine, "cr_code", None) and coroutine.cr_code.co_filename).startswith(_OURS)
        return asyncio.Task(_wrapped(coroutine, counter) if ours else coroutine, loop=loop, **options)

    async def supervise() -> list[asyncio.Task[Any]]:
        loop = asyncio.get_running_loop()
        loop.set_task_factory(factory)
        task = asyncio.ensure_future(main())
        await asyncio.wait([task], timeout=30)
        if task.done() and not task.cancelled():
            task.exception()
        left = [one for one in asyncio.all_tasks() if one is not asyncio.current_task()]
        loop.set_task_factory(None)
        return left

    left = asyncio.run(supervise())
    return counter.left <= 0, left


async def _wrapped(coroutine: Coroutine[Any, Any, Any], counter: _Counter) -> Any:
    return await _stepping(coroutine, counter)


@types.coroutine
def _stepping(coroutine: Coroutine[Any, Any, Any], counter: _Counter) -> Generator[Any, Any, Any]:
    error: BaseException | None = None
    while True:
        try:
            waiting = coroutine.send(None) if error is None else coroutine.throw(error)
        except StopIteration as stop:
            return stop.value
        error = None
        if counter.due(coroutine):
            if counter.kind == "raise":
                error = InjectedError()
                continue
            task = asyncio.current_task()
            assert task
            task.cancel()
        try:
            yield waiting
        except BaseException as raised:  # noqa: BLE001  it is the coroutine's to handle
            error = raised
