"""Structured concurrency: nothing is left, and the error that is raised is the one that happened."""

import asyncio
from typing import Any

import pytest

from onpanic.core.tasks import finish, run_all


class BrokenError(Exception):
    pass


async def value(number: int) -> int:
    await asyncio.sleep(0)
    return number


async def test_results_are_in_order() -> None:
    """`run_all` returns what each coroutine returned, in the order in which they were given."""
    assert await run_all(value(1), value(2), value(3)) == [1, 2, 3]
    assert await run_all() == []


async def test_one_error_ends_the_others() -> None:
    """The error is raised by itself, after the others have ended."""
    ended: list[str] = []

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cancelled")

    async def fail() -> None:
        await asyncio.sleep(0)
        raise BrokenError

    with pytest.raises(BrokenError):
        await run_all(wait(), fail(), wait())
    assert ended == ["cancelled", "cancelled"]


async def test_a_cleanup_outlives_a_cancellation() -> None:
    """`finish` lets a clean-up end before the cancellation goes on, however often it is cancelled."""
    steps: list[str] = []
    go_on = asyncio.Event()

    async def clean_up() -> None:
        await go_on.wait()
        steps.append("cleaned up")

    async def work() -> None:
        try:
            await finish(clean_up(), 60)
        finally:
            steps.append("ended")

    task = asyncio.create_task(work())
    for _ in range(3):
        await asyncio.sleep(0)
        task.cancel()
    await asyncio.sleep(0)
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert steps == ["cleaned up", "ended"]


async def test_a_cleanup_that_hangs_is_cancelled() -> None:
    """After its time it is given up, and no task is left."""
    await finish(asyncio.Event().wait(), 0.01)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_what_a_cleanup_raises_is_dropped() -> None:
    """The error that made the clean-up necessary is the one to know about."""

    async def fail() -> Any:
        raise BrokenError

    await finish(fail(), 1)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_what_ends_the_process_waits_for_all_cleanups(error: type[BaseException]) -> None:
    """KeyboardInterrupt and SystemExit go through every task around the one that raises them."""
    ended: list[str] = []

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append("wait")

    async def fail() -> None:
        await asyncio.sleep(0)
        raise error

    async def work() -> None:
        try:
            await run_all(wait(), fail())
        finally:
            await finish(value(1), 60)
            ended.append("work")

    async def main() -> None:
        try:
            await run_all(work(), value(2))
        finally:
            await asyncio.sleep(0)
            ended.append("main")

    with pytest.raises(error):
        asyncio.run(main())
    assert ended == ["wait", "work", "main"]


def test_a_cleanup_that_ends_the_process_is_not_dropped() -> None:
    """`finish` raises KeyboardInterrupt itself, to the one who waits for the clean-up."""
    ended: list[str] = []

    async def fail() -> None:
        raise KeyboardInterrupt

    async def main() -> None:
        try:
            await finish(fail(), 60)
        finally:
            await asyncio.sleep(0)
            ended.append("main")

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(main())
    assert ended == ["main"]
