"""Calls to libvirt that hang, are late, or belong to a connection that is gone."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from onpanic.core.errors import BusyError, LostError, SourceError
from onpanic.core.libvirt_api import libvirt_module
from onpanic.watch.guests.call_pool import CallLimits
from onpanic.watch.guests.libvirt_connection import LibvirtConnection
from onpanic.watch.guests.libvirt_guest import LibvirtGuest
from onpanic.watch.guests.watched_domain import WatchedDomain
from onpanic.watch.rules.settings import Settings

from ..played.libvirt import PRESERVE, Hang, PlayedLibvirt
from .running import DEADLINE
from .test_played_domains import call_threads, until, until_released

#: Limits at which a call that hangs is soon noticed.
SOON = CallLimits(prompt=0.005, deadline=0.03)


@pytest.fixture(autouse=True)
def no_call_left() -> Iterator[None]:
    """Assert that each test leaves no thread of a call."""
    yield
    deadline = time.monotonic() + DEADLINE
    while call_threads():
        assert time.monotonic() < deadline
        time.sleep(0.001)


@asynccontextmanager
async def connected(
    limits: CallLimits | None = None, on_answer: Callable[[str], object] = print
) -> AsyncIterator[tuple[LibvirtConnection, list[str]]]:
    """Connect to libvirt; a context with the reasons for which the connection was lost."""
    lost: list[str] = []
    connection = LibvirtConnection(None, lambda _: None, lost.append, limits=limits, on_answer=on_answer)
    await connection.open()
    try:
        yield connection, lost
    finally:
        await connection.close()


def hung(played: PlayedLibvirt, count: int) -> dict[str, Hang]:
    """Add guests whose state cannot be read; return them by UUID."""
    names = [f"hung{number}" for number in range(count)]
    domains = [played.add(PRESERVE.replace(">guest<", f">{name}<")) for name in names]
    return {domain.uuid: played.hang("state", domain=domain.name) for domain in domains}


def read_state(connection: LibvirtConnection, guest: str) -> "asyncio.Task[Any]":
    """Start to read a guest's state."""
    return asyncio.create_task(connection.call(lambda c: c.lookupByUUIDString(guest).state(), guest=guest))


async def test_calls_that_hang_do_not_delay_other_guests(played_libvirt: PlayedLibvirt) -> None:
    """Not even if they are more than there are slots."""
    hangs = hung(played_libvirt, 8)
    domain = played_libvirt.add()
    async with connected(CallLimits(prompt=0.005)) as (connection, _):
        reading = [read_state(connection, guest) for guest in hangs]
        assert await asyncio.wait_for(read_state(connection, domain.uuid), DEADLINE) == [1, 1]
        await until(lambda: all(hang.begun for hang in hangs.values()))
        assert await asyncio.wait_for(read_state(connection, domain.uuid), DEADLINE) == [1, 1]
        assert not any(task.done() for task in reading)
        for hang in hangs.values():
            hang.release()
        assert await asyncio.gather(*reading) == [[1, 1]] * 8


async def test_a_guest_has_one_call_at_a_time(played_libvirt: PlayedLibvirt) -> None:
    """The next one is made when it has returned, even if nobody waits for it any more."""
    ((guest, hang),) = hung(played_libvirt, 1).items()
    async with connected(CallLimits(prompt=0.005)) as (connection, _):
        first, others = read_state(connection, guest), []
        await until(lambda: hang.begun)
        others = [read_state(connection, guest) for _ in range(3)]
        first.cancel()
        await asyncio.wait(others, timeout=0.02)
        assert [call.name for call in played_libvirt.calls].count("state") == 1
        assert len(call_threads()) == 2  # of the events, and of the call
        hang.release()
        assert await asyncio.gather(*others) == [[1, 1]] * 3
        assert len(call_threads()) == 2


async def test_a_call_that_passes_its_deadline(played_libvirt: PlayedLibvirt) -> None:
    """Later ones fail at once, with longer and longer waits, until libvirt has answered it."""
    ((guest, hang),) = hung(played_libvirt, 1).items()
    answered: list[str] = []
    async with connected(SOON, answered.append) as (connection, _):
        waits = []
        for message in ("did not answer within 0.03 s", *["has not answered an earlier call"] * 3):
            with pytest.raises(BusyError, match=message) as caught:
                await read_state(connection, guest)
            waits.append(caught.value.wait)
        assert waits == [1, 2, 4, 8]
        assert len(call_threads()) == 2
        assert answered == []
        hang.release()
        await until(lambda: answered)
        assert answered == [guest]
        assert await read_state(connection, guest) == [1, 1]
        assert len(call_threads()) == 2


async def test_libvirt_that_is_busy_again_and_again(played_libvirt: PlayedLibvirt) -> None:
    """It is asked less and less often, at least once a minute; any other answer ends that."""
    libvirt, domain = libvirt_module(), played_libvirt.add()
    played_libvirt.fail("state", libvirt.VIR_ERR_OPERATION_TIMEOUT, "cannot acquire lock", times=8)
    async with connected() as (connection, _):
        waits = []
        for _ in range(8):
            with pytest.raises(BusyError, match="cannot acquire lock") as caught:
                await read_state(connection, domain.uuid)
            waits.append(caught.value.wait)
        assert waits == [1, 2, 4, 8, 16, 32, 60, 60]
        await read_state(connection, domain.uuid)
        played_libvirt.fail("state", libvirt.VIR_ERR_OPERATION_TIMEOUT, "cannot acquire lock")
        with pytest.raises(BusyError) as caught:
            await read_state(connection, domain.uuid)
        assert caught.value.wait == 1


async def test_calls_are_bounded_however_many_guests_hang(played_libvirt: PlayedLibvirt) -> None:
    """libvirtd has 20 workers; the calls that it is not asked to make fail after their deadline."""
    hangs = hung(played_libvirt, 12)
    limits = CallLimits(slots=2, prompt=0.005, hanging=3, deadline=0.05)
    async with connected(limits) as (connection, _):
        reading = [read_state(connection, guest) for guest in hangs]
        found = await asyncio.gather(*reading, return_exceptions=True)
        assert [type(error) for error in found] == [BusyError] * 12
        assert sum(hang.begun for hang in hangs.values()) == 5
        assert len(call_threads()) == 6  # and one of the events
        assert "too many guests hang" in str(found[-1])
        for hang in hangs.values():
            hang.release()
        await until(lambda: len(call_threads()) <= 3)  # one of the events, and idle ones
        assert await asyncio.gather(*(read_state(connection, guest) for guest in hangs)) == [[1, 1]] * 12


async def test_a_dump_that_goes_on(played_libvirt: PlayedLibvirt) -> None:
    """It takes part in no limit, and the guest gets no second one beside it."""
    domain = played_libvirt.add()
    hang = played_libvirt.hang("info")
    async with connected(SOON) as (connection, _):
        work = lambda c: c.lookupByUUIDString(domain.uuid).info()  # noqa: E731
        dump = asyncio.create_task(connection.call_unbounded(work, guest="u"))
        await until(lambda: hang.begun)
        dump.cancel()
        with pytest.raises(BusyError, match="has not finished the previous dump"):
            await connection.call_unbounded(lambda c: c.getURI(), guest="u")
        assert await read_state(connection, domain.uuid) == [1, 1]
        assert connection.occupied(0) == {"u"}
        hang.release()
        await until(lambda: not connection.occupied(0))
        await connection.call_unbounded(lambda c: c.getURI(), guest="u")


async def test_a_panic_that_libvirt_has_not_come_to_beside_guests_that_hang(
    played_libvirt: PlayedLibvirt,
) -> None:
    """libvirt is occupied with such a guest, which is no reason to wait."""
    other, domain = played_libvirt.add(PRESERVE.replace(">guest<", ">other<")), played_libvirt.add()
    domain.state, domain.run_state = (3, 0), "guest-panicked"
    other.occupied, hang = True, played_libvirt.hang("jobStats", domain="other")
    async with connected(CallLimits(prompt=0.005)) as (connection, _):
        guest = LibvirtGuest(
            WatchedDomain(connection, domain.uuid, "guest", Settings, lambda: False, print), unhandled=0.0
        )
        work = lambda c: c.lookupByUUIDString(other.uuid).jobStats()  # noqa: E731
        reading = asyncio.create_task(connection.call(work, guest=other.uuid))
        await until(lambda: hang.begun)
        assert (await guest.read_state(ask_qemu=True)).condition == "panicked"
        hang.release()
        await reading


# Connections that are gone


@pytest.mark.parametrize("unbounded", [False, True])
async def test_a_late_failure_of_an_old_connection(unbounded: bool, played_libvirt: PlayedLibvirt) -> None:
    """It fails the call, and leaves the new connection alone."""
    domain, begun, go_on = played_libvirt.add(), threading.Event(), threading.Event()

    def hang() -> None:
        begun.set()
        go_on.wait(DEADLINE)

    played_libvirt.on("state", hang)
    async with connected() as (connection, lost):
        if unbounded:
            work = lambda c: c.lookupByUUIDString(domain.uuid).state()  # noqa: E731
            reading = asyncio.create_task(connection.call_unbounded(work, guest=domain.uuid))
        else:
            reading = read_state(connection, domain.uuid)
        await asyncio.to_thread(begun.wait, DEADLINE)
        played_libvirt.disconnect()
        await until(lambda: lost)
        await connection.close()
        await connection.open()
        go_on.set()
        with pytest.raises(LostError):
            await reading
        assert lost == ["the connection was closed"]
        assert await read_state(connection, domain.uuid) == [1, 1]


async def test_a_connection_that_is_busy_while_all_are_closed(played_libvirt: PlayedLibvirt) -> None:
    """It is closed after its call, which returns what libvirt says, and the next call has another one."""
    ((guest, hang),) = hung(played_libvirt, 1).items()
    async with connected() as (connection, lost):
        reading = read_state(connection, guest)
        await until(lambda: hang.begun)
        await connection.close()
        await connection.open()
        before = played_libvirt.connections
        assert len(before) == 2
        hang.release()
        assert await reading == [1, 1]
        await until(lambda: len(played_libvirt.connections) == 1)
        assert await read_state(connection, guest) == [1, 1]
        assert len(played_libvirt.connections) == 2
        assert lost == []


@pytest.mark.parametrize("opened_again", [False, True])
async def test_a_call_that_waits_while_all_are_closed(
    opened_again: bool, played_libvirt: PlayedLibvirt
) -> None:
    """It is made through the new connection; if there is none when its turn comes, it fails."""
    ((guest, hang),) = hung(played_libvirt, 1).items()
    other = played_libvirt.add()
    async with connected(CallLimits(slots=1, prompt=DEADLINE)) as (connection, _):
        blocked, waiting = read_state(connection, guest), read_state(connection, other.uuid)
        await until(lambda: hang.begun)
        await connection.close()
        if opened_again:
            await connection.open()
        hang.release()
        await blocked
        if opened_again:
            assert await waiting == [1, 1]
        else:
            with pytest.raises(LostError, match="no connection"):
                await waiting


async def test_a_connection_that_dies_while_it_is_opened(played_libvirt: PlayedLibvirt) -> None:
    """Its loss is an error of the opening, since nobody would notice that no event arrives."""

    def die() -> None:
        played_libvirt.disconnect()
        played_libvirt.wait_delivered()

    played_libvirt.on("getURI", die, after=True)
    lost: list[str] = []
    connection = LibvirtConnection(None, lambda _: None, lost.append)
    with pytest.raises(SourceError, match="the connection was closed"):
        await connection.open()
    assert lost == []
    with pytest.raises(LostError):
        await connection.call(lambda c: c.getURI())
    await connection.open()
    assert await connection.call(lambda c: c.getURI())
    await connection.close()


async def test_a_call_that_hangs_while_all_are_closed(played_libvirt: PlayedLibvirt) -> None:
    """Its connection is closed once libvirt answers, also after the event loop has ended."""
    ((guest, hang),) = hung(played_libvirt, 1).items()
    async with connected() as (connection, _):
        reading = read_state(connection, guest)
        await until(lambda: hang.begun)
        reading.cancel()
    assert len(played_libvirt.connections) == 1
    hang.release()
    await until_released(played_libvirt)


def test_a_call_that_outlives_the_event_loop(played_libvirt: PlayedLibvirt) -> None:
    """Its thread and its connection end with it."""
    ((guest, hang),) = hung(played_libvirt, 1).items()

    async def watch() -> None:
        async with connected() as (connection, _):
            reading = read_state(connection, guest)
            await until(lambda: hang.begun)
            reading.cancel()

    asyncio.run(watch())
    hang.release()
    asyncio.run(until_released(played_libvirt))
