"""Addresses are translated as the page tables of each architecture say.

``ONPANIC_FUZZ=100000`` runs that many inputs instead of a few hundred.
"""

import os
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onpanic.why.kernel.aarch64 import Aarch64Translator
from onpanic.why.kernel.ppc64 import Ppc64Translator
from onpanic.why.kernel.riscv64 import Riscv64Translator
from onpanic.why.kernel.s390x import S390xTranslator
from onpanic.why.kernel.virtual_memory import Translator
from onpanic.why.kernel.vmcoreinfo import VmcoreInfo
from onpanic.why.kernel.x86_64 import X86Translator
from onpanic.why.memory.reading import MemoryFault, MemoryRange, paged, read_with

from .built_page_tables import IMAGE_OFFSET, ROOT, PageTables, aarch64, riscv64, s390x, x86_64

#: By page size in bits, the address sizes that Linux can be built for, and those of CPUs without 52 bits.
AARCH64 = (
    *((12, bits, bits) for bits in (39, 48, 52)),
    *((14, bits, bits) for bits in (36, 47, 48, 52)),
    *((16, bits, bits) for bits in (42, 48, 52)),
    (12, 52, 48),
    (14, 52, 47),
    (16, 52, 48),
)
KINDS: dict[str, Callable[[int], PageTables]] = {
    **{f"aarch64 {1 << k[0] - 10}K {k[1]} on {k[2]}": partial(aarch64, *k) for k in AARCH64},
    **{f"riscv64 {bits} bits": partial(riscv64, bits) for bits in (39, 48, 57)},
    **{f"s390x {count} tables": partial(s390x, count) for count in (2, 3, 4, 5)},
    **{f"x86_64 {count} tables": partial(x86_64, count) for count in (4, 5)},
}
EXAMPLES = int(os.environ.get("ONPANIC_FUZZ", 4 * settings().max_examples)) // len(KINDS)
WORD = st.integers(0, (1 << 64) - 1)
X86_IMAGE = range(0xFFFF_FFFF_8000_0000, 0xFFFF_FFFF_C000_0000)  # found without page tables


TRANSLATORS: dict[str, Callable[[VmcoreInfo], Translator]] = {
    "aarch64": Aarch64Translator,
    "riscv64": Riscv64Translator,
    "s390x": S390xTranslator,
    "x86_64": X86Translator,
}


def translator(tables: PageTables) -> Translator:
    return TRANSLATORS[tables.architecture](VmcoreInfo(tables.note.encode()))


def translated(tables: PageTables, address: int) -> MemoryRange:
    return read_with(paged(translator(tables).translate(address)), tables.fetch)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=EXAMPLES)
@given(data=st.data(), attributes=WORD)
def test_what_is_mapped_is_found(kind: str, data: st.DataObject, attributes: int) -> None:
    tables = KINDS[kind](attributes)
    highest = (1 << 64) - 1 if tables.top else (1 << sum(tables.fields[0])) - 1
    for _ in range(3):
        number = data.draw(st.sampled_from(tables.leaves))
        size = 1 << tables.fields[len(tables.fields) - 1 - number][0]
        virtual = data.draw(st.integers(tables.top, highest))
        physical = data.draw(st.integers(0, (1 << tables.bits) - 1)) // size * size
        if virtual in X86_IMAGE or not tables.map(virtual, number, physical):
            continue
        offset = virtual % size
        assert translated(tables, virtual) == (physical + offset, size - offset)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=EXAMPLES)
@given(address=WORD)
def test_what_is_not_mapped_is_a_fault(kind: str, address: int) -> None:
    tables = KINDS[kind](0)
    if address not in X86_IMAGE:
        with pytest.raises(MemoryFault):
            translated(tables, address)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=EXAMPLES)
@given(data=st.data(), address=WORD, entries=st.lists(WORD, min_size=8, max_size=8))
def test_tables_of_anything_are_read_or_refused(
    kind: str, data: st.DataObject, address: int, entries: list[int]
) -> None:
    """A malicious guest can have tables that lead to each other, or out of its memory."""
    tables = KINDS[kind](0)
    address |= tables.top

    def fetch(at: int, length: int) -> bytes:
        if data.draw(st.booleans()):
            return b"".join(entries[n % 8].to_bytes(8, "little") for n in range(length // 8))
        raise MemoryFault(f"{at:#x}")

    try:
        found = read_with(paged(translator(tables).translate(address)), fetch)
    except MemoryFault:
        return
    assert found.address >= 0
    assert found.length > 0


def test_a_tag_in_the_top_byte_is_no_part_of_an_address() -> None:
    """Kernels with tags in pointers have other bits there."""
    tables = aarch64(12, 48, 48)
    tables.map(0xFFFF_8000_1234_5000, 0, 0x5000_0000)
    assert translated(tables, 0xF3FF_8000_1234_5678) == (0x5000_0678, 0x988)


def test_a_kernel_that_does_not_state_its_t1sz() -> None:
    """Before 5.7 it has the size that it was built for."""
    tables = aarch64(16, 48, 48)
    tables.note = "\n".join(line for line in tables.note.split("\n") if "T1SZ" not in line)
    tables.map(0xFFFF_8000_1234_0000, 0, 0x5_0000_0000)
    assert translated(tables, 0xFFFF_8000_1234_5678) == (0x5_0000_5678, 0xA988)


def test_sixteen_pages_of_riscv64_in_one_entry() -> None:
    """Svnapot: the number of the page says how many they are."""
    tables = riscv64(48)
    tables.map(0xFFFF_8000_1234_3000, 0, 0x8765_8000)
    (leaf,) = (place for place, entry in tables.entries.items() if entry & 0b1110)
    tables.entries[leaf] |= 1 << 63
    assert translated(tables, 0xFFFF_8000_1234_3456) == (0x8765_3456, 0xCBAA)
    tables.entries[leaf] ^= 1 << 10  # no number that the extension defines
    with pytest.raises(MemoryFault):
        translated(tables, 0xFFFF_8000_1234_3456)


def test_a_quarter_that_a_table_of_s390x_does_not_have() -> None:
    tables = s390x(3)
    tables.map(0x7FF0_0000, 0, 0x1000)
    region = next(place for place in tables.entries if place < ROOT + 0x4000)
    tables.entries[region] &= ~3  # the table ends after its first quarter
    with pytest.raises(MemoryFault):
        translated(tables, 0x7FF0_0000)


def test_an_image_of_s390x_before_6_10_is_where_its_addresses_say() -> None:
    tables = s390x(3)
    tables.note = f"SYMBOL(swapper_pg_dir)={ROOT:x}\nKERNELOFFSET={IMAGE_OFFSET:x}\n"
    tables.map(0x1234_5000, 0, 0x1234_5000)
    assert translated(tables, 0x1234_5678) == (0x1234_5678, 0x988)


def test_only_the_linear_map_of_ppc64_is_known() -> None:
    translator = Ppc64Translator(VmcoreInfo(b""))
    assert read_with(translator.translate(0xC000_0000_1234_5678), lambda *_: b"").address == 0x1234_5678
    for address in (0xC008_0000_0000_0000, 0xBFFF_FFFF_FFFF_FFFF, 0x1000):
        with pytest.raises(MemoryFault):
            read_with(translator.translate(address), lambda *_: b"")
