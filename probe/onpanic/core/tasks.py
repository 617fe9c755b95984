"""Structured concurrency: no task is left behind, and cancellation cannot cut a clean-up short."""

import asyncio
from collections.abc import Awaitable, Coroutine, Iterator
from typing import Any, TypeVar

__all__ = ("finish", "run_all")

Result = TypeVar("Result")


async def run_all(*coroutines: Coroutine[Any, Any, Result]) -> list[Result]:
    """Run coroutines concurrently and return their results, in order.

    If one raises, the others are cancelled and waited for, and its exception is raised by itself,
    not in a group.
    """
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_contained(coroutine)) for coroutine in coroutines]
    except BaseExceptionGroup as errors:
        raise _first(errors) from None
    finally:
        for coroutine in coroutines:
            coroutine.close()  # one whose task was cancelled before it began
    return [task.result() for task in tasks]


async def finish(awaitable: Awaitable[object], seconds: float) -> None:
    """Wait for a clean-up to end, even if this is cancelled meanwhile; the cancellation goes on afterwards.

    What the clean-up raises is dropped.

    :param awaitable: The clean-up.
    :param seconds: After which it is cancelled; it then has a second to end.
    """
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(_contained(awaitable))
    interrupted: BaseException | None = None
    for deadline, last in ((loop.time() + seconds, False), (loop.time() + seconds + 1.0, True)):
        while not task.done() and (left := deadline - loop.time()) > 0:
            try:
                await asyncio.wait({task}, timeout=left)
            except BaseException as error:  # noqa: BLE001  the clean-up comes first
                interrupted = interrupted or error
        if not task.done() and not last:
            task.cancel()
    if task.done() and not task.cancelled():
        raised = task.exception()  # otherwise asyncio reports that nothing has retrieved it
        interrupted = interrupted or (raised.error if isinstance(raised, _ContainedError) else None)
    if interrupted:
        raise interrupted


class _ContainedError(Exception):
    """An exception that asyncio would not hand to whoever waits for the task, but raise out of the loop."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(error)
        self.error = error


async def _contained(awaitable: Awaitable[Result]) -> Result:
    """Wait, as a task of its own, so that KeyboardInterrupt and SystemExit reach the one who waits for it.

    Otherwise the event loop stops at once, and the clean-up of every task around this one is skipped.
    """
    try:
        return await awaitable
    except (KeyboardInterrupt, SystemExit) as error:
        raise _ContainedError(error) from error


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first exception; one that ends the process comes before all others."""
    found = list(_flat(errors))
    return next((error.error for error in found if isinstance(error, _ContainedError)), found[0])


def _flat(errors: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in errors.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _flat(error)
        else:
            yield error
