"""Making a panic happen by code that the guest's CPU executes, and recording what follows.

Each function takes a session whose guest was started with ``-S`` and has not run.  What the start needs:

======================== ==================================== =======================================
function                 machine types                        options
======================== ==================================== =======================================
`panic_by_disabled_wait` s390x: all but none                  none; nothing to boot from
`panic_by_rtas`          ppc64: pseries*                      ``boot_image=os_term_image()``, or
                                                              ``qtest=True``
`panic_by_checkstop`     ppc64: powernv8, powernv9, powernv10 ``boot_image=checkstop_image()``
`panic_by_checkstop`     ppc: mac99, g3beige, 40p             ``qtest=True``
`panic_by_hyperv_msr`    i386, x86_64: all but none           ``boot_image=hyperv_crash_image()``
                                                              and ``-cpu qemu64,hv-crash``
======================== ==================================== =======================================

The accelerator is the one that is asked about: Hyper-V's registers are KVM's, and TCG ignores writes
to them.  Where an image is used, nothing else may set ``-bios`` after it.

A panic that the CPU makes is not over when its event comes: the emulator stops the guest a moment
later.  So the run state is asked after STOP, or after SHUTDOWN.  No event within a waiting time
proves nothing, since the host may be busy; but the guest shows how far it got, see
`onpanic.probe.observations.guest_code`.
"""

from collections.abc import Awaitable, Callable

from onpanic.probe.asking.after_panic import continue_after_panic, settled_status
from onpanic.probe.asking.session import Monitor, Session
from onpanic.probe.emulator.boot_image import PASSED
from onpanic.probe.observations.guest_code import MARKER_LINE, REGISTERS_LINE, in_disabled_wait, marker

__all__ = ("panic_by_checkstop", "panic_by_disabled_wait", "panic_by_hyperv_msr", "panic_by_rtas")

_PANICKED = "GUEST_PANICKED"
_REACHED = 3.0  # seconds that the guest has to reach the instruction
_REPORTED = 1.0  # seconds from an instruction that ends in a halt to its event
_STOPPED = 1.0  # seconds from the event to the stop
_STEPS = (0.005, 0.2)  # seconds between two looks at the guest, first and at most

# qtest's pin of the CPU for machine checks (QEMU's enum PowerPC input pins: PPC6xx_INPUT_MCP)
_MACHINE_CHECK_PIN = 3
# Guest memory for the call: every pseries machine has 128 MiB at least, and the firmware uses others
_RTAS_BLOCK = 0x4000000
_RTAS_TEXT = b"no OS\0"


async def panic_by_disabled_wait(session: Session) -> None:
    """Let s390x firmware find nothing to boot from, which ends in a disabled wait."""
    await _run(session, "disabled-wait", lambda: _in_disabled_wait(session), reported=_REPORTED)


async def panic_by_rtas(session: Session) -> None:
    """Make the RTAS call ``ibm,os-term``: by the guest's code, or where there is a qtest channel, by that.

    :raise ProtocolFault: When this emulator's qtest has no such command.
    """
    if session.qtest is None:
        await _run(session, "rtas ibm,os-term 0x1 0xc 0x1 0x10", lambda: _marked(session))
        return
    block, text = _RTAS_BLOCK, _RTAS_BLOCK + 0x20
    await session.qtest.ask(f"write {text:#x} {len(_RTAS_TEXT):#x} 0x{_RTAS_TEXT.hex()}")
    await session.qtest.ask(f"write {block:#x} 0x4 {text:#010x}")
    begin = len(session.conversation.entries)
    await session.ask("cont")  # a guest that is paused would not be stopped
    await session.qtest.ask(f"rtas ibm,os-term 0x1 {block:#x} 0x1 {block + 4:#x}")
    await session.wait_for_event(_PANICKED, _REPORTED, since=begin)
    await _finish(session, begin)


async def panic_by_checkstop(session: Session) -> None:
    """Stop a PowerPC CPU by a machine check: by the guest's code, or by a pin of the CPU.

    The pin is used where there is a qtest channel.  Nothing is recorded if the CPU has none: QEMU before
    7.0, and other boards, abort when qtest sets a pin that they do not have.
    """
    if session.qtest is None:
        await _run(session, "checkstop", lambda: _marked(session), reported=_REPORTED)
        return
    cpu = await _cpu_with_pin(session)
    if cpu is None:
        return
    for level in (1, 0):
        await session.qtest.ask(f"set_irq_in {cpu} unnamed-gpio-in {_MACHINE_CHECK_PIN} {level}")
    await _run(session, "checkstop", None, reported=_REPORTED)


async def _cpu_with_pin(monitor: Monitor) -> str | None:
    """Return the QOM path of the first CPU; None if it does not have the pin."""
    cpus = await monitor.ask("query-cpus-fast")
    paths = [item.get("qom-path") for item in cpus.items if isinstance(item, dict)]
    if not paths or not isinstance(paths[0], str):
        return None
    properties = await monitor.ask("qom-list", path=paths[0])
    pin = f"unnamed-gpio-in[{_MACHINE_CHECK_PIN}]"
    return paths[0] if any(item["name"] == pin for item in properties.items) else None


async def panic_by_hyperv_msr(session: Session) -> None:
    """Write Hyper-V's crash control register, bit 63, which KVM reports if it has Hyper-V's registers."""
    await _run(session, "wrmsr 0x40000105 0x8000000000000000", lambda: _marked(session))


async def _run(
    session: Session,
    doing: str,
    reached: Callable[[], Awaitable[bool]] | None,
    *,
    reported: float = 0.0,
) -> None:
    """Run the guest until it has panicked, or has executed the instruction without an event.

    :param doing: What the guest does, for the recording.
    :param reached: Asks the emulator whether the instruction was executed; None if nothing shows it.
    :param reported: Seconds that the event may then take; 0 if the guest went on, since the emulator
        sends the event before it lets the guest go on.
    """
    begin = session.record("guest", "send", doing)
    if not (await session.ask("cont")).ok:
        return
    left, step = _REACHED, _STEPS[0]
    executed = reached is None
    while not executed and left > 0:
        if await session.wait_for_event(_PANICKED, step, "STOP", "SHUTDOWN", since=begin):
            if reached is not None and not session.conversation.events(_PANICKED, begin):
                await reached()  # it stopped without a report: here, or on the way to the instruction
            break
        executed = reached is not None and await reached()
        left, step = left - step, min(2 * step, _STEPS[1])
    if executed and reported and marker(session.conversation) != PASSED:
        came = await session.wait_for_event(_PANICKED, reported, "STOP", "SHUTDOWN", since=begin)
        if reached is not None and not came:
            await reached()  # a recording shows where the guest is after that time
    await _finish(session, begin)


async def _finish(session: Session, begin: int) -> None:
    """Ask what the panic has done, once the emulator has stopped the guest."""
    panicked = session.conversation.events(_PANICKED, begin)
    if panicked and panicked[0][1].get("action") != "run":
        await session.wait_for_event("STOP", _STOPPED, "SHUTDOWN", since=begin)
    status = await settled_status(session, await session.ask("query-status"), begin, silent_for=0.0)
    await continue_after_panic(session, status)


async def _marked(monitor: Monitor) -> bool:
    """Return whether the guest's code has stored its marker."""
    await monitor.hmp(MARKER_LINE)
    return marker(monitor.conversation) != 0


async def _in_disabled_wait(monitor: Monitor) -> bool:
    """Return whether the guest's CPU is in a disabled wait."""
    await monitor.hmp(REGISTERS_LINE)
    return in_disabled_wait(monitor.conversation)
