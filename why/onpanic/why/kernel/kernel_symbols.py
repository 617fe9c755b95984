"""Addresses of a kernel's symbols, from its own table (kallsyms).

Linux 6.0 and later name the table in the vmcoreinfo.  It has variables only if the kernel was built with
CONFIG_KALLSYMS_ALL, as distributions do.  Source: the kernel's scripts/kallsyms.c and kernel/kallsyms.c.
"""

from collections.abc import Collection

from onpanic.why.kernel.virtual_memory import VirtualMemory
from onpanic.why.kernel.vmcoreinfo import VmcoreInfo
from onpanic.why.memory.reading import MemoryFault, Reading, unpack

__all__ = ("has_symbol_table", "kernel_symbols")

_MAX_SYMBOLS = 1 << 20
_MAX_TOKENS = 1 << 16  # bytes of the table of tokens
_MAX_NAME = 512  # tokens of a name; longer ones are not names
_PIECE = 1 << 20  # bytes of names that are read at a time
_KNOWN = "init_uts_ns"
_CHECKS = (_KNOWN, "_stext")  # the vmcoreinfo has their addresses, too


def has_symbol_table(info: VmcoreInfo) -> bool:
    """Return whether a kernel tells where its symbols are."""
    return info.has_symbol("kallsyms_names")


def kernel_symbols(
    info: VmcoreInfo, memory: VirtualMemory, names: Collection[str]
) -> "Reading[dict[str, list[int]]]":
    """Return the addresses of symbols; a name may have several, and is left out if it has none.

    :param info: What the kernel says about itself.
    :param memory: The kernel's memory.
    :param names: The symbols that are looked for.
    :raise MemoryFault: When there is no such table, or it makes no sense.
    """
    count = yield from memory.integer(info.symbol("kallsyms_num_syms"), 4)
    if not 0 < count <= _MAX_SYMBOLS:
        raise MemoryFault(f"a table of {count} symbols")
    tokens = yield from _tokens(info, memory)
    wanted = {name.encode(): name for name in (*names, *_CHECKS)}
    places = yield from _places(info, memory, count, tokens, wanted)
    addresses = yield from _addresses(info, memory, places)
    if any(info.symbol(name) not in addresses.get(name, []) for name in _CHECKS if info.has_symbol(name)):
        raise MemoryFault("the kernel's table of symbols contradicts its vmcoreinfo")
    return addresses


def _tokens(info: VmcoreInfo, memory: VirtualMemory) -> "Reading[list[bytes]]":
    """Return the parts of names that a byte stands for."""
    index = unpack(
        f"{memory.byte_order}256H", (yield from memory.read(info.symbol("kallsyms_token_index"), 512))
    )
    table = yield from memory.read(info.symbol("kallsyms_token_table"), min(max(index) + 64, _MAX_TOKENS))
    return [table[start : start + 64].partition(b"\0")[0] for start in index]


def _places(
    info: VmcoreInfo, memory: VirtualMemory, count: int, tokens: list[bytes], wanted: dict[bytes, str]
) -> "Reading[list[tuple[str, int]]]":
    """Return the symbols that are wanted, and their places in the table."""
    address = info.symbol("kallsyms_names")
    content, place = b"", 0
    found = []
    for number in range(count):
        if len(content) - place < _MAX_NAME + 2:
            content, place = content[place:] + (yield from memory.read(address, _PIECE)), 0
            address += _PIECE
        length = content[place]
        place += 1
        if length & 0x80:  # a long name's length has two bytes since Linux 6.1
            length = length & 0x7F | content[place] << 7
            place += 1
        if not 0 < length <= _MAX_NAME:
            raise MemoryFault(f"a symbol's name of {length} tokens")
        name = b"".join([tokens[token] for token in content[place : place + length]])[1:]  # after its type
        place += length
        if name in wanted:
            found.append((wanted[name], number))
    return found


def _addresses(
    info: VmcoreInfo, memory: VirtualMemory, places: list[tuple[str, int]]
) -> "Reading[dict[str, list[int]]]":
    found: dict[str, list[int]] = {}
    if not info.has_symbol("kallsyms_offsets"):
        for name, place in places:
            address = yield from memory.integer(info.symbol("kallsyms_addresses") + 8 * place)
            found.setdefault(name, []).append(address)
        return found
    table = info.symbol("kallsyms_offsets")
    if not info.has_symbol("kallsyms_relative_base"):  # Linux 7: relative to the offset's own place
        for name, place in places:
            offset = yield from _offset(memory, table + 4 * place)
            found.setdefault(name, []).append(table + 4 * place + offset)
        return found
    base = yield from memory.integer(info.symbol("kallsyms_relative_base"))
    offsets = []
    for name, place in places:
        offsets.append((name, (yield from _offset(memory, table + 4 * place))))
    # with absolute addresses of variables of each processor, those of the image are negative
    known = info.symbol(_KNOWN)
    negative = any(name == _KNOWN and base - 1 - offset == known for name, offset in offsets)
    for name, offset in offsets:
        address = (base - 1 - offset if offset < 0 else offset) if negative else base + (offset & 0xFFFF_FFFF)
        found.setdefault(name, []).append(address)
    return found


def _offset(memory: VirtualMemory, address: int) -> "Reading[int]":
    """Return the signed integer of 4 bytes at an address."""
    (offset,) = unpack(f"{memory.byte_order}i", (yield from memory.read(address, 4)))
    return offset
