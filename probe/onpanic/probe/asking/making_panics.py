"""Making a panic happen through a notifier's register, and recording what follows.

The guest must be running: while it is paused a panic changes no state.
"""

import asyncio

from onpanic.probe.asking.session import Monitor, Session
from onpanic.probe.conversation import Reply
from onpanic.probe.emulator.command_line import X86
from onpanic.probe.observations.devices import DEFAULT_PORT, devices
from onpanic.probe.observations.machines import running_machine, target_of
from onpanic.probe.observations.panics import PANICKED
from onpanic.probe.observations.pci import BAR0, IDENTITY, bars, own_slot, windows

__all__ = ("panic_through_isa", "panic_through_pci")

_TRIES = 8  # writes after which a missing event is believed; on a busy host one write in ten is lost
_CRASHLOADED = 2  # bit 1 of the register (QEMU's docs/specs/pvpanic)
_PLACING = (60, 0.05)  # how often to ask whether the firmware has placed the device; seconds in between
_COMMAND = 0x04  # offset of the command register in PCI configuration space
_MEMORY_ENABLE = 0x2


async def panic_through_isa(monitor: Monitor, *, thorough: bool = False) -> None:
    """Make a panic happen through the ISA device's port.  Needs an x86 guest.

    The guest must not run for long: firmware moves other devices, and may put one over an
    unusual port before the write is made, so a missing event is not believed at once.  The machine
    type ``none`` has no guest, and some QEMUs crash when its ports are accessed.

    :param thorough: Also write bit 1, which shows whether the emulator has the event for it.
    """
    if (running_machine(monitor.conversation) or monitor.conversation.machine) == "none":
        return
    present = devices(monitor.conversation) or ()
    ports = [d.port for d in present if d.port is not None and not d.neutralised]
    port = ports[0] if ports else DEFAULT_PORT
    await monitor.hmp(f"i /b {port:#x}")
    if thorough:
        await monitor.hmp(f"o /b {port:#x} {_CRASHLOADED}")
    for _ in range(_TRIES):
        _, _, status = await monitor.ask_all(
            ("cont", {}),
            ("human-monitor-command", {"command-line": f"o /b {port:#x} {PANICKED}"}),
            ("query-status", {}),
        )
        if not present or monitor.conversation.events("GUEST_PANICKED"):
            break
        await monitor.ask("stop")
        await monitor.ask("system_reset")  # which undoes what the firmware has done
    await _continue(monitor, status)


async def panic_through_pci(session: Session) -> None:
    """Make a panic happen through the PCI device's register.  Needs a qtest channel."""
    assert session.qtest is not None
    await session.ask("query-target")
    on_x86 = target_of(session.conversation) in X86
    if on_x86:
        await session.ask("cont")  # the firmware places the register
    register = await (_placed_by_firmware(session) if on_x86 else _place(session))
    if register is None:
        return
    if not on_x86:
        await session.ask("cont")
    await session.qtest.read("b", register)
    await session.qtest.write("b", register, _CRASHLOADED)
    await session.qtest.write("b", register, PANICKED)
    await _continue(session, await session.ask("query-status"))


async def _continue(monitor: Monitor, status: Reply) -> None:
    """Find out whether ``cont`` continues the guest, if the panic has stopped it.

    The guest is stopped again at once: while it runs, it slows the emulator down.
    """
    if status.member("status") == "guest-panicked":
        await monitor.ask_all(("cont", {}), ("query-status", {}), ("stop", {}))


async def _placed_by_firmware(session: Session) -> int | None:
    """Wait until the firmware has placed the device's BAR, and return its address; None if it does not."""
    cpus = await session.ask("query-cpus-fast")
    if cpus.ok and not cpus.items:
        return None  # there is no CPU to run the firmware
    times, seconds = _PLACING
    for _ in range(times):
        found = bars(await session.ask("query-pci"))
        if found:
            return found[0]
        await asyncio.sleep(seconds)
    return None


async def _place(session: Session) -> int | None:
    """Place the register of the probe's own device, as firmware would, and return its address.

    Outside x86 the machine is started without firmware.  The generic host bridge puts each slot's
    configuration registers at 32 KiB steps in its ECAM window (QEMU's ``hw/pci-host/gpex.c``).

    :return: None where it cannot be placed.
    """
    assert session.qtest is not None
    found = windows(str((await session.hmp("info mtree")).value))
    slot = own_slot(await session.ask("query-pci"))
    if found is None or slot is None:
        return None
    ecam, memory = found
    registers = ecam + (slot << 15)
    if await session.qtest.read("l", registers) != IDENTITY:
        return None
    await session.qtest.write("l", registers + BAR0, memory)
    await session.qtest.write("w", registers + _COMMAND, _MEMORY_ENABLE)
    return memory
