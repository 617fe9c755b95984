"""Ways to PCI configuration space that QEMU's boards have, and access to it through qtest.

`config_spaces` is a table lookup: which way a board has is known from the regions of its memory
map.  Nothing says which byte order a region has, so both are offered: the caller finds out by
reading what it knows, the ids of a function.
"""

import re
from collections.abc import Iterator, Sequence

from onpanic.probe.emulator.qtest import Qtest
from onpanic.probe.observations.memory_map import MemoryRegion
from onpanic.probe.observations.pci import PciFunction

__all__ = ("ConfigSpace", "Registers", "config_spaces")

# Configuration space as a window: name of the region, or of what it is an alias of, and how far
# apart buses and slots are, as powers of two.  PCI Express Base Specification, 7.2.2; the others as
# in QEMU's hw/alpha/typhoon.c, hw/pci-host/sabre.c and versatile.c
_WINDOWS = (
    (re.compile(r"pcie-mmcfg.*|.*ecam"), 20, 15),
    (re.compile(r"pci\d-conf|sabre-pci-config|pci-vpb-(self)?config"), 16, 11),
)
# An index and a data register: the names of regions of their own …
_INDEX = re.compile(r".*conf-idx")
_DATA = re.compile(r".*(conf-data|data-idx)")
# … or where they are in a region (QEMU's hw/pci-host and hw/sh4/sh_pci.c)
_PAIRS = {
    "gt64120-isd": ((0xCF8, 0xCFC),),
    "mv64361": ((0xCF8, 0xCFC), (0xC78, 0xC7C)),
    "articia": ((0xC00CF8, 0xE00CFC),),
    "sh_pci": ((0x1C0, 0x220),),
}
_X86_PAIR = (0xCF8, 0xCFC)  # I/O ports (PCI Local Bus Specification, 3.2.2.3.2)
_BONITO = ("south-bridge-pci-config", "north-bridge-register", 0x18)  # QEMU's hw/pci-host/bonito.c
_PSERIES = re.compile(r"pci@([0-9a-f]+)\.mmio")  # with the host's BUID (QEMU's hw/ppc/spapr_pci.c)
# The root port's registers, and the address of a window through which other functions are accessed
_DESIGNWARE = ("pcie.reg", 0x18000000)  # QEMU's hw/pci-host/designware.c
_ASPEED = "aspeed.pcie-cfg.regs.0"  # QEMU's hw/pci-host/aspeed_pcie.c
_SCRATCH = 0x8000  # an address in a pseries guest's memory for a call's arguments


class Registers:
    """32-bit registers in one byte order.

    :param qtest: The channel.
    :param swapped: True for the other byte order than the guest CPU's.
    :param ports: True for I/O ports.
    """

    def __init__(self, qtest: Qtest, *, swapped: bool = False, ports: bool = False) -> None:
        self._qtest = qtest
        self._swapped = swapped
        self._ports = ports

    async def read(self, address: int) -> int:
        """Read a register.  Raises as `Qtest.ask` does."""
        qtest = self._qtest
        value = await (qtest.read_port("l", address) if self._ports else qtest.read("l", address))
        return self._ordered(value)

    async def write(self, address: int, value: int) -> None:
        """Write a register.  Raises as `Qtest.ask` does."""
        write = self._qtest.write_port if self._ports else self._qtest.write
        await write("l", address, self._ordered(value))

    def _ordered(self, value: int) -> int:
        word = value & 0xFFFFFFFF
        return int.from_bytes(word.to_bytes(4, "little"), "big") if self._swapped else word


class ConfigSpace:
    """One way to configuration space, in one byte order.

    :param registers: Through which it is accessed.
    """

    def __init__(self, registers: Registers) -> None:
        self.registers = registers

    async def read(self, function: PciFunction, offset: int) -> int:
        """Read 32 bits of a function's configuration space.  Raises as `Qtest.ask` does."""
        return await self.registers.read(await self._address(function, offset))

    async def write(self, function: PciFunction, offset: int, value: int) -> None:
        """Write 32 bits of a function's configuration space.  Raises as `Qtest.ask` does."""
        await self.registers.write(await self._address(function, offset), value)

    async def _address(self, function: PciFunction, offset: int) -> int:
        """Select a register, and return its address."""
        raise NotImplementedError


class _Window(ConfigSpace):
    """Each register has an address of its own."""

    def __init__(self, registers: Registers, base: int, bus_shift: int, slot_shift: int) -> None:
        super().__init__(registers)
        self._base = base
        self._bus_shift = bus_shift
        self._slot_shift = slot_shift

    async def _address(self, function: PciFunction, offset: int) -> int:
        slot = function.slot << self._slot_shift | function.function << (self._slot_shift - 3)
        return self._base + (function.bus << self._bus_shift) + slot + offset


class _Pair(ConfigSpace):
    """An index register selects the register, a data register accesses it.

    :param index: The registers through which the index is written; it may have another byte order.
    """

    def __init__(self, registers: Registers, index: Registers, pair: tuple[int, int]) -> None:
        super().__init__(registers)
        self._index = index
        self._pair = pair

    async def _address(self, function: PciFunction, offset: int) -> int:
        await self._index.write(self._pair[0], 1 << 31 | _devfn(function) << 8 | offset)
        return self._pair[1]


class _Bonito(ConfigSpace):
    """A window whose upper address bits are in a register; the slot is selected by one bit of 32."""

    def __init__(self, registers: Registers, base: int, upper: int) -> None:
        super().__init__(registers)
        self._base = base
        self._upper = upper

    async def _address(self, function: PciFunction, offset: int) -> int:
        address = 1 << (11 + function.slot) | function.function << 8 | offset
        await self.registers.write(self._upper, address >> 16)
        return self._base + (address & 0xFFFF)


class _Designware(ConfigSpace):
    """A root port's registers, its configuration space among them, and a window to other functions'."""

    def __init__(self, registers: Registers, base: int, window: int) -> None:
        super().__init__(registers)
        self._base = base
        self._window = window

    async def _address(self, function: PciFunction, offset: int) -> int:
        if _devfn(function) == 0:
            return self._base + offset
        viewport, kind, base, limit, target, enable = 0x900, 0x904, 0x90C, 0x914, 0x918, 0x908
        for register, value in (
            (viewport, 0),
            (kind, 4),  # configuration space
            (base, self._window),
            (limit, self._window + 0xFFFF),
            (target, _devfn(function) << 16),
            (enable, 1 << 31),
        ):
            await self.registers.write(self._base + register, value)
        return self._window + offset


class _Aspeed(ConfigSpace):
    """Registers that describe a PCI Express packet, and one that sends it (AST2600).

    :param base: The address of the registers.
    """

    def __init__(self, registers: Registers, base: int) -> None:
        super().__init__(registers)
        self._base = base

    async def read(self, function: PciFunction, offset: int) -> int:
        await self._send(0x04000001, function, offset)
        return await self.registers.read(self._base + 0xCC)

    async def write(self, function: PciFunction, offset: int, value: int) -> None:
        await self.registers.write(self._base + 0x20, value)
        await self._send(0x44000001, function, offset)

    async def _send(self, kind: int, function: PciFunction, offset: int) -> None:
        for register, value in (
            (0x10, kind),
            (0x14, 0xF),  # all bytes
            (0x18, _devfn(function) << 16 | offset),
            (0x24, 1),
        ):
            await self.registers.write(self._base + register, value)


class _Rtas(ConfigSpace):
    """Calls of the pseries firmware interface (PAPR, 7.3.5); qtest has a command for them.

    :param buid: The host's unit id.
    """

    def __init__(self, qtest: Qtest, buid: int) -> None:
        super().__init__(Registers(qtest))
        self._qtest = qtest
        self._unit = (buid >> 32, buid & 0xFFFFFFFF)

    async def read(self, function: PciFunction, offset: int) -> int:
        await self._call("ibm,read-pci-config", (_devfn(function) << 8 | offset, *self._unit, 4), 2)
        return await self.registers.read(_SCRATCH + 0x84)

    async def write(self, function: PciFunction, offset: int, value: int) -> None:
        arguments = (_devfn(function) << 8 | offset, *self._unit, 4, value)
        await self._call("ibm,write-pci-config", arguments, 1)

    async def _call(self, name: str, arguments: Sequence[int], results: int) -> None:
        for number, argument in enumerate(arguments):
            await self.registers.write(_SCRATCH + 4 * number, argument)
        await self._qtest.ask(f"rtas {name} {len(arguments)} {_SCRATCH:#x} {results} {_SCRATCH + 0x80:#x}")


def config_spaces(regions: Sequence[MemoryRegion], qtest: Qtest, *, on_x86: bool) -> Iterator[ConfigSpace]:
    """Yield the ways to configuration space that a board may have.

    :param regions: The regions of its memory map.
    :param qtest: The channel.
    :param on_x86: Whether the CPU has I/O ports.
    """
    both = [Registers(qtest, swapped=swapped) for swapped in (False, True)]
    if on_x86:
        ports = Registers(qtest, ports=True)
        yield _Pair(ports, ports, _X86_PAIR)
    for region in regions:
        for pattern, bus_shift, slot_shift in _WINDOWS:
            if pattern.fullmatch(region.target or region.name):
                base = region.start - region.offset
                yield from (_Window(registers, base, bus_shift, slot_shift) for registers in both)
        host = _PSERIES.fullmatch(region.target)
        if host:
            yield _Rtas(qtest, int(host[1], 16))
    for pair in dict.fromkeys(_pairs(regions)):
        yield from (_Pair(data, index, pair) for data in both for index in both)
    starts = {region.name: region.start for region in regions}
    port, window_address = _DESIGNWARE
    if port in starts:
        yield _Designware(both[0], starts[port], window_address)
    if _ASPEED in starts:
        yield _Aspeed(both[0], starts[_ASPEED])
    window, upper, offset = _BONITO
    if window in starts and upper in starts:
        yield from (_Bonito(registers, starts[window], starts[upper] + offset) for registers in both)


def _pairs(regions: Sequence[MemoryRegion]) -> Iterator[tuple[int, int]]:
    """Yield the addresses of index and data registers; the data register is the next one after the index."""
    data = [region.start for region in regions if _DATA.fullmatch(region.name)]
    for region in regions:
        if _INDEX.fullmatch(region.name):
            after = [address for address in data if address > region.start]
            yield from ((region.start, min(after)) for _ in after[:1])
        for index, register in _PAIRS.get(region.target or region.name, ()):
            yield region.start + index, region.start + register


def _devfn(function: PciFunction) -> int:
    return function.bus << 8 | function.slot << 3 | function.function
