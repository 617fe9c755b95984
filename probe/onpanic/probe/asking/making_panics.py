"""Making a panic happen through a notifier's register, and recording what follows.

The guest must be running: while it is paused a panic changes no state.
"""

from collections.abc import Awaitable, Callable, Mapping

from onpanic.probe.asking.after_panic import continue_after_panic, settled_status
from onpanic.probe.asking.fallbacks import Start
from onpanic.probe.asking.guest_panics import (
    panic_by_checkstop,
    panic_by_disabled_wait,
    panic_by_hyperv_msr,
    panic_by_rtas,
)
from onpanic.probe.asking.pci_placement import find_register, has_reset_itself, place_register
from onpanic.probe.asking.session import Monitor, Session
from onpanic.probe.emulator.command_line import X86
from onpanic.probe.emulator.notifier_models import ISA_TYPES, PCI_TYPE
from onpanic.probe.observations.devices import DEFAULT_PORT, isa_devices
from onpanic.probe.observations.machines import Machines, is_made, target_of
from onpanic.probe.observations.notifiers import architectural_notifier
from onpanic.probe.observations.panics import PANICKED

__all__ = ("make_panic", "panic_through_isa", "panic_through_pci")

_TRIES = 8  # writes after which a missing event is believed; on a busy host one write in ten is lost
_RESETS = 3  # after which a guest that resets itself is given up
_ENDED = ("shutdown", "prelaunch")  # run states of a guest that shut down or was reset: they hide a panic
_CRASHLOADED = 2  # bit 1 of the register (QEMU's docs/specs/pvpanic)

_BY_THE_GUEST: Mapping[str, Callable[[Session], Awaitable[None]]] = {
    "checkstop": panic_by_checkstop,
    "pseries": panic_by_rtas,
    "s390": panic_by_disabled_wait,
}


async def make_panic(session: Session, start: Start) -> None:
    """Make a panic happen through the notifier that a start is about, if the machine has it.

    The machine type ``none`` has no guest, and some QEMUs crash when its ports are accessed.
    """
    conversation = session.conversation
    if not target_of(conversation):
        await session.ask("query-target")
    machine = Machines([conversation]).canonical(conversation) or ""
    target = target_of(conversation) or start.target
    if machine == "none" or not is_made(conversation):
        return
    if start.subject == "isa":
        if target in X86:
            await panic_through_isa(session, thorough=start.thorough)
    elif start.subject == "pvpanic":
        if target in X86 and not isa_devices(conversation) and not set(conversation.devices) & set(ISA_TYPES):
            await _look_for_builtin(session)
        if session.qtest is not None and PCI_TYPE in conversation.devices:
            await panic_through_pci(session, on_x86=target in X86)
    elif start.subject in ("checkstop", architectural_notifier(target, machine or "pseries")):
        await _BY_THE_GUEST[start.subject](session)
    elif start.subject == "hyperv" and target in X86:
        await panic_by_hyperv_msr(session)


async def panic_through_isa(monitor: Monitor, *, thorough: bool = False) -> None:
    """Make a panic happen through the ISA device's port.  Needs an x86 guest.

    The guest must not run for long: firmware moves other devices, and may put one over an
    unusual port before the write is made, so a missing event is not believed at once.

    :param thorough: Also write bit 1, which shows whether the emulator has the event for it.
    """
    present = isa_devices(monitor.conversation)
    # A build that refuses to list devices has accepted the one of the command line
    there = bool(present) or bool(set(monitor.conversation.devices) & set(ISA_TYPES))
    located = [d for d in present if d.port is not None and not d.neutralised]
    ports = [d.port for d in located]
    added = [d.port for d in located if d.origin == "added"]
    port = next(iter([*added, *ports]), DEFAULT_PORT)
    for other in dict.fromkeys([*ports, port]):
        await monitor.hmp(f"i /b {other:#x}")
    if thorough:
        await monitor.hmp(f"o /b {port:#x} {_CRASHLOADED}")
    for _ in range(_TRIES):
        begin = len(monitor.conversation.entries)
        await monitor.ask_all(
            ("cont", {}),
            ("human-monitor-command", {"command-line": f"o /b {port:#x} {PANICKED}"}),
        )
        # not before: what an emulator that ends has said is lost if something is sent to it meanwhile
        status = await monitor.ask("query-status")
        if there or status.member("status") != "running":
            status = await settled_status(monitor, status, begin)
        had_effect = status.member("status") not in ("running", "")
        if not there or had_effect or monitor.conversation.events("GUEST_PANICKED", begin):
            break
        await monitor.ask("stop")
        await monitor.ask("system_reset")  # which undoes what the firmware has done
    await continue_after_panic(monitor, status)


async def _look_for_builtin(monitor: Monitor) -> None:
    """Write to the ISA device's port although none was added: an event shows one that nothing lists."""
    await monitor.ask_all(
        ("cont", {}),
        ("human-monitor-command", {"command-line": f"o /b {DEFAULT_PORT:#x} {PANICKED}"}),
        ("query-status", {}),
    )
    await monitor.ask("stop")
    await monitor.ask("system_reset")


async def panic_through_pci(session: Session, *, on_x86: bool) -> None:
    """Make a panic happen through the PCI device's register.  Needs a qtest channel.

    While the guest runs, its firmware may move the register before it is written, shut the guest
    down, or reset it; so a missing event is not believed at once.  A guest that the panic has
    stopped, with an event or without, is left as it is.

    :param on_x86: Whether the CPU has I/O ports.
    :raise EmulatorError: When the emulator ends, or does not answer.
    """
    assert session.qtest is not None
    register = await place_register(session, on_x86=on_x86)
    resets = 0
    for _ in range(_TRIES):
        if register is None or resets == _RESETS:
            return
        await session.qtest.read("b", register)
        await session.qtest.write("b", register, _CRASHLOADED)
        start = len(session.conversation.entries)
        await session.ask("cont")
        await session.qtest.write("b", register, PANICKED)
        status = await settled_status(session, await session.ask("query-status"), start)
        state = status.member("status")
        actions = [data.get("action") for _, data in session.conversation.events("GUEST_PANICKED", start)]
        if actions and (actions[0] != "pause" or state not in _ENDED):
            break
        if state in _ENDED or (state == "running" and has_reset_itself(session, start)):
            resets += has_reset_itself(session, start)
            await session.ask("stop")
            await session.ask("system_reset")
            register = await place_register(session, on_x86=on_x86)
        elif state == "running":
            register = await find_register(session)
        else:
            break
    await continue_after_panic(session, status)
