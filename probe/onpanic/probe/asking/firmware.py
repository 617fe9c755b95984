"""Reading the guest's ACPI tables from guest memory, after the firmware has run."""

import asyncio

from onpanic.probe.asking.session import Monitor
from onpanic.probe.observations.acpi_tables import FIRMWARE_AREA, Memory, firmware_finished, wanted

__all__ = ("read_acpi_tables",)

_STEP = 0.15  # seconds between attempts; SeaBIOS has its tables after about 0.2
_ATTEMPTS = 16  # each one adds 250 KiB to the conversation


async def read_acpi_tables(monitor: Monitor) -> None:
    """Let the firmware run, then read the tables that it left for the guest.  Needs an x86 guest.

    Firmware that has halted without leaving tables is given up after three attempts.
    """
    await monitor.ask("cont")
    for _ in range(_ATTEMPTS):
        ranges = wanted(Memory(monitor.conversation))
        if not ranges:
            return
        if ranges[0] == FIRMWARE_AREA:
            await asyncio.sleep(_STEP)
            await monitor.hmp("info registers")
        for address, length in ranges:
            await monitor.hmp(f"xp /{(length + 3) // 4}xw {address:#x}")
        if firmware_finished(monitor.conversation):
            return
