"""The guest-physical address space, as the human monitor's ``info mtree`` prints it.

``info mtree`` prints trees of regions, a tree for each address space, and ``info mtree -f`` the
flat views that result from them: what a CPU reaches at each address (QEMU's
``docs/devel/memory.rst``).
"""

import re
from collections.abc import Iterator

import msgspec

__all__ = ("MemoryRegion", "mapped_regions", "system_regions")

# The address space of the guest's memory, and that of a CPU; qtest uses the first CPU's
_SYSTEM = re.compile(r"memory|cpu-memory-\d+")
# A line of a tree, or of a flat view, such as
#   0000000010000000-000000003efeffff (prio 0, i/o): alias pcie-mmio @gpex_mmio_window 0000000010000000-…
_REGION = re.compile(
    r"\s+([0-9a-f]{8,16})-([0-9a-f]{8,16}) \(prio -?\d+, [^)]*\): "
    r"(?:alias (.{1,80}?) @(.{1,80}) ([0-9a-f]{8,16})-|(.+))"
)
_VIEW_OF = re.compile(r' AS "(.*?)", root: ')
# A name may be followed by where the part begins in its region, and by the accelerator
_PART_OF = re.compile(r"(.*?)(?: @([0-9a-f]{8,16}))?(?: KVM| HVF)?$")


class MemoryRegion(msgspec.Struct, frozen=True):
    """A region of the guest-physical address space.

    :param start: Its first address.
    :param end: Its last address.
    :param name: Its name in QEMU's source.
    :param target: The region that it is an alias of; empty if it is not an alias.
    :param offset: Where in `target` it begins.
    """

    start: int
    end: int
    name: str
    target: str = ""
    offset: int = 0


def system_regions(text: str) -> list[MemoryRegion]:
    """Return the regions of the system's address space, without disabled ones, from ``info mtree``.

    :param text: The answer of the human monitor.
    """
    found = []
    spaces: list[str] = []  # the headings above the present tree: address spaces may share one
    in_tree = False
    for line in text.splitlines():
        if line.startswith("memory-region:"):
            break  # from here on, addresses are relative to the regions
        heading = re.match(r"address-space: (.*)", line)
        if heading:
            spaces = [heading[1]] if in_tree else [*spaces, heading[1]]
            in_tree = False
            continue
        in_tree = True
        match = _REGION.match(line) if any(map(_SYSTEM.fullmatch, spaces)) else None
        if match and not line.endswith("[disabled]"):
            start, end, alias, target, offset, name = match.groups()
            found.append(
                MemoryRegion(
                    int(start, 16), int(end, 16), alias or name, target or "", int(offset or "0", 16)
                )
            )
    return found


def mapped_regions(text: str) -> Iterator[MemoryRegion]:
    """Yield what a CPU reaches at each address of the system's flat view, from ``info mtree -f``.

    :param text: The answer of the human monitor.
    """
    views: list[str] = []
    for line in text.splitlines():
        view = _VIEW_OF.match(line)
        if line.startswith("FlatView"):
            views = []
        elif view:
            views.append(view[1])
        elif any(map(_SYSTEM.fullmatch, views)):
            match = _REGION.match(line)
            part = _PART_OF.match(match[6]) if match and match[6] else None
            if match and part:
                yield MemoryRegion(int(match[1], 16), int(match[2], 16), part[1], "", int(part[2] or "0", 16))
