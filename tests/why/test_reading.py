"""Readings of guest memory: what they fetch, and what limits them."""

import pytest

from onpanic.why.memory.reading import MemoryFault, MemoryRange, Reading, paged, read_with

MEMORY = bytes(range(256)) * 64  # 16 KiB


class Fetched:
    """A memory that notes what is fetched."""

    def __init__(self) -> None:
        self.ranges: list[tuple[int, int]] = []

    def __call__(self, address: int, length: int) -> bytes:
        self.ranges.append((address, length))
        if address + length > len(MEMORY):
            raise MemoryFault(f"{address:#x}")
        return MEMORY[address : address + length]


def reads(*ranges: tuple[int, int]) -> Reading[list[bytes]]:
    found = []
    for address, length in ranges:
        found.append((yield MemoryRange(address, length)))
    return found


def test_a_page_is_fetched_once() -> None:
    memory = Fetched()
    assert read_with(paged(reads((4090, 12), (100, 3), (8000, 8))), memory) == [
        MEMORY[4090:4102],
        MEMORY[100:103],
        MEMORY[8000:8008],
    ]
    assert memory.ranges == [(0, 8192)]


def test_a_fault_reaches_the_reading() -> None:
    """It may go on elsewhere."""

    def goes_on() -> Reading[bytes]:
        try:
            yield MemoryRange(1 << 40, 8)
        except MemoryFault:
            return (yield MemoryRange(0, 4))
        return b""

    assert read_with(paged(goes_on()), Fetched()) == MEMORY[:4]


@pytest.mark.parametrize("limit", [{"max_bytes": 8192}, {"max_fetches": 2}])
def test_a_limit_ends_a_reading(limit: dict[str, int]) -> None:
    """A guest whose structures lead everywhere is given up."""
    with pytest.raises(MemoryFault, match="more than"):
        read_with(paged(reads((0, 1), (4096, 1), (8192, 1)), **limit), Fetched())


def test_a_reading_without_an_end_is_given_up() -> None:
    def circles() -> Reading[None]:
        while True:
            yield MemoryRange(0, 8)

    with pytest.raises(MemoryFault, match="reads"):
        read_with(paged(circles(), max_reads=1000), Fetched())


@pytest.mark.parametrize("wanted", [(-1, 8), (0, -1), (0, 1 << 40)])
def test_what_no_memory_has_is_not_fetched(wanted: tuple[int, int]) -> None:
    memory = Fetched()
    with pytest.raises(MemoryFault):
        read_with(paged(reads(wanted)), memory)
    assert memory.ranges == []
