"""What an emulator is asked, and in which order.

One start answers everything about one machine type: the probe's own device has an id,
so a builtin one is seen beside it.  The dear question, ``query-qmp-schema``, is asked
only if nothing cheaper has told.  ``qom-list-types`` is dangerous: it loads every
module of the build, and aborts where one of another build lies about.  So it comes
last, and an emulator that dies of it is started again and asked gently.

Considered and left: a first start with ``-machine none`` for what is true of the
emulator (a second start, and it can neither show a builtin nor take the ISA device);
a boot image that panics by itself (a file, and no nearer to the truth than a write
through the monitor, which reaches the same device model).
"""

import asyncio

from .conversation import Conversation, Reply
from .facts.acpi import FIRMWARE_AREA, Memory, firmware_finished, wanted
from .facts.device import DEFAULT_PORT, devices
from .facts.panic import bars
from .launch import OWN_ID, X86
from .machines import Machines
from .pci import place_bar
from .session import Questions, Session

__all__ = ("acpi", "events", "isa", "pci", "plain", "types")

_TRIES = 8  # writes before silence is believed; one in ten goes astray on a busy host
_PANICKED, _CRASHLOADED = 1, 2  # QEMU's docs/specs/pvpanic


async def types(session: Questions, *, gently: bool = False) -> None:
    """Ask which types there are.

    :param gently: Ask for them one by one, which loads no modules.
    """
    if gently:
        names = ("pvpanic", "pvpanic-pci", "isa-pvpanic")
        await session.ask_all(*(("device-list-properties", {"typename": name}) for name in names))
    else:
        await session.ask("qom-list-types")


async def plain(session: Questions, *, thorough: bool = False) -> None:
    """Ask which machine this is and which pvpanic devices are in it.  No guest CPU runs.

    Each question costs half a millisecond, and there may be a hundred machine types: what the
    probe's own device makes certain is not asked.

    :param thorough: Ask, too, what is true of the emulator whatever the machine type.
    """
    identity = ("query-target", "query-machines", "query-commands") if thorough else ()
    own = f"/machine/peripheral/{OWN_ID}"
    answers = await session.ask_all(
        ("query-status", {}),
        *((command, {}) for command in identity),
        ("qom-get", {"path": "/machine", "property": "type"}),
        ("qom-list", {"path": "/machine"}),
        ("qom-list", {"path": "/machine/unattached"}),
        ("qom-get", {"path": own, "property": "ioport"}),
    )
    *_, unattached, port = answers
    if not unattached.ok:
        await session.hmp("info qtree")
        return
    if not port.ok:
        folders = ("/machine/peripheral", "/machine/peripheral-anon")
        await session.ask_all(*(("qom-list", {"path": folder}) for folder in folders))
    for device in devices(Conversation(session.entries)) or []:
        if device.port is not None and device.path != own:
            await session.ask("qom-get", path=device.path, property="ioport")


async def events(session: Questions) -> None:
    """Ask for the events that did not come by themselves.  The schema is dear: it comes last."""
    if session.heard("GUEST_PANICKED") and session.heard("GUEST_CRASHLOADED"):
        return
    listed = await session.ask("query-events")
    if not listed.ok:
        await session.ask("query-qmp-schema")


async def isa(session: Questions, *, thorough: bool = False) -> None:
    """Make a panic happen through the ISA port, and watch.  Needs an x86 guest.

    The guest must be running: while it is paused a panic changes no state.  It must not run
    for long: firmware moves other devices, and may put one over an unusual port before the
    write is made, so that silence is not believed at once.  The machine type
    ``none`` has no guest, and some QEMUs crash on its ports.
    """
    if Machines([]).canonical(Conversation(session.entries)) == "none":
        return
    present = devices(Conversation(session.entries)) or ()
    ports = [d.port for d in present if d.port is not None and not d.neutralised]
    port = ports[0] if ports else DEFAULT_PORT
    await session.hmp(f"i /b {port:#x}")
    if thorough:  # whether there is the event is a question about the emulator
        await session.hmp(f"o /b {port:#x} {_CRASHLOADED}")
    for _ in range(_TRIES):
        _, _, status = await session.ask_all(
            ("cont", {}),
            ("human-monitor-command", {"command-line": f"o /b {port:#x} {_PANICKED}"}),
            ("query-status", {}),
        )
        if not present or session.heard("GUEST_PANICKED"):
            break
        await session.ask("stop")
        await session.ask("system_reset")  # and with it, what the firmware has done
    await _aftermath(session, status)


async def pci(session: Session) -> None:
    """Make a panic happen through the PCI device's register, and watch.  Needs a qtest channel."""
    assert session.qtest is not None
    target = await session.ask("query-target")
    on_x86 = target.member("arch") in X86
    if on_x86:
        await session.ask("cont")  # the firmware places the register
    register = await (_placed_by_firmware(session) if on_x86 else place_bar(session))
    if register is None:
        return
    if not on_x86:
        await session.ask("cont")
    await session.qtest.read("b", register)
    await session.qtest.write("b", register, _CRASHLOADED)
    await session.qtest.write("b", register, _PANICKED)
    await _aftermath(session, await session.ask("query-status"))


async def acpi(session: Questions) -> None:
    """Let the firmware run, then read the tables that it left for the guest.  Needs an x86 guest.

    Firmware that has halted without leaving tables is seen halted three times.
    """
    await session.ask("cont")
    for _ in range(_FIRMWARE_PATIENCE):
        ranges = wanted(Memory(Conversation(session.entries)))
        if not ranges:
            return
        if ranges[0] == FIRMWARE_AREA:
            await asyncio.sleep(_FIRMWARE_STEP)
            await session.hmp("info registers")
        for address, length in ranges:
            await session.hmp(f"xp /{(length + 3) // 4}xw {address:#x}")
        if firmware_finished(Conversation(session.entries)):
            return


_FIRMWARE_STEP = 0.15  # seconds between looks; SeaBIOS has its tables after about 0.2
_FIRMWARE_PATIENCE = 16  # looks; a look at the firmware area is 250 KiB of the conversation


async def _placed_by_firmware(session: Questions) -> int | None:
    """Wait for the firmware to place the device's BAR; None if it does not."""
    cpus = await session.ask("query-cpus-fast")
    if cpus.ok and not cpus.items:
        return None  # nobody to run it
    for _ in range(60):
        found = bars(await session.ask("query-pci"))
        if found:
            return found[0]
        await asyncio.sleep(0.05)
    return None


async def _aftermath(session: Questions, status: Reply) -> None:
    """Where the panic left the guest in its own state, see if ``cont`` leaves it.

    The guest is stopped again at once: while it runs, it takes the emulator's time.
    """
    if status.member("status") == "guest-panicked":
        await session.ask_all(("cont", {}), ("query-status", {}), ("stop", {}))
