"""The pvpanic driver of a Linux guest, in its memory.

Public structures only: `notifier_block` and `list_head` of the kernel's headers, and the beginning of a
`pvpanic_instance` (drivers/misc/pvpanic/pvpanic.c, Linux 5.13 and later): the device's register, what the
device can report, what the driver reports, and the instance's place in a list; since Linux 6.8 a pointer
precedes that.
"""

from collections.abc import Sequence
from typing import NamedTuple

from onpanic.why.kernel.virtual_memory import VirtualMemory
from onpanic.why.memory.reading import MemoryFault, Reading, unpack

__all__ = ("GuestModule", "PvpanicInstance", "guest_modules", "notifier_blocks", "pvpanic_instances")

_MAX_MODULES, _MAX_BLOCKS, _MAX_INSTANCES = 4096, 256, 16
_LIST, _NAME, _NAME_SIZE = 8, 24, 56  # members of `struct module`
_BEFORE_LIST = (16, 24)  # of a `pvpanic_instance`: the register's address, two integers, perhaps a pointer
_PAGE = 4096
_PAGES = (-1, 0, 1, 2)  # of a module's data, from the page on that its `struct module` is in
_KERNEL = 1 << 63  # addresses from here on are the kernel's
_MASK = 0xFF  # a device's register has 8 bits


class GuestModule(NamedTuple):
    """A module that the guest has loaded.

    :param name: Its name, with ``_`` for ``-``.
    :param address: Where its `struct module` is.
    :param live: Whether it is loaded completely, and not being removed.
    """

    name: str
    address: int
    live: bool


class PvpanicInstance(NamedTuple):
    """A device that the driver serves.

    :param capability: The events that it can report, as its register says: 1 panicked, 2 crash-loaded.
    :param events: The events that the driver reports.
    """

    capability: int
    events: int


def guest_modules(memory: VirtualMemory, head: int) -> "Reading[tuple[GuestModule, ...]]":
    """Return the modules that a guest has loaded.

    :param head: The address of `modules`.
    :raise MemoryFault: When it is not a list of modules.
    """
    found: list[GuestModule] = []
    place = yield from memory.integer(head)
    while place != head:
        content = yield from memory.read(place - _LIST, _NAME + _NAME_SIZE)
        state, following = unpack(f"{memory.byte_order}I4xQ", content)
        name = content[_NAME:].partition(b"\0")[0].decode("ascii", "replace")
        if not name.isprintable() or len(found) == _MAX_MODULES:
            raise MemoryFault("the list of modules makes no sense")
        found.append(GuestModule(name, place - _LIST, state == 0))
        place = following
    return tuple(found)


def notifier_blocks(memory: VirtualMemory, head: int) -> "Reading[dict[int, int]]":
    """Return the addresses of a chain's notifiers, and of the functions that they call.

    :param head: The address of the chain, e.g. `panic_notifier_list`; its lock has 4 bytes.
    :raise MemoryFault: When it is not a chain of notifiers.
    """
    blocks: dict[int, int] = {}
    place = yield from memory.integer(head + 8)
    while place:
        if place in blocks or len(blocks) == _MAX_BLOCKS:
            raise MemoryFault("the chain of notifiers does not end")
        blocks[place], place = unpack(f"{memory.byte_order}QQ", (yield from memory.read(place, 16)))
    return blocks


def pvpanic_instances(
    memory: VirtualMemory, heads: Sequence[int], module: GuestModule | None
) -> "Reading[tuple[PvpanicInstance, ...]]":
    """Return the devices that the driver serves; empty if none is found, although there may be one.

    :param heads: Where its list may begin, if the kernel says so.
    :param module: The module, whose data is looked through for the list.
    """
    places = list(heads)
    for page in _PAGES if module else ():
        assert module is not None
        address = module.address // _PAGE * _PAGE + page * _PAGE
        try:
            words = unpack(f"{memory.byte_order}512Q", (yield from memory.read(address, _PAGE)))
        except MemoryFault:
            continue
        pairs = zip(words, words[1:], strict=False)
        places += [address + 8 * n for n, (a, b) in enumerate(pairs) if a >= _KERNEL and b >= _KERNEL]
    for place in places:
        for before in _BEFORE_LIST:
            found = yield from _list_at(memory, place, before)
            if found:
                return found
    return ()


def _list_at(memory: VirtualMemory, head: int, before: int) -> "Reading[tuple[PvpanicInstance, ...]]":
    """Return the instances of a list; empty if it is not one of instances.

    :param before: How many bytes of an instance precede its place in the list.
    """
    order = memory.byte_order
    found: list[PvpanicInstance] = []
    try:
        previous, place = head, (yield from memory.integer(head))
        while place != head and len(found) < _MAX_INSTANCES:
            content = yield from memory.read(place - before, before + 16)
            register, capability, events = unpack(f"{order}QII", content)
            following, back = unpack(f"{order}QQ", content[before:])
            if back != previous or not register or not 0 < capability <= _MASK or events & ~capability:
                return ()
            found.append(PvpanicInstance(capability, events))
            previous, place = place, following
    except MemoryFault:
        return ()
    return tuple(found)
