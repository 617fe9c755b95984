"""Page tables of each architecture, built by hand from the manuals that the translators name."""

from collections.abc import Callable
from dataclasses import dataclass, field

#: Where the first table is, and the offset of the kernel's image, as `vmcoreinfo` has them.
ROOT, IMAGE_OFFSET = 0x4000_0000, 0xFFFF_8000_0000_0000


def _nothing(_: int) -> int:
    return 0


@dataclass
class PageTables:
    """Page tables, and what the kernel says about them.

    :ivar architecture: As QEMU names it.
    :ivar note: The kernel's vmcoreinfo.
    :ivar fields: For each table on the way to an address, the lowest bit of its index and the bits of it.
    :ivar leaves: By number of that table, from 0 for the last one: where it may map memory itself.
    :ivar top: The lowest address that the kernel uses.
    :ivar bits: The size of a physical address.
    :ivar table: Returns an entry that leads to a table at an address; its second argument is its number.
    :ivar leaf: Returns an entry that maps an address.
    :ivar empty: Returns an entry that maps nothing.
    :ivar byte_order: As in `struct`.
    :ivar alignment: That of the last tables, which may be smaller than a page.
    """

    architecture: str
    note: str
    fields: list[tuple[int, int]]
    leaves: tuple[int, ...]
    top: int
    bits: int
    table: Callable[[int, int], int]
    leaf: Callable[[int, int], int]
    empty: Callable[[int], int] = _nothing
    byte_order: str = "<"
    alignment: int = 0x20_0000
    entries: dict[int, int] = field(default_factory=dict)
    tables: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.tables[ROOT] = len(self.fields) - 1

    def map(self, virtual: int, number: int, physical: int) -> bool:
        """Map an address by a table's entry; return whether nothing else is in the way."""
        table = ROOT
        for current in range(len(self.fields) - 1, number - 1, -1):
            shift, bits = self.fields[len(self.fields) - 1 - current]
            place = table + 8 * (virtual >> shift) % (8 << bits)
            if current == number:
                if place in self.entries:
                    return False
                self.entries[place] = self.leaf(physical, number)
                return True
            if place not in self.entries:
                new = ROOT + len(self.tables) * 0x20_0000
                new += self.alignment % 0x20_0000 if current == 1 else 0
                self.tables[new] = current - 1
                self.entries[place] = self.table(new, current)
            entry = self.entries[place]
            found = [base for base in self.tables if self.table(base, current) == entry]
            if not found:
                return False
            (table,) = found
        raise AssertionError

    def fetch(self, address: int, length: int) -> bytes:
        """Return the bytes at a physical address."""
        order = "little" if self.byte_order == "<" else "big"
        numbers = {base >> 21: number for base, number in self.tables.items()}
        content = b""
        for place in range(address & ~7, address + length, 8):
            entry = self.entries.get(place, self.empty(numbers.get(place >> 21, 0)))
            content += entry.to_bytes(8, order)  # type: ignore[arg-type]
        return content[address & 7 :][:length]


def aarch64(page_bits: int, built: int, actual: int, attributes: int = 0) -> PageTables:
    """Return tables of a kernel that was built for an address size and runs with another one.

    :param attributes: What entries have beside addresses.
    """
    index_bits = page_bits - 3

    def levels(bits: int) -> int:
        return -(-(bits - page_bits) // index_bits)

    bits = built if levels(built) == levels(actual) else actual
    count = levels(actual)
    fields = [(page_bits + index_bits * n, index_bits) for n in range(count - 1, -1, -1)]
    fields[0] = (fields[0][0], bits - fields[0][0])
    long = actual == 52 and page_bits < 16

    def address(physical: int) -> int:
        if long:
            return physical % (1 << 50) | physical >> 50 << 8
        return physical % (1 << 48) | physical >> 48 << 12

    ignored = attributes & (0xFFF0_0000_0000_0C00 if long else 0xFFF0_0000_0000_0F00)
    largest = {12: 1, 14: 1, 16: 1}[page_bits] + (1 if page_bits == 12 else 0) + long
    note = f"""\
PAGESIZE={1 << page_bits}
NUMBER(VA_BITS)={built}
NUMBER(TCR_EL1_T1SZ)={64 - actual:#x}
NUMBER(kimage_voffset)={IMAGE_OFFSET:#x}
SYMBOL(swapper_pg_dir)={ROOT + IMAGE_OFFSET:x}
"""
    return PageTables(
        architecture="aarch64",
        note=note,
        fields=fields,
        leaves=tuple(range(min(largest + 1, count))),
        top=(1 << 64) - (1 << actual),
        bits=52 if long or page_bits == 16 else 48,
        table=lambda at, _: address(at) | 3 | ignored & 1 << 63,
        leaf=lambda at, number: address(at) | (1 if number else 3) | ignored,
    )


def riscv64(bits: int, attributes: int = 0) -> PageTables:
    """Return tables of addresses of 39, 48 or 57 bits."""
    count = (bits - 12) // 9
    rights = attributes & 0b1110 or 0b0010
    ignored = attributes & (0x6000_0000_0000_03F0 | rights)
    note = f"""\
PAGESIZE=4096
NUMBER(VA_BITS)={bits}
NUMBER(va_kernel_pa_offset)={IMAGE_OFFSET:#x}
SYMBOL(swapper_pg_dir)={ROOT + IMAGE_OFFSET:x}
"""
    return PageTables(
        architecture="riscv64",
        note=note,
        fields=[(12 + 9 * n, 9) for n in range(count - 1, -1, -1)],
        leaves=tuple(range(count)),
        top=(1 << 64) - (1 << bits - 1),
        bits=56,
        table=lambda at, _: at >> 12 << 10 | 1,
        leaf=lambda at, _: at >> 12 << 10 | 1 | rights | ignored,
    )


def s390x(count: int, attributes: int = 0) -> PageTables:
    """Return tables that begin with one for segments (2 tables) up to one for first regions (5)."""
    note = f"""\
PAGESIZE=4096
KERNELOFFSET={IMAGE_OFFSET:x}
KERNELOFFPHYS={ROOT:x}
SYMBOL(swapper_pg_dir)={IMAGE_OFFSET:x}
"""
    return PageTables(
        architecture="s390x",
        note=note,
        fields=[(20 + 11 * n, 11) for n in range(count - 2, -1, -1)] + [(12, 8)],
        leaves=tuple(range(min(count, 3))),
        top=0,
        bits=63,
        table=lambda at, number: at | number - 1 << 2 | (3 if number > 1 else 0) | attributes & 0x200,
        leaf=lambda at, number: at | (number - 1 << 2 | 0x400 if number else 0) | attributes & 0x200,
        empty=lambda number: number - 1 << 2 | 0x20 if number > 0 else 0x400,
        byte_order=">",
        alignment=0x800,
    )


def x86_64(count: int, attributes: int = 0) -> PageTables:
    """Return tables of four or five levels."""
    note = f"""\
PAGESIZE=4096
NUMBER(phys_base)={ROOT}
NUMBER(pgtable_l5_enabled)={int(count == 5)}
SYMBOL(init_top_pgt)=ffffffff80000000
"""
    return PageTables(
        architecture="x86_64",
        note=note,
        fields=[(12 + 9 * n, 9) for n in range(count - 1, -1, -1)],
        leaves=(0, 1, 2),
        top=(1 << 64) - (1 << 11 + 9 * count),
        bits=52,
        table=lambda at, _: at | 1,
        leaf=lambda at, number: at | (0x81 if number else 1) | attributes & 0xFFF0_0000_0000_0F7E,
    )
