"""Reading guest memory without knowing where it comes from.

What reads structures of a guest is a generator: it yields the range of physical memory that it needs next
and is sent the bytes, so that one implementation serves files, monitors and libvirt, synchronous or not.
All of guest memory is untrusted.  `paged` sets the limits: on how much is read, and how often.
"""

import struct
from collections.abc import Awaitable, Callable, Generator
from typing import NamedTuple, TypeVar

__all__ = (
    "MAX_BYTES",
    "MAX_FETCHES",
    "MemoryFault",
    "MemoryRange",
    "Reading",
    "areading",
    "paged",
    "read_with",
    "unpack",
)

Result = TypeVar("Result")

#: How much of a guest's memory one reading may fetch, in bytes.
MAX_BYTES = 64 << 20

#: How many ranges one reading may fetch.
MAX_FETCHES = 20_000

#: How many ranges one reading may ask for, most of which are in pages that were fetched before.
_MAX_READS = 500_000

#: The unit of what is fetched, in bytes; the smallest page of every architecture.
_PAGE = 4096


class MemoryFault(Exception):  # noqa: N818
    """An address is not in the guest's memory, or the guest's structures make no sense."""


class MemoryRange(NamedTuple):
    """A range of physical memory.

    :param address: Where it begins.
    :param length: Its length in bytes.
    """

    address: int
    length: int


#: A generator that yields the ranges that it needs, is sent their bytes, and returns a result.
Reading = Generator[MemoryRange, bytes, Result]


def read_with(reading: "Reading[Result]", fetch: Callable[[int, int], bytes]) -> Result:
    """Carry out a reading and return its result.

    :param fetch: Returns the bytes of an address and a length; raises `MemoryFault` if there are none.
    :raise MemoryFault: When the reading does not handle one itself.
    """
    try:
        wanted = next(reading)
        while True:
            try:
                content = fetch(*wanted)
            except MemoryFault as fault:
                wanted = reading.throw(fault)
            else:
                wanted = reading.send(content)
    except StopIteration as end:
        result: Result = end.value
        return result
    finally:
        reading.close()


async def areading(reading: "Reading[Result]", fetch: Callable[[int, int], Awaitable[bytes]]) -> Result:
    """Carry out a reading whose bytes come from a coroutine, see `read_with`."""
    try:
        wanted = next(reading)
        while True:
            try:
                content = await fetch(*wanted)
            except MemoryFault as fault:
                wanted = reading.throw(fault)
            else:
                wanted = reading.send(content)
    except StopIteration as end:
        result: Result = end.value
        return result
    finally:
        reading.close()


def paged(
    reading: "Reading[Result]",
    *,
    max_bytes: int = MAX_BYTES,
    max_fetches: int = MAX_FETCHES,
    max_reads: int = _MAX_READS,
) -> "Reading[Result]":
    """Return a reading that fetches whole pages, each of them once, within limits.

    :param max_bytes: How many bytes may be fetched.
    :param max_fetches: How many ranges may be fetched.
    :param max_reads: How many ranges may be asked for.
    :raise MemoryFault: When the guest's structures lead beyond a limit.
    """
    pages: dict[int, bytes] = {}
    fetched = fetches = 0
    try:
        wanted = next(reading)
        for _ in range(max_reads):
            try:
                first, last = wanted.address // _PAGE, (wanted.address + wanted.length - 1) // _PAGE
                if wanted.length < 0 or first < 0 or wanted.length > max_bytes:
                    raise MemoryFault(f"{wanted.length} bytes at {wanted.address:#x} cannot be read")
                for span in _missing(first, last, pages):
                    fetched, fetches = fetched + span.length, fetches + 1
                    if fetched > max_bytes or fetches > max_fetches:
                        raise _Exhausted(f"more than {max_bytes >> 20} MiB or {max_fetches} ranges")
                    content = yield span
                    if len(content) != span.length:
                        raise MemoryFault(f"{span.address:#x} is not in the guest's memory")
                    for offset in range(0, span.length, _PAGE):
                        pages[(span.address + offset) // _PAGE] = content[offset : offset + _PAGE]
            except _Exhausted:
                raise
            except MemoryFault as fault:
                wanted = reading.throw(fault)
                continue
            joined = b"".join([pages[page] for page in range(first, last + 1)]) if wanted.length else b""
            start = wanted.address - first * _PAGE
            wanted = reading.send(joined[start : start + wanted.length])
        raise _Exhausted(f"more than {max_reads} reads")
    except StopIteration as end:
        result: Result = end.value
        return result
    finally:
        reading.close()


class _Exhausted(MemoryFault):
    """A limit was reached; the reading ends."""


def _missing(first: int, last: int, pages: dict[int, bytes]) -> list[MemoryRange]:
    """Return the ranges of pages that were not fetched yet, as few as possible."""
    spans: list[MemoryRange] = []
    for page in range(first, last + 1):
        if page in pages:
            continue
        if spans and sum(spans[-1]) == page * _PAGE:
            spans[-1] = MemoryRange(spans[-1].address, spans[-1].length + _PAGE)
        else:
            spans.append(MemoryRange(page * _PAGE, _PAGE))
    return spans


def unpack(format_: str, content: bytes) -> tuple[int, ...]:
    """Return the integers of a structure, see `struct`.

    :raise MemoryFault: When the content is too short.
    """
    try:
        return struct.unpack_from(format_, content)
    except struct.error as error:
        raise MemoryFault("a structure is incomplete") from error
