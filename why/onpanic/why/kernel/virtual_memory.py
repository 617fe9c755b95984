"""A kernel's virtual memory."""

from collections.abc import Generator
from typing import Protocol

from onpanic.why.memory.reading import MemoryFault, MemoryRange, Reading, unpack

__all__ = ("Translator", "VirtualMemory")

#: How much virtual memory may be read at once, in bytes.
_MAX_LENGTH = 32 << 20


class Translator(Protocol):
    """The way from virtual to physical addresses of one architecture."""

    def translate(self, address: int) -> "Reading[MemoryRange]":
        """Return where an address is, and how many bytes from there on are in the same page.

        :raise MemoryFault: When nothing is mapped there.
        """


class VirtualMemory:
    """A kernel's virtual memory, read through its page tables.

    :param translator: Translates addresses.
    :param byte_order: ``<`` for little endian, ``>`` for big endian, as in `struct`.
    """

    def __init__(self, translator: Translator, byte_order: str = "<") -> None:
        self._translator = translator
        self.byte_order = byte_order

    def locate(self, address: int) -> "Reading[MemoryRange]":
        """Return where an address is in physical memory, see `Translator.translate`."""
        return self._translator.translate(address)

    def read(self, address: int, length: int) -> "Reading[bytes]":
        """Return the bytes at a virtual address.

        :raise MemoryFault: When a part of them is not mapped or not in memory, or it is more than 32 MiB.
        """
        if not 0 <= length <= _MAX_LENGTH or not 0 <= address < 1 << 64:
            raise MemoryFault(f"{length} bytes at {address:#x} cannot be read")
        spans: list[MemoryRange] = []
        while length > 0:
            found = yield from self._translator.translate(address)
            size = min(found.length, length)
            if spans and sum(spans[-1]) == found.address:
                spans[-1] = MemoryRange(spans[-1].address, spans[-1].length + size)
            else:
                spans.append(MemoryRange(found.address, size))
            address, length = address + size, length - size
        parts = []
        for span in spans:
            parts.append((yield span))  # noqa: PERF401  a comprehension cannot yield
        return b"".join(parts)

    def integer(self, address: int, size: int = 8) -> "Reading[int]":
        """Return the unsigned integer of 4 or 8 bytes at an address."""
        content = yield from self.read(address, size)
        (value,) = unpack(self.byte_order + {1: "B", 2: "H", 4: "I", 8: "Q"}[size], content)
        return value

    def string(self, address: int, length: int) -> Generator[MemoryRange, bytes, str]:
        """Return the ASCII string that ends with a zero within a number of bytes."""
        content = yield from self.read(address, length)
        return content.partition(b"\0")[0].decode("ascii", "replace")
