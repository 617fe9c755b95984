"""Placing the register of a PCI pvpanic where qtest can write to it.

A BAR has no address until software assigns one.  `place_register` does what firmware does, through
qtest, while the guest is stopped; where that is not possible, it lets the machine's firmware do it.
In both cases the machine's flat view says where the register is.
"""

import asyncio
from collections.abc import Sequence

from onpanic.core.errors import ProtocolFault
from onpanic.probe.asking.pci_config import ConfigSpace, config_spaces
from onpanic.probe.asking.pci_host_windows import open_windows
from onpanic.probe.asking.session import Session
from onpanic.probe.emulator.qtest import Qtest
from onpanic.probe.observations.memory_map import MemoryRegion, system_regions
from onpanic.probe.observations.pci import (
    BAR0,
    FLAT_VIEW,
    PciFunction,
    bar_candidates,
    bars,
    mapped_registers,
    pci_functions,
    pvpanic_function,
)

__all__ = ("find_register", "has_reset_itself", "place_register")

_COMMAND = 0x04  # offsets in configuration space (PCI Local Bus Specification, 6.1)
_MEMORY_ENABLE = 0x2
_BUS_NUMBERS = 0x18  # of a bridge (PCI-to-PCI Bridge Architecture Specification, 3.2)
_MEMORY_WINDOW = 0x20
# Identity of a host bridge; register and value to enable it (QEMU's hw/pci-host/xilinx-pcie.c)
_HOST_ENABLES = ((0x702110EE, 0x148, 1),)
_MANY_BRIDGES = 32  # after which no more of them are searched
_SHUTDOWNS = 3  # after which a firmware that shuts the guest down is given up
_FIRMWARE = 2.0  # seconds that firmware has to place the register
_LOOKS = (0.01, 0.1)  # seconds between looks at it, at first and at most: a large board answers at length


async def place_register(session: Session, *, on_x86: bool) -> int | None:
    """Place the register in a guest that has not run yet, and return its address; None if it cannot be.

    The guest is stopped afterwards.

    :param on_x86: Whether the CPU has I/O ports.
    :raise EmulatorError: When the emulator ends, or does not answer.
    """
    register = await _place_through_qtest(session, on_x86=on_x86)
    for _ in range(_SHUTDOWNS):
        if register is not None:
            break
        start = len(session.conversation.entries)
        register = await _placed_by_firmware(session)
        if not session.conversation.events("SHUTDOWN", start):
            break
        await session.ask("system_reset")  # a guest that has shut down cannot be continued
        register = None
    return register


async def find_register(session: Session) -> int | None:
    """Return the address of the register of a guest that has run; None if it cannot be found.

    The guest is stopped afterwards, so that the register stays where it is.

    :raise EmulatorError: When the emulator ends, or does not answer.
    """
    await session.ask("stop")
    register = await _mapped_register(session)
    return register if register is not None else await _placed_by_firmware(session)


def has_reset_itself(session: Session, start: int) -> bool:
    """Return whether the guest has reset itself since an entry of the conversation."""
    return any(data.get("guest") for _, data in session.conversation.events("RESET", start))


async def _place_through_qtest(session: Session, *, on_x86: bool) -> int | None:
    """Do what firmware does to place the register, and return its address; None if that fails.

    The guest must be stopped.  On failure it is reset, which undoes what was written to devices.

    :param on_x86: Whether the CPU has I/O ports.
    :raise EmulatorError: When the emulator ends, or does not answer.
    """
    assert session.qtest is not None
    regions = system_regions(str((await session.hmp("info mtree")).value))
    functions = pci_functions(await session.ask("query-pci"))
    notifier = pvpanic_function(functions)
    bridges = [f for f in functions if f.secondary == 0]
    if notifier is None and not bridges:
        return None
    try:
        space = await _config_space(session.qtest, regions, notifier or bridges[0], on_x86=on_x86)
        if space is not None:
            notifier = notifier or await _behind_bridges(session, space, bridges)
            if notifier:
                await _enable_hosts(space, functions)
            register = await _assign(session, space, notifier, regions) if notifier else None
            if register is not None:
                return register
    except ProtocolFault:
        pass  # this qtest lacks the command, or the device refused the access
    await session.ask("system_reset")
    return None


async def _placed_by_firmware(session: Session) -> int | None:
    """Let the guest run until its firmware has placed the register, stop it, and return the address."""
    cpus = await session.ask("query-cpus-fast")
    if cpus.ok and not cpus.items:
        return None  # there is no CPU to run the firmware
    interval, longest = _LOOKS
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _FIRMWARE
    start = len(session.conversation.entries)
    await session.ask("cont")
    register = None
    while register is None and loop.time() < deadline:
        await asyncio.sleep(interval)
        interval = min(interval * 2, longest)
        if bars(await session.ask("query-pci")):  # a smaller answer than the flat view
            register = await _mapped_register(session)
        elif has_reset_itself(session, start) or session.conversation.events("SHUTDOWN", start):
            break
    await session.ask("stop")
    return register


async def _mapped_register(session: Session) -> int | None:
    """Return the address at which the CPU reaches the register; None if it is not mapped."""
    found = mapped_registers(str((await session.hmp(FLAT_VIEW)).value))
    return found[0] if found else None


async def _config_space(
    qtest: Qtest, regions: Sequence[MemoryRegion], known: PciFunction, *, on_x86: bool
) -> ConfigSpace | None:
    """Return the way to configuration space in which a function shows its ids; None without one."""
    for space in config_spaces(regions, qtest, on_x86=on_x86):
        if await space.read(known, 0) == known.identity:
            return space
    return None


async def _enable_hosts(space: ConfigSpace, functions: Sequence[PciFunction]) -> None:
    """Let host bridges pass accesses to memory on, where that is a bit of their configuration space."""
    for function in functions:
        for identity, offset, value in _HOST_ENABLES:
            if function.identity == identity and await space.read(function, 0) == identity:
                await space.write(function, offset, value)


async def _assign(
    session: Session, space: ConfigSpace, notifier: PciFunction, regions: Sequence[MemoryRegion]
) -> int | None:
    """Write addresses to BAR 0 until the register is mapped, and return where it then is."""
    assert session.qtest is not None
    for bar in [*await open_windows(regions, session.qtest), *bar_candidates(regions)]:
        for bridge in notifier.bridges:
            window = bar & 0xFFF00000  # of one MiB
            await space.write(bridge, _MEMORY_WINDOW, window | window >> 16)
            await space.write(bridge, _COMMAND, _MEMORY_ENABLE)
        await space.write(notifier, BAR0, bar)
        await space.write(notifier, _COMMAND, _MEMORY_ENABLE)
        register = await _mapped_register(session)
        if register is not None:
            return register
    return None


async def _behind_bridges(
    session: Session, space: ConfigSpace, bridges: Sequence[PciFunction]
) -> PciFunction | None:
    """Give buses behind bridges a number until one of them has the notifier, and return it.

    QEMU does not list what is behind a bridge whose bus has no number.
    """
    last = 0

    async def search(bridge: PciFunction) -> PciFunction | None:
        nonlocal last
        last += 1
        secondary = last
        await space.write(bridge, _BUS_NUMBERS, 0xFF << 16 | secondary << 8 | bridge.bus)
        functions = pci_functions(await session.ask("query-pci"))
        notifier = pvpanic_function(functions)
        below = [f for f in functions if f.bus == secondary and f.secondary == 0]
        while notifier is None and below and last < _MANY_BRIDGES:
            notifier = await search(below.pop(0))
        if notifier is None:
            await space.write(bridge, _BUS_NUMBERS, last << 16 | secondary << 8 | bridge.bus)
        return notifier

    for bridge in bridges[:_MANY_BRIDGES]:
        notifier = await search(bridge)
        if notifier is not None:
            return notifier
    return None
