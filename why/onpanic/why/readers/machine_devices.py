"""What a QEMU's machine has that decides whether its guest can be read, and whether it can report a panic."""

import re
from typing import Any, NamedTuple

from onpanic.core.untrusted import printable
from onpanic.probe.observations.devices import NOTIFIERS
from onpanic.qmp.client import CommandError
from onpanic.why.memory.monitor_memory import MonitorCommands
from onpanic.why.memory.ram_ranges import MEMORY_MAP, ram_ranges
from onpanic.why.memory.reading import MemoryRange

__all__ = ("MachineDevices", "machine_devices", "memory_ranges", "no_note")

#: QOM types of objects that encrypt a guest's memory, and what they are called.
_ENCRYPTION = {
    "sev-guest": "AMD SEV",
    "sev-snp-guest": "AMD SEV-SNP",
    "tdx-guest": "Intel TDX",
    "s390-pv-guest": "IBM Secure Execution",
    "pef-guest": "IBM Protected Execution",
    "rme-guest": "Arm CCA",
}

_FOLDERS = ("/machine/unattached", "/machine/peripheral", "/machine/peripheral-anon")
_CHILD = re.compile(r"child<([\w.,+-]{1,80})>")
_SEARCH = "onpanic why --search searches the guest's memory"
_LOWEST = 1 << 20  # what is below was the firmware's


class MachineDevices(NamedTuple):
    """What a machine has.

    :param types: QOM types of its devices.
    :param encryption: What encrypts the guest's memory, e.g. ``AMD SEV``; empty if nothing does.
    :param notifiers: Its panic notifiers: QOM types of pvpanic devices, or libvirt's models of others.  To
        each the events that it can report, if that is known: 1 for panicked, 2 for crash-loaded.
    """

    types: frozenset[str]
    encryption: str
    notifiers: dict[str, int | None]


async def machine_devices(connection: MonitorCommands) -> MachineDevices:
    """Return what a machine has.

    :param connection: A connection to its QMP monitor.
    :raise ConnectionLostError: When there is no answer.
    """
    paths: dict[str, str] = {}
    for folder in _FOLDERS:
        paths |= await _devices(connection, folder)
    notifiers: dict[str, int | None] = {}
    for path, kind in paths.items():
        if kind in NOTIFIERS:
            events = await _ask(connection, "qom-get", {"path": path, "property": "events"})
            notifiers[kind] = events if isinstance(events, int) else None
    notifiers |= dict.fromkeys(await _other_notifiers(connection))
    return MachineDevices(frozenset(paths.values()), await _encryption(connection), notifiers)


async def memory_ranges(connection: MonitorCommands) -> list[MemoryRange]:
    """Return where a guest has memory.  Devices are left out, since reading changes the state of some.

    :param connection: A connection to its QMP monitor.
    :raise ConnectionLostError: When there is no answer.
    """
    text = str(await _ask(connection, "human-monitor-command", {"command-line": MEMORY_MAP}) or "")
    ends = [(max(start, _LOWEST), start + length) for start, length in ram_ranges(text)]
    return [MemoryRange(start, end - start) for start, end in ends if end > start]


def no_note(devices: MachineDevices) -> str:
    """Return why there is no note of a guest's vmcoreinfo, and what to do about it."""
    if devices.encryption:
        return f"the guest's memory is encrypted ({devices.encryption}): nothing can be read from outside"
    if "vmcoreinfo" not in devices.types:
        return f"the machine has no vmcoreinfo device; {_SEARCH}"
    return f"the guest has not loaded qemu_fw_cfg, the driver of the vmcoreinfo device; {_SEARCH}"


async def _devices(connection: MonitorCommands, folder: str) -> dict[str, str]:
    """Return the devices in a folder: their paths and their QOM types."""
    items = await _ask(connection, "qom-list", {"path": folder})
    found = {}
    for item in items if isinstance(items, list) else []:
        if match := _CHILD.fullmatch(str(item.get("type", ""))):
            found[f"{folder}/{item.get('name')}"] = match[1]
    return found


async def _other_notifiers(connection: MonitorCommands) -> list[str]:
    """Return libvirt's models of the notifiers that are no devices."""
    machine = str(await _ask(connection, "qom-get", {"path": "/machine", "property": "type"}))
    if machine.startswith("s390-ccw"):
        return ["s390"]
    if machine.startswith("pseries"):
        return ["pseries"]
    processors = await _ask(connection, "query-cpus-fast", {})
    path = processors[0].get("qom-path") if isinstance(processors, list) and processors else ""
    crash = await _ask(connection, "qom-get", {"path": str(path), "property": "hv-crash"})
    return ["hyperv"] if crash is True else []


async def _encryption(connection: MonitorCommands) -> str:
    """Return what encrypts the guest's memory; an s390x guest that may only ask for it counts."""
    sev = await _ask(connection, "query-sev", {})
    if isinstance(sev, dict) and sev.get("enabled"):
        return _ENCRYPTION.get(f"{printable(str(sev.get('sev-type', 'sev')), 20)}-guest", "AMD SEV")
    arguments = {"path": "/machine", "property": "confidential-guest-support"}
    path = await _ask(connection, "qom-get", arguments)
    if not isinstance(path, str) or not path.startswith("/"):
        return ""
    kind = await _ask(connection, "qom-get", {"path": path, "property": "type"})
    return _ENCRYPTION.get(str(kind), printable(str(kind), 40))


async def _ask(connection: MonitorCommands, command: str, arguments: dict[str, Any]) -> Any:
    """Return what a command returns; None if it is refused."""
    try:
        return await connection.execute(command, arguments)
    except CommandError:
        return None
