"""The monitor of a played emulator: its answers to QMP commands."""

from collections.abc import Callable, Sequence
from typing import Any

from onpanic.probe.testing.played_emulator import PlayedEmulator
from onpanic.probe.testing.played_listings import (
    info_mtree,
    info_qtree,
    info_views,
    pci_devices,
    qom_children,
)
from onpanic.probe.testing.played_machine import PlayedMachine

__all__ = ("CommandRefused", "PlayedMonitor")


class CommandRefused(Exception):  # noqa: N818
    """A QMP error: class and description."""


class PlayedMonitor:
    """The QMP monitor of a machine.

    :param like: The emulator.
    :param options: Its command line.
    :raise StartRefused: When QEMU would refuse to start.
    :ivar machine: The machine.
    :ivar quit: True after ``quit``.
    """

    def __init__(self, like: PlayedEmulator, options: Sequence[str]) -> None:
        self.like = like
        self.machine = PlayedMachine(like, options)
        self.quit = False

    @property
    def greeting(self) -> dict[str, Any]:
        """What it says first."""
        version = dict(zip(("major", "minor", "micro"), self.like.version, strict=True))
        return {"QMP": {"version": {"qemu": version, "package": self.like.package}, "capabilities": []}}

    @property
    def ended(self) -> bool:
        """True if the emulator has ended."""
        return self.quit or self.machine.exit_status is not None

    def handle(self, message: dict[str, Any]) -> list[dict[str, Any]]:
        """Carry out a command, and return what the monitor says: the events, and the answer if one comes."""
        reply: dict[str, Any] = {"id": message["id"]} if "id" in message else {}
        try:
            reply["return"] = self.answer(message["execute"], message.get("arguments", {}))
        except CommandRefused as refusal:
            reply["error"] = {"class": refusal.args[0], "desc": refusal.args[1]}
        if self.machine.exit_status is None:
            self.machine.said.append(reply)
            self.machine.replied()
        return self.said()

    def said(self) -> list[dict[str, Any]]:
        """Return what is to be sent, and forget it."""
        said, self.machine.said = self.machine.said, []
        return said

    def answer(self, command: str, arguments: dict[str, Any]) -> Any:
        """Return what a command returns.

        :raise CommandRefused: When the answer is an error.
        """
        like = self.like
        unknown = CommandRefused("CommandNotFound", f"The command {command} has not been found")
        if command in like.lacks or (command not in _COMMANDS and command not in like.commands):
            raise unknown
        if command.startswith(("qom-", "device-list", "query-machines", "query-target")) and not like.qom:
            raise unknown
        if command == "query-events" and like.events is None:
            raise unknown
        if command == "quit":
            self.quit = True
        return {**_COMMANDS, **_LATER}[command](self.machine, arguments)


def _nothing(machine: PlayedMachine, arguments: dict[str, Any]) -> Any:
    return {}


def _status(machine: PlayedMachine, arguments: dict[str, Any]) -> Any:
    return {"status": machine.status, "singlestep": False, "running": machine.status == "running"}


def _cont(machine: PlayedMachine, arguments: dict[str, Any]) -> Any:
    refused = machine.cont()
    if refused:
        raise CommandRefused(machine.like.error_class, refused)
    return {}


def _stop(machine: PlayedMachine, arguments: dict[str, Any]) -> Any:
    machine.stop()
    return {}


def _reset(machine: PlayedMachine, arguments: dict[str, Any]) -> Any:
    machine.reset()
    return {}


def _machines(machine: PlayedMachine, arguments: dict[str, Any]) -> Any:
    listed = []
    for index, (name, alias) in enumerate(machine.like.machine_names.items()):
        entry: dict[str, Any] = {"name": name, "cpu-max": 255}
        default = {"is-default": True} if index == 0 and machine.like.has_default else {}
        listed.append(entry | ({"alias": alias} if alias else {}) | default)
    return listed


def _commands(machine: PlayedMachine, arguments: dict[str, Any]) -> Any:
    like = machine.like
    return [{"name": n} for n in (*_COMMANDS, *like.commands) if n not in like.lacks]


def _schema(machine: PlayedMachine, arguments: dict[str, Any]) -> Any:
    commands = [{"name": item["name"], "meta-type": "command"} for item in _commands(machine, {})]
    return [*({"name": name, "meta-type": "event"} for name in machine.like.schema), *commands]


def _qom_get(machine: PlayedMachine, arguments: dict[str, Any]) -> Any:
    like = machine.like
    if arguments["property"] == "ioport" and "ioport" not in like.lacks:
        ports = [d.port for d in machine.devices if d.path == arguments["path"] and d.port is not None]
        if ports:
            return ports[0]
    if arguments["path"] == "/machine/fw_cfg":
        if machine.name in like.without_fw_cfg:
            raise CommandRefused("DeviceNotFound", f"Device '{arguments['path']}' not found")
        late = machine.name in like.late_fw_cfg
        return late if arguments["property"] == "hotplugged" else machine.name not in like.without_dma
    if arguments["path"] == "/machine" and like.version >= (2, 0, 0):
        return f"{machine.name}-machine"
    raise CommandRefused("GenericError", f"Property '.{arguments['property']}' not found")


def _types(machine: PlayedMachine) -> tuple[str, ...]:
    """Return the types of devices that the emulator has, as far as they are played."""
    return (*machine.like.types, *(("vmcoreinfo",) if machine.like.vmcoreinfo else ()))


def _properties(machine: PlayedMachine, arguments: dict[str, Any]) -> Any:
    if arguments["typename"] not in _types(machine):
        raise CommandRefused("DeviceNotFound", f"Device '{arguments['typename']}' not found")
    return [{"name": "ioport", "type": "uint16"}]


def _hmp(machine: PlayedMachine, arguments: dict[str, Any]) -> Any:
    line = arguments["command-line"]
    words = line.split()
    for lacking in machine.like.lacks:
        if line == lacking or words[0] == lacking:
            return f"unknown command: '{lacking}'\r\n"
    if words[0] == "info":
        show = _INFO.get(line)
        return show(machine).replace("\n", "\r\n") if show else f"unknown command: '{line}'\r\n"
    if words[0] == "xp":
        address = int(words[-1], 0)
        return f"{address:016x}: 0x{machine.marker if address == 0x7000 else 0:08x}\r\n"
    device = machine.at(int(words[2], 0))
    if words[0] == "i":
        return f"portb[{int(words[2], 0):#06x}] = {device.does.mask if device else 0xFF:#x}\r\n"
    if words[0] == "o" and device:
        machine.write(device, int(words[3], 0))
    return ""


_INFO: dict[str, Callable[[PlayedMachine], str]] = {
    "info qtree": info_qtree,
    "info mtree": info_mtree,
    "info mtree -f": info_views,
    "info registers": lambda _: "PSW=mask 0002000180000000 addr 0000000000000000\n",
}
_COMMANDS: dict[str, Callable[[PlayedMachine, dict[str, Any]], Any]] = {
    "qmp_capabilities": _nothing,
    "query-status": _status,
    "query-target": lambda machine, _: {"arch": machine.like.target},
    "query-machines": _machines,
    "query-commands": _commands,
    "query-events": lambda machine, _: [{"name": name} for name in machine.like.events or ()],
    "qom-list-types": lambda machine, _: [{"name": name} for name in ("isa-serial", *_types(machine))],
    "qom-list": lambda machine, arguments: qom_children(machine, arguments["path"]),
    "qom-get": _qom_get,
    "device-list-properties": _properties,
    "human-monitor-command": _hmp,
    "query-pci": lambda machine, _: pci_devices(machine),
    "query-cpus-fast": lambda machine, _: [] if machine.like.pci == "none" else [{"cpu-index": 0}],
    "cont": _cont,
    "stop": _stop,
    "system_reset": _reset,
    "quit": _nothing,
}
# Commands that only some versions have, see `PlayedEmulator.commands`
_LATER: dict[str, Callable[[PlayedMachine, dict[str, Any]], Any]] = {
    "set-action": _nothing,
    "query-qmp-schema": _schema,
}
