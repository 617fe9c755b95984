"""Whatever goes wrong at whatever await: no process, no task and no file descriptor is left."""

import asyncio
import contextlib
import gc
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

from onpanic.probe import aprobe
from onpanic.probe.asking.plan import ProbePlan
from onpanic.probe.asking.starts import ask_emulator
from onpanic.probe.emulator.reaper import Reaper
from onpanic.probe.live import ask_monitor
from onpanic.probe.testing import QEMU_7_2, PlayedEmulator

from . import injection

Kind = Literal["raise", "cancel"]
Main = Callable[[], Coroutine[Any, Any, object]]
Find = Callable[[str], dict[int, str]]

pytestmark = pytest.mark.processes


def descriptors() -> set[str]:
    """Return the open pipes, sockets and files of this process."""
    gc.collect()
    found = set()
    for path in Path("/proc/self/fd").iterdir():
        try:
            found.add(f"{path.name} {path.readlink()}")
        except OSError:
            continue  # the one that lists them
    return found


def await_descriptors(expected: set[str]) -> set[str]:
    """Return `descriptors` once they are as expected, or after a deadline.

    A played monitor runs in threads of this process, and closes its end a little later.
    """
    deadline = time.monotonic() + 10
    while not (found := descriptors()) <= expected and time.monotonic() < deadline:
        time.sleep(0.01)
    return found


def faults(
    main: Callable[[], Coroutine[Any, Any, object]], kind: Kind, every: int
) -> Iterator[tuple[int, list[Any]]]:
    """Run a coroutine again and again, with a fault one await later each time, until it ends before that."""
    at = 1
    while True:
        reached, left = injection.run(main, at, kind)
        yield at, left
        if not reached:
            return
        at += every


@pytest.mark.parametrize("kind", ["raise", "cancel"])
def test_a_probe_leaves_nothing(kind: Kind, mark: str, survivors: Find) -> None:
    """A probe of two machine types at once, with a fault at each third await in turn."""

    async def main() -> object:
        return await aprobe(QEMU_7_2.command(), machines=["pc", "none"], jobs=3, timeout=20)

    assert reached(main, kind, every=3) > 20
    assert survivors(mark) == {}


@pytest.mark.parametrize("kind", ["raise", "cancel"])
def test_asking_a_monitor_leaves_nothing(
    kind: Kind, played: Callable[[PlayedEmulator], str], mark: str, survivors: Find
) -> None:
    """A monitor that is asked, with a fault at each await in turn."""
    address = played(QEMU_7_2)

    async def main() -> object:
        return await ask_monitor(address, 20)

    assert reached(main, kind) > 5


@pytest.mark.emulators
@pytest.mark.parametrize("kind", ["raise", "cancel"])
def test_a_probe_through_qtest_leaves_nothing(
    kind: Kind, debian_emulator: Callable[..., list[str]], mark: str, survivors: Find
) -> None:
    """The PCI device is reached through a second channel, which is closed as well."""
    command = debian_emulator("trixie", "qemu-system-aarch64")

    async def main() -> object:
        return await aprobe(command, machines=["virt"], timeout=60)

    assert reached(main, kind, every=5) > 20
    assert survivors(mark) == {}


def reached(main: Main, kind: Kind, every: int = 1) -> int:
    """Assert that a coroutine leaves nothing, and return at how many awaits it could fail."""
    asyncio.run(main())  # what is loaded once is loaded
    before, last = descriptors(), 0
    for at, left in faults(main, kind, every):
        assert left == [], f"tasks after a fault at await {at}"
        assert await_descriptors(before) <= before, f"descriptors after a fault at await {at}"
        last = at
    return last


def test_an_exception_in_one_of_many_starts_ends_the_others(mark: str, survivors: Find) -> None:
    """Forty machine types, eight at a time: the third one fails, and no emulator goes on."""
    many = QEMU_7_2.but(machines=tuple(f"pc-i440fx-7.{n}" for n in range(40)))

    class StartFailedError(Exception):
        pass

    def progress(done: int, _total: int) -> None:
        if done == 3:
            raise StartFailedError

    async def main() -> list[Any]:
        plan = ProbePlan(all_machines=True, timeout=60, jobs=8)
        with Reaper() as reaper, pytest.raises(StartFailedError):
            await ask_emulator(many.command(), plan, reaper, progress=progress)
        return [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]

    before = descriptors()
    assert asyncio.run(main()) == []
    assert descriptors() <= before
    assert survivors(mark) == {}


def test_a_time_out_around_a_probe_leaves_no_task(mark: str, survivors: Find) -> None:
    """`asyncio.timeout` around `aprobe` ends everything before it raises, wherever it strikes."""

    async def main(seconds: float) -> list[Any]:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await aprobe(QEMU_7_2.command(), machines=["pc", "q35"], timeout=20)
        return [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]

    for hundredths in range(1, 40, 3):
        assert asyncio.run(main(hundredths / 100)) == []
    assert survivors(mark) == {}
