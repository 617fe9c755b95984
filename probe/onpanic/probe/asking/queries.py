"""The QMP queries about an emulator and a machine type that do not run the guest.

The first start for a machine type answers everything except what the other notifiers do: the
probe's own device has an id, so a builtin one is seen beside it.  ``query-qmp-schema`` is slow, so
it is sent only if nothing faster has answered.  ``qom-list-types`` loads every module of the build,
and aborts the emulator if one of them is of another build.  So it comes last, and an emulator that it
aborts is started again and asked about each type by itself.  An introspection, which needs the schema,
asks about each type in the first place: loading the modules as well would take longer than a probe.

Two alternatives were rejected.  A first start with ``-machine none`` for what is true of the emulator
is a second start, and can neither show a builtin device nor take the ISA device.  For a device with a
register, a boot image that panics is no better evidence than a write through the monitor, which reaches
the same device model.
"""

from onpanic.probe.asking.session import Monitor
from onpanic.probe.emulator.command_line import OWN_ID, X86, guess_target
from onpanic.probe.emulator.opening_commands import opening_commands
from onpanic.probe.observations.devices import devices
from onpanic.probe.observations.machines import target_of

__all__ = ("ask_about_emulator", "ask_about_machine", "ask_read_only")

_TYPES = ("pvpanic", "pvpanic-pci", "isa-pvpanic")


async def ask_read_only(monitor: Monitor) -> None:
    """Ask a running guest's emulator everything that neither changes nor endangers the guest."""
    await ask_about_machine(monitor, thorough=True, in_use=True)
    await ask_about_emulator(monitor, one_by_one=True)


async def ask_about_machine(monitor: Monitor, *, thorough: bool = False, in_use: bool = False) -> None:
    """Ask which machine this is and which pvpanic devices are in it.  No guest CPU runs.

    Each question costs half a millisecond, and there may be a hundred machine types, so nothing is
    asked that the presence of the probe's own device answers.

    :param thorough: Also ask what is true of the emulator whatever the machine type.
    :param in_use: Whether the guest is in use, so that the human monitor is asked only if there is no QOM.
    """
    opening = opening_commands(thorough=thorough)
    *_, unattached, port = await monitor.ask_all(("query-status", {}), *opening)
    on_x86 = (target_of(monitor.conversation) or guess_target(monitor.conversation.argv)) in X86
    if (on_x86 and not in_use) or not unattached.ok:
        await monitor.ask_all(*(_hmp(line) for line in ("info qtree", "info mtree")))
    if not unattached.ok:
        return
    if not port.ok:
        folders = ("/machine/peripheral", "/machine/peripheral-anon")
        await monitor.ask_all(*(("qom-list", {"path": folder}) for folder in folders))
    for device in devices(monitor.conversation) or []:
        if device.on_isa and device.path.startswith("/") and device.path != f"/machine/peripheral/{OWN_ID}":
            await monitor.ask("qom-get", path=device.path, property="ioport")


async def ask_about_emulator(monitor: Monitor, *, one_by_one: bool = False) -> None:
    """Ask which events and types the emulator has.

    The questions are sent together, so that the emulator loads its modules while the schema is parsed.

    :param one_by_one: Ask about each type by itself, which loads no modules.
    """
    types = [("device-list-properties", {"typename": name}) for name in _TYPES]
    listing = types if one_by_one else [("qom-list-types", {})]
    await monitor.ask_all(*((command, {}) for command in _event_lists(monitor)), *listing)
    if not one_by_one and _refused(monitor, "qom-list-types"):
        await monitor.ask_all(*types)
    refused = _refused(monitor, "query-events") or _refused(monitor, "query-commands")
    if refused and not monitor.conversation.reply("query-qmp-schema"):
        await monitor.ask("query-qmp-schema")


def _refused(monitor: Monitor, command: str) -> bool:
    reply = monitor.conversation.reply(command)
    return reply is not None and not reply.ok


def _hmp(line: str) -> tuple[str, dict[str, str]]:
    return "human-monitor-command", {"command-line": line}


def _event_lists(monitor: Monitor) -> tuple[str, ...]:
    """Return the command that lists the events, unless they have come or were listed.

    ``query-events`` is fast, but QEMU 6.0 removed it; the schema is slow.
    """
    conversation = monitor.conversation
    if conversation.events("GUEST_PANICKED") and conversation.events("GUEST_CRASHLOADED"):
        return ()
    answers = [conversation.reply("query-events"), conversation.reply("query-qmp-schema")]
    if any(reply is not None and reply.ok for reply in answers):
        return ()
    commands = conversation.reply("query-commands")
    known = {item["name"] for item in commands.items} if commands else set()
    return ("query-qmp-schema",) if known and "query-events" not in known else ("query-events",)
