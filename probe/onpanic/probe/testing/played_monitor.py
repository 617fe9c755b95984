"""The monitor of a played emulator: its state and its answers."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from onpanic.probe.testing.wire import die, event

__all__ = ("CommandRefused", "Machine", "answer", "start")

_RESET_REQUIRED = "Resetting the Virtual Machine is required"


@dataclass
class Machine:
    """The state that the monitor shows."""

    like: dict[str, Any]
    name: str
    status: str
    paths: dict[str, str] = field(default_factory=dict)  # QOM path of each pvpanic, with its type
    quit: bool = False


class CommandRefused(Exception):  # noqa: N818
    """A QMP error: class and description."""


def start(like: dict[str, Any], options: list[str]) -> Machine:
    """Read the command line as QEMU does, and refuse what QEMU refuses."""
    names = {word.partition("=")[0]: word.partition("=")[2] for word in like["machines"]}
    asked = [v.split(",")[0] for f, v in zip(options, options[1:], strict=False) if f == "-machine"]
    name = next(iter(names))
    for word in (w for w in asked if "=" not in w):
        found = [name for name, alias in names.items() if word in (name, alias)]
        if not found:
            die(f"-machine {word}: unsupported machine type\nUse -machine help to list supported machines")
        name = found[0]
    machine = Machine(like, name, like["run_state"])
    if name in like["builtin"]:
        machine.paths["/machine/unattached/device[27]"] = "pvpanic"
    for flag, value in zip(options, options[1:], strict=False):
        kind, _, identity = value.partition(",id=")
        if flag != "-device":
            continue
        if kind not in like["types"]:
            die(f"-device {value}: '{kind}' is not a valid device model name")
        if name == "none":
            die(f"-device {value}: No 'ISA' bus found for device '{kind}'")
        machine.paths[f"/machine/peripheral/{identity}"] = kind
    return machine


def answer(machine: Machine, command: str, arguments: dict[str, Any]) -> Any:
    like = machine.like
    if command not in _COMMANDS and command not in like["commands"]:
        raise CommandRefused("CommandNotFound", f"The command {command} has not been found")
    if command.startswith(("qom-", "device-list", "query-machines", "query-target")) and not like["qom"]:
        raise CommandRefused("CommandNotFound", f"The command {command} has not been found")
    if command == "query-events" and like["events"] is None:
        raise CommandRefused("CommandNotFound", f"The command {command} has not been found")
    return {**_COMMANDS, **_LATER}[command](machine, arguments)


def _nothing(machine: Machine, arguments: dict[str, Any]) -> Any:
    return {}


def _status(machine: Machine, arguments: dict[str, Any]) -> Any:
    return {"status": machine.status, "singlestep": False, "running": machine.status == "running"}


def _cont(machine: Machine, arguments: dict[str, Any]) -> Any:
    panicked_for_good = machine.status == "guest-panicked" and not machine.like["resumable"]
    if panicked_for_good or machine.status in ("internal-error", "shutdown"):
        raise CommandRefused(machine.like["error_class"], _RESET_REQUIRED)
    if machine.status != "running":
        machine.status = "running"
        event("RESUME")
    return {}


def _stop(machine: Machine, arguments: dict[str, Any]) -> Any:
    if machine.status == "running":
        machine.status = "paused"
        event("STOP")
    return {}


def _reset(machine: Machine, arguments: dict[str, Any]) -> Any:
    event("RESET")
    if machine.status != "running":
        machine.status = "paused"
    return {}


def _quit(machine: Machine, arguments: dict[str, Any]) -> Any:
    machine.quit = True
    return {}


def _machines(machine: Machine, arguments: dict[str, Any]) -> Any:
    listed = []
    for index, word in enumerate(machine.like["machines"]):
        name, _, alias = word.partition("=")
        entry: dict[str, Any] = {"name": name, "cpu-max": 255}
        listed.append(
            entry | ({"alias": alias} if alias else {}) | ({"is-default": True} if index == 0 else {})
        )
    return listed


def _qom_list(machine: Machine, arguments: dict[str, Any]) -> Any:
    inside = [{"name": "type", "type": "string"}]
    for path, kind in machine.paths.items():
        folder, _, name = path.rpartition("/")
        if folder == arguments["path"]:
            inside.append({"name": name, "type": f"child<{kind}>"})
    return inside


def _qom_get(machine: Machine, arguments: dict[str, Any]) -> Any:
    if arguments["property"] == "ioport" and arguments["path"] in machine.paths:
        return 1285
    if arguments["path"] == "/machine" and machine.like["version"] >= [2, 0, 0]:
        return f"{machine.name}-machine"
    raise CommandRefused("GenericError", f"Property '.{arguments['property']}' not found")


def _properties(machine: Machine, arguments: dict[str, Any]) -> Any:
    if arguments["typename"] not in machine.like["types"]:
        raise CommandRefused("DeviceNotFound", f"Device '{arguments['typename']}' not found")
    return [{"name": "ioport", "type": "uint16"}]


def _hmp(machine: Machine, arguments: dict[str, Any]) -> Any:
    words = arguments["command-line"].split()
    if words[:2] == ["info", "qtree"]:
        rows = [
            f'dev: {k}, id "{p.rpartition("/")[2] if "peripheral" in p else ""}"'
            for p, k in machine.paths.items()
        ]
        return "bus: main-system-bus\r\n" + "".join(f"  {row}\r\n" for row in rows)
    present = bool(machine.paths) and machine.like["mask"] is not None and int(words[2], 0) == 0x505
    if words[0] == "i":
        return f"portb[0x0505] = {machine.like['mask'] if present else 0xFF:#x}\r\n"
    if words[0] == "o" and present:
        _write(machine, int(words[3], 0))
    return ""


def _write(machine: Machine, value: int) -> None:
    acts, known = machine.like["acts"], machine.like["schema"] or machine.like["events"]
    if acts == "silent":
        return
    if value == 1:
        event("GUEST_PANICKED", action=acts)
        if acts == "pause" and machine.status == "running":
            machine.status = "guest-panicked"
            event("STOP")
    elif value == 2 and "GUEST_CRASHLOADED" in known:
        event("GUEST_CRASHLOADED", action="run")


_COMMANDS: dict[str, Callable[[Machine, dict[str, Any]], Any]] = {
    "qmp_capabilities": _nothing,
    "query-status": _status,
    "query-target": lambda machine, _: {"arch": machine.like["target"]},
    "query-machines": _machines,
    "query-commands": lambda machine, _: [{"name": n} for n in (*_COMMANDS, *machine.like["commands"])],
    "query-events": lambda machine, _: [{"name": name} for name in machine.like["events"]],
    "qom-list-types": lambda machine, _: [{"name": name} for name in ("isa-serial", *machine.like["types"])],
    "qom-list": _qom_list,
    "qom-get": _qom_get,
    "device-list-properties": _properties,
    "human-monitor-command": _hmp,
    "query-pci": lambda machine, _: [],
    "query-cpus-fast": lambda machine, _: [],
    "cont": _cont,
    "stop": _stop,
    "system_reset": _reset,
    "quit": _quit,
}
# Commands that only some versions have, see `PlayedEmulator.commands`
_LATER: dict[str, Callable[[Machine, dict[str, Any]], Any]] = {
    "set-action": _nothing,
    "query-qmp-schema": lambda machine, _: [
        {"name": n, "meta-type": "event"} for n in machine.like["schema"]
    ],
}
