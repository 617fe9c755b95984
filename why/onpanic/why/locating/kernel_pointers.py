"""Finding the vmcoreinfo by the kernel's own pointers to it.

A processor leads to the kernel's text: that of x86_64 by its interrupt descriptor table, which is at a fixed
address; others by a register.  Behind its text the kernel's image has the pointers `vmcoreinfo_data` and
`vmcoreinfo_note` beside `vmcoreinfo_size`.  So neither the guest's memory is searched, nor can a program in
the guest offer a vmcoreinfo of its own.  Source: Linux's arch/x86/include/asm/cpu_entry_area.h,
Documentation/arch/x86/x86_64/mm.rst, and kernel/crash_core.c (4.13 and later).
"""

import sys
from array import array
from collections.abc import Iterable, Iterator

from onpanic.why.kernel.virtual_memory import VirtualMemory
from onpanic.why.kernel.x86_64 import IMAGE
from onpanic.why.memory.reading import MemoryFault, Reading, unpack

__all__ = ("BEGINNING", "find_by_pointers", "find_in_image")

#: Where Linux 4.15 and later have the interrupt descriptor table, with four and with five levels.
_IDT = 0xFFFF_FE00_0000_0000

#: How a vmcoreinfo begins; it is at a page's beginning.
BEGINNING = b"OSRELEASE="

_PAGE, _STEP = 4096, 2 << 20  # the image begins at a multiple of 2 MiB, and has parts that begin so
_MAX_STEPS = 64  # 128 MiB
_MAX_HOLES = 8  # 16 MiB of released initialisation code
_MIN_SIZE = 256  # of a vmcoreinfo, in bytes
_NEAR = 8  # words around the size in which the compiler and linker place the pointers
_DIRECT = range(0xFF00_0000_0000_0000, IMAGE.start)  # where all memory is mapped, with 4 or 5 levels
_MAX_POINTERS = 500  # that are followed


def find_by_pointers(memory: VirtualMemory, idt: int = _IDT) -> "Reading[bytes]":
    """Return a kernel's vmcoreinfo, as the ELF note would have it.

    :param memory: The kernel's memory, by a processor's page tables.
    :param idt: The virtual address of the interrupt descriptor table.
    :raise MemoryFault: When it is not found, e.g. since the processor's page tables are those of a program.
    """
    text = yield from _handler(memory, idt)
    steps = []
    holes = 0
    for address in _steps(text, IMAGE.stop):
        if (yield from _is_mapped(memory, address, _STEP)):
            steps.append(address)
            holes = 0
        elif (holes := holes + 1) == _MAX_HOLES:
            break
    # nothing else is mapped there, and the pointers are near the image's end
    return (yield from _find(memory, reversed(steps)))


def find_in_image(memory: VirtualMemory, text: int) -> "Reading[bytes]":
    """Return a kernel's vmcoreinfo, as the ELF note would have it.

    :param memory: The kernel's memory, by a processor's page tables.
    :param text: A virtual address in the kernel's text.
    :raise MemoryFault: When it is not found.
    """
    return (yield from _find(memory, _steps(text, 1 << 64)))


def _steps(text: int, stop: int) -> range:
    """Return the addresses of the image's parts of 2 MiB, from the one with an address on."""
    start = text // _STEP * _STEP
    return range(start, min(start + _MAX_STEPS * _STEP, stop), _STEP)


def _find(memory: VirtualMemory, steps: Iterable[int]) -> "Reading[bytes]":
    """Return the vmcoreinfo to which parts of 2 MiB have a pointer."""
    followed: set[int] = set()
    holes = 0
    for address in steps:
        parts = yield from _mapped(memory, address, _STEP)
        holes = 0 if parts else holes + 1
        if holes == _MAX_HOLES:
            break
        for pointer in (p for part in parts for p in _pointers(part)):
            if pointer in followed:
                continue
            followed.add(pointer)
            if len(followed) > _MAX_POINTERS:
                raise MemoryFault("the kernel's image has too many pointers that may be vmcoreinfo_data")
            try:
                page = yield from memory.read(pointer, _PAGE)
            except MemoryFault:
                continue
            if page.startswith(BEGINNING):
                return page.partition(b"\0")[0]
    raise MemoryFault("the kernel's image has no vmcoreinfo_data")


def _handler(memory: VirtualMemory, idt: int) -> "Reading[int]":
    """Return the address of the handler of the first exception, which is in the kernel's text."""
    low, _, _, middle, high = unpack("<HHHHI", (yield from memory.read(idt, 16)))
    handler = low | middle << 16 | high << 32
    if handler not in IMAGE:
        raise MemoryFault(f"the interrupt handler at {handler:#x} is not in a Linux kernel's image")
    return handler


def _mapped(memory: VirtualMemory, address: int, size: int) -> "Reading[list[bytes]]":
    """Return the mapped parts of a range; a part that does not reach an end of it is not found."""
    try:
        return [(yield from memory.read(address, size))]
    except MemoryFault:
        if size == _PAGE:
            return []
    if not (yield from _is_mapped(memory, address, size)):
        return []
    half = size // 2
    first = yield from _mapped(memory, address, half)
    return first + (yield from _mapped(memory, address + half, half))


def _is_mapped(memory: VirtualMemory, address: int, size: int) -> "Reading[bool]":
    """Return whether a range is mapped at one of its ends."""
    for page in (address, address + size - _PAGE):
        try:
            yield from memory.read(page, _PAGE)
        except MemoryFault:
            continue
        return True
    return False


def _pointers(content: bytes) -> Iterator[int]:
    """Yield what may be `vmcoreinfo_data`: one of two pointers to pages close to a plausible size."""
    words = array("Q", content)
    if sys.byteorder == "big":
        words.byteswap()
    for place in [n for n, word in enumerate(words) if _MIN_SIZE <= word <= _PAGE]:
        around = words[max(0, place - _NEAR) : place + _NEAR + 1]
        pages = {word for word in around if word in _DIRECT and not word % _PAGE}
        if len(pages) >= 2:
            yield from pages
