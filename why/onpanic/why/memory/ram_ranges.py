"""Where a guest has memory, as QEMU's human monitor prints it."""

import re

from onpanic.why.memory.reading import MemoryRange

__all__ = ("MEMORY_MAP", "ram_ranges")

#: The command of the human monitor that prints it.
MEMORY_MAP = "info mtree -f"

_VIEW = re.compile(r"^FlatView ", re.MULTILINE)
_OF_PROCESSORS = re.compile(r'^ AS "memory",', re.MULTILINE)
_RAM = re.compile(r"^ +([0-9a-f]{16})-([0-9a-f]{16}) \(prio -?\d+, ram\)", re.MULTILINE)


def ram_ranges(text: str) -> list[MemoryRange]:
    """Return where a guest has memory, lowest address first.  Devices and read-only memory are left out.

    :param text: What `MEMORY_MAP` prints: a view of each address space, and the regions in it.
    """
    view = next((view for view in _VIEW.split(text) if _OF_PROCESSORS.search(view)), "")
    regions = {(int(first, 16), int(last, 16)) for first, last in _RAM.findall(view)}
    return [MemoryRange(first, last + 1 - first) for first, last in sorted(regions) if last >= first]
