"""Finding a kernel's vmcoreinfo in virtual memory: through libvirt, which does not show registers."""

import time
from collections.abc import Callable

from onpanic.why.kernel.virtual_memory import VirtualMemory
from onpanic.why.locating.kernel_pointers import find_by_pointers, find_in_image
from onpanic.why.locating.unnoted_words import BY_POINTERS, FIND_BYTES, FIND_FETCHES, FoundNote
from onpanic.why.memory.reading import MemoryFault, MemoryRange, Reading, paged, read_with

__all__ = ("find_in_virtual_memory", "image_reading")

_ATTEMPTS = 20
_PAUSE = 0.02  # seconds
_ENDLESS = 1 << 48  # a range that QEMU translates


def image_reading(text: int) -> "Reading[bytes]":
    """Return the vmcoreinfo of a kernel by reading virtual addresses, see `find_in_image`.

    :param text: A virtual address in the kernel's text.
    """
    reading = find_in_image(VirtualMemory(SameAddresses()), text)
    return paged(reading, max_bytes=FIND_BYTES, max_fetches=FIND_FETCHES)


class SameAddresses:
    """Leaves the translation to QEMU, see `onpanic.why.kernel.virtual_memory.Translator`."""

    def translate(self, address: int) -> "Reading[MemoryRange]":
        """Return the address itself."""
        return MemoryRange(address, min(_ENDLESS, (1 << 64) - address))
        yield  # it is a generator, as every translation


def find_in_virtual_memory(
    fetch: Callable[[int, int], bytes], otherwise: str, sleep: Callable[[float], None] = time.sleep
) -> FoundNote:
    """Return the vmcoreinfo of the x86_64 kernel that a guest's first processor runs.

    With page-table isolation, a processor that carries out a program does not see the kernel's data; so
    it is tried some more times, within half a second.

    :param fetch: Returns bytes at a virtual address of that processor; raises `MemoryFault`.
    :param otherwise: What is said if there is no vmcoreinfo.
    """
    for attempt in range(_ATTEMPTS):
        if attempt:
            sleep(_PAUSE)
        finding = find_by_pointers(VirtualMemory(SameAddresses()))
        reading = paged(finding, max_bytes=FIND_BYTES, max_fetches=FIND_FETCHES)
        try:
            return FoundNote(read_with(reading, fetch), (BY_POINTERS,))
        except MemoryFault as fault:
            otherwise = f"{otherwise}: {fault}" if attempt == _ATTEMPTS - 1 else otherwise
    return FoundNote(None, (otherwise,))
